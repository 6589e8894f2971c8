"""When two values that were computed from other rows around them are one, but for rounding.

A rolling sum carries its last bits from one row to the next, so its bits depend on where it began.
"""

from __future__ import annotations

import math

import polars as pl

# Two floats no further apart than this, of the larger one and of the largest value of all, differ by rounding alone.
ROUNDING, LARGEST_ROUNDING = 1e-9, 1e-12


def equal(within: object, alone: object, tolerance: float | None, largest: float) -> bool:
    """Whether two values are one, but for rounding: ``largest`` is the greatest magnitude among values like them."""
    if isinstance(within, list) and isinstance(alone, list):
        return len(within) == len(alone) and all(
            equal(one, other, tolerance, largest) for one, other in zip(within, alone, strict=True)
        )
    if isinstance(within, bool) or not isinstance(within, int | float) or not isinstance(alone, int | float):
        return within == alone
    if isinstance(within, int) and isinstance(alone, int):
        return abs(within - alone) <= (tolerance or 0)
    if not math.isfinite(within) or not math.isfinite(alone):
        return within == alone or (math.isnan(within) and math.isnan(alone))
    rounding = max(ROUNDING * max(abs(within), abs(alone)), LARGEST_ROUNDING * largest)
    return abs(within - alone) <= max(rounding, tolerance or 0)


def greatest(values: pl.Series) -> float:
    """The greatest finite magnitude of some floats; 0 for all else."""
    if not values.dtype.is_float():
        return 0.0
    finite = values.filter(values.is_finite())
    return float(finite.abs().max() or 0.0)  # type: ignore[arg-type]  # of floats a float


def is_rounding(one: pl.Expr, other: pl.Expr, largest: float) -> pl.Expr:
    """`equal` of floats that are not the same, as an expression without a tolerance; false for all else."""
    rounding = pl.max_horizontal(
        ROUNDING * pl.max_horizontal(one.abs(), other.abs()), pl.lit(LARGEST_ROUNDING * largest)
    )
    return (one.is_finite() & other.is_finite() & ((one - other).abs() <= rounding)).fill_null(value=False)
