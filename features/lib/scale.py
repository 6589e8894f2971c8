"""Putting measurements on a common scale."""

import polars as pl


def scale(value: pl.Expr, low: float, high: float) -> pl.Expr:
    """``low`` becomes 0 and ``high`` becomes 1; beyond them stays at the end. A missing value stays missing.

    The ends are given, not taken from the data: a minimum over all rows would let a patient's value of January
    change with who comes in December, and a model trained on it would have seen the future.
    """
    return ((value.cast(pl.Float64) - low) / (high - low)).clip(0.0, 1.0)
