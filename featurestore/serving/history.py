"""The history that a sync reads: the latest rows of some versions, as many entities at a time as fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from featurestore.model import VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.offline.partitions import KeyRange, cut_key_ranges
from featurestore.serving.plan import Task
from featurestore.serving.upload import Column

# Windows grow: the first is read at once, and while one is sent there is time to read the next.
FIRST_ROWS, MOST_ROWS = 40_000, 2_000_000
ROWS_A_SAMPLE = 10_000


@dataclass(slots=True)
class HistoryWindows:
    """What tasks about one entity type need of the history, window by window.

    The history is let go of between two windows, for a writer must not wait for whoever takes them. What is
    learned meanwhile is later than ``up_to_run``; whether something was erased meanwhile is the caller's to see.
    """

    offline: OfflineStore
    tasks: Sequence[Task]
    fields: Mapping[VersionId, int]
    up_to_run: int
    _key_ranges: list[KeyRange] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._key_ranges)

    def __iter__(self) -> Iterator[list[Column]]:
        with self.offline.reading():
            self._key_ranges = self._cut()
            window = self._read(self._key_ranges[0])
        yield window
        for key_range in self._key_ranges[1:]:
            with self.offline.reading():
                window = self._read(key_range)
            yield window

    def _cut(self) -> list[KeyRange]:
        samples = [
            keys
            for task in self.tasks
            for keys in self.offline.sample_keys(task.version, ROWS_A_SAMPLE, after_run=task.after_run)
        ]
        return cut_key_ranges(samples, ROWS_A_SAMPLE, FIRST_ROWS, MOST_ROWS)

    def _read(self, keys: KeyRange) -> list[Column]:
        window = []
        for task in self.tasks:
            frame = self.offline.latest(
                task.version, after_run=task.after_run, up_to_run=self.up_to_run, key_range=keys
            )
            window.append(Column(task.version, self.fields[task.version.id], frame))
        return window
