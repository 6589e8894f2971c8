"""A column of times of any type as instants: integers, microseconds since the epoch, UTC.

ISO 8601 text, datetimes with or without a zone, and dates. A time that is missing or can't be read is an error that
names its row; what had to be assumed comes back with the instants. What is below a microsecond is cut off, so that a
value of the same microsecond is not in the future.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.dialect import ISO_8601, TimeFormat
from featurestore.errors import SourceError, UsageError
from featurestore.frozen import frozen
from featurestore.tables.batch import Mask
from featurestore.tables.precision import micros_of
from featurestore.tables.time_formats import guess_unit, question_of
from featurestore.tables.types import INSTANT
from featurestore.tables.written_times import epochs_of, formats_of, is_no_day, parse_times
from featurestore.times import EPOCH, MAX_INSTANT, MICROSECOND, MIN_INSTANT, is_utc

NAIVE = "times without a zone were taken as UTC"
DATES = "dates were taken as the start of their day, UTC"
ISO = "write ISO 8601, for example 2026-03-01T12:00:00Z"


@frozen
class Instants:
    """The instants of a column, and what was assumed in reading them.

    ``naive`` says that some had no zone, and that none was named for them.
    """

    micros: npt.NDArray[np.int64]
    assumed: tuple[str, ...]
    naive: bool = False


def read_instants(
    column: pl.Series, table: str, first_row: int = 1, zone: str | None = None, times: TimeFormat = ISO_8601
) -> Instants:
    """Reads a column of times. For messages: its table's name, and the number of its first row.

    ``zone`` is that of times without one; with None they are taken as UTC. ``times`` says how they are written. Raises
    SourceError naming the first row (counted from 1) without a readable time, UsageError where the column's type holds
    no times.
    """
    kind, zone = column.dtype, times.timezone or zone
    if times.format is not None and kind.is_integer():  # 20241231
        column, kind = column.cast(pl.String), pl.String()
    if isinstance(kind, pl.Categorical | pl.Enum) or kind == pl.Null:
        column, kind = column.cast(pl.String), pl.String()
    if column.null_count():
        raise _missing(column, table, first_row)
    dates = np.full(len(column), kind == pl.Date)
    if isinstance(kind, pl.Datetime):
        micros, naive = micros_of(column, up=False), np.full(len(column), kind.time_zone is None)
    elif kind == pl.Date:
        micros, naive = micros_of(column.cast(pl.Datetime("ms")), up=False), dates
    elif times.unit is not None and kind.is_numeric():
        micros, naive = epochs_of(column, times.unit), dates
    elif kind == pl.String:
        parsed = parse_times(column, times)
        micros, naive = pl.Series(parsed.micros).set(pl.Series(~parsed.valid), None), parsed.naive & parsed.valid
        if times.format is None and times.unit is None:
            dates = (column.str.strip_chars(" ").str.len_bytes() == len("2024-01-31")).to_numpy()
    else:
        raise UsageError(
            f"column {column.name!r} holds {kind}, not times",
            where=table,
            hint="name a column of ISO 8601 text, datetimes or dates with --timestamp-column",
        )
    what = "is not a time" if kind == pl.String else "is not in the years 1 to 9999"
    bad = micros.is_null()
    written = times.format or times.unit
    hint = f"its column is read as {written}"
    if kind == pl.String and bad.any() and is_no_day(str(column[int(bad.arg_true()[0])])):
        hint = "there is no such day or time"
    elif written is None:
        hint = _way_out(column, bad) or ISO
    _refuse(column, bad, what, hint, table, first_row)
    if zone is not None:
        return Instants(_local(column, micros, naive, table, first_row, zone, times).to_numpy(), ())
    assumed = (NAIVE,) * bool((naive & ~dates).any()) + (DATES,) * bool(dates.any())
    return Instants(micros.to_numpy(), assumed, bool(naive.any()))


def _way_out(column: pl.Series, bad: pl.Series) -> str | None:
    """How the first time that can't be read may be written, as flags to paste."""
    if column.dtype != pl.String or not bad.any():
        return None
    name, text = column.name, str(column[int(bad.arg_true()[0])]).strip()
    guessed = formats_of(text)
    formats = [f"--format-of '{name}={each}'" for each in guessed]
    if len(formats) > 1:
        return f"{question_of(guessed)} say how it is written: {' or '.join(formats)}"
    if formats:
        return f"say how it is written: {formats[0]}"
    unit = guess_unit(float(text)) if re.fullmatch(r"-?\d{1,19}(\.\d+)?", text) else None
    return None if unit is None else f"if it is a time since 1970: --dialect columns.{name}.unit={unit}"


def in_zone(values: pl.Series, zone: str, times: TimeFormat = ISO_8601) -> pl.Series:
    """Naive local times of a zone as UTC; null for those that leave the years, and, unless ``times`` says how to read
    them, for those that never happened or happened twice.
    """
    ambiguous: Literal["earliest", "latest", "null"] = "null"
    if times.ambiguous in ("earliest", "latest"):
        ambiguous = "earliest" if times.ambiguous == "earliest" else "latest"
    local = values.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")
    utc = local.dt.convert_time_zone("UTC")
    if times.nonexistent is not None and utc.null_count() > values.null_count():
        utc = _skipped(values, utc, zone, times.nonexistent)
    outside = ~utc.to_physical().is_between(MIN_INSTANT, MAX_INSTANT)
    return utc.set(outside, None) if outside.any() else utc


def _skipped(values: pl.Series, utc: pl.Series, zone: str, way: str) -> pl.Series:
    """Fills in the times that a zone's clocks skip, read by the clock of before (``forward``) or of after."""
    at = (utc.is_null() & values.is_not_null()).arg_true()
    known: dict[datetime, int | None] = {}
    for moment in values[at].unique():
        local = moment.replace(tzinfo=ZoneInfo(zone), fold=0 if way == "forward" else 1)
        skipped = local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != moment
        known[moment] = (local.astimezone(UTC) - EPOCH) // MICROSECOND if skipped else None
    filled = pl.Series([known[moment] for moment in values[at]], dtype=pl.Int64)
    return utc.to_physical().scatter(at, filled).cast(INSTANT).dt.replace_time_zone("UTC")


def _local(
    column: pl.Series, micros: pl.Series, naive: Mask, table: str, first_row: int, zone: str, times: TimeFormat
) -> pl.Series:
    """The instants, of which the naive ones are local times of a zone."""
    if is_utc(zone) or not naive.any():
        return micros
    local = in_zone(micros.cast(INSTANT), zone, times).to_physical()
    what = f"is not one instant in {zone}: its clocks skip or repeat it there"
    setting = f"--dialect columns.{column.name}."
    hint = f"write it with its offset, or say which: {setting}ambiguous=earliest, {setting}nonexistent=forward"
    _refuse(column, local.is_null() & pl.Series(naive), what, hint, table, first_row)
    return local.zip_with(pl.Series(naive), micros)


def _missing(column: pl.Series, table: str, first_row: int) -> SourceError:
    rows = column.is_null().arg_true()
    count = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return SourceError(
        f"no time in column {column.name!r}",
        where=f"{table}, row {rows[0] + first_row}{count}",
        hint="fill it in, or leave the row out: a label without a time can't be joined",
    )


def _refuse(column: pl.Series, bad: pl.Series, what: str, hint: str, table: str, first_row: int) -> None:
    """Raises SourceError naming the first row that ``bad`` marks, if there is one."""
    if bad.any():
        at = int(bad.arg_true()[0])
        shown = repr(column[at]) if column.dtype == pl.String else str(column.slice(at, 1).to_physical().item())
        raise SourceError(
            f"{shown} in column {column.name!r} {what}", where=f"{table}, row {at + first_row}", hint=hint
        )
