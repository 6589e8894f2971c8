"""Casts a feature's values to the type that it declares, without loss."""

from __future__ import annotations

import polars as pl

from featurestore.errors import FeatureError
from featurestore.model import DataType
from featurestore.tables.types import INSTANT, value_type


def cast_value(values: pl.Series, data_type: DataType) -> pl.Series:
    """The values in the type that the feature declares. Raises FeatureError naming the first row that would lose."""
    wanted, given = value_type(data_type), values.dtype
    if given == pl.Null:
        return values.cast(wanted)
    match data_type.kind:
        case "float" if given.is_numeric():
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
            return values
        case "datetime" if isinstance(given, pl.Datetime):
            return to_instant(values)
        case "list[float]" if isinstance(given, pl.List | pl.Array):
            return _cast_list(values, data_type)
    raise FeatureError(
        f"value is {given}, but the feature declares {data_type}",
        hint=f"cast it in the function, or declare data_type={_nearest_type(given)!r}",
    )


def cast_int(values: pl.Series) -> pl.Series:
    """Integers as 64 bits. Raises FeatureError naming the first that does not fit."""
    whole = values.cast(pl.Int64, strict=False)
    refuse_rows(values, whole.is_null() & values.is_not_null(), "does not fit into 64 bits", "use a string")
    return whole


def to_instant(values: pl.Series) -> pl.Series:
    """Dates and datetimes as instants: microseconds in UTC, without a zone. A naive one is UTC."""
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(INSTANT)


def refuse_rows(values: pl.Series, bad: pl.Series, complaint: str, hint: str) -> None:
    """Raises FeatureError naming the first row that ``bad`` marks, if there is one."""
    if bad.any():
        row = int(bad.arg_true()[0])
        shown = "" if values[row] is None else f" ({values[row]!r})"
        more = int(bad.sum() or 0) - 1
        others = f" and in {more} more" if more else ""
        raise FeatureError(f"{values.name} {complaint} in row {row + 1}{shown}{others}", hint=hint)


def _cast_list(values: pl.Series, data_type: DataType) -> pl.Series:
    inner = values.dtype.inner  # type: ignore[attr-defined]
    if not inner.is_numeric() and inner != pl.Null:
        raise FeatureError(
            f"value is {values.dtype}, but the feature declares {data_type}", hint="cast the items to float"
        )
    lists = values.cast(pl.List(pl.Float64))
    lengths = lists.list.len()
    present = lengths.drop_nulls()
    length = data_type.length or (int(present[0]) if present.len() else None)
    if length is not None:
        wrong = (lengths != length).fill_null(False)
        refuse_rows(values, wrong, f"does not have {length} items", "give every list the same length")
    return lists.to_frame().select(pl.col(values.name).list.eval(_without_negative_zero(pl.element()))).to_series()


def _without_negative_zero(number: pl.Expr) -> pl.Expr:
    """−0.0 as 0.0, so that equal values have equal bits (Polars optimises ``+ 0.0`` away)."""
    return pl.when(number == 0.0).then(0.0).otherwise(number)


def _nearest_type(given: pl.DataType) -> str:
    """The type to declare for values of a Polars type."""
    if given.is_float():
        return "float"
    if given.is_integer():
        return "int"
    if isinstance(given, pl.List | pl.Array):
        return "list[float]"
    return {"Boolean": "bool", "String": "string", "Date": "date"}.get(
        str(given), "datetime" if given.is_temporal() else "string"
    )
