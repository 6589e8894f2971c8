"""Small histories in memory, for labels that come in many batches: each is read from the store once, not once a batch.

Histories that have sorted columns are not among them: those are mapped into memory as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import History, HistoryMark
from featurestore.point_in_time import kernel

_SHARE = 4  # of the project's memory, one part is for these histories
_ROW_BYTES = 40  # about what a row takes here, its key included


@frozen
class WholeHistory:
    """A whole history, sorted. Those of features of one source mostly have the same ``layout``, and share it."""

    layout: str
    rows: kernel.SortedHistory
    column: kernel.Values

    def history(self) -> kernel.SortedHistory:
        return self.rows

    def values(self) -> kernel.Values:
        return self.column


@dataclass(slots=True)
class WholeHistories:
    """Histories of up to ``last_run``, read when first asked for, as long as they fit into a part of ``memory``."""

    store: History
    last_run: int
    memory: int
    _read: dict[VersionId, WholeHistory] = field(default_factory=dict)
    _layouts: list[WholeHistory] = field(default_factory=list)
    _bytes: int = 0
    _store_id: str = ""

    def get(self, version: StoredVersion, mark: HistoryMark | None) -> WholeHistory | None:
        """The history of a version; None where there is no room for it, or no row. Raises StoreError."""
        if mark is not None and mark.store_id != self._store_id:  # something was erased
            self._read.clear()
            self._layouts.clear()
            self._bytes, self._store_id = 0, mark.store_id
        if version.id not in self._read:
            if mark is None or self._bytes + mark.rows * _ROW_BYTES > self.memory // _SHARE:
                return None
            self._read[version.id] = self._scan(version)
        return self._read[version.id]

    def _scan(self, version: StoredVersion) -> WholeHistory:
        frame = self.store.scan(version, up_to_run=self.last_run)
        rows, values = kernel.sort_history(frame, version.entity_type.key_names), kernel.flatten(frame["value"])
        size = values.items.nbytes if isinstance(values, kernel.Flat) else values.estimated_size()
        for other in self._layouts:
            if _same_rows(rows, other.rows):
                self._bytes += int(size)
                return WholeHistory(other.layout, other.rows, values)
        made = WholeHistory(f"{version.id.sha256} in memory", rows, values)
        self._layouts.append(made)
        self._bytes += int(size) + len(rows) * _ROW_BYTES
        return made


def _same_rows(one: kernel.SortedHistory, other: kernel.SortedHistory) -> bool:
    """Whether two histories have the same entities, times, known times, runs and operations."""
    optional = [(one.op, other.op), (one.known_at, other.known_at)]
    if len(one) != len(other) or any((mine is None) != (its is None) for mine, its in optional):
        return False
    return (
        np.array_equal(one.computed_at, other.computed_at)
        and np.array_equal(one.run_seq, other.run_seq)
        and np.array_equal(one.offsets, other.offsets)
        and all(mine is None or its is None or np.array_equal(mine, its) for mine, its in optional)
        and one.entities.equals(other.entities)
    )
