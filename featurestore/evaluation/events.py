"""Which rows of a source are one event, which of them counts, and in which order functions see the rows that count.

A row's key is its ``id``, else its entity and event time; with ``duplicates = "keep"`` every row is an event of its
own. Of the rows with one key one counts: the latest by ``updated_at``; among equals one of a file that is there before
one of a file that vanished, and of these the last to vanish; of a partition of a stream the last one. Where rows still
differ they contradict each other, which is for the features that name the columns where they do. Where a source says
when its rows were known, the last known goes before the latest by ``updated_at``; features of scope ``row`` see one row
for each known time (`by_known`). Rows of one entity and time stand in the order of ``known_at``, ``updated_at``,
``id``, and then of their columns by name, whichever file they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import polars as pl

from featurestore.errors import FeatureError
from featurestore.evaluation.evaluate import SortedRows
from featurestore.evaluation.superseded import repeats_in, ways_out
from featurestore.frozen import frozen
from featurestore.model import EntityType, Source
from featurestore.tables.ordering import sort_rows_by

# When a row's file vanished, as a number that rises; `THERE` for a file that is there, and more than that for a slice
# by ``--input`` that no later run over the source has followed. The space keeps the name apart from every source's
# columns.
RANK = "featurestore rank"
THERE = 1 << 62
GROUP = "featurestore event"
# Of rows of a stream: the partition that a row comes from, and a number that rises along it.
PARTITION, ORDER = "featurestore partition", "featurestore order"

Locate: TypeAlias = Callable[[Mapping[str, object]], str]
"""Where a row is, in the source's words."""


@frozen
class Events:
    """The rows that count, sorted as functions see them, and those that contradict one that counts.

    Both have the frame's columns, those that are not the source's among them. ``older`` are the rows that do not count
    because of a later ``updated_at``.
    """

    rows: pl.DataFrame
    contradictions: pl.DataFrame
    older: int = 0

    def with_contradictions(self, key: Sequence[str], order: Sequence[str]) -> pl.DataFrame:
        """All of them: for features that may give the same value for rows that differ."""
        if not self.contradictions.height:
            return self.rows
        rows = self.rows.join(self.contradictions, on=list(key), how="anti", maintain_order="left")
        return pl.concat([rows, self.contradictions.drop(GROUP)]).sort(order, maintain_order=True)


def by_known(entity_type: EntityType, source: Source) -> Source:
    """A source as features of scope ``row`` see it: rows with different known times are different rows."""
    if source.known_at is None or source.duplicates == "keep":
        return source
    return replace(source, id=tuple(dict.fromkeys([*key_of(entity_type, source), source.known_at])))


def moving(entity_type: EntityType, source: Source) -> tuple[str, ...]:
    """The columns that say which row it is that may be known at another place later; none where that can't be."""
    if source.known_at is None or source.known_at in source.id:
        return ()
    fixed = {*entity_type.key_names, source.event_time} - {None} <= set(source.id)
    return () if fixed else source.id


def last_known(rows: SortedRows) -> SortedRows:
    """Rows without event times as features of other scopes see them: of each entity those that were known last."""
    known_at = rows.source.known_at
    if known_at is None or not rows.keyed:
        return rows
    last = pl.col(known_at) == pl.col(known_at).max().over(rows.entity_type.key_names)
    kept = rows.frame.select(last).to_series()
    return replace(rows, frame=rows.frame.filter(kept), origin=rows.origin.filter(kept))


def place_of(entity_type: EntityType, source: Source) -> list[str]:
    """The columns that hold a row's entity and time."""
    assert source.event_time is not None, "rows without times have no place"
    return list(dict.fromkeys([*entity_type.key_names, source.event_time]))


def key_of(entity_type: EntityType, source: Source) -> list[str]:
    """The columns by which two rows are one event."""
    return list(source.id) if source.id else place_of(entity_type, source)


def count_rows(frame: pl.DataFrame, columns: Sequence[str], entity_type: EntityType, source: Source) -> Events:
    """Which rows of a frame count. ``columns`` are the source's; the frame has `RANK` and may have others beside."""
    place = place_of(entity_type, source)
    tied = [name for name in (source.known_at, source.updated_at, *source.id) if name is not None and name not in place]
    tied = list(dict.fromkeys(tied))
    nothing, older = frame.clear(), 0
    if source.id:
        frame, nothing, older = _one_of_each(frame, list(source.id), columns, source)
        return Events(frame.sort([*place, *tied], maintain_order=True), nothing, older)
    # Not a stable sort, which takes twice as long: rows that are equal in these are put in order below.
    frame = sort_rows_by(frame, [*place, *tied])
    repeats = repeats_in(frame, place)
    if not repeats.any():
        return Events(frame, nothing)
    alone = ~(repeats | repeats.shift(-1, fill_value=False))
    others = [name for name in frame.columns if name not in columns and not frame.schema[name].is_nested()]
    together = frame.filter(~alone).sort([*place, *tied, *_by_name(frame, columns), *sorted(others)])
    if source.duplicates != "keep":
        together, nothing, older = _one_of_each(together, place, columns, source)
    return Events(pl.concat([frame.filter(alone), together]).sort([*place, *tied], maintain_order=True), nothing, older)


def refuse_contradictions(
    events: Events,
    named: Collection[str],
    entity_type: EntityType,
    source: Source,
    locate: Locate,
    unread: Collection[str] = (),
) -> None:
    """Raises FeatureError where rows contradict each other in one of these columns, or are at different places."""
    rows = events.contradictions
    columns = [name for name in rows.columns if name in {*named, *place_of(entity_type, source)}]
    if not rows.height or not columns:
        return
    differing = rows.filter(pl.struct(columns).n_unique().over(GROUP) > 1)
    if differing.height:
        group = differing.filter(pl.col(GROUP) == differing[GROUP][0])
        first, second = (locate(group.row(at, named=True)) for at in (0, 1))
        raise FeatureError(
            f"two rows are one event and differ: {first} and {second}",
            hint=ways_out(source, entity_type, rows.schema, unread, one_id=bool(source.id)),
        )


def _one_of_each(
    frame: pl.DataFrame, key: list[str], columns: Sequence[str], source: Source
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """One row of each key, those that contradict it together with it, and how many are older than it."""
    repeated = frame.select(key).is_duplicated()
    if not repeated.any():
        return frame, frame.clear().with_columns(pl.lit(None, pl.UInt32).alias(GROUP)), 0
    order = [*(name for name in (source.known_at, source.updated_at) if name), RANK]
    several = frame.filter(repeated).sort([*order, *_by_name(frame, columns)], maintain_order=True)
    several = _last_of_partitions(several, [*key, *order])
    latest = [pl.col(name).eq_missing(pl.col(name).last().over(key)) for name in order]
    best = several.filter(latest)
    older = 0
    if source.updated_at or source.known_at:
        late = [pl.col(name).ne_missing(pl.col(name).last().over(key)) for name in order[:-1]]
        older = several.filter(pl.any_horizontal(late)).height
    best = best.unique(_comparable(best, columns), maintain_order=True, keep="first")
    differing = best.filter(pl.len().over(key) > 1, pl.col(RANK) >= THERE)
    contradictions = differing.with_columns(pl.struct(key).rank("dense").cast(pl.UInt32).alias(GROUP))
    counting = best.unique(key, maintain_order=True, keep="last")
    return pl.concat([frame.filter(~repeated), counting]), contradictions, older


def _last_of_partitions(rows: pl.DataFrame, alike: Sequence[str]) -> pl.DataFrame:
    """Of a stream's rows that are alike in these columns the last one of each partition: it replaces the others."""
    if PARTITION not in rows.columns:
        return rows
    last = pl.col(ORDER).max().over(*alike, PARTITION)
    return rows.filter(pl.col(ORDER) == last)


def _by_name(frame: pl.DataFrame, columns: Sequence[str]) -> list[str]:
    """The source's columns that can be sorted by, in the order of their names."""
    return [name for name in sorted(columns) if not frame.schema[name].is_nested()]


def _comparable(frame: pl.DataFrame, columns: Sequence[str]) -> list[str]:
    return [name for name in columns if not isinstance(frame.schema[name], pl.Object)]


def sorted_rows(
    rows: pl.DataFrame,
    columns: Sequence[str],
    entity_type: EntityType,
    source: Source,
    *,
    known: str | None = None,
    unread: Collection[str] = (),
    identity: tuple[str, ...] = (),
) -> SortedRows:
    """Rows that count as functions see them."""
    index = pl.int_range(rows.height, dtype=pl.UInt32, eager=True)
    return SortedRows(
        rows.select(columns), index, entity_type, source, known=known, unread=tuple(unread), identity=identity
    )
