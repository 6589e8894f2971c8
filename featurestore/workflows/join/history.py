"""Where a join takes a version's history from: sorted columns where they pay, else the store's own scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from featurestore.config import Project
from featurestore.model import StoredVersion
from featurestore.offline.columns.build import find_columns, refresh_columns
from featurestore.offline.columns.files import can_write, folder_of
from featurestore.offline.contract import HistoryMark, OfflineStore
from featurestore.point_in_time import kernel

# Below these a scan is as fast as making columns, or faster (measured on DuckDB).
MANY_ROWS = 500_000
MANY_ENTITIES = 1_000
FEW_ENTITIES = 200_000  # up to here a store finds them faster than it hands over everything
ROW_BYTES = 100  # what a scanned row takes while it is looked through


class HistoryPart(Protocol):
    """All rows of some entities, as the kernel takes them.

    Equal ``layout``: any search finds the same rows. Columns may be lost meanwhile: ColumnsLostError.
    """

    @property
    def layout(self) -> str | None: ...

    def history(self) -> kernel.SortedHistory: ...

    def values(self) -> kernel.Values: ...


@dataclass(frozen=True, slots=True)
class HeldHistory:
    """A history in parts. ``last_run`` is set where it holds rows of later runs, which must not answer."""

    parts: Iterable[HistoryPart]
    last_run: int | None = None


@dataclass(frozen=True, slots=True)
class ScannedPart:
    """What the store gave of some entities."""

    frame: pl.DataFrame
    keys: tuple[str, ...]
    layout: None = None

    def history(self) -> kernel.SortedHistory:
        return kernel.sort_history(self.frame, self.keys)

    def values(self) -> kernel.Values:
        return kernel.flatten(self.frame["value"])


def prepare_history(
    project: Project, store: OfflineStore, version: StoredVersion, mark: HistoryMark | None, entities: int
) -> None:
    """Brings the version's columns up to date where that pays for a join about so many entities.

    Not to be called while the store is kept open: the sorting would hold up its writers.
    """
    if mark is None or mark.rows < MANY_ROWS or entities < MANY_ENTITIES:
        return
    found = find_columns(project.state, version, mark, project.memory)
    if found is None and can_write(folder_of(project.state, version)):
        refresh_columns(project.state, store, version, mark, project.memory)


def held_columns(
    project: Project, version: StoredVersion, mark: HistoryMark | None, last_run: int
) -> HeldHistory | None:
    """The version's columns, where they hold what the store's mark says."""
    if mark is None or mark.rows < MANY_ROWS:
        return None
    columns = find_columns(project.state, version, mark, project.memory)
    if columns is None:
        return None
    return HeldHistory(columns.partitions, last_run if mark.run_seq > last_run else None)


def scanned(
    project: Project,
    store: OfflineStore,
    version: StoredVersion,
    mark: HistoryMark | None,
    *,
    last_run: int,
    entities: pl.DataFrame,
) -> HeldHistory:
    """The rows that runs up to ``last_run`` learned of these entities, and maybe of others, from the store itself.

    Where all might be more than the memory allowed, of so many entities at a time. Raises StoreError.
    """

    def parts() -> Iterator[HistoryPart]:
        for wanted in slices:
            frame = store.scan(version, up_to_run=last_run, entities=wanted)
            yield ScannedPart(frame, version.entity_type.key_names)

    slices: Iterable[pl.DataFrame | None] = [entities if len(entities) <= FEW_ENTITIES else None]
    if mark is not None and mark.rows * ROW_BYTES > project.memory:
        slices = entities.iter_slices(FEW_ENTITIES)
    return HeldHistory(parts())
