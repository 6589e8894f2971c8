"""The point-in-time join: its one definition, over sorted columns, whatever store they come from.

For a label (entity, t) the answer is, among the rows of that entity with ``computed_at <= t``, the one
with the greatest ``computed_at``, and among equals the one with the greatest ``run_seq``. The options
only narrow that:

- known: only rows of runs that were learned at or before t. The question is asked again further back,
  never answered by nothing where an older row was known.
- max_age: no answer when ``t - computed_at > max_age``. A value exactly that old still counts.
- as-of: only rows of runs up to the last one then, whether the store left the others out or not.

Rules about keys and values:

- Keys are equal when every part is equal: strings byte by byte (``007`` is not ``7``, case and spaces
  count, no Unicode form equals another), integers as integers. A NaN can't be a key: keys are strings
  or integers. A null is equal to nothing, not to another null either: a label with a null in its key
  has no answer, nor has anyone a row that was stored under one.
- A stored null is a value: it wins over older numbers, and so does a NaN. They stay what they are.
- A tombstone wins like a value and says that there is none: no answer, however young the row before it.
- Two labels of one entity and time are two labels. Each gets its answer, in its own place.

How: each entity's rows lie between two offsets, and a binary search runs inside them for all labels at
once. Positions are searched, not values, so a value may have any type. The label side (`LabelSide`)
knows nothing of a feature and is prepared once for all features of an entity type. No merged
(entity, time) key is built: it would overflow 64 bits at some 292,000 entities and a year.

Memory: 8 bytes a history row for the times, one to eight for the runs, and some 40 bytes a label. Every label
belongs to one entity, so a history larger than memory goes piece by piece, each with all rows of its
entities: a piece is searched for its own labels only, and fills their places in the `Column`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.errors import StoreError

Integers = NDArray[np.int64]
NONE = -1
TOMBSTONE = 1

_CHUNK = 16_384  # labels whose positions, sizes and times stay in a core's cache together


@dataclass(frozen=True, slots=True)
class LabelSide:
    """The labels as the search takes them: grouped by entity, those with a null key left out.

    ``entities`` has one row per distinct key. ``order`` holds row numbers of the label table; ``code``
    (row of ``entities``) and ``instants`` (microseconds) stand in that order. ``height`` is that of the
    label table.
    """

    entities: pl.DataFrame
    order: Integers
    code: Integers
    instants: Integers
    height: int


@dataclass(frozen=True, slots=True)
class SortedHistory:
    """A version's history as the search takes it.

    ``entities`` has one row per entity, in any order, and row i owns the history rows ``offsets[i]`` up to
    ``offsets[i + 1]``, sorted by (computed_at, run_seq). ``run_seq`` may be of any width; ``op`` is None
    where no row is a tombstone.
    """

    entities: pl.DataFrame
    offsets: Integers
    computed_at: Integers
    run_seq: NDArray[np.integer[Any]]
    op: NDArray[np.int8] | None

    def __len__(self) -> int:
        return len(self.computed_at)


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs that may answer, in their order, and when each was learned (microseconds, rising with them)."""

    run_seq: Integers
    learned_at: Integers

    def known_at(self, instants: Integers) -> Integers:
        """The last run that was learned at or before each instant, 0 for none."""
        known = np.searchsorted(self.learned_at, instants, side="right")
        return np.append(np.int64(0), self.run_seq)[known]

    def learned_by_run(self, last: int) -> Integers:
        """When each run from 0 to ``last`` was learned, by its number; never, for those after the last one here."""
        learned_at = np.append(self.learned_at, np.iinfo(np.int64).max)
        return learned_at[np.searchsorted(self.run_seq, np.arange(last + 1))]


@dataclass(frozen=True, slots=True)
class Answer:
    """The history rows that answer labels: ``positions[i]``, or -1 for none, answers row ``places[i]`` of the table.

    Labels of entities that the history does not have are left out. ``rows`` is how many rows it has of the others.
    """

    places: Integers
    positions: Integers
    rows: int

    @property
    def matched(self) -> int:
        """How many labels found a row."""
        return int(np.count_nonzero(self.positions != NONE))


@dataclass(frozen=True, slots=True)
class Flat:
    """Values of one width without a null, as they lie in memory or in a file, and their type."""

    items: NDArray[Any]
    type: pl.DataType


Values = Flat | pl.Series


def prepare_labels(keys: pl.DataFrame, instants: Integers) -> LabelSide:
    """Groups labels by entity. ``keys`` holds the key columns by name, in the entity type's types."""
    parts = [_codes(column) for column in keys.get_columns()]
    named = None
    if any(column.null_count() for column in keys.get_columns()):
        named = np.flatnonzero(keys.select(~pl.any_horizontal(pl.all().is_null())).to_series().to_numpy())
        parts = [part[named] for part in parts]
    merged = parts[0]
    for part in parts[1:]:
        # Dense, each is below 2**32, and so two of them fit into one number.
        merged = (_dense(merged) << np.uint64(32)) | _dense(part)
    by_entity = np.argsort(merged)
    order = by_entity if named is None else named[by_entity]
    merged = merged[by_entity]
    starts = np.ones(len(merged), dtype=np.bool_)
    starts[1:] = merged[1:] != merged[:-1]
    return LabelSide(
        entities=keys[order[starts]],
        order=order,
        code=np.cumsum(starts) - 1,
        instants=instants[order],
        height=len(keys),
    )


def _codes(column: pl.Series) -> NDArray[Any]:
    """One number per distinct key; whatever at nulls. Categories are found at a fifth of a join's cost."""
    if column.dtype == pl.String:
        column = column.cast(pl.Categorical).to_physical()
    return column.fill_null(0).to_numpy()


def _dense(codes: NDArray[Any]) -> NDArray[np.uint64]:
    return np.unique(codes, return_inverse=True)[1].astype(np.uint64)


def sort_history(frame: pl.DataFrame, keys: tuple[str, ...]) -> SortedHistory:
    """Finds each entity's rows in what `OfflineStore.scan` gave.

    Raises StoreError where the rows are not sorted: an answer would be silently wrong.
    """
    frame = frame.rechunk()
    computed_at = frame["computed_at"].to_physical().to_numpy()
    run_seq = frame["run_seq"].to_numpy()
    starts = np.zeros(len(frame), dtype=np.bool_)
    starts[:1] = True
    for key in keys:
        column = frame[key]
        starts[1:] |= column.slice(1).ne_missing(column.slice(0, max(len(column) - 1, 0))).to_numpy()
    later = computed_at[1:] > computed_at[:-1]
    tied = (computed_at[1:] == computed_at[:-1]) & (run_seq[1:] > run_seq[:-1])
    first = np.flatnonzero(starts)
    entities = frame.select(keys)[first]
    if not (starts[1:] | later | tied).all() or entities.is_duplicated().any():
        raise StoreError(
            "the history came back unsorted: its rows must stand by keys, computed_at and run_seq",
            hint="run featurestore doctor",
        )
    return SortedHistory(
        entities=entities,
        offsets=np.append(first, len(frame)).astype(np.int64),
        computed_at=computed_at,
        run_seq=run_seq,
        op=frame["op"].to_numpy() if (frame["op"] == TOMBSTONE).any() else None,
    )


def search(
    history: SortedHistory,
    labels: LabelSide,
    *,
    max_age: int | None = None,
    known: Runs | None = None,
    last_run: int | None = None,
) -> Answer:
    """Finds the history row that answers each label.

    ``max_age`` is in microseconds. ``known`` asks for what was known at the label's time, by the runs in it;
    ``last_run`` leaves out what later runs learned, where the history holds it.
    """
    places, code, instants = labels.order, labels.code, labels.instants
    starts, sizes = _ranges(history, labels.entities)
    seen = sizes > 0
    if not seen.all():
        mine = seen[code]
        places, code, instants = places[mine], code[mine], instants[mine]
    positions = np.full(len(places), NONE, dtype=np.int64)
    if not len(places):
        return Answer(places, positions, 0)
    bound = None
    if known is not None or last_run is not None:
        bound = _Bound(history, known, last_run or 0, int(sizes.max()))

    def answer_chunk(chunk: slice) -> None:
        entity, at = code[chunk], instants[chunk]
        start = starts[entity]
        latest = at if bound is None else bound.latest(at)
        position = _last_at_or_before(history.computed_at, start, sizes[entity], latest)
        if bound is not None:
            bound.step_back(start, position, at)
        lost = np.zeros(len(entity), dtype=np.bool_)
        if history.op is not None:
            lost |= history.op[position] == TOMBSTONE
        if max_age is not None:
            lost |= at - history.computed_at[position] > max_age
        position[lost] = NONE
        positions[chunk] = position

    in_chunks(answer_chunk, len(places))
    return Answer(places, positions, int(sizes.sum()))


def flatten(values: pl.Series) -> Values:
    """The same values, flat where they are all of one width and none is null."""
    kind = values.dtype
    if values.null_count() or not (kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean):
        return values
    return Flat(values.to_physical().rechunk().to_numpy(), kind)


class Column:
    """A feature's column of a label table, filled from one piece of its history after another.

    A label that no piece answers gets null.
    """

    def __init__(self, height: int, kind: pl.DataType) -> None:
        self._kind = kind
        self._empty = np.ones(height, dtype=np.bool_)
        self._items: NDArray[Any] | None = None
        self._taken: list[tuple[Integers, pl.Series]] = []

    def fill(self, values: Values, answer: Answer) -> None:
        """Takes the value of each label that was answered from this piece of history."""
        if isinstance(values, pl.Series):
            found = answer.positions != NONE
            self._taken.append((answer.places[found], values.gather(pl.Series(answer.positions[found]))))
            return
        if self._items is None:
            self._items = np.zeros(len(self._empty), dtype=values.items.dtype)
        items = self._items

        def fill_chunk(chunk: slice) -> None:
            places, positions = answer.places[chunk], answer.positions[chunk]
            items[places] = values.items[positions]  # the last row, where there is none: that is masked
            self._empty[places] = positions == NONE

        in_chunks(fill_chunk, len(answer.places))

    def series(self) -> pl.Series:
        """The values in the order of the label table."""
        parts: list[pl.Series] = []
        if self._items is not None:
            flat = pl.Series(self._items).cast(self._kind)
            parts.append(flat.set(pl.Series(self._empty), None) if self._empty.any() else flat)
            if not self._taken:
                return parts[0]
        index = np.where(self._empty, NONE, np.arange(len(self._empty)))
        begin = len(self._empty) if parts else 0
        for places, values in self._taken:
            index[places] = np.arange(begin, begin + len(values))
            begin += len(values)
            parts.append(values)
        nothing = pl.Series([None], dtype=self._kind)
        return pl.concat([*parts, nothing]).gather(pl.Series(np.where(index == NONE, begin, index)))


def in_chunks(work: Callable[[slice], None], count: int, size: int = _CHUNK) -> None:
    """Runs the work over slices of that many items, on every core: NumPy lets go of the interpreter."""
    chunks = [slice(begin, begin + size) for begin in range(0, count, size)]
    with ThreadPoolExecutor(max(1, min(os.cpu_count() or 1, len(chunks), 8))) as pool:
        for _ in pool.map(work, chunks):
            pass


def _ranges(history: SortedHistory, wanted: pl.DataFrame) -> tuple[Integers, Integers]:
    """Where each wanted entity begins in the history, and how many rows it has (0: never seen)."""
    if not len(history):
        return (nowhere := np.zeros(len(wanted), dtype=np.int64)), nowhere
    places = history.entities.with_row_index("\0place")
    place = wanted.join(places, on=wanted.columns, how="left", maintain_order="left")["\0place"]
    rows = place.fill_null(0).to_numpy().astype(np.int64)
    start = history.offsets[rows]
    return start, np.where(place.is_not_null().to_numpy(), history.offsets[rows + 1] - start, 0)


def _last_at_or_before(times: Integers, start: Integers, size: Integers, instants: Integers) -> Integers:
    """The last p in [start, start + size) with ``times[p] <= instant``, else -1."""
    low, left = start.copy(), size.copy()
    longest = int(left.max())
    while longest > 1:
        half = left >> 1
        middle = low + half
        np.copyto(low, middle, where=times[middle] <= instants)
        left -= half
        longest -= longest >> 1
    return np.where((left > 0) & (times[low] <= instants), low, NONE)


class _Bound:
    """What a search may see of the runs: those known at a label's instant, or those up to one."""

    def __init__(self, history: SortedHistory, known: Runs | None, last_run: int, longest: int) -> None:
        self._run_seq = history.run_seq
        self._runs = known or Runs(np.array([last_run]), np.array([np.iinfo(np.int64).min]))
        self._learned = self._runs.learned_by_run(int(history.run_seq.max()))
        self._longest = longest
        self._least: list[NDArray[np.integer[Any]]] = []
        self._lock = Lock()
        # No row is younger than its run, mostly: then none after the last run known at an instant was known.
        self._bounded = known is not None and not self._ahead(history)

    def latest(self, instants: Integers) -> Integers:
        """Up to when a row may be true to have been known at each instant."""
        if not self._bounded:
            return instants
        learned_at = np.append(np.iinfo(np.int64).min, self._runs.learned_at)
        return learned_at[np.searchsorted(self._runs.learned_at, instants, side="right")]

    def step_back(self, start: Integers, position: Integers, instants: Integers) -> None:
        """Moves each position back, in place, to the last row of its entity that may be seen at its instant."""
        late = np.flatnonzero((self._learned[self._run_seq[position]] > instants) & (position != NONE))
        while len(late):
            # Where few rows are late, the one before mostly is not: a step at a time, while that helps.
            position[late] -= 1
            lost = position[late] < start[late]
            position[late[lost]] = NONE
            on = late[~lost]
            before, late = late, on[self._learned[self._run_seq[position[on]]] > instants[on]]
            if len(late) * 2 > len(before):
                break
        if len(late):
            limit = self._runs.known_at(instants[late])
            position[late] = _last_known(self._pyramid(), start[late], position[late], limit)

    def _pyramid(self) -> list[NDArray[np.integer[Any]]]:
        with self._lock:
            self._least = self._least or _least_runs(self._run_seq, self._longest)
            return self._least

    def _ahead(self, history: SortedHistory) -> bool:
        found: list[bool] = []

        def look(chunk: slice) -> None:
            if not found and (history.computed_at[chunk] > self._learned[history.run_seq[chunk]]).any():
                found.append(True)

        in_chunks(look, len(history), 8 * _CHUNK)
        return bool(found)


def _least_runs(run_seq: NDArray[np.integer[Any]], longest: int) -> list[NDArray[np.integer[Any]]]:
    """A pyramid: level k holds the least run of every whole 2**k rows, up to blocks as long as the longest entity."""
    levels = [run_seq]
    for _ in range(max(longest - 1, 0).bit_length()):
        below = levels[-1]
        levels.append(np.minimum(below[0:-1:2], below[1::2]))
    return levels


def _last_known(
    least: list[NDArray[np.integer[Any]]], start: Integers, position: Integers, limit: Integers
) -> Integers:
    """The last p in [start, position] whose run is at most the limit, else -1.

    Walking back row by row would cost a whole entity where everything was filled in late. So climb the
    pyramid past blocks that are all too late, then descend into the last one that is not.
    """
    block = np.full(len(position), NONE, dtype=np.int64)
    height = np.zeros(len(position), dtype=np.int64)
    waiting = np.arange(len(position))
    end = position + 1
    for level, runs in enumerate(least):
        reaches_start = (end - 1) << level <= start[waiting]
        fits = (end & 1 == 1) | reaches_start  # an even end is covered by its parent, one level up
        hit = fits & (runs[end - 1] <= limit[waiting])
        block[waiting[hit]] = end[hit] - 1
        height[waiting[hit]] = level
        on = ~hit & ~reaches_start
        waiting, end = waiting[on], end[on] >> 1
    for level in range(len(least) - 2, -1, -1):
        inside = np.flatnonzero((height > level) & (block != NONE))
        right = 2 * block[inside] + 1
        block[inside] = np.where(least[level][right] <= limit[inside], right, right - 1)
    return np.where(block >= start, block, NONE)
