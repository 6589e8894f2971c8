"""The point-in-time join: its one definition, over sorted columns, whichever store they come from.

For a label (entity, t) the answer is, among the rows of that entity with ``computed_at <= t``, the one
with the greatest ``computed_at``, and among equals the one with the greatest ``run_seq``. The rows of one
(entity, ``computed_at``) are a pair; where the latest of them is withdrawn, the pair is passed over and the
answer is that of the pair before it. Where rows have known times of their own, the latest of a pair is the one with
the greatest known time, and among equals ``run_seq``. The options only narrow which rows there are:

- known: only rows that were known at or before t: by their own known time, where they have one, else by the time at
  which their run was learned. If the latest row was known later, the search continues with older rows; it does not
  stop with no answer.
- max_age: no answer when ``t - computed_at > max_age``. A value exactly that old still counts.
- as-of: only rows of runs up to the last one at that time, whether or not the store left out later ones.

Rules about keys and values:

- Keys are equal when every part is equal: strings byte by byte (``007`` is not ``7``, case and spaces
  count, Unicode forms are not normalised), integers as integers. Keys are strings or integers, so a NaN
  can't be one. A null equals nothing, not even another null: a label with a null in its key has no answer,
  and a row stored under a null key answers no label.
- A stored null is a value: it wins over older numbers, and so does a NaN. Both are returned as they are.
- A tombstone wins like a value and means that there is none: no answer, however recent the row before it.
- A withdrawn row does not win: it says that the pair is not there any more. A run that may not be seen has
  withdrawn nothing.
- Two labels with the same entity and time are two labels. Each gets its own answer.

How it works: each entity's rows lie between two offsets, and a binary search runs inside them for all labels at
once. It compares row positions, never values, so a value may have any type. The labels (`GroupedLabels`) are
prepared once for all features of an entity type. There is deliberately no merged (entity, time) key: it would
overflow 64 bits at some 292,000 entities and a year.

Memory: 8 bytes per history row for the times, as many for known times, one to eight for the runs, and some 40 bytes
per label. A history larger than memory is searched partition by partition, each with all rows of its entities. Every
label belongs to one entity, so a partition is searched for its own labels only and fills their rows of the
`FeatureColumn`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.errors import StoreError
from featurestore.frozen import frozen
from featurestore.tables.searching import NONE as NONE
from featurestore.tables.searching import Integers as Integers
from featurestore.tables.searching import key_changes, last_at_or_before

TOMBSTONE, WITHDRAWN = 1, 2
NO_INSTANT = np.iinfo(np.int64).min

_BATCH = 16_384  # labels whose positions, sizes and times fit into a core's cache together


@frozen
class GroupedLabels:
    """The labels as the search takes them: grouped by entity, without those that have a null in their key.

    ``entities`` has one row per distinct key. The arrays have one item per label: ``label_rows`` is its row in
    the label table, ``entity_rows`` its row in ``entities``, ``instants`` its time (microseconds). ``height`` is
    the height of the label table.
    """

    entities: pl.DataFrame
    label_rows: Integers
    entity_rows: Integers
    instants: Integers
    height: int


@frozen
class SortedHistory:
    """A version's history as the search takes it.

    ``entities`` has one row per entity, in any order, and row i owns the history rows ``offsets[i]`` up to
    ``offsets[i + 1]``, sorted by (computed_at, known_at, run_seq). ``run_seq`` may have any width; ``op`` is None
    where all rows are values, and ``withdrawn`` where none is withdrawn: it has the numbers of those that are, rising.
    ``known_at`` (microseconds) is None where rows are known from their runs on.
    """

    entities: pl.DataFrame
    offsets: Integers
    computed_at: Integers
    run_seq: NDArray[np.integer[Any]]
    op: NDArray[np.int8] | None
    withdrawn: Integers | None = None
    known_at: Integers | None = None

    def __len__(self) -> int:
        return len(self.computed_at)


@frozen
class Runs:
    """The runs whose rows may answer, in order, and when each was learned (microseconds, rising)."""

    run_seq: Integers
    learned_at: Integers

    def last_learned_by(self, instants: Integers) -> Integers:
        """The last run that was learned at or before each instant, 0 for none."""
        count = np.searchsorted(self.learned_at, instants, side="right")
        return np.append(np.int64(0), self.run_seq)[count]

    def learned_at_by_run(self, last: int) -> Integers:
        """When each run from 0 to ``last`` was learned, by its number; never, for those after the last one here."""
        learned_at = np.append(self.learned_at, np.iinfo(np.int64).max)
        return learned_at[np.searchsorted(self.run_seq, np.arange(last + 1))]


@frozen
class Matches:
    """Which history row answers which label: row ``history_rows[i]``, or -1 for none, answers ``label_rows[i]``.

    Labels whose entity the history does not have are left out. ``searched`` is how many rows it has of the others.
    """

    label_rows: Integers
    history_rows: Integers
    searched: int

    @property
    def matched(self) -> int:
        """How many labels have a row that answers them."""
        return int(np.count_nonzero(self.history_rows != NONE))

    def only_answered(self) -> Matches:
        """Without the labels that no row answers."""
        found = self.history_rows != NONE
        return Matches(self.label_rows[found], self.history_rows[found], self.searched)


@frozen
class Flat:
    """Values of one width without a null, as an array in memory or mapped from a file, and their type."""

    items: NDArray[Any]
    type: pl.DataType


Values = Flat | pl.Series


def group_labels(keys: pl.DataFrame, instants: Integers) -> GroupedLabels:
    """Groups labels by entity. ``keys`` holds the key columns by name, in the entity type's types."""
    codes = [_codes(column) for column in keys.get_columns()]
    complete = None
    if any(column.null_count() for column in keys.get_columns()):
        complete = np.flatnonzero(keys.select(~pl.any_horizontal(pl.all().is_null())).to_series().to_numpy())
        codes = [code[complete] for code in codes]
    merged = codes[0]
    for code in codes[1:]:
        # Dense codes are below 2**32, so two of them fit into one number.
        merged = (_dense(merged) << np.uint64(32)) | _dense(code)
    by_entity = _sorting(merged)
    label_rows = by_entity if complete is None else complete[by_entity]
    merged = merged[by_entity]
    starts = np.ones(len(merged), dtype=np.bool_)
    starts[1:] = merged[1:] != merged[:-1]
    return GroupedLabels(
        entities=keys[label_rows[starts]],
        label_rows=label_rows,
        entity_rows=np.cumsum(starts) - 1,
        instants=instants[label_rows],
        height=len(keys),
    )


def _sorting(codes: NDArray[Any]) -> Integers:
    """In which order some codes rise. To sort numbers takes a third of the time of sorting their places by them."""
    places = len(codes).bit_length()
    low = int(codes.min()) if len(codes) else 0
    if not len(codes) or (int(codes.max()) - low).bit_length() + places > 63:
        return np.argsort(codes)  # need not be stable: label_rows says where each answer goes
    packed = (codes - codes.dtype.type(low)).astype(np.int64) << places
    packed |= np.arange(len(codes))
    return pl.Series(packed).sort().to_numpy() & ((1 << places) - 1)


def _codes(column: pl.Series) -> NDArray[Any]:
    """One number per distinct key; any number for a null. Categories take a fifth of the time of a join."""
    if column.dtype == pl.String:
        column = column.cast(pl.Categorical).to_physical()
    return column.fill_null(0).to_numpy()


def _dense(codes: NDArray[Any]) -> NDArray[np.uint64]:
    return np.unique(codes, return_inverse=True)[1].astype(np.uint64)


def sort_history(frame: pl.DataFrame, keys: tuple[str, ...]) -> SortedHistory:
    """Finds each entity's rows in a frame of `OfflineStore.scan`.

    Raises StoreError where the rows are not sorted, because answers from them would be silently wrong.
    """
    frame = frame.rechunk()
    computed_at = frame["computed_at"].to_physical().to_numpy()
    run_seq = frame["run_seq"].to_numpy()
    starts = key_changes(frame.select(keys))
    later = computed_at[1:] > computed_at[:-1]
    known_at = frame["known_at"].to_physical().to_numpy() if "known_at" in frame.columns else None
    tied = (computed_at[1:] == computed_at[:-1]) & _learned_later(run_seq, known_at)
    first = np.flatnonzero(starts)
    entities = frame.select(keys)[first]
    # An entity in two places has rows that look sorted in each of them.
    if not (starts[1:] | later | tied).all() or entities.is_duplicated().any():
        raise StoreError(
            "the store returned an unsorted history: rows must be sorted by keys, computed_at and run_seq",
            hint="run featurestore doctor",
        )
    return SortedHistory(
        entities=entities,
        offsets=np.append(first, len(frame)).astype(np.int64),
        computed_at=computed_at,
        run_seq=run_seq,
        known_at=known_at,
        **ops(frame["op"].to_numpy()),
    )


def _learned_later(run_seq: NDArray[np.integer[Any]], known_at: Integers | None) -> NDArray[np.bool_]:
    """Whether each row but the first was learned after the one before it."""
    later: NDArray[np.bool_] = run_seq[1:] > run_seq[:-1]
    if known_at is None:
        return later
    later |= known_at[1:] > known_at[:-1]
    later &= known_at[1:] >= known_at[:-1]
    return later


def ops(op: NDArray[np.int8]) -> dict[str, Any]:
    """The fields of a `SortedHistory` that say which rows are no values, from what each row is."""
    if not op.any():
        return {"op": None, "withdrawn": None}
    withdrawn = np.flatnonzero(op == WITHDRAWN)
    return {"op": op, "withdrawn": withdrawn if len(withdrawn) else None}


def search(
    history: SortedHistory,
    labels: GroupedLabels,
    *,
    max_age: int | None = None,
    runs: Runs | None = None,
    last_run: int | None = None,
) -> Matches:
    """Finds the history row that answers each label.

    ``max_age`` is in microseconds. With ``runs`` only rows known by the label's time answer, and only rows of
    these runs; ``last_run`` leaves out rows of later runs, where the history has any.
    """
    label_rows, entity_rows, instants = labels.label_rows, labels.entity_rows, labels.instants
    starts, sizes = _ranges(history, labels.entities)
    present = sizes > 0
    if not present.all():
        mine = present[entity_rows]
        label_rows, entity_rows, instants = label_rows[mine], entity_rows[mine], instants[mine]
    history_rows = np.full(len(label_rows), NONE, dtype=np.int64)
    if not len(label_rows):
        return Matches(label_rows, history_rows, 0)
    limit: _Limit | None = None
    if runs is not None and history.known_at is not None:
        limit = _KnownLimit(history, history.known_at, runs, int(sizes.max()))
    elif runs is not None or last_run is not None:
        limit = _RunLimit(history, runs, last_run or 0, int(sizes.max()))
    withdrawals = None if history.withdrawn is None else _Withdrawals(history, history.withdrawn)

    def search_batch(batch: slice) -> None:
        entity, at = entity_rows[batch], instants[batch]
        start = starts[entity]
        latest = at if limit is None else limit.latest(at)
        position = last_at_or_before(history.computed_at, start, sizes[entity], latest)
        if limit is not None:
            limit.step_back(start, position, at)
        if withdrawals is not None:
            withdrawals.pass_over(start, position, at, limit)
        # A position of -1 reads the last row here, which does no harm: it ends as -1 either way.
        no_answer = np.zeros(len(entity), dtype=np.bool_)
        if history.op is not None:
            no_answer |= history.op[position] == TOMBSTONE
        if max_age is not None:
            no_answer |= at - history.computed_at[position] > max_age
        position[no_answer] = NONE
        history_rows[batch] = position

    in_batches(search_batch, len(label_rows))
    return Matches(label_rows, history_rows, int(sizes.sum()))


def flatten(values: pl.Series) -> Values:
    """The same values, flat where they are all of one width and none is null."""
    kind = values.dtype
    if values.null_count() or not (kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean):
        return values
    return Flat(values.to_physical().rechunk().to_numpy(), kind)


class FeatureColumn:
    """A feature's column of a label table, filled from one partition of its history after another.

    A label that no partition answers gets null.
    """

    def __init__(self, height: int, kind: pl.DataType) -> None:
        self._kind = kind
        self._empty = np.ones(height, dtype=np.bool_)
        self._items: NDArray[Any] | None = None
        self._gathered: list[tuple[Integers, pl.Series]] = []

    def fill(self, values: Values, matches: Matches) -> None:
        """Stores the value of each label that this partition of the history answers."""
        if isinstance(values, pl.Series):
            answered = matches.history_rows != NONE
            rows = pl.Series(matches.history_rows[answered])
            self._gathered.append((matches.label_rows[answered], values.gather(rows)))
            return
        if self._items is None:
            self._items = np.zeros(len(self._empty), dtype=values.items.dtype)
        items = self._items

        def fill_batch(batch: slice) -> None:
            label_rows, history_rows = matches.label_rows[batch], matches.history_rows[batch]
            items[label_rows] = values.items[history_rows]  # -1 takes the last row's value, which is masked below
            self._empty[label_rows] = history_rows == NONE

        in_batches(fill_batch, len(matches.label_rows))

    def series(self) -> pl.Series:
        """The values in the order of the label table."""
        columns: list[pl.Series] = []
        if self._items is not None:
            flat = pl.Series(self._items).cast(self._kind)
            columns.append(flat.set(pl.Series(self._empty), None) if self._empty.any() else flat)
            if not self._gathered:
                return columns[0]
        index = np.where(self._empty, NONE, np.arange(len(self._empty)))
        begin = len(self._empty) if columns else 0
        for label_rows, values in self._gathered:
            index[label_rows] = np.arange(begin, begin + len(values))
            begin += len(values)
            columns.append(values)
        null = pl.Series([None], dtype=self._kind)
        return pl.concat([*columns, null]).gather(pl.Series(np.where(index == NONE, begin, index)))


def in_batches(work: Callable[[slice], None], count: int, size: int = _BATCH) -> None:
    """Calls ``work`` with slices of ``size`` items, on every core: NumPy releases the interpreter lock."""
    batches = [slice(begin, begin + size) for begin in range(0, count, size)]
    with ThreadPoolExecutor(max(1, min(os.cpu_count() or 1, len(batches), 8))) as pool:
        for _ in pool.map(work, batches):
            pass


def _ranges(history: SortedHistory, wanted: pl.DataFrame) -> tuple[Integers, Integers]:
    """Where each wanted entity begins in the history, and how many rows it has: 0 where it has none."""
    if wanted is history.entities:  # everybody: nobody has to be looked up
        return history.offsets[:-1], np.diff(history.offsets)
    if not len(history):
        return (zeros := np.zeros(len(wanted), dtype=np.int64)), zeros
    numbered = history.entities.with_row_index("\0row")
    row = wanted.join(numbered, on=wanted.columns, how="left", maintain_order="left")["\0row"]
    rows = row.fill_null(0).to_numpy().astype(np.int64)
    start = history.offsets[rows]
    return start, np.where(row.is_not_null().to_numpy(), history.offsets[rows + 1] - start, 0)


class _Limit(ABC):
    """Which rows a label may see: those whose ``order`` is at most a bound that rises with the label's instant."""

    def __init__(self, order: NDArray[np.integer[Any]], longest: int) -> None:
        self._order, self._longest = order, longest
        self._least: list[NDArray[np.integer[Any]]] = []
        self._lock = Lock()

    @abstractmethod
    def latest(self, instants: Integers) -> Integers:
        """The latest ``computed_at`` that a row known at each instant can have."""

    @abstractmethod
    def _known(self, rows: Integers) -> NDArray[np.integer[Any]]:
        """When each of these rows was known."""

    @abstractmethod
    def _bound(self, instants: Integers) -> Integers:
        """The greatest ``order`` of the rows known at each instant."""

    def step_back(self, start: Integers, position: Integers, instants: Integers) -> None:
        """Moves each position back, in place, to the last row of its entity that may be seen at its instant."""
        late = np.flatnonzero((self._known(position) > instants) & (position != NONE))
        while len(late):
            # Where few rows are late, the row before is usually not. So take single steps while at least half get done.
            position[late] -= 1
            outside = position[late] < start[late]
            position[late[outside]] = NONE
            inside = late[~outside]
            before, late = late, inside[self._known(position[inside]) > instants[inside]]
            if len(late) * 2 > len(before):
                break
        if len(late):
            limit = self._bound(instants[late])
            position[late] = _last_learned(self._pyramid(), start[late], position[late], limit)

    def _pyramid(self) -> list[NDArray[np.integer[Any]]]:
        # Built by the first batch that needs it: most joins need none, and it takes twice the memory of the order.
        with self._lock:
            self._least = self._least or _least_of_blocks(self._order, self._longest)
            return self._least


class _RunLimit(_Limit):
    """Rows of runs learned by the label's time, or of all runs up to ``last_run``."""

    def __init__(self, history: SortedHistory, runs: Runs | None, last_run: int, longest: int) -> None:
        super().__init__(history.run_seq, longest)
        # Up to a run: as if all runs up to it had been learned before any label's time, and the others never.
        self._runs = runs or Runs(np.array([last_run]), np.array([np.iinfo(np.int64).min]))
        self._learned = self._runs.learned_at_by_run(int(history.run_seq.max()))
        # Usually no row is dated after its run was learned. Then no row dated after the last run learned by an
        # instant was known at it, and the search can start from that run's time.
        self._bounded = runs is not None and not self._any_dated_ahead(history)

    def latest(self, instants: Integers) -> Integers:
        if not self._bounded:
            return instants
        learned_at = np.append(np.iinfo(np.int64).min, self._runs.learned_at)
        return learned_at[np.searchsorted(self._runs.learned_at, instants, side="right")]

    def _known(self, rows: Integers) -> NDArray[np.integer[Any]]:
        known: Integers = self._learned[self._order[rows]]
        return known

    def _bound(self, instants: Integers) -> Integers:
        return self._runs.last_learned_by(instants)

    def _any_dated_ahead(self, history: SortedHistory) -> bool:
        ahead: list[bool] = []

        def look(batch: slice) -> None:
            if not ahead and (history.computed_at[batch] > self._learned[history.run_seq[batch]]).any():
                ahead.append(True)

        in_batches(look, len(history), 8 * _BATCH)
        return bool(ahead)


class _KnownLimit(_Limit):
    """Rows that were known by the label's time, by their own known times, and only rows of some runs."""

    def __init__(self, history: SortedHistory, known_at: Integers, runs: Runs, longest: int) -> None:
        last_run = int(runs.run_seq[-1]) if len(runs.run_seq) else 0
        if int(history.run_seq.max()) > last_run:
            known_at = np.array(known_at)
            known_at[history.run_seq > last_run] = np.iinfo(np.int64).max
        super().__init__(known_at, longest)

    def latest(self, instants: Integers) -> Integers:
        return instants

    def _known(self, rows: Integers) -> NDArray[np.integer[Any]]:
        return self._order[rows]

    def _bound(self, instants: Integers) -> Integers:
        return instants


class _Withdrawals:
    """The withdrawn rows of a history, and for each the last row of a pair before it that may answer in its stead."""

    def __init__(self, history: SortedHistory, rows: Integers) -> None:
        assert history.op is not None, "withdrawn rows are no values"
        self._rows, self._op = rows, history.op
        orders: list[NDArray[np.integer[Any]]] = [history.run_seq[rows]] + (
            [] if history.known_at is None else [history.known_at[rows]]
        )
        entity = np.searchsorted(history.offsets, rows, side="right") - 1
        start = history.offsets[entity]
        self._before = last_at_or_before(history.computed_at, start, rows - start, history.computed_at[rows] - 1)
        # Where the pair before was withdrawn too, for all who see this row, it is passed over at once: an entity may
        # have lost thousands of pairs in one run.
        going = np.arange(len(rows))
        while len(going):
            before = self._before[going]
            place = np.minimum(np.searchsorted(rows, before), len(rows) - 1)
            gone = rows[place] == before
            for order in orders:
                gone &= order[place] <= order[going]
            going, place = going[gone], place[gone]
            self._before[going] = self._before[place]

    def pass_over(self, start: Integers, position: Integers, instants: Integers, limit: _Limit | None) -> None:
        """Moves each position that is at a withdrawn row back, in place, to the row that answers in its stead."""
        going = np.flatnonzero(position != NONE)
        while len(going):
            going = going[self._op[position[going]] == WITHDRAWN]
            before = self._before[np.searchsorted(self._rows, position[going])]
            if limit is not None:
                limit.step_back(start[going], before, instants[going])
            position[going] = before
            going = going[before != NONE]


def _least_of_blocks(order: NDArray[np.integer[Any]], longest: int) -> list[NDArray[np.integer[Any]]]:
    """A pyramid: level k holds the least of every whole 2**k rows, up to blocks as long as the longest entity."""
    levels = [order]
    for _ in range(max(longest - 1, 0).bit_length()):
        below = levels[-1]
        levels.append(np.minimum(below[0:-1:2], below[1::2]))
    return levels


def _last_learned(
    least: list[NDArray[np.integer[Any]]], start: Integers, position: Integers, limit: Integers
) -> Integers:
    """The last p in [start, position] whose run, or known time, is at most the limit, else -1.

    Walking back row by row would read a whole entity where all its rows were backfilled. So climb the
    pyramid past blocks that are entirely too late, then descend into the last one that is not.
    """
    block = np.full(len(position), NONE, dtype=np.int64)
    height = np.zeros(len(position), dtype=np.int64)
    waiting = np.arange(len(position))
    end = position + 1
    for level, runs in enumerate(least):
        reaches_start = (end - 1) << level <= start[waiting]
        fits = (end & 1 == 1) | reaches_start  # an even end is covered by its parent block, one level up
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
