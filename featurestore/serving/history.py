"""The history as a sync reads it: the latest rows of some versions, in partitions that fit into memory.

Readers must never be served an older answer after a newer one, so each row comes with a number that never falls as the
answer changes: its run_seq, which is of the run that last changed the answer. Where a row was dated ahead of its run,
time changes the answer too, and meanwhile runs may have changed it: then the number is that of the last run that was
learned before the row's time had come.

Rows dated ahead of the clock are what is coming of an entity: they are packed beside what holds, so that a reader
answers with them as their time comes. Rows of windows are never dated ahead. Their coming steps lie beside the history,
and are read with it; the number is that of the run that last changed the answer or what is coming, whichever is later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import TOMBSTONE, VALUE, WITHDRAWN, CommittedRun, OfflineStore
from featurestore.offline.partitions import ALL_KEYS, KeyRange, cut_key_ranges, joined
from featurestore.online.packed_steps import STEPS, STEPS_AT, UNTIL, steps_of
from featurestore.serving.batches import VersionRows
from featurestore.serving.request import DEFAULT_SIZES, SyncSizes
from featurestore.tables.types import INSTANT
from featurestore.times import MIN_INSTANT

MOST_RANGES = 4
"""How many ranges of keys are read at a time at most: the next ones may have far more entities than the last."""
MOST_AHEAD = 1_000
"""Of how many rows dated ahead of the clock of an entity readers are told."""

_OF_LIST = "run_seq_of_list"
_LATER_RUN = pl.max_horizontal("run_seq", _OF_LIST).alias("run_seq")
# An entity of which nothing holds yet has a tombstone at the first of all instants.
_FIRST = [
    _LATER_RUN,
    pl.col("op").fill_null(TOMBSTONE),
    pl.col("computed_at").fill_null(pl.lit(MIN_INSTANT, pl.Int64).cast(INSTANT)),
]


@frozen
class Selection:
    """The rows of one version that are read for a field: those learned after a run, all of them where it is None.

    With ``due_after`` also those dated after that instant. What is dated after ``at`` (µs; None: as for all) is ahead.
    """

    version: StoredVersion
    field: int
    after_run: int | None = None
    due_after: int | None = None
    at: int | None = None


@dataclass(slots=True)
class HistoryPartitions:
    """The selections, which are all about one entity type, partition by partition.

    The store is not kept open between two partitions, since an open reader would block writers. What is learned
    meanwhile is later than ``up_to_run``; whether something was erased meanwhile is for the caller to check. Rows dated
    after the instant ``at`` (µs) are passed over. Of versions with steps what is learned meanwhile comes too: coming
    steps as of an earlier run are not kept.
    """

    offline: OfflineStore
    selections: Sequence[Selection]
    up_to_run: int
    at: int
    sizes: SyncSizes = DEFAULT_SIZES
    _key_ranges: list[KeyRange] = field(default_factory=list)
    _runs: list[CommittedRun] = field(default_factory=list)
    _ahead: frozenset[VersionId] = frozenset()

    def __len__(self) -> int:
        return len(self._key_ranges)

    def __iter__(self) -> Iterator[list[VersionRows]]:
        with self.offline.reading():
            self._runs = [run for run in self.offline.committed_runs() if run.run_seq <= self.up_to_run]
            self._key_ranges = self._cut()
            self._ahead = frozenset(one.version.id for one in self.selections if self._has_ahead(one))
            partition = self._read(self._key_ranges[0])
        yield partition
        number = ranges = 1
        while number < len(self._key_ranges):
            ranges = self._ranges_to_read(ranges, max(rows.frame.height for rows in partition))
            self._key_ranges[number : number + ranges] = [joined(self._key_ranges[number : number + ranges])]
            with self.offline.reading():
                partition = self._read(self._key_ranges[number])
            yield partition
            number += 1

    def _ranges_to_read(self, before: int, entities: int) -> int:
        """How many ranges the next partition is made of, where so many before it had so many entities.

        A range has at most so many rows, as if each were of another entity. Where entities have many rows, a partition
        of several ranges takes no more memory, and each partition costs some milliseconds.
        """
        return max(1, min(4 * before, MOST_RANGES, before * self.sizes.most_rows // max(4 * entities, 1)))

    def _has_ahead(self, one: Selection) -> bool:
        newest = None if one.version.steps else self.offline.newest(one.version, up_to_run=self.up_to_run)
        return newest is not None and newest > self._at(one)

    def _at(self, one: Selection) -> int:
        return self.at if one.at is None else one.at

    def _cut(self) -> list[KeyRange]:
        every = self.sizes.rows_per_sample
        samples = [
            keys
            for selection in self.selections
            for keys in self.offline.sample_keys(selection.version, every, after_run=selection.after_run)
        ]
        return cut_key_ranges(samples, every, self.sizes.first_rows, self.sizes.most_rows)

    def _read(self, key_range: KeyRange) -> list[VersionRows]:
        return [VersionRows(one.version, one.field, self._rows(one, key_range)) for one in self.selections]

    def _rows(self, one: Selection, key_range: KeyRange) -> pl.DataFrame:
        if one.version.steps:
            return latest_with_steps(self.offline, one.version, after_run=one.after_run, key_range=key_range)
        latest = self.offline.latest(
            one.version, after_run=one.after_run, up_to_run=self.up_to_run, at=self._at(one), due_after=one.due_after,
            key_range=key_range,
        )  # fmt: skip
        latest = with_numbers(latest, self._runs)
        if one.version.id not in self._ahead:
            return latest
        ahead = self.offline.scan(one.version, up_to_run=self.up_to_run, dated_after=self._at(one), key_range=key_range)
        if one.after_run is not None:  # of an entity that is read all that is ahead, whichever run brought it
            names = one.version.entity_type.key_names
            wanted = pl.concat([latest, ahead.filter(pl.col("run_seq") > one.after_run)], how="diagonal")
            ahead = ahead.join(wanted.select(names).unique(), on=names, how="semi", maintain_order="left")
            unread = ahead.select(names).unique().join(latest, on=names, how="anti")
            if unread.height:
                more = self.offline.latest(one.version, up_to_run=self.up_to_run, at=self._at(one), entities=unread)
                latest = pl.concat([latest, with_numbers(more, self._runs)])
        return with_ahead(latest, ahead, one.version)


def with_numbers(latest: pl.DataFrame, runs: Sequence[CommittedRun]) -> pl.DataFrame:
    """Rows of `OfflineStore.latest`, with numbers that never fall in place of their run_seq."""
    if not latest.height or not runs:
        return latest
    numbers = np.array([0, *(run.run_seq for run in runs)])
    learned_at = np.array([0, *(run.learned_at for run in runs)])
    run_seq, computed_at = latest["run_seq"].to_numpy(), latest["computed_at"].to_physical().to_numpy()
    rows = np.flatnonzero(computed_at > learned_at[np.searchsorted(numbers, run_seq)])
    if not len(rows):
        return latest
    before = numbers[np.searchsorted(learned_at, computed_at[rows]) - 1]
    changed = run_seq.copy()
    changed[rows] = np.maximum(run_seq[rows], before)
    return latest.with_columns(pl.Series("run_seq", changed))


def with_ahead(latest: pl.DataFrame, ahead: pl.DataFrame, version: StoredVersion) -> pl.DataFrame:
    """Rows of `OfflineStore.latest`, with numbers, and the rows dated ahead of the clock as what is coming of them.

    ``ahead`` has rows of `OfflineStore.scan`. Of an entity it knows more than `MOST_AHEAD`, or is deleted at a time
    that has not come, what is coming is given up to there.
    """
    names = list(version.entity_type.key_names)
    runs = ahead.group_by(names).agg(pl.col("run_seq").max().alias("run_seq_of_list"))
    pairs = ahead.unique([*names, "computed_at"], keep="last", maintain_order=True).filter(pl.col("op") != WITHDRAWN)
    ends = (pl.col("op") != VALUE) | (pl.int_range(pl.len()).over(names) >= MOST_AHEAD)
    pairs = pairs.with_columns(ends.cum_max().over(names).alias(UNTIL))
    until = pairs.filter(UNTIL).group_by(names).agg(pl.col("computed_at").min().alias(UNTIL))
    steps = pairs.filter(~pl.col(UNTIL)).group_by(names, maintain_order=True)
    lists = steps.agg(pl.col("computed_at").alias(STEPS_AT), pl.col("value").alias(STEPS))
    coming = runs.join(lists, on=names, how="left").join(until, on=names, how="left")
    cut = pl.col(UNTIL).is_not_null()  # a list without steps, and not none
    empty = [pl.lit([], coming.schema[name]).alias(name) for name in (STEPS_AT, STEPS)]
    coming = coming.with_columns(
        pl.when(cut & pl.col(STEPS_AT).is_null()).then(one).otherwise(one.meta.output_name()) for one in empty
    )
    return latest.join(coming, on=names, how="full", coalesce=True).sort(names).with_columns(_FIRST).drop(_OF_LIST)


def latest_with_steps(
    offline: OfflineStore,
    version: StoredVersion,
    *,
    after_run: int | None = None,
    entities: pl.DataFrame | None = None,
    key_range: KeyRange = ALL_KEYS,
) -> pl.DataFrame:
    """`OfflineStore.latest` of a version with steps, with what is coming (see `packed_steps.pack_rows`).

    An entity of which history has nothing yet has a tombstone at the first of all instants. ``after_run`` selects those
    of whom anything was learned or is coming that a later run has found.
    """
    names = list(version.entity_type.key_names)
    with offline.reading():
        latest = offline.latest(version, after_run=after_run, entities=entities, key_range=key_range)
        coming = offline.coming(version, after_run=after_run, entities=entities, key_range=key_range)
        if after_run is not None:  # a run may have changed the one and not the other
            unread = coming.select(names).unique().join(latest, on=names, how="anti")
            unlisted = latest.select(names).join(coming, on=names, how="anti")
            latest = pl.concat([latest, offline.latest(version, entities=unread)]) if unread.height else latest
            coming = pl.concat([coming, offline.coming(version, entities=unlisted)]) if unlisted.height else coming
    lists = steps_of(coming, names).rename({"run_seq": _OF_LIST})
    entities = latest.select(names)
    if not lists.select(names).equals(entities):
        numbers = lists.select(*names, pl.int_range(pl.len()).alias("place"))
        place = entities.join(numbers, on=names, how="left", maintain_order="left")["place"]
        if place.count() < lists.height:  # of some entity history has nothing yet
            both = latest.join(lists, on=names, how="full", coalesce=True).sort(names)
            return both.with_columns(_FIRST).drop(_OF_LIST)
        lists = lists.select(pl.all().gather(place))  # rather than join columns of lists
    return latest.hstack(lists.get_columns()[len(names) :]).with_columns(_LATER_RUN).drop(_OF_LIST)
