"""Writing columns of history into fields of the store, entity by entity, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from featurestore.errors import StoreError
from featurestore.model import StoredVersion
from featurestore.online.columns import entity_keys, pack_column
from featurestore.online.store import Merged, OnlineStore, RefusedError

BATCH = 10_000  # a core keeps it in its cache beside the server


@dataclass(frozen=True, slots=True)
class Column:
    """The latest rows of one version (as `OfflineStore.latest` gives them) on their way into a field."""

    version: StoredVersion
    field: int
    frame: pl.DataFrame


def upload(
    project: str, store: OnlineStore, columns: Sequence[Column], *, load: bool, tell: Callable[[str], None]
) -> dict[int, Merged]:
    """Writes columns of one entity type: what was written, by field. ``tell`` hears how far it is.

    Columns about the very same entities are written together, one command for an entity; others by themselves.
    """
    done: dict[int, Merged] = {}
    groups = list(_aligned(columns))
    total = sum(group[0].frame.height for group in groups)
    before = 0
    for group in groups:
        batches = Batches(project, group, tell)
        try:
            if load:
                store.load(batches)
                done |= {column.field: Merged(column.frame.height, column.frame.height) for column in group}
            else:
                merged = store.merge(batches)
                done |= {column.field: merged.get(column.field, Merged()) for column in group}
        except RefusedError as exc:
            far = f"wrote {before + exc.written:,} of {total:,} entities before that"
            raise StoreError(f"{exc.message} ({far})", where=exc.where, hint=exc.hint) from exc
        before += group[0].frame.height
    return done


def remove_vanished(project: str, store: OnlineStore, columns: Sequence[Column], up_to_run: int) -> dict[int, int]:
    """Removes what the store holds of entities that the history no longer knows: how many, by field."""
    entity_type = columns[0].version.entity_type
    found = [pl.Series("key", batch) for batch in store.keys(entity_type.name, [column.field for column in columns])]
    online = pl.DataFrame({"key": pl.concat(found) if found else pl.Series([], dtype=pl.String)}).unique()
    removed: dict[int, int] = {}
    for column in columns:
        known = entity_keys(project, entity_type, column.frame).to_frame()
        gone = online.join(known, on="key", how="anti")["key"].to_list()
        removed[column.field] = store.discard(column.field, gone, up_to_run) if gone else 0
    return removed


def _aligned(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """Groups of columns that have the same entities in the same order."""
    groups: list[tuple[pl.DataFrame, list[Column]]] = []
    for column in columns:
        keys = column.frame.select(column.version.entity_type.key_names)
        for other, group in groups:
            if keys.equals(other):
                group.append(column)
                break
        else:
            groups.append((keys, [column]))
    return (group for _, group in groups)


class Batches:
    """Columns of the same entities as frames that a store takes, packed when they are asked for."""

    def __init__(self, project: str, columns: Sequence[Column], tell: Callable[[str], None] | None = None) -> None:
        self._project = project
        self._columns = columns
        self._tell = tell

    def __iter__(self) -> Iterator[pl.DataFrame]:
        entity_type = self._columns[0].version.entity_type
        height = self._columns[0].frame.height
        names = ", ".join(column.version.id.feature for column in self._columns)
        for start in range(0, height, BATCH):
            if self._tell is not None:
                self._tell(f"{start:,} of {height:,} entities: {names}")
            slices = [column.frame.slice(start, BATCH) for column in self._columns]
            packed = [
                pack_column(column.version, rows).alias(str(column.field))
                for column, rows in zip(self._columns, slices, strict=True)
            ]
            yield pl.DataFrame([entity_keys(self._project, entity_type, slices[0]), *packed])
