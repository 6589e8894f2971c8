"""Rows of a source divided by entity and time into parts small enough to be evaluated one by one.

A part holds some neighbouring entities in the order of their keys, or some of the time of one that has too many rows.
The rows of all parts lie in a temporary file, since the source has them in another order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from featurestore.evaluation.events import RANK
from featurestore.frozen import frozen
from featurestore.offline.partitions import KeyRange
from featurestore.parsed.index import Piece
from featurestore.parsed.rows import CONTENT
from featurestore.sources.contract import Content
from featurestore.tables.temporary import SpilledFrame, SpilledFrames
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.row_frames import Ranks, RowFrames

SHARE_OF_MEMORY = 24  # that the rows of a part may take: they are sorted, evaluated and compared besides
LEAST_ROWS = 1_000
SAMPLES = 100  # of the rows of a part, by which parts are divided
_PART = "featurestore part"

Place = tuple[Any, ...]
"""An entity's keys and an instant (µs); None for all of its time."""


@frozen
class Unit:
    """Parts that are evaluated together: their numbers, and the places after which they begin and up to which they go.

    A unit of several parts has the rows of one entity.
    """

    parts: tuple[int, ...]
    after: Place | None
    up_to: Place | None

    @property
    def key_range(self) -> KeyRange:
        """Its entities; for a unit that does not divide an entity's time."""
        after, up_to = (None if place is None else tuple(place[:-1]) for place in (self.after, self.up_to))
        return KeyRange(after, up_to)

    @property
    def instants(self) -> tuple[int | None, int | None]:
        """The instants (µs) after which it begins and up to which it goes, where these are within an entity's time."""
        return None if self.after is None else self.after[-1], None if self.up_to is None else self.up_to[-1]


def part_rows(memory: int, row_bytes: int) -> int:
    """How many rows a part may have."""
    return max(memory // SHARE_OF_MEMORY // row_bytes, LEAST_ROWS)


def divide(samples: Iterable[Place], weight: int, most: int) -> list[Place]:
    """The places up to which parts go, but for the last one, from a sample of which each place stands for some rows.

    An entity with more than ``most`` rows is alone in its parts.
    """
    ends: list[Place] = []
    last: Place | None = None
    rows = 0
    for keys, group in groupby(sorted(samples), itemgetter(slice(None, -1))):
        times = [place[-1] for place in group]
        size = len(times) * weight
        if last is not None and rows + size > most:
            ends.append((*last, None))
            rows = 0
        step = max(most // weight, 1)
        if size > most:
            # Times, not rows, divide: rows of one instant stay together.
            ends += [(*keys, at) for at in dict.fromkeys(times[step - 1 : -1 : step])]
        last, rows = keys, rows + size
    return ends


class Division:
    """Divides rows that have ``place`` as columns: the entity's keys and the event time."""

    def __init__(self, place: Sequence[str], ends: Sequence[Place]) -> None:
        self._place, self.ends = list(place), list(ends)

    def __len__(self) -> int:
        return len(self.ends) + 1

    def number(self, rows: pl.DataFrame) -> pl.Series:
        """The part of each row."""
        columns = [rows[name] for name in self._place]
        columns[-1] = columns[-1].to_physical()
        return _search(columns, self.ends).alias(_PART)

    def units(self, *, whole_entities: bool) -> list[Unit]:
        """All parts, each by itself or those of one entity together."""
        bounds = list(pairwise([None, *self.ends, None]))
        units: list[Unit] = []
        for number, (after, up_to) in enumerate(bounds):
            if whole_entities and after is not None and after[-1] is not None:
                units[-1] = Unit((*units[-1].parts, number), units[-1].after, up_to)
            else:
                units.append(Unit((number,), after, up_to))
        return units


def _search(columns: list[pl.Series], ends: Sequence[Place]) -> pl.Series:
    """For each row how many of the sorted ends lie before it."""
    column, *rest = columns
    firsts = [end[0] for end in ends]
    values = pl.Series(firsts if rest else [at for at in firsts if at is not None], dtype=column.dtype)
    low = values.search_sorted(column, side="left").cast(pl.UInt32)
    if not rest or (len(rest) == 1 and all(end[-1] is None for end in ends)):  # no entity is divided
        return low
    high = values.search_sorted(column, side="right").cast(pl.UInt32)
    unsure = low != high
    if not unsure.any():
        return low
    rows = pl.int_range(len(column), dtype=pl.UInt32, eager=True)
    found = pl.DataFrame({"low": low, "high": high, "row": rows}).filter(unsure)
    for (first, last), group in found.group_by("low", "high"):
        at = group["row"]
        more = _search([other[at] for other in rest], [end[1:] for end in ends[first:last]])
        low = low.scatter(at, more + first)
    return low


class DividedRows:
    """The rows of some contents in the parts of a division."""

    def __init__(self, contents: SourceContents, place: Sequence[str], most: int, names: Collection[str]) -> None:
        self._contents, self.place, self._names = contents, list(place), list(names)
        self.division = Division(place, divide(*self._sample(most), most))
        self._parts: list[list[SpilledFrame]] = []

    def _sample(self, most: int) -> tuple[list[Place], int]:
        weight = max(most // SAMPLES, 1)
        found: list[Place] = []
        skip = 0
        for frame in self._contents.stream(self._names, self.place):
            drawn = frame.select(self.place).slice(skip).gather_every(weight)
            skip = (skip - frame.height) % weight
            found += drawn.with_columns(pl.col(self.place[-1]).to_physical()).rows()
        return found, weight

    def spill(self, folder: Path) -> None:
        """Writes the rows of each part to a temporary file in ``folder``."""
        spilled = SpilledFrames(folder)
        self._parts = [[] for _ in range(len(self.division))]
        for frame in self._contents.stream(self._names):
            numbered = frame.with_columns(self.division.number(frame))
            for (number,), part in numbered.partition_by(
                _PART, maintain_order=True, include_key=False, as_dict=True
            ).items():
                self._parts[int(number)].append(spilled.write(part))

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return self._contents.schema

    def part(self, unit: Unit, beaten: pl.DataFrame | None = None) -> PartContents:
        """``beaten`` are rows (`CONTENT`, `ROW`) of whose events others count, wherever these lie."""
        frames = [frame for number in unit.parts for frame in self._parts[number]]
        return PartContents(self._contents, frames, beaten)

    def in_unit(self, entities: pl.DataFrame, unit: Unit) -> pl.DataFrame:
        """Those of some entities (a frame of key columns) that lie in a unit that divides none."""
        *keys, time = self.place
        placed = entities.select(
            *(pl.col(name).cast(self.schema[name]) for name in keys), pl.lit(0, self.schema[time]).alias(time)
        )
        return entities.filter(self.division.number(placed).is_in(unit.parts))

    def before(self, unit: Unit, low: int) -> list[SpilledFrame]:
        """The frames of the same entity that may have rows from an instant (µs) to where the unit begins."""
        found: list[SpilledFrame] = []
        number = unit.parts[0]
        ends = self.division.ends
        while number and ends[number - 1][-1] is not None and ends[number - 1][-1] >= low:
            number -= 1
            found = [*self._parts[number], *found]
        return found


@frozen
class PartContents(RowFrames):
    """The rows of a source's contents that lie in a part; given as those of `SourceContents` are."""

    contents: SourceContents
    spilled: Sequence[SpilledFrame]
    beaten: pl.DataFrame | None = None

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return self.contents.schema

    @property
    def columns(self) -> list[str]:
        return self.contents.columns

    @property
    def names(self) -> list[str]:
        return self.contents.names

    @property
    def there(self) -> Mapping[str, Content]:
        return self.contents.there

    def locate(self, row: Mapping[str, object]) -> str:
        return self.contents.locate(row)

    def is_in(self, contents: Iterable[str]) -> pl.Expr:
        return self.contents.is_in(contents)

    def lowest(self, contents: Iterable[str]) -> int | None:
        return self.contents.lowest(contents)

    @property
    def kept_schema(self) -> dict[str, pl.DataType]:
        return self.contents.kept_schema

    def frames(
        self,
        ranks: Ranks,
        clock: int | None,
        *,
        between: tuple[int | None, int | None] = (None, None),
        matching: pl.DataFrame | None = None,
        without: Collection[Piece] = (),
    ) -> Iterator[pl.DataFrame]:
        assert not without, "parts of rows have no pieces"
        time = pl.col(str(self.contents.source.event_time)).to_physical()
        numbers = pl.Series(CONTENT, [self.contents.number(sha256) for sha256 in ranks], pl.UInt32)
        known = pl.DataFrame([numbers, pl.Series(RANK, list(ranks.values()), pl.Int64)])
        high = min((at for at in (clock, between[1]) if at is not None), default=None)
        bounds = [time >= between[0]] if between[0] is not None else []
        bounds += [time <= high] if high is not None else []
        for spilled in self.spilled if ranks else ():
            frame = spilled.read().filter(*bounds)
            if self.beaten is not None:
                frame = frame.join(self.beaten, on=self.beaten.columns, how="anti", maintain_order="left")
            if matching is not None:
                frame = frame.join(matching, on=matching.columns, how="semi", maintain_order="left")
            yield frame.join(known, on=CONTENT, how="inner", maintain_order="left")

    def shared(self, _some: Collection[str], _others: Collection[str], _clock: int | None) -> frozenset[Piece]:
        return frozenset()
