"""What a column is to become, and what a cast of it gives."""

from __future__ import annotations

import polars as pl

from featurestore.dialect import ISO_8601, STANDARD, Dialect, TimeFormat
from featurestore.frozen import frozen
from featurestore.model import Scalar
from featurestore.tables.batch import Mask

EXACT_FLOAT = 1 << 53  # from here on a float may stand for another integer


@frozen
class ColumnType:
    """The type that a column is to have.

    ``strict`` takes values only as programs write them (``007`` is not an int, ``1`` not a bool): for keys, and for
    columns whose type was inferred, not declared. ``zone`` is that of times without one. ``dialect`` is how numbers and
    booleans are written, ``times`` how times are.
    """

    kind: Scalar
    strict: bool = False
    key: bool = False
    zone: str | None = None
    dialect: Dialect = STANDARD
    times: TimeFormat = ISO_8601


@frozen
class Cast:
    """A column in its new type, null where ``misfits`` is True. ``naive`` says that a time had no zone."""

    values: pl.Series
    misfits: Mask | None = None
    naive: bool = False


def compare(source: pl.Series, values: pl.Series, wrong: pl.Series | None = None, *, naive: bool = False) -> Cast:
    """A cast whose misfits are the values that it made null, and those that are ``wrong``."""
    if wrong is not None and wrong.any():
        values = values.set(wrong, None)
    if values.null_count() == source.null_count():
        return Cast(values, None, naive)
    return Cast(values, (values.is_null() & source.is_not_null()).to_numpy(), naive)
