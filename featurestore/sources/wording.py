"""What people read about rows: why one was rejected, and what is odd about those that were accepted.

Nothing here changes or refuses a row, and nothing is fast: it runs for rejected rows, or once a run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from featurestore.model import KeyType, Scalar, Source
from featurestore.sources.casts.cast import ColumnType
from featurestore.tables.iso8601 import parse_column
from featurestore.tables.lookalikes import folded
from featurestore.times import EPOCH, is_utc

_LONGEST = 80
_MOSTLY = 0.9


def show(value: object) -> str:
    """A value as it is quoted in a reason."""
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def misfit_reason(value: object, target: ColumnType) -> str:
    """Why a value is not of the target's type."""
    if target.key and target.kind == "int":
        return f"{show(value)} is not an int key: base 10, without sign, zeros or space in front"
    if target.key:
        return f"{show(value)} is not a {target.kind} key: only text and whole numbers are ids"
    if target.kind == "datetime":
        return _time_reason(value, target.zone)
    return f"{show(value)} is not {'an' if target.kind == 'int' else 'a'} {target.kind}"


def _time_reason(value: object, zone: str | None) -> str:
    """A time in a zone that has no instant fell where clocks went forward; one that has two, where they went back."""
    micros = _micros(value)
    if micros is None or zone is None:
        return f"{show(value)} is not a datetime: ISO 8601, years 1 to 9999"
    local = (EPOCH + timedelta(microseconds=micros)).replace(tzinfo=UTC if is_utc(zone) else ZoneInfo(zone))
    try:
        local.astimezone(UTC)
    except OverflowError:
        return f"{show(value)} in {zone} is not in the years 1 to 9999 of UTC"
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    if before is None or after is None or before == after:
        return f"{show(value)} is not a datetime: ISO 8601, years 1 to 9999"
    if before < after:
        return f"{show(value)} never happened in {zone}: clocks went forward"
    return f"{show(value)} happened twice in {zone}: clocks went back; write its offset"


def _micros(value: object) -> int | None:
    """The naive local time that a value names."""
    text = value if isinstance(value, str) else getattr(value, "isoformat", str)()
    parsed = parse_column(pl.Series([text]))
    return int(parsed.micros[0]) if parsed.valid[0] and parsed.naive[0] else None


def warn_of_zones(source: Source, naive: Collection[str]) -> Iterator[str]:
    """Times without a zone in a source that names none."""
    if naive and source.timezone is None:
        yield (
            f"source {source.name}: the times in {', '.join(sorted(naive))} have no zone and are taken as UTC; "
            f'if they are, say so with timezone = "UTC" in [sources.{source.name}], else name their zone'
        )


def warn_of_ids(frame: pl.DataFrame, keys: Mapping[str, KeyType]) -> Iterator[str]:
    """Ids that a person would take for one. They stay different entities."""
    for name, kind in keys.items():
        if kind == "string" and name in frame.columns:
            blank = int((frame[name].str.strip_chars() == "").sum() or 0)
            if blank:
                yield (
                    f"{blank:,} rows have an empty {name}, which is an entity like any other; in a CSV only a field "
                    'without quotes is no id at all ("" is an empty one)'
                )
            ids = frame[name].alias("").unique()
            alike = folded(ids).is_duplicated()
            if alike.any():
                shown = ", ".join(repr(each) for each in ids.filter(alike).sort()[:3])
                yield (
                    f"{int(alike.sum())} values of {name} differ only by whitespace, case, Unicode form or .0, "
                    f"as {shown}: each is an entity of its own"
                )


def warn_of_text(frame: pl.DataFrame, inferred: Mapping[str, Scalar], place: Callable[[int], str]) -> Iterator[str]:
    """Columns that are text because of a few values among many numbers."""
    for name, kind in inferred.items():
        column = frame.get_column(name, default=None)
        if kind != "string" or column is None or column.dtype != pl.String:
            continue
        column = column.alias("")
        words = (column.cast(pl.Float64, strict=False).is_null() & column.is_not_null()).arg_true()
        if 0 < len(words) <= (1 - _MOSTLY) * (len(column) - column.null_count()):
            yield (
                f"column {name} is text because of {len(words)} value(s) that are not numbers, the first "
                f"{column[int(words[0])]!r} in {place(int(words[0]))}; declare its type to set such rows aside"
            )
