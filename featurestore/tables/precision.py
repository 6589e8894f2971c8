"""What a cast would lose: numbers that no float is, times finer than a microsecond or outside the years 1 to 9999."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from featurestore.times import MAX_INSTANT, MIN_INSTANT

_SAFE_DIGITS = 10**15  # a decimal of fewer digits always comes back from a float as it was


def lossy_as_floats(values: pl.Series) -> pl.Series:
    """Which numbers a float can't hold: integers that another float stands for, decimals of too many digits."""
    kind = values.dtype
    if kind.is_integer():
        return values.cast(pl.Float64).cast(kind, strict=False).ne_missing(values)
    if not isinstance(kind, pl.Decimal):
        return pl.Series(values.name, [False]).new_from_index(0, len(values))
    long = (values.to_physical().abs() >= _SAFE_DIGITS).fill_null(value=False)
    if long.any():
        at = long.arg_true()
        exact = [Decimal(repr(float(value))) == value for value in values.gather(at)]
        long = long.scatter(at.filter(pl.Series(exact, dtype=pl.Boolean)), values=False)
    return long


def lossy_lists(values: pl.Series) -> pl.Series:
    """Which lists of numbers have an item that a float can't hold."""
    inner = values.dtype.inner  # type: ignore[attr-defined]
    mask = pl.Series(values.name, [False]).new_from_index(0, len(values))
    if not inner.is_integer() and not isinstance(inner, pl.Decimal):
        return mask
    frame = pl.DataFrame({"value": values.cast(pl.List(inner))}).with_row_index("row")
    items = frame.explode("value")
    rows = items.filter(lossy_as_floats(items["value"]))["row"].unique()
    return mask if rows.is_empty() else mask.scatter(rows, values=True)


def micros_of(times: pl.Series, *, up: bool) -> pl.Series:
    """Datetimes of any unit as integers, microseconds since 1970; null outside the years 1 to 9999.

    What is below a microsecond is rounded up, so that a row is not known before it was there, or down.
    """
    unit, physical = times.dtype.time_unit, times.to_physical()  # type: ignore[attr-defined]
    if unit == "ns":
        below = physical % 1_000 != 0
        physical = physical // 1_000 + (below.cast(pl.Int64) if up else 0)
    elif unit == "ms":
        inside = physical.is_between(MIN_INSTANT // 1_000, MAX_INSTANT // 1_000)
        physical = physical.set(~inside, None) * 1_000
    return physical.set(~physical.is_between(MIN_INSTANT, MAX_INSTANT), None)
