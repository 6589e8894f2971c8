"""Every value that one entity ever had: when each was true, and when it was learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import Json, StoredVersion
from featurestore.offline.contract import TOMBSTONE, WITHDRAWN, CommittedRun, OfflineStore
from featurestore.point_in_time.entities import Entity, parse_entity
from featurestore.tables.types import INSTANT, key_types
from featurestore.tables.values import json_value
from featurestore.times import format_instant
from featurestore.workflows.references import resolve_one

ROW_BYTES = 1_400  # of a value, in Python and as JSON


@frozen
class HistoryValue:
    """One row of history. Instants are microseconds.

    A tombstone says that from then on there is no value; ``withdrawn``, that nothing is dated then any more.
    ``known_at`` is when the source says that it was known; None where it does not say.
    """

    value: Json
    computed_at: int
    ingested_at: int
    run_id: str
    tombstone: bool
    withdrawn: bool = False
    known_at: int | None = None


@frozen
class HistoryResult:
    """The stored values of an entity, oldest first, each correction after what it corrects."""

    version: StoredVersion
    entity: Entity
    values: tuple[HistoryValue, ...]


def feature_history(project: Project, store: OfflineStore, reference: str, entity_id: str) -> HistoryResult:
    """The history of one entity: of the version that a reference names, and the id as `parse_entity` reads it.

    Raises what `resolve_one`, `parse_entity` and `history` raise.
    """
    version = resolve_one(project, store, reference)
    return history(store, version, parse_entity(version.entity_type, entity_id), memory=project.memory)


def history(store: OfflineStore, version: StoredVersion, entity: Entity, *, memory: int | None = None) -> HistoryResult:
    """The history of one entity (key values by name, as `parse_entity` gives them).

    Raises UsageError for a version without history, and for an entity whose values need more than about ``memory``
    bytes as a document or table; StoreError.
    """
    runs = runs_of(store, version)
    wanted = pl.DataFrame({name: [entity[name]] for name in entity}, schema=key_types(version.entity_type))
    rows = store.scan(version, entities=wanted)
    if memory is not None and rows.height * ROW_BYTES > memory:
        name, needed = version.id.feature, rows.height * ROW_BYTES // 1_000_000 + 1
        raise UsageError(
            f"{name} has {rows.height:,} values of this one entity: about {needed:,} MB as a table or document, and "
            f"[offline] memory is {memory // 1_000_000:,} MB",
            hint=f"featurestore export {name} --output FILE writes any number; FEATURESTORE_OFFLINE_MEMORY allows more",
        )
    columns = (
        rows["computed_at"].to_physical().to_list(), rows["run_seq"].to_list(), rows["op"].to_list(),
        _values(rows["value"]),
        rows["known_at"].to_physical().to_list() if "known_at" in rows.columns else [None] * rows.height,
    )  # fmt: skip
    return HistoryResult(
        version,
        entity,
        tuple(
            HistoryValue(
                json_value(value),
                computed_at,
                runs[seq].learned_at,
                runs[seq].run_id,
                op == TOMBSTONE,
                op == WITHDRAWN,
                known_at,
            )
            for computed_at, seq, op, value, known_at in zip(*columns, strict=True)
        ),
    )


def _values(column: pl.Series) -> list[Any]:
    """A column as Python values; times that Python has no value for, which an earlier release stored, as their text."""
    try:
        return column.to_list()
    except (ValueError, OverflowError):
        return [None if count is None else format_instant(count) for count in column.cast(INSTANT).to_physical()]


def runs_of(store: OfflineStore, version: StoredVersion) -> Mapping[int, CommittedRun]:
    """The committed runs by run_seq. Raises UsageError where the store has no history of the version."""
    if all(stored.id != version.id for stored in store.versions(version.id.feature)):
        raise no_history(version)
    return {run.run_seq: run for run in store.committed_runs()}


def no_history(version: StoredVersion) -> UsageError:
    """The error for a version that this store has no history of."""
    return UsageError(
        f"{version.id.feature}@{version.number} ({version.id.short}) has no history here",
        hint=f"run featurestore ingest {version.id.feature}",
    )
