"""Rows of vanished files, and of those that were written over, that nothing will look at any more: that they go.

They stay until every version that runs has taken them, none reaches back to them from where it has come, and no other
row that has their key, or stands at their place, would come to count instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import reduce

import polars as pl

from featurestore.evaluation.events import place_of
from featurestore.model import EntityType, Source
from featurestore.parsed.index import Kept
from featurestore.parsed.rows import CONTENT, ROW, KeptRows
from featurestore.workflows.ingest.taken import NOTHING, Taken

MOST_ROWS = 5_000_000
"""How many rows are looked at in one run; what remains goes after the next ones."""
_AT = "featurestore at"
_NOTHING_LOST = -(1 << 62)
"""The mark of a content of which only rows were dropped that others say too; where its file is back it is parsed."""


def reach_of(used: Sequence[Taken]) -> int | None:
    """The event time (µs) from which on rows of vanished files are needed; None: all of them are."""
    needs = [taken.needs for taken in used]
    return None if not needs or None in needs else min(need for need in needs if need is not None)


def taken_by_all(last: Taken, used: Collection[Taken]) -> list[str]:
    """The vanished contents that every version has taken as such."""
    looking = [taken for taken in used if taken.needs != NOTHING]
    there = {content for taken in used for content in (*taken.contents, *taken.slices)}
    return [one for one in last.missed if one not in there and all(one in taken.vanished for taken in looking)]


def forget_rows(
    kept: KeptRows,
    source: Source,
    entity_types: Collection[EntityType],
    last: Taken,
    used: Sequence[Taken],
    most: int = MOST_ROWS,
) -> None:
    """Drops rows of what is kept. ``used`` are the positions of versions that run, ``last`` is the latest of all."""
    reach = reach_of(used)
    if reach is None:
        return
    known = [kept.index.contents[one] for one in taken_by_all(last, used) if one in kept.index.contents]
    old = _oldest([one for one in known if one.low is not None and one.low < reach], most)
    if not old:
        return
    columns = kept.schema(old)
    names = [place for one in entity_types if (place := place_of(one, source)) and columns.keys() >= set(place)]
    names += [list(source.id)] if source.id else []
    going = _Going(kept, source, names).find(old, reach)
    if going.height:
        rows = {one.sha256: going.filter(pl.col(CONTENT) == number) for number, one in enumerate(old)}
        rows = {sha256: frame for sha256, frame in rows.items() if frame.height}
        marks = {sha256: int(frame.select(pl.col(_AT).max()).item()) for sha256, frame in rows.items()}
        kept.drop({sha256: frame[ROW] for sha256, frame in rows.items()}, marks)


def forget_repeated(kept: KeptRows, source: Source, last: Taken, used: Sequence[Taken]) -> None:
    """Of files that were written over in the latest run drops the rows that what is there now has too.

    What is left says what was known of rows that have moved since. ``used`` are the positions of versions that run.
    """
    newest = max(last.replaced.values(), default=None)
    there = {content for taken in used for content in taken.contents}
    over = [one for one, number in last.replaced.items() if number == newest and one not in there]
    contents = [kept.index.contents[one] for one in over if one in kept.index.contents]
    contents = [one for one in contents if one.accepted <= MOST_ROWS and one.sha256 not in kept.index.dropped]
    here = [kept.index.contents[one] for one in sorted(last.contents) if one in kept.index.contents]
    stamps = [name for name in (source.known_at, source.updated_at) if name is not None]
    names = list(dict.fromkeys([*source.id, *stamps]))
    for one in contents:
        schema = {name: kind for name, kind in kept.schema([one, *here]).items() if name in names}
        if schema.keys() != set(names):
            continue
        rows = [frame.drop(CONTENT) for frame in kept.frames([one], schema)]
        if not rows:
            continue
        old = pl.concat(rows)
        going = [old.join(frame, on=names, how="semi").select(ROW) for frame in kept.frames(here, schema)]
        repeated = pl.concat([old.select(ROW).clear(), *going]).unique().to_series()
        if repeated.len():
            kept.drop({one.sha256: repeated}, {one.sha256: _NOTHING_LOST})


def _oldest(contents: Sequence[Kept], most: int) -> list[Kept]:
    """Those whose rows may be looked at together, at least one."""
    chosen: list[Kept] = []
    rows = 0
    for one in sorted(contents, key=lambda one: (one.low, one.sha256)):
        rows += one.accepted
        if chosen and rows > most:
            break
        chosen.append(one)
    return chosen


class _Going:
    """``names`` are groups of columns: rows that are equal in one of them stay together."""

    def __init__(self, kept: KeptRows, source: Source, names: Sequence[Sequence[str]]) -> None:
        self._kept, self._source, self._names = kept, source, names
        # Hashes of 64 bits in place of keys: where two keys share one, a row stays that might go.
        self._hashes = [f"featurestore name {number}" for number in range(len(names))]

    def find(self, old: Sequence[Kept], reach: int) -> pl.DataFrame:
        """The rows (`CONTENT`, a number in ``old``, `ROW` and `_AT`) that nothing holds."""
        before = self._time() < reach
        going = pl.concat(self._named(frame) for frame in self._frames(old, where=before, between=(None, reach - 1)))
        if not going.height:
            return going
        # Without ids only rows of the same time can be at the same place.
        low = None if self._source.id else int(going.select(pl.col(_AT).min()).item())
        high = None if self._source.id else reach - 1
        others = [one for one in self._kept.index.contents.values() if one not in old]
        staying = [self._frames(others, where=None, between=(low, high))]
        if self._source.id:
            staying.append(self._frames(old, where=~before, between=(reach, None)))
        for frames in staying:
            for frame in frames:
                going = going.filter(~self._shares(going, self._named(frame)))
        return self._without_held(going, old, reach)

    def _without_held(self, going: pl.DataFrame, old: Sequence[Kept], reach: int) -> pl.DataFrame:
        """What stays holds others: until nothing does that is not known to."""
        height = -1
        while len(self._names) > 1 and going.height and going.height != height:
            height = going.height
            for frame in self._frames(old, where=self._time() < reach, between=(None, reach - 1)):
                stays = self._named(frame).join(going, on=[CONTENT, ROW], how="anti")
                going = going.filter(~self._shares(going, stays))
        return going

    def _shares(self, going: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
        found = (going[name].is_in(others[name].unique().implode()) for name in self._hashes)
        return reduce(lambda one, other: one | other, found)

    def _time(self) -> pl.Expr:
        return pl.col(str(self._source.event_time)).to_physical()

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        hashes = [
            frame.select(names).hash_rows().alias(name) for names, name in zip(self._names, self._hashes, strict=True)
        ]
        return frame.select(CONTENT, ROW, self._time().alias(_AT), *hashes)

    def _frames(
        self, contents: Sequence[Kept], *, where: pl.Expr | None, between: tuple[int | None, int | None]
    ) -> Iterator[pl.DataFrame]:
        """The rows of some contents, after an empty frame."""
        columns = {str(self._source.event_time), *(name for names in self._names for name in names)}
        schema = self._kept.schema(contents)
        wanted = {name: kind for name, kind in schema.items() if name in columns}
        yield pl.DataFrame(schema={**wanted, ROW: pl.UInt32(), CONTENT: pl.UInt32()})
        yield from self._kept.frames(contents, wanted, between=between, where=where)
