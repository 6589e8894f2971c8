"""Writing batches into the online store, and removing what the history does not have any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import polars as pl

from featurestore.errors import StoreError
from featurestore.model import EntityType
from featurestore.online.contract import OnlineStore, RefusedError, WriteCounts
from featurestore.progress import SILENT, Progress
from featurestore.serving.batches import Batches

KEYS_AT_ONCE = 500_000

Item = TypeVar("Item")


def write_batches(store: OnlineStore, batches: Batches, *, load: bool) -> Mapping[int, WriteCounts]:
    """Writes batches and counts what was written, by field. Raises StoreError; a refusal says how far it came."""
    try:
        if not load:
            return store.merge(batches)
        store.load(batches)
        return {field: WriteCounts(rows, rows) for field, rows in batches.rows.items()}
    except RefusedError as exc:
        far = f"wrote {batches.describe(exc.written)} before that"
        raise StoreError(f"{exc.message} ({far})", where=exc.where, hint=exc.hint) from exc


def remove_vanished(
    store: OnlineStore,
    entity_type: EntityType,
    history_keys: Mapping[int, Iterable[pl.Series]],
    up_to_run: int,
    progress: Progress = SILENT,
) -> dict[int, int]:
    """Removes online values of entities that the history does not have any more. Returns how many, by field.

    ``history_keys`` are, for each field, the keys of all entities that the history has.
    """
    in_history = {
        field: pl.DataFrame({"key": pl.concat([pl.Series([], dtype=pl.String), *keys])})
        for field, keys in history_keys.items()
    }
    vanished: dict[int, set[str]] = {field: set() for field in history_keys}
    for keys in join_batches(store.keys(entity_type.name, list(history_keys)), KEYS_AT_ONCE):
        progress(f"looking for entities of {entity_type.name} that have vanished")
        online = pl.DataFrame({"key": keys}, schema={"key": pl.String})
        for field, history in in_history.items():
            vanished[field].update(online.join(history, on="key", how="anti")["key"])
    # Nothing later than what was read: another sync may have written an entity that was learned since.
    return {field: store.discard(field, list(keys), up_to_run) if keys else 0 for field, keys in vanished.items()}


def join_batches(batches: Iterable[list[Item]], size: int) -> Iterator[list[Item]]:
    """Small batches as larger ones of at least ``size`` items; the last may have fewer."""
    joined: list[Item] = []
    for batch in batches:
        joined += batch
        if len(joined) >= size:
            yield joined
            joined = []
    if joined:
        yield joined
