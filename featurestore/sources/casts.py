"""Text to the types of the store, exactly or not at all.

Where a value would lose something on the way it is a misfit, and its row is set aside. Nothing is trimmed, rounded
or guessed at. `natives` does the same for columns that have a type already.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import polars as pl

from featurestore.sources.batch import Mask
from featurestore.sources.instants import read_dates, read_instants
from featurestore.tables.types import INSTANT, INSTANT_UTC

EXACT_FLOAT = 1 << 53  # from here on a float may stand for another integer
NULL, STRING, INTEGER, DECIMAL, BOOLEAN, NESTED = range(6)  # what stood in a JSON value

DTYPES: dict[str, pl.DataType] = {
    "bool": pl.Boolean(), "int": pl.Int64(), "float": pl.Float64(), "string": pl.String(), "date": pl.Date(),
    "datetime": INSTANT_UTC, "list[float]": pl.List(pl.Float64()),
}  # fmt: skip

_PADDED = r"^[+-]?0[0-9]|^\+"
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NUMBERS = rf"^\[\s*(?:{_NUMBER}(?:\s*,\s*{_NUMBER})*\s*)?\]$"


@dataclass(frozen=True, slots=True)
class Target:
    """What a column is to become.

    ``strict`` takes values only as programs write them (``007`` is no int, ``1`` no bool): for keys, and for columns
    whose type was found, not declared. ``zone`` is that of times without one.
    """

    kind: str
    strict: bool = False
    key: bool = False
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """A column in its new type, null where ``misfits`` is True. ``naive`` says that a time had no zone."""

    values: pl.Series
    misfits: Mask | None = None
    naive: bool = False


def cast_text(column: pl.Series, target: Target, kinds: pl.Series | None = None) -> Cast:
    """Casts a String column. ``kinds`` tells what stood in JSON for each value."""
    done = _CASTS[target.kind](column, target)
    return done if kinds is None else _check_kinds(done, target, kinds)


def compare(source: pl.Series, values: pl.Series, wrong: pl.Series | None = None, *, naive: bool = False) -> Cast:
    """A cast whose misfits are the values that it made null, and those that are ``wrong``."""
    if wrong is not None and wrong.any():
        values = values.set(wrong, None)
    if values.null_count() == source.null_count():
        return Cast(values, None, naive)
    return Cast(values, (values.is_null() & source.is_not_null()).to_numpy(), naive)


def in_zone(values: pl.Series, zone: str) -> pl.Series:
    """Naive local times of a zone as UTC; null for those that never happened, or happened twice."""
    return values.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")


def _string(column: pl.Series, target: Target) -> Cast:
    return Cast(column)


def _int(column: pl.Series, target: Target) -> Cast:
    values = column.cast(pl.Int64, strict=False)
    return compare(column, values, values.cast(pl.String) != column if target.strict else None)


def _float(column: pl.Series, target: Target) -> Cast:
    """Decimal notation, ``nan`` and ``inf``. A number past the largest, or an integer that no float is, is a misfit."""
    values = column.cast(pl.Float64, strict=False)
    wrong = column.str.contains(_PADDED) if target.strict else pl.repeat(value=False, n=len(column), eager=True)
    large = (values.abs() >= EXACT_FLOAT).arg_true()
    if len(large):
        pairs = zip(column[large], values[large], strict=True)
        lossy = [not _is_exact(text, value) or (target.strict and text.isdigit()) for text, value in pairs]
        wrong = wrong.scatter(large.filter(pl.Series(lossy, dtype=pl.Boolean)), values=True)
    return compare(column, values, wrong)


def _is_exact(text: str, value: float) -> bool:
    if math.isinf(value):
        return "inf" in text.lower()
    digits = text.lstrip("+-")
    return not digits.isdigit() or int(digits) == abs(int(value))


def _bool(column: pl.Series, target: Target) -> Cast:
    words = column.unique().drop_nulls().to_list()
    known = {
        word: _BOOLEANS[word.lower()]
        for word in words
        if word.lower() in (("true", "false") if target.strict else _BOOLEANS)
    }
    return compare(column, column.replace_strict(known, default=None, return_dtype=pl.Boolean()))


def _date(column: pl.Series, target: Target) -> Cast:
    days, valid = read_dates(column)
    return compare(column, pl.Series(column.name, days.astype(np.int32)).cast(pl.Date), pl.Series(~valid))


def _datetime(column: pl.Series, target: Target) -> Cast:
    read = read_instants(column)
    times = pl.Series(column.name, read.micros).cast(INSTANT)
    values = times.dt.replace_time_zone("UTC")
    naive = read.naive & read.valid
    if target.zone not in (None, "UTC") and naive.any():
        local = in_zone(times, str(target.zone))
        values = local if naive.all() else values.zip_with(pl.Series(~naive), local)
    return compare(column, values, pl.Series(~read.valid), naive=bool(naive.any()))


def _list(column: pl.Series, target: Target) -> Cast:
    """JSON lists of numbers, with null and the words for what JSON has no number for."""
    dtype = DTYPES["list[float]"]
    if column.str.contains(_NUMBERS).all():
        with suppress(pl.exceptions.ComputeError):  # a number that is too long for it
            return Cast(column.str.json_decode(dtype))
    return compare(column, pl.Series(column.name, [_numbers(text) for text in column], dtype=dtype))


def _numbers(text: str | None) -> list[float | None] | None:
    try:
        values = json.loads(text or "null")
        return [_number(value) for value in values] if isinstance(values, list) else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _number(value: object) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(str(value))
    raise TypeError(value)


_CASTS: dict[str, Callable[[pl.Series, Target], Cast]] = {
    "string": _string, "int": _int, "float": _float, "bool": _bool, "date": _date, "datetime": _datetime,
    "list[float]": _list,
}  # fmt: skip


def _check_kinds(done: Cast, target: Target, kinds: pl.Series) -> Cast:
    """JSON knows more of a value than its text: 7.0 is no id, and ``"5"`` not the number that was found before."""
    wrong = (kinds != NULL) & ~kinds.is_in(sorted(_allowed(target)))
    if not wrong.any():
        return done
    misfits = wrong.to_numpy() if done.misfits is None else wrong.to_numpy() | done.misfits
    return Cast(done.values.set(wrong, None), misfits, done.naive)


def _allowed(target: Target) -> set[int]:
    if target.kind == "string":
        return {STRING, INTEGER} if target.key else {STRING, INTEGER, DECIMAL, BOOLEAN, NESTED}
    if target.kind == "list[float]":
        return {NESTED}
    if target.kind in ("date", "datetime"):
        return {STRING}
    numbers = {BOOLEAN} if target.kind == "bool" else {INTEGER, DECIMAL}
    return numbers if target.strict and not target.key else numbers | {STRING, INTEGER}
