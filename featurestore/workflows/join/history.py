"""Where a join reads a version's history: from sorted columns where they are worth it, else from the store's scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import polars as pl

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.columns.build import find_columns, refresh_columns
from featurestore.offline.columns.files import can_write, folder_of, has_damage
from featurestore.offline.contract import HistoryMark, OfflineStore
from featurestore.point_in_time import kernel

ROW_BYTES = 100  # about what a scanned row takes in memory while it is searched


@frozen
class HistoryLimits:
    """When a join reads sorted columns, and how it scans otherwise. Measured on DuckDB.

    For a history of fewer than ``sort_rows`` rows, or a join about fewer than ``sort_entities`` entities, a scan is
    as fast as sorting. Up to ``scan_entities`` entities, a store finds their rows faster than it returns all rows.
    """

    sort_rows: int = 500_000
    sort_entities: int = 1_000
    scan_entities: int = 200_000


DEFAULT_LIMITS = HistoryLimits()


class HistoryPartition(Protocol):
    """All rows of some entities, in the form that the kernel takes.

    A search of two partitions with an equal ``layout`` finds the same rows. Sorted columns may be removed while they
    are read: then both methods raise ColumnsLostError.
    """

    @property
    def layout(self) -> str | None: ...

    def history(self) -> kernel.SortedHistory: ...

    def values(self) -> kernel.Values: ...


@frozen
class PartitionedHistory:
    """A history, partition by partition. Where it has rows of runs after ``last_run``, those must not answer."""

    partitions: Iterable[HistoryPartition]
    last_run: int | None = None


@frozen
class ScannedPartition:
    """What a store returned for some entities."""

    frame: pl.DataFrame
    keys: tuple[str, ...]
    layout: None = None

    def history(self) -> kernel.SortedHistory:
        return kernel.sort_history(self.frame, self.keys)

    def values(self) -> kernel.Values:
        return kernel.flatten(self.frame["value"])


def prepare_columns(
    project: Project,
    store: OfflineStore,
    version: StoredVersion,
    mark: HistoryMark | None,
    entities: int,
    limits: HistoryLimits = DEFAULT_LIMITS,
) -> str | None:
    """Brings the version's sorted columns up to date where that is worth it for a join about so many entities.

    Returns what to say where they were damaged. Not to be called inside `OfflineStore.reading`: sorting takes long, and
    the open connection would block writers.
    """
    if mark is None or mark.rows < limits.sort_rows or entities < limits.sort_entities:
        return None
    columns = find_columns(project.state, version, mark, project.memory)
    folder = folder_of(project.state, version)
    damaged = columns is None and has_damage(folder, version)
    made = columns is None and can_write(folder)
    made = made and refresh_columns(project.state, store, version, mark, project.memory)
    if not damaged:
        return None
    then = "made again" if made else "not used"
    return f"{version.id.feature}: its sorted columns in {folder} were damaged, and were {then}"


def read_columns(
    project: Project,
    version: StoredVersion,
    mark: HistoryMark | None,
    last_run: int,
    limits: HistoryLimits = DEFAULT_LIMITS,
) -> PartitionedHistory | None:
    """The version's history from its sorted columns; None where they don't match the store's mark."""
    if mark is None or mark.rows < limits.sort_rows:
        return None
    columns = find_columns(project.state, version, mark, project.memory)
    if columns is None:
        return None
    return PartitionedHistory(columns.partitions, last_run if mark.run_seq > last_run else None)


def scan_history(
    project: Project,
    store: OfflineStore,
    version: StoredVersion,
    mark: HistoryMark | None,
    *,
    last_run: int,
    entities: pl.DataFrame,
    limits: HistoryLimits = DEFAULT_LIMITS,
) -> PartitionedHistory:
    """The version's history from the store, of runs up to ``last_run`` and at least these entities.

    Where the whole history might not fit into the project's memory, some entities at a time. Raises StoreError.
    """

    def partitions() -> Iterator[HistoryPartition]:
        for wanted in requests:
            frame = store.scan(version, up_to_run=last_run, entities=wanted)
            yield ScannedPartition(frame, version.entity_type.key_names)

    few = len(entities) <= limits.scan_entities
    requests: Iterable[pl.DataFrame | None] = [entities if few else None]
    if mark is not None and mark.rows * ROW_BYTES > project.memory:
        requests = entities.iter_slices(limits.scan_entities)
    return PartitionedHistory(partitions())
