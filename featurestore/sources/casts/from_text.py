"""Text to the types of the store, exactly or not at all.

A value that would lose something is a misfit, and its row is set aside. `from_types` does the same for columns that
have a type already.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import numpy as np
import polars as pl

from featurestore.model import Scalar
from featurestore.sources.casts.cast import EXACT_FLOAT, Cast, ColumnType, compare
from featurestore.tables.batch import BITS, BOOLEAN, DECIMAL, INTEGER, NESTED, NULL, STRING, TEXT
from featurestore.tables.instants import in_zone
from featurestore.tables.iso8601 import DAY, parse_dates
from featurestore.tables.precision import is_lost_as_zero, lost_as_zero
from featurestore.tables.types import INSTANT, column_type
from featurestore.tables.written_times import parse_times

_PADDED = r"^[+-]?0[0-9]|^\+"
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NEAR_ZERO = r"[eE]-[0-9]{3}|0\.0{300}"  # may become 0 as a float
_NUMBERS = rf"^\[\s*(?:{_NUMBER}(?:\s*,\s*{_NUMBER})*\s*)?\]$"


def cast_text(column: pl.Series, target: ColumnType, kinds: pl.Series | None = None) -> Cast:
    """Casts a String column. ``kinds`` says what each value was in JSON."""
    done = _CASTS[target.kind](column, target)
    if target.kind in ("int", "float") and not target.key and not target.dialect.plain_numbers:
        written = cast_written_number(column, target)
        if kinds is None:
            return written
        # What JSON has as a number is written as programs write it.
        done = compare(column, written.values.zip_with(kinds.is_in([STRING, TEXT]), done.values))
    return done if kinds is None else _check_kinds(done, target, kinds)


def cast_written_number(column: pl.Series, target: ColumnType) -> Cast:
    """Casts texts to numbers, with the source's own marks before the decimals and between the digits."""
    decimal, thousands = target.dialect.decimal, target.dialect.thousands
    plain, wrong = column, None
    if thousands is not None:
        mark = "[ \u00a0\u202f]" if thousands == " " else re.escape(thousands)
        with_marks = column.str.contains(mark)
        # Groups of three; in India of two, but for the last. None begins with a zero: `0.123` has no thousands.
        grouped = rf"^[+-]?[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{2,3}})*{mark}[0-9]{{3}}(?:{re.escape(decimal)}[0-9]*)?$"
        wrong = with_marks & ~column.str.contains(grouped)
        plain = plain.str.replace_all(mark, "")
    if decimal != ".":
        if thousands != ".":
            points = column.str.contains(".", literal=True)
            wrong = points if wrong is None else wrong | points
        plain = plain.str.replace(decimal, ".", literal=True)
    done = _CASTS[target.kind](plain, target)
    return done if wrong is None else compare(column, done.values, wrong.fill_null(value=False))


def _string(column: pl.Series, target: ColumnType) -> Cast:
    return Cast(column)


def _int(column: pl.Series, target: ColumnType) -> Cast:
    values = column.cast(pl.Int64, strict=False)
    return compare(column, values, values.cast(pl.String) != column if target.strict else None)


def _float(column: pl.Series, target: ColumnType) -> Cast:
    """Decimal notation, ``nan`` and ``inf``.

    A number past the largest, one that would become 0, or an integer that no float is, is a misfit.
    """
    values = column.cast(pl.Float64, strict=False)
    # Not by `pl.repeat`, which waits for Polars' threads while they cast other columns.
    wrong = column.str.contains(_PADDED) if target.strict else pl.Series([False]).new_from_index(0, len(column))
    large = (values.abs() >= EXACT_FLOAT).arg_true()
    if len(large):
        pairs = zip(column[large], values[large], strict=True)
        lossy = [not _is_exact(text, value) or (target.strict and text.isdigit()) for text, value in pairs]
        wrong = wrong.scatter(large.filter(pl.Series(lossy, dtype=pl.Boolean)), values=True)
    lost = lost_as_zero(column, values)
    return compare(column, values, wrong if lost is None else wrong.scatter(lost, values=True))


def _is_exact(text: str, value: float) -> bool:
    if math.isinf(value):
        return "inf" in text.lower()
    digits = text.lstrip("+-")
    # With an exponent it was rounded by whoever wrote it; in plain notation every digit is meant.
    return not digits.replace(".", "", 1).isdigit() or Decimal(digits) == abs(int(value))


def _bool(column: pl.Series, target: ColumnType) -> Cast:
    words = column.unique().drop_nulls().to_list()
    usual = ("true", "false") if target.strict else _BOOLEANS
    booleans = {word: _BOOLEANS[word.lower()] for word in words if word.lower() in usual}
    booleans |= dict.fromkeys(target.dialect.true, True) | dict.fromkeys(target.dialect.false, False)
    return compare(column, column.replace_strict(booleans, default=None, return_dtype=pl.Boolean()))


def _date(column: pl.Series, target: ColumnType) -> Cast:
    if target.times.format is not None:
        read = parse_times(column, target.times)
        days, valid = read.micros // DAY, read.valid & (read.micros % DAY == 0)
    else:
        days, valid = parse_dates(column)
    return compare(column, pl.Series(column.name, days.astype(np.int32)).cast(pl.Date), pl.Series(~valid))


def _datetime(column: pl.Series, target: ColumnType) -> Cast:
    read = parse_times(column, target.times, up=True)
    times = pl.Series(column.name, read.micros).cast(INSTANT)
    values = times.dt.replace_time_zone("UTC")
    naive = read.naive & read.valid
    zone = target.times.timezone or target.zone
    if zone not in (None, "UTC") and naive.any():
        local = in_zone(times, str(zone), target.times)
        values = local if naive.all() else values.zip_with(pl.Series(~naive), local)
    return compare(column, values, pl.Series(~read.valid), naive=bool(naive.any()) and target.times.timezone is None)


def _list(column: pl.Series, target: ColumnType) -> Cast:
    """JSON lists of numbers, with null and the words for what JSON has no number for."""
    dtype = column_type("list[float]")
    if column.str.contains(_NUMBERS).all() and not column.str.contains(_NEAR_ZERO).any():
        with suppress(pl.exceptions.ComputeError):  # a number that is too long for it
            values = column.str.json_decode(dtype)
            large = values.list.eval(pl.element().abs() >= EXACT_FLOAT).list.any()
            if not large.any():
                return Cast(values)
    return compare(column, pl.Series(column.name, [_numbers(text) for text in column], dtype=dtype))


def _numbers(text: str | None) -> list[float | None] | None:
    try:
        values = json.loads(text or "null", parse_float=_json_float)
        return [_number(value) for value in values] if isinstance(values, list) else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _json_float(text: str) -> float:
    value = float(text)
    if is_lost_as_zero(text, value) or (abs(value) >= EXACT_FLOAT and not _is_exact(text, value)):
        raise ValueError(text)
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and (number := float(value)) == value:
        return number
    if isinstance(value, float):  # NaN, which JSON has no word for and programs write
        return value
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(str(value))
    raise TypeError(value)


_CASTS: dict[Scalar, Callable[[pl.Series, ColumnType], Cast]] = {
    "string": _string, "int": _int, "float": _float, "bool": _bool, "date": _date, "datetime": _datetime,
    "list[float]": _list,
}  # fmt: skip


def _check_kinds(done: Cast, target: ColumnType, kinds: pl.Series) -> Cast:
    """JSON says more of a value than its text: 7.0 is not an id, and ``"5"`` not the number that was inferred."""
    wrong = ~kinds.is_in(sorted({NULL, TEXT} | _allowed(target)))
    if not wrong.any():
        return done
    misfits = wrong.to_numpy() if done.misfits is None else wrong.to_numpy() | done.misfits
    return Cast(done.values.set(wrong, None), misfits, done.naive)


def _allowed(target: ColumnType) -> set[int]:
    """The kinds of JSON values that may be of a type."""
    number = {INTEGER, DECIMAL}
    match target.kind:
        case "string":
            return {STRING, INTEGER, BITS} if target.key else {STRING, BOOLEAN, NESTED, BITS} | number
        case "list[float]":
            return {NESTED}
        case "date" | "datetime":
            as_number = target.times.format is not None or target.times.unit is not None
            return {STRING} | number if as_number else {STRING}
        case "bool":
            has_words = bool(target.dialect.true or target.dialect.false)
            strict, allowed = target.strict and not has_words, {BOOLEAN, BITS}
        case _:
            strict, allowed = target.strict and target.dialect.plain_numbers, number
    return allowed if strict and not target.key else allowed | {STRING, INTEGER}
