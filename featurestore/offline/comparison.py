"""When a value that comes again is the value that is held: the one definition of both stores."""

from __future__ import annotations

import math

import polars as pl

from featurestore.model import DataType


def is_close(held: pl.Expr, new: pl.Expr, data_type: DataType, tolerance: float | None) -> pl.Expr:
    """Whether two numbers are no further apart than the tolerance; never for null, NaN or infinities.

    Those equal only themselves, which is for the caller to ask: null, NaN and 0.0 are three values.
    """
    if tolerance is None or not data_type.numeric:
        return pl.lit(value=False)
    if data_type.kind == "int":  # wide enough for any difference
        # An infinite tolerance has no floor, and no two integers of 64 bits are 2**65 apart.
        close = (held.cast(pl.Int128) - new.cast(pl.Int128)).abs() <= math.floor(min(tolerance, 2.0**65))
    else:
        close = held.is_finite() & new.is_finite() & ((held - new).abs() <= tolerance)
    return close.fill_null(value=False)
