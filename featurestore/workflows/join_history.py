"""Where a join takes a version's history from: sorted columns where they pay, else the store's own scan."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from featurestore.config import Project
from featurestore.frames import kernel
from featurestore.model import StoredVersion
from featurestore.offline.columns import can_write, folder_of
from featurestore.offline.columns_build import find_columns, refresh_columns
from featurestore.offline.store import Mark, OfflineStore

# Below these a scan is as fast as making columns, or faster (measured on DuckDB).
MANY_ROWS = 500_000
MANY_ENTITIES = 1_000
FEW_ENTITIES = 200_000  # up to here a store finds them faster than it hands over everything


@dataclass(frozen=True, slots=True)
class HeldHistory:
    """A history as the kernel takes it.

    ``last_run`` is set where it holds rows of later runs, which must not answer. Equal ``layout``: any search
    finds the same rows.
    """

    history: kernel.SortedHistory
    values: kernel.Values
    last_run: int | None = None
    layout: str | None = None


def prepare_history(
    project: Project, store: OfflineStore, version: StoredVersion, mark: Mark | None, entities: int
) -> None:
    """Brings the version's columns up to date where that pays for a join about so many entities.

    Not to be called while the store is kept open: the sorting would hold up its writers.
    """
    if mark is None or mark.rows < MANY_ROWS or entities < MANY_ENTITIES:
        return
    if find_columns(project.state, version, mark) is None and can_write(folder_of(project.state, version)):
        refresh_columns(project.state, store, version, mark)


def read_history(
    project: Project,
    store: OfflineStore,
    version: StoredVersion,
    mark: Mark | None,
    *,
    last_run: int,
    entities: pl.DataFrame,
) -> HeldHistory:
    """The rows that runs up to ``last_run`` learned of these entities, and maybe of others.

    ``mark`` is what the store said of the version. Raises StoreError for a store that can't answer.
    """
    if mark is not None and mark.rows >= MANY_ROWS:
        columns = find_columns(project.state, version, mark)
        if columns is not None:
            later = last_run if mark.run_seq > last_run else None
            return HeldHistory(columns.history, columns.values, later, columns.layout)
    few = entities if len(entities) <= FEW_ENTITIES else None
    frame = store.scan(version, up_to_run=last_run, entities=few)
    history = kernel.sort_history(frame, version.entity_type.key_names)
    return HeldHistory(history, kernel.flatten(frame["value"]))
