"""The history as a sync reads it: the latest rows of some versions, in partitions that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
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

    def __len__(self) -> int:
        return len(self._key_ranges)

    def __iter__(self) -> Iterator[list[VersionRows]]:
        with self.offline.reading():
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
                self.offline.latest(
                    one.version,
                    after_run=one.after_run,
                    up_to_run=self.up_to_run,
                    at=self.at,
                    due_after=one.due_after,
                    key_range=key_range,
                ),
            )
            for one in self.selections
        ]
