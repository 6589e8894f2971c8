"""Casts a feature's values to the type that it declares, without loss."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from featurestore.errors import FeatureError
from featurestore.model import DataType
from featurestore.sources.wording import show
from featurestore.tables.precision import lossy_as_floats, lossy_lists, micros_of
from featurestore.tables.types import INSTANT, value_type

_NO_FLOAT = "is not equal to any float"
_AS_FLOATS = "round it in the function, or declare int, or string for all its digits"
_OUTSIDE = "is not in the years 1 to 9999, counted in {} since 1970,"


def cast_value(values: pl.Series, data_type: DataType) -> pl.Series:
    """The values in the type that the feature declares. Raises FeatureError naming the first row that would lose."""
    wanted, given = value_type(data_type), values.dtype
    if given == pl.Null:
        return values.cast(wanted)
    match data_type.kind:
        case "float" if given.is_numeric():
            refuse_rows(values, lossy_as_floats(values), _NO_FLOAT, _AS_FLOATS)
            return values.cast(pl.Float64).to_frame().select(_without_negative_zero(pl.col(values.name))).to_series()
        case "int" if given.is_integer():
            return cast_int(values)
        case "int" if given.is_float():
            whole = values.cast(pl.Int64, strict=False)
            lossy = whole.cast(given).ne_missing(values)
            refuse_rows(values, lossy, "is not a whole number", "round it, or declare float")
            return whole
        case "bool" if given == pl.Boolean:
            return values
        case "string" if given == pl.String or isinstance(given, pl.Categorical | pl.Enum):
            return values.cast(pl.String)
        case "date" if given == pl.Date:
            to_instant(values)
            return values
        case "datetime" if isinstance(given, pl.Datetime):
            fine = micros_of(values, up=True) != micros_of(values, up=False)
            refuse_rows(
                values, fine.fill_null(value=False), "is finer than a microsecond", "truncate it in the function"
            )
            return to_instant(values)
        case "list[float]" if isinstance(given, pl.List | pl.Array):
            return _cast_list(values, data_type)
    raise FeatureError(f"value is {_in_words(given)}, but the feature declares {data_type}", hint=_way_out(given))


def cast_int(values: pl.Series) -> pl.Series:
    """Integers as 64 bits. Raises FeatureError naming the first that does not fit."""
    whole = values.cast(pl.Int64, strict=False)
    refuse_rows(values, whole.is_null() & values.is_not_null(), "does not fit into 64 bits", "use a string")
    return whole


def to_instant(values: pl.Series) -> pl.Series:
    """Dates and datetimes as instants: microseconds in UTC, without a zone. A naive one is UTC.

    What is below a microsecond is rounded up. Raises FeatureError for a time outside the years 1 to 9999.
    """
    if not isinstance(values.dtype, pl.Datetime):
        values = values.cast(pl.Datetime("ms"))  # wide enough for every date
    micros = micros_of(values, up=True)
    outside = micros.is_null() & values.is_not_null()
    refuse_rows(values.to_physical(), outside, _OUTSIDE.format(values.dtype.time_unit), "keep it within these")  # type: ignore[attr-defined]
    return micros.cast(INSTANT)


def refuse_rows(values: pl.Series, bad: pl.Series, complaint: str, hint: str) -> None:
    """Raises FeatureError naming the first row that ``bad`` marks, if there is one."""
    if bad.any():
        row = int(bad.arg_true()[0])
        value = values[row]
        plain = value.to_list() if isinstance(value, pl.Series) else value
        shown = "" if plain is None else f" ({plain if isinstance(plain, Decimal) else show(plain)})"
        more = int(bad.sum() or 0) - 1
        others = f" and in {more} more" if more else ""
        raise FeatureError(f"{values.name} {complaint} in row {row + 1}{shown}{others}", hint=hint)


def _cast_list(values: pl.Series, data_type: DataType) -> pl.Series:
    inner = values.dtype.inner  # type: ignore[attr-defined]
    if not inner.is_numeric() and inner != pl.Null:
        raise FeatureError(
            f"value is {_in_words(values.dtype)}, but the feature declares {data_type}", hint="cast the items to float"
        )
    if data_type.length is not None:
        wrong = (_lengths(values) != data_type.length).fill_null(value=False)
        refuse_rows(values, wrong, f"does not have {data_type.length} items", "declare list[float] for any number")
    refuse_rows(values, lossy_lists(values), f"has an item that {_NO_FLOAT}", _AS_FLOATS)
    lists = values.cast(pl.List(pl.Float64))
    return lists.to_frame().select(pl.col(values.name).list.eval(_without_negative_zero(pl.element()))).to_series()


def _lengths(values: pl.Series) -> pl.Series:
    return values.list.len() if isinstance(values.dtype, pl.List) else values.arr.len()


def _without_negative_zero(number: pl.Expr) -> pl.Expr:
    """−0.0 as 0.0, so that equal values have equal bits (Polars optimises ``+ 0.0`` away)."""
    return pl.when(number == 0.0).then(0.0).otherwise(number)


def _in_words(given: pl.DataType) -> str:
    """A Polars type for people who read the message of a run."""
    if isinstance(given, pl.List | pl.Array):
        return f"lists of {_in_words(given.inner)}"  # type: ignore[arg-type]
    if isinstance(given, pl.Datetime):
        return "a datetime"
    return {"Duration": "a duration", "Time": "a time of day", "Struct": "a struct", "Binary": "bytes",
            "Decimal": "a decimal", "Object": "a Python object"}.get(type(given).__name__, str(given))  # fmt: skip


def _way_out(given: pl.DataType) -> str:
    """What to do about values of a type that is not the declared one."""
    if isinstance(given, pl.Duration):
        return "make it a number, for example with .dt.total_seconds()"
    if isinstance(given, pl.Struct):
        return "take one of its fields, for example with .struct.field()"
    if isinstance(given, pl.Time | pl.Object) or given == pl.Binary:
        return "cast it to text or a number in the function"
    return f"cast it in the function, or declare data_type={_nearest_type(given)!r}"


def _nearest_type(given: pl.DataType) -> str:
    """The type to declare for values of a Polars type."""
    if given.is_float() or isinstance(given, pl.Decimal):
        return "float"
    if given.is_integer():
        return "int"
    if isinstance(given, pl.List | pl.Array):
        return "list[float]"
    return {"Boolean": "bool", "String": "string", "Date": "date"}.get(
        str(given), "datetime" if isinstance(given, pl.Datetime) else "string"
    )
