"""Columns that have a type already, as in Parquet, to the types of the store: exactly or not at all."""

from __future__ import annotations

import polars as pl

from featurestore.errors import SourceError
from featurestore.model import Scalar
from featurestore.sources.casts.cast import EXACT_FLOAT, Cast, ColumnType, compare
from featurestore.sources.casts.from_text import cast_text
from featurestore.tables.instants import in_zone
from featurestore.tables.iso8601 import DAY
from featurestore.tables.precision import lossy_as_floats, lossy_lists, micros_of
from featurestore.tables.time_formats import guess_formats, guess_unit
from featurestore.tables.types import INSTANT, column_type
from featurestore.tables.written_times import epochs_of
from featurestore.times import MAX_INSTANT, MIN_INSTANT


def cast(column: pl.Series, target: ColumnType, kinds: pl.Series | None = None) -> Cast:
    """Casts a column of any type. Raises SourceError where no value of its type could be of the target's."""
    dtype = column.dtype
    if target.kind in ("date", "datetime") and dtype.is_numeric():
        return _cast_written_time(column, target)
    if dtype == pl.String:
        return cast_text(column, target, kinds)
    if dtype == pl.Null:
        return Cast(column.cast(column_type(target.kind)))
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return cast_text(column.cast(pl.String), target)
    done = _cast_number(column, target) if dtype.is_numeric() else _cast_other(column, target)
    if done is None:
        raise SourceError(f"a column of type {dtype} can't be read as {target.kind}")
    return done


def _cast_written_time(column: pl.Series, target: ColumnType) -> Cast:
    """Times as numbers: since 1970, or like 20241231. Raises SourceError where nothing says what they are."""
    times = target.times
    if times.unit is not None and target.kind == "datetime":
        micros = epochs_of(column, times.unit, up=True).cast(INSTANT)
        return compare(column, micros.dt.replace_time_zone("UTC"))
    if times.format is not None and column.dtype.is_integer():
        return cast_text(column.cast(pl.String), target)
    if column.is_empty():  # the rows that follow say what they may be
        return Cast(column.cast(pl.Int64).cast(column_type(target.kind)))
    raise SourceError(f"a column of type {column.dtype} can't be read as {target.kind}", hint=_way_out(column))


def _way_out(column: pl.Series) -> str | None:
    """The setting by which numbers would be times, where their size tells: as since 1970, or as in 20241231."""
    present = column.drop_nulls()
    if present.is_empty():
        return None
    unit = guess_unit(float(present[0]))
    if unit is not None:
        return f'if they are times since 1970: unit = "{unit}"'
    formats = list(guess_formats(str(present[0]))) if column.dtype.is_integer() else []
    return f'if they are times: format = "{formats[0]}"' if formats else None


def kind_of(dtype: pl.DataType) -> Scalar | None:
    """The data type of a column of a Polars type; None for what the store has no type for."""
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    if isinstance(dtype, pl.Datetime):
        return "datetime"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "string"
    if isinstance(dtype, pl.List | pl.Array) and dtype.inner.is_float():
        return "list[float]"
    return "bool" if dtype == pl.Boolean else "date" if dtype == pl.Date else None


def _cast_number(column: pl.Series, target: ColumnType) -> Cast | None:
    dtype = column.dtype
    if target.kind == "bool" and dtype.is_integer() and not target.strict:
        return compare(column, (column == 1).set(~column.is_in([0, 1]), None))
    if dtype.is_integer():
        if target.kind == "int":
            return compare(column, column.cast(pl.Int64, strict=False))
        if target.kind == "string":
            return Cast(column.cast(pl.String))
        if target.kind == "float":
            return compare(column, column.cast(pl.Float64), lossy_as_floats(column))
        return None
    if target.kind == "float":
        return compare(column, column.cast(pl.Float64), lossy_as_floats(column))
    # A float is not an id, whole or not: it was rounded once, nobody knows where.
    if target.kind == "int" and not target.key:
        values = column.cast(pl.Int64, strict=False)
        wrong = values.cast(dtype) != column
        return compare(column, values, wrong | (values.abs() >= EXACT_FLOAT) if dtype.is_float() else wrong)
    return None


def _cast_other(column: pl.Series, target: ColumnType) -> Cast | None:
    dtype, kind = column.dtype, target.kind
    if dtype == pl.Date and kind in ("date", "datetime"):
        days = column.to_physical()
        column = column.set(~days.is_between(MIN_INSTANT // DAY, MAX_INSTANT // DAY), None)
        return compare(days, column) if kind == "date" else _localized(column.cast(INSTANT), days, target)
    if isinstance(dtype, pl.Datetime) and kind == "datetime":
        micros = micros_of(column, up=True).cast(INSTANT)
        if dtype.time_zone:
            return compare(column, micros.dt.replace_time_zone("UTC"))
        return _localized(micros, column, target)
    if isinstance(dtype, pl.Datetime) and kind == "date" and not dtype.time_zone:
        return compare(column, _days_of_midnights(column.to_physical(), dtype.time_unit))
    if dtype == column_type(kind):
        return Cast(column)
    if isinstance(dtype, pl.List | pl.Array) and kind == "list[float]" and dtype.inner.is_numeric():
        return compare(column, column.cast(column_type(kind)), lossy_lists(column))
    return None


def _days_of_midnights(counts: pl.Series, unit: str) -> pl.Series:
    """Days of times at midnight, null for others: in numbers, since a cast of Polars fails where one is far away."""
    of_day = DAY * 1_000 if unit == "ns" else DAY // 1_000 if unit == "ms" else DAY
    days = counts // of_day
    fits = (counts % of_day == 0) & days.is_between(MIN_INSTANT // DAY, MAX_INSTANT // DAY)
    return days.set(~fits, None).cast(pl.Date)


def _localized(values: pl.Series, column: pl.Series, target: ColumnType) -> Cast:
    """Times without a zone: in the source's, else UTC."""
    zone = target.times.timezone or target.zone
    local = values.dt.replace_time_zone("UTC") if zone is None else in_zone(values, zone, target.times)
    outside = ~local.to_physical().is_between(MIN_INSTANT, MAX_INSTANT)
    return compare(column, local, outside, naive=values.null_count() < len(values) and target.times.timezone is None)
