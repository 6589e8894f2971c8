"""What is new for a version: the keys for which another row counts than at its position, with these rows.

Contents that were there then and are there now are not read for it, but where a row with a key of another content may
lie in them, or where the clock has passed some of their rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from featurestore.evaluation.events import GROUP, THERE, Events, count_rows, key_of, place_of
from featurestore.frozen import frozen
from featurestore.model import EntityType, Source
from featurestore.parsed.rows import CONTENT, ROW
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.division import PartContents
from featurestore.workflows.ingest.row_frames import Ranks

_SIGN, _FIRST, _SECOND = "featurestore sign", "featurestore hash", "featurestore other hash"
_HELD = "featurestore held"
SINCE = "featurestore since"


@frozen
class Side:
    """What a source held at one time: its contents, and the clock (µs) up to which its rows counted; None: all did."""

    ranks: Ranks
    clock: int | None

    @property
    def there(self) -> frozenset[str]:
        return frozenset(content for content, rank in self.ranks.items() if rank == THERE)


@frozen
class News:
    """The rows that counted and those that count now, of every key where they differ, with `RANK`, `ROW`, `CONTENT`.

    ``replaced`` are those of the old rows whose key has a row still. ``older`` counts new rows that change nothing,
    because a later ``updated_at`` is held. ``left`` are rows of files that were there, and that are there no more,
    where they go on counting.
    """

    old: pl.DataFrame
    new: pl.DataFrame
    replaced: pl.DataFrame
    older: int = 0
    left: pl.DataFrame | None = None

    @property
    def empty(self) -> bool:
        return not self.old.height and not self.new.height


@frozen
class Looking:
    """How rows of one source are looked at for one entity type; ``known`` and ``identity`` as `SortedRows` has them."""

    contents: SourceContents | PartContents
    entity_type: EntityType
    source: Source
    known: str | None = None
    identity: tuple[str, ...] = ()

    @property
    def keyed(self) -> bool:
        """Whether the source has the entity's keys under their own names."""
        return all(name in self.contents.schema for name in self.entity_type.key_names)

    @property
    def place(self) -> list[str]:
        return place_of(self.entity_type, self.source)

    @property
    def key(self) -> list[str]:
        return key_of(self.entity_type, self.source)

    @property
    def at_places(self) -> bool:
        """Whether each row is at a place of its own, but for others that were known at other times."""
        return set(self.key) - {self.known} == set(self.place)

    @property
    def columns(self) -> list[str]:
        return self.contents.columns

    @property
    def unread(self) -> list[str]:
        """The columns of what is there that none of the targets sees."""
        seen = set(self.columns)
        return [name for name in self.contents.names if name not in seen]

    def count(self, rows: pl.DataFrame) -> Events:
        return count_rows(rows, self.columns, self.entity_type, self.source)

    def counting(
        self, side: Side, matching: pl.DataFrame, between: tuple[int | None, int | None] = (None, None)
    ) -> Events:
        """The rows that count at the places, of the entities or with the ids of ``matching``, and only those.

        Where rows may be known elsewhere later, all rows with their ids.
        """
        rows = self.contents.rows(side.ranks, side.clock, between=between, matching=matching)
        return self.counting_of(side, rows, matching)

    def counting_since(self, side: Side, since: pl.DataFrame) -> Events:
        """The rows that count of the entities of ``since``, of each after its instant there (`SINCE`, µs)."""
        entities, time = since.drop(SINCE), pl.col(str(self.source.event_time)).to_physical()
        if not since.height:
            return self.count(self.contents.rows({}, None))
        low = int(since[SINCE].min()) + 1  # type: ignore[arg-type]  # of integers an integer
        found = []
        for frame in self.contents.frames(side.ranks, side.clock, between=(low, None), matching=entities):
            later = frame.filter(time >= low).join(since, on=entities.columns, how="inner", maintain_order="left")
            found.append(later.filter(time > pl.col(SINCE)).drop(SINCE))
        rows = pl.concat(found) if found else self.contents.rows({}, None)
        events = self.counting_of(side, rows, entities)
        joined = events.rows.join(since, on=entities.columns, how="inner", maintain_order="left")
        return replace(events, rows=joined.filter(time > pl.col(SINCE)).drop(SINCE))

    def counting_of(self, side: Side, rows: pl.DataFrame, matching: pl.DataFrame) -> Events:
        """Which of some rows count, beside the others of their events, which may lie at other places."""
        if self.source.id:
            ids = rows.select(self.identity or self.source.id).unique()
            rows = self.contents.rows(side.ranks, side.clock, matching=ids)
        events = self.count(rows)
        if self.identity:  # with the rows that say when each is known elsewhere
            return events
        counting = events.rows.join(matching, on=matching.columns, how="semi", maintain_order="left")
        contradictions = events.contradictions
        if contradictions.height:  # each with the rows that it contradicts, wherever they lie
            groups = contradictions.join(matching, on=matching.columns, how="semi").select(GROUP).unique()
            contradictions = contradictions.join(groups, on=GROUP, how="semi", maintain_order="left")
        return Events(counting, contradictions, events.older)


class TooMuchNewsError(Exception):
    """There are more rows to be looked at than may be held."""


def find_news(looking: Looking, before: Side, now: Side, most: int | None = None) -> News:
    """What differs between a position and now. Raises TooMuchNewsError where ``most`` rows are not enough for that."""
    touched, left = _touched(looking, before, now, most)
    key = looking.key
    keys = touched.select(key).unique()
    if not keys.height:
        return News(touched, touched, touched, left=left)
    between = _span(keys, looking.source)
    old, new = (looking.count(rows) for rows in _both(looking, before, now, between, keys))
    gone, come = difference(old.rows, new.rows, looking.columns)
    # What contradicts a row is news too, where the row that counts is the same: features that name the columns fail.
    # What contradicted one, and does so no more, has given values that go.
    contradicted = [events.contradictions.select(key) for events in (old, new)]
    changed = pl.concat([gone.select(key), come.select(key), *contradicted]).unique()
    old_rows = old.with_contradictions(key, key).join(changed, on=key, how="semi", maintain_order="left")
    new_rows = new.with_contradictions(key, key).join(changed, on=key, how="semi", maintain_order="left")
    replaced = old_rows.join(new_rows, on=key, how="semi", maintain_order="left")
    if looking.source.duplicates == "keep":  # every row is its own, and another one at its place replaces nothing
        replaced = replaced.clear()
    return News(old_rows, new_rows, replaced, _count_older(looking, touched, new.rows, before, now), left)


def _both(
    looking: Looking, before: Side, now: Side, between: tuple[int | None, int | None], keys: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """The rows with some keys at the position and now. What both have is read once."""
    contents, time = looking.contents, pl.col(str(looking.source.event_time)).to_physical()
    both = {name: rank for name, rank in now.ranks.items() if before.ranks.get(name) == rank}
    clocks = [side.clock for side in (before, now)]
    last = None if None in clocks else max(clock for clock in clocks if clock is not None)
    shared = contents.rows(both, last, between=between, matching=keys)
    for side in (before, now):
        rest = {name: rank for name, rank in side.ranks.items() if name not in both}
        mine = shared if side.clock is None else shared.filter(time <= side.clock)
        yield pl.concat([mine, contents.rows(rest, side.clock, between=between, matching=keys)])


def _count_older(looking: Looking, touched: pl.DataFrame, counting: pl.DataFrame, before: Side, now: Side) -> int:
    """The rows of contents that are new whose key has a row that is known later, or updated later."""
    source = looking.source
    stamps = [name for name in (source.known_at, source.updated_at) if name is not None and name not in looking.key]
    if not stamps or source.duplicates == "keep":
        return 0
    come = touched.filter(looking.contents.is_in(now.ranks.keys() - before.ranks.keys())).unique([CONTENT, ROW])
    held = counting.select(*looking.key, *(pl.col(name).alias(f"{_HELD} {name}") for name in stamps))
    older, alike = pl.lit(value=False), pl.lit(value=True)
    for name in stamps:
        older |= alike & (pl.col(name) < pl.col(f"{_HELD} {name}"))
        alike &= pl.col(name) == pl.col(f"{_HELD} {name}")
    return come.join(held, on=looking.key, how="inner").filter(older).height


def _span(keys: pl.DataFrame, source: Source) -> tuple[int | None, int | None]:
    """From the lowest to the highest event time of keys that have one (µs)."""
    if source.event_time not in keys.columns:
        return None, None
    times = keys[str(source.event_time)].to_physical()
    return int(times.min()), int(times.max())  # type: ignore[arg-type]  # of integers integers


def _touched(looking: Looking, before: Side, now: Side, most: int | None) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The rows that came, came back, went or fell due. Every other row with one of their keys is to be looked up.

    With them those that are of no file that is there any more, where rows may be known elsewhere later.
    """
    arrived, left = now.there - before.there, before.there - now.there
    come, gone = now.ranks.keys() - before.ranks.keys(), before.ranks.keys() - now.ranks.keys()
    stays: pl.DataFrame | None = None
    if looking.identity:  # most of a file that was written over stands in it still
        went, new = _differing(looking, gone | left, before, come | arrived, now, most)
        lost = looking.contents.is_in(gone)
        found, stays = [went.filter(lost), new], went.filter(~lost)
    else:
        found = list(_differing(looking, gone, before, come, now, most))
        if arrived != come or left != gone:
            # A content came back, or is missed: its rows stand otherwise beside others with their keys.
            found.append(_differing(looking, left, before, arrived, now, most)[1])
    slices = {name: rank for name, rank in before.ranks.items() if rank > THERE != now.ranks.get(name) != rank}
    found.append(looking.contents.rows(slices, before.clock))  # the files that are there come before them now
    both = [content for content in now.ranks if content in before.ranks]
    found.append(_due(looking, both, before, now))
    return pl.concat(found), stays


def _differing(
    looking: Looking, gone: Collection[str], before: Side, come: Collection[str], now: Side, most: int | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of contents that are gone and of those that came, without those that both have, as `difference` has it.

    Rows that stand where they stood are dropped as they are read: most of a file that was written over, or has grown.
    """
    contents = looking.contents
    clocks = [side.clock for side in (before, now) if side.clock is not None]
    without = contents.shared(gone, come, min(clocks, default=None)) if gone and come else frozenset()
    sides = [
        contents.frames({name: side.ranks[name] for name in names}, side.clock, without=without)
        for names, side in ((gone, before), (come, now))
    ]
    rests = [[contents.rows({}, None)], [contents.rows({}, None)]]
    one, other = (next(side, None) for side in sides)
    while one is not None or other is not None:
        if one is not None and other is not None:
            height = min(one.height, other.height)
            same = _same_rows(one.head(height), other.head(height), looking.columns)
            rests[0].append(one.head(height).filter(~same))
            rests[1].append(other.head(height).filter(~same))
            one, other = one.slice(height), other.slice(height)
        elif one is not None:
            rests[0].append(one)
            one = None
        elif other is not None:
            rests[1].append(other)
            other = None
        if most is not None and sum(frame.height for rest in rests for frame in rest) > most:
            raise TooMuchNewsError
        one = one if one is not None and one.height else next(sides[0], None)
        other = other if other is not None and other.height else next(sides[1], None)
    return difference(pl.concat(rests[0]), pl.concat(rests[1]), looking.columns)


def _same_rows(one: pl.DataFrame, other: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Whether rows of two frames of one height are equal, place by place."""
    same = pl.Series([True]).new_from_index(0, one.height)
    for name in columns:
        same = same & one[name].eq_missing(other[name])
    return same


def _due(looking: Looking, both: Sequence[str], before: Side, now: Side) -> pl.DataFrame:
    """The rows that were ahead of the clock at the position and are not any more."""
    ranks: Mapping[str, int] = {content: now.ranks[content] for content in both}
    if before.clock is None or before.clock == now.clock:
        return looking.contents.rows({}, None)
    rows = looking.contents.rows(ranks, now.clock, between=(before.clock + 1, None))
    return rows.filter(pl.col(str(looking.source.event_time)).to_physical() > before.clock)


def difference(one: pl.DataFrame, other: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are in one frame more often than in the other, each such row with all its copies; both ways."""
    if not one.height or not other.height:
        return one, other
    # Most of a file that was written over stands where it stood: what is equal in the same place need not be hashed.
    height = min(one.height, other.height)
    same = _same_rows(one.head(height), other.head(height), columns)
    one = pl.concat([one.head(height).filter(~same), one.tail(one.height - height)])
    other = pl.concat([other.head(height).filter(~same), other.tail(other.height - height)])
    if not one.height or not other.height:
        return one, other
    hashes = [frame.select(_hashed(frame.select(columns))) for frame in (one, other)]
    counts = pl.concat(
        [hashes[0].with_columns(pl.lit(1).alias(_SIGN)), hashes[1].with_columns(pl.lit(-1).alias(_SIGN))]
    )
    differing = counts.group_by(_FIRST, _SECOND).agg(pl.col(_SIGN).sum()).filter(pl.col(_SIGN) != 0)
    found = []
    for frame, hashed in zip((one, other), hashes, strict=True):
        marked = pl.concat([frame, hashed], how="horizontal")
        kept = marked.join(differing, on=[_FIRST, _SECOND], how="semi", maintain_order="left")
        found.append(kept.drop(_FIRST, _SECOND))
    return found[0], found[1]


def _hashed(frame: pl.DataFrame) -> list[pl.Series]:
    """128 bits of each row, so that two different rows never count as one."""
    return [
        frame.hash_rows(1).alias(_FIRST),
        frame.hash_rows(2).alias(_SECOND),
    ]
