"""The history as a sync reads it: the latest rows of some versions, in partitions that fit into memory.

Readers must never be served an older answer after a newer one, so each row comes with a number that never falls as the
answer changes: its run_seq, which is of the run that last changed the answer. Where a row was dated ahead of its run,
time changes the answer too, and meanwhile runs may have changed it: then the number is that of the last run that was
learned before the row's time had come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from featurestore.model import StoredVersion
from featurestore.offline.contract import CommittedRun, OfflineStore
from featurestore.offline.partitions import KeyRange, cut_key_ranges
from featurestore.serving.batches import VersionRows
from featurestore.serving.request import DEFAULT_SIZES, SyncSizes


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows of one version that are read for a field: those learned after a run, all of them where it is None.

    With ``due_after`` also those dated after that instant.
    """

    version: StoredVersion
    field: int
    after_run: int | None = None
    due_after: int | None = None


@dataclass(slots=True)
class HistoryPartitions:
    """The selections, which are all about one entity type, partition by partition.

    The store is not kept open between two partitions, since an open reader would block writers. What is learned
    meanwhile is later than ``up_to_run``; whether something was erased meanwhile is for the caller to check. Rows dated
    after the instant ``at`` (µs) are passed over.
    """

    offline: OfflineStore
    selections: Sequence[Selection]
    up_to_run: int
    at: int
    sizes: SyncSizes = DEFAULT_SIZES
    _key_ranges: list[KeyRange] = field(default_factory=list)
    _runs: list[CommittedRun] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._key_ranges)

    def __iter__(self) -> Iterator[list[VersionRows]]:
        with self.offline.reading():
            self._runs = [run for run in self.offline.committed_runs() if run.run_seq <= self.up_to_run]
            self._key_ranges = self._cut()
            partition = self._read(self._key_ranges[0])
        yield partition
        for key_range in self._key_ranges[1:]:
            with self.offline.reading():
                partition = self._read(key_range)
            yield partition

    def _cut(self) -> list[KeyRange]:
        every = self.sizes.rows_per_sample
        samples = [
            keys
            for selection in self.selections
            for keys in self.offline.sample_keys(selection.version, every, after_run=selection.after_run)
        ]
        return cut_key_ranges(samples, every, self.sizes.first_rows, self.sizes.most_rows)

    def _read(self, key_range: KeyRange) -> list[VersionRows]:
        return [
            VersionRows(
                one.version,
                one.field,
                with_numbers(
                    self.offline.latest(
                        one.version,
                        after_run=one.after_run,
                        up_to_run=self.up_to_run,
                        at=self.at,
                        due_after=one.due_after,
                        key_range=key_range,
                    ),
                    self._runs,
                ),
            )
            for one in self.selections
        ]


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
