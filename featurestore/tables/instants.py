"""A column of times of any type as instants: integers, microseconds since the epoch, UTC.

ISO 8601 text, datetimes with or without a zone, and dates. A time that is missing or can't be read is an error that
names its row; what had to be assumed comes back with the instants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.errors import SourceError, UsageError
from featurestore.tables.iso8601 import parse_column

NAIVE = "times without a zone were taken as UTC"
DATES = "dates were taken as the start of their day, UTC"


@dataclass(frozen=True, slots=True)
class Instants:
    """The instants of a column, and what was assumed in reading them."""

    micros: npt.NDArray[np.int64]
    assumed: tuple[str, ...]


def read_instants(column: pl.Series, table: str, first_row: int = 1) -> Instants:
    """Reads a column of times. For messages: its table's name, and the number of its first row.

    Raises SourceError naming the first row (counted from 1) without a readable time, UsageError where the
    column's type holds no times.
    """
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum) or kind == pl.Null:
        column, kind = column.cast(pl.String), pl.String()
    if column.null_count():
        raise _missing(column, table, first_row)
    if isinstance(kind, pl.Datetime):
        return Instants(_micros(column, kind), (NAIVE,) if kind.time_zone is None else ())
    if kind == pl.Date:
        return Instants(column.cast(pl.Datetime("us")).to_physical().to_numpy(), (DATES,))
    if kind == pl.String:
        return _parse(column, table, first_row)
    raise UsageError(
        f"column {column.name!r} holds {kind}, not times",
        where=table,
        hint="name a column of ISO 8601 text, datetimes or dates with --timestamp-column",
    )


def _missing(column: pl.Series, table: str, first_row: int) -> SourceError:
    rows = column.is_null().arg_true()
    count = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return SourceError(
        f"no time in column {column.name!r}",
        where=f"{table}, row {rows[0] + first_row}{count}",
        hint="fill it in, or leave the row out: a label without a time can't be joined",
    )


def _micros(column: pl.Series, kind: pl.Datetime) -> npt.NDArray[np.int64]:
    physical = column.to_physical()
    if kind.time_unit == "ns":
        physical = physical // 1_000  # floored: a value of the same microsecond is not in the future
    elif kind.time_unit == "ms":
        physical = physical * 1_000
    return physical.to_numpy()


def _parse(column: pl.Series, table: str, first_row: int) -> Instants:
    parsed = parse_column(column)
    if not parsed.valid.all():
        at = int(np.argmin(parsed.valid))
        raise SourceError(
            f"{column[at]!r} in column {column.name!r} is not a time",
            where=f"{table}, row {at + first_row}",
            hint="write ISO 8601, for example 2026-03-01T12:00:00Z",
        )
    dates = (column.str.strip_chars(" ").str.len_bytes() == len("2024-01-31")).to_numpy()
    naive = bool((parsed.naive & ~dates).any())
    return Instants(parsed.micros, (NAIVE,) * naive + (DATES,) * bool(dates.any()))
