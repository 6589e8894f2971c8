"""Text to the types of the store, exactly or not at all.

A value that would lose something is a misfit, and its row is set aside. `from_types` does the same for columns that
have a type already.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import numpy as np
import polars as pl

from featurestore.model import Scalar
from featurestore.sources.casts.cast import EXACT_FLOAT, Cast, ColumnType, compare
from featurestore.tables.batch import BOOLEAN, DECIMAL, INTEGER, NESTED, NULL, STRING
from featurestore.tables.instants import in_zone
from featurestore.tables.iso8601 import parse_column, parse_dates
from featurestore.tables.types import INSTANT, column_type

_PADDED = r"^[+-]?0[0-9]|^\+"
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NUMBERS = rf"^\[\s*(?:{_NUMBER}(?:\s*,\s*{_NUMBER})*\s*)?\]$"


def cast_text(column: pl.Series, target: ColumnType, kinds: pl.Series | None = None) -> Cast:
    """Casts a String column. ``kinds`` says what each value was in JSON."""
    done = _CASTS[target.kind](column, target)
    return done if kinds is None else _check_kinds(done, target, kinds)


def _string(column: pl.Series, target: ColumnType) -> Cast:
    return Cast(column)


def _int(column: pl.Series, target: ColumnType) -> Cast:
    values = column.cast(pl.Int64, strict=False)
    return compare(column, values, values.cast(pl.String) != column if target.strict else None)


def _float(column: pl.Series, target: ColumnType) -> Cast:
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
    # With an exponent it was rounded by whoever wrote it; in plain notation every digit is meant.
    return not digits.replace(".", "", 1).isdigit() or Decimal(digits) == abs(int(value))


def _bool(column: pl.Series, target: ColumnType) -> Cast:
    words = column.unique().drop_nulls().to_list()
    booleans = {
        word: _BOOLEANS[word.lower()]
        for word in words
        if word.lower() in (("true", "false") if target.strict else _BOOLEANS)
    }
    return compare(column, column.replace_strict(booleans, default=None, return_dtype=pl.Boolean()))


def _date(column: pl.Series, target: ColumnType) -> Cast:
    days, valid = parse_dates(column)
    return compare(column, pl.Series(column.name, days.astype(np.int32)).cast(pl.Date), pl.Series(~valid))


def _datetime(column: pl.Series, target: ColumnType) -> Cast:
    read = parse_column(column, up=True)
    times = pl.Series(column.name, read.micros).cast(INSTANT)
    values = times.dt.replace_time_zone("UTC")
    naive = read.naive & read.valid
    if target.zone not in (None, "UTC") and naive.any():
        local = in_zone(times, str(target.zone))
        values = local if naive.all() else values.zip_with(pl.Series(~naive), local)
    return compare(column, values, pl.Series(~read.valid), naive=bool(naive.any()))


def _list(column: pl.Series, target: ColumnType) -> Cast:
    """JSON lists of numbers, with null and the words for what JSON has no number for."""
    dtype = column_type("list[float]")
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


_CASTS: dict[Scalar, Callable[[pl.Series, ColumnType], Cast]] = {
    "string": _string, "int": _int, "float": _float, "bool": _bool, "date": _date, "datetime": _datetime,
    "list[float]": _list,
}  # fmt: skip


def _check_kinds(done: Cast, target: ColumnType, kinds: pl.Series) -> Cast:
    """JSON says more of a value than its text: 7.0 is not an id, and ``"5"`` not the number that was inferred."""
    wrong = (kinds != NULL) & ~kinds.is_in(sorted(_allowed(target)))
    if not wrong.any():
        return done
    misfits = wrong.to_numpy() if done.misfits is None else wrong.to_numpy() | done.misfits
    return Cast(done.values.set(wrong, None), misfits, done.naive)


def _allowed(target: ColumnType) -> set[int]:
    if target.kind == "string":
        return {STRING, INTEGER} if target.key else {STRING, INTEGER, DECIMAL, BOOLEAN, NESTED}
    if target.kind == "list[float]":
        return {NESTED}
    if target.kind in ("date", "datetime"):
        return {STRING}
    numbers = {BOOLEAN} if target.kind == "bool" else {INTEGER, DECIMAL}
    return numbers if target.strict and not target.key else numbers | {STRING, INTEGER}
