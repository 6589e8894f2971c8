"""What a cast would lose.

Numbers that no float is, or that it has as 0; times finer than a microsecond, or outside the years 1 to 9999.
"""

from __future__ import annotations

import re
from decimal import Decimal

import polars as pl

from featurestore.times import MAX_INSTANT, MIN_INSTANT

_NOT_ZERO = r"^[^eE]*[1-9]"
_SHORTEST_LOST = len("1e-324")
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


def lost_as_zero(texts: pl.Series, values: pl.Series) -> pl.Series | None:
    """The rows, as indices, of texts that a float has as 0 though they are not; None where there are none."""
    zeros = ((values == 0) & (texts.str.len_bytes() >= _SHORTEST_LOST)).arg_true()  # first what is quick to see
    if not len(zeros):
        return None
    lost = zeros.filter(texts.gather(zeros).str.contains(_NOT_ZERO))
    return lost if len(lost) else None


def is_lost_as_zero(text: str, value: float) -> bool:
    """The same of one text."""
    return value == 0 and re.match(_NOT_ZERO, text) is not None


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
