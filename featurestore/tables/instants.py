"""A column of times, whatever its type, as instants: integers, microseconds since the epoch, UTC.

ISO 8601 text, datetimes with or without a zone, and dates. What had to be assumed is said once, and a
time that is missing or can't be read is an error that names its row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.errors import SourceError, UsageError
from featurestore.times import parse_instant

NAIVE = "times without a zone were taken as UTC"
DATES = "dates were taken as the start of their day, UTC"

_PLAIN = r"^[12]\d{3}-\d\d-\d\d[T ]\d\d:\d\d:[0-5]\d(\.\d{1,6})?(Z|\+00:00)?$"


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
        hint="fill it in, or leave the row out: without a time there is no past to look at",
    )


def _micros(column: pl.Series, kind: pl.Datetime) -> npt.NDArray[np.int64]:
    physical = column.to_physical()
    if kind.time_unit == "ns":
        physical = physical // 1_000  # floored: a value of the same microsecond is not in the future
    elif kind.time_unit == "ms":
        physical = physical * 1_000
    return physical.to_numpy()


def _parse(column: pl.Series, table: str, first_row: int) -> Instants:
    plain = column.str.contains(_PLAIN)
    text = column.set(~plain, None)
    seconds = text.str.head(19).str.replace(" ", "T", literal=True)
    parsed = seconds.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False).to_physical()
    if text.str.contains(".", literal=True).any():
        fraction = text.str.slice(19).str.strip_suffix("+00:00").str.strip_chars(".Z")
        parsed += fraction.str.pad_end(6, "0").cast(pl.Int64)
    naive = bool((plain & ~column.str.contains(r"(Z|\+00:00)$")).any())
    dated = False
    micros = parsed.fill_null(0).to_numpy().copy()
    rest = parsed.is_null().arg_true()
    if len(rest):  # every other spelling, once each
        others = column[rest]
        known: dict[str, int] = {}
        for value in others.unique(maintain_order=True).to_list():
            try:
                known[value], without_zone = parse_instant(value)
            except (ValueError, OverflowError) as exc:
                row = int(rest[int((others == value).arg_max() or 0)]) + first_row
                raise SourceError(
                    f"{value!r} in column {column.name!r} is not a time",
                    where=f"{table}, row {row}",
                    hint="write ISO 8601, for example 2026-03-01T12:00:00Z",
                ) from exc
            is_date = len(value.strip()) == 10
            dated |= is_date
            naive |= without_zone and not is_date
        micros[rest.to_numpy()] = [known[value] for value in others.to_list()]
    return Instants(micros, (NAIVE,) * naive + (DATES,) * dated)
