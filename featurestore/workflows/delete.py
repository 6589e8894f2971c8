"""Deleting an entity by tombstones, from an instant on.

Tombstones are history like any other rows: joins answer null from then on, and the online values go at the next sync.
Erasing what was ever learned of it is `workflows.erasure`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.model import EntityType, FeatureRun, Run, StoredVersion
from featurestore.offline.contract import TOMBSTONE, OfflineStore, RunTransaction
from featurestore.point_in_time.entities import Entity
from featurestore.registry.git import commit_of
from featurestore.runs import new_run_id
from featurestore.tables.types import INSTANT, key_types
from featurestore.workflows.erasure.completion import writing_turn

AHEAD = 300_000_000  # µs that a deletion may be dated ahead of the clock, as a value may


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What was deleted, or would be: tombstones written or rows erased, by feature, all versions together.

    ``run_id`` is None where nothing was changed. The rest is of erasures. ``online_error`` says why the online values
    could not be erased; ``datasets`` are those whose stored labels named the entity and were removed; ``errors`` counts
    the texts of recorded errors that were removed, since they may quote values; ``named_in`` are files of the sources
    that still name the entity, and ``unread`` says which could not be looked through; ``beyond`` is what an erasure
    can't reach. ``deleted_before`` says that there is history of the entity, and all of it is deleted already.
    """

    entity_type: EntityType
    entity: Entity
    erased: bool
    at: int
    rows: Mapping[str, int]
    run_id: str | None
    online_error: str | None = None
    datasets: tuple[str, ...] = ()
    errors: int = 0
    named_in: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    deleted_before: bool = False

    @property
    def exit_code(self) -> int:
        """0 done; 3 where a file of a source, or the online store, still has the entity."""
        return 3 if self.online_error or self.named_in or self.unread else 0


def delete(
    project: Project,
    offline: OfflineStore,
    entity_type: EntityType,
    entity: Entity,
    at: int | None = None,
    *,
    dry_run: bool = False,
) -> DeleteResult:
    """Writes tombstones for an entity in every feature of its type, at an instant (µs; now by default).

    Values that are true later than that instant are deleted too. A second deletion writes nothing. With ``dry_run``
    the result says what would be written. Raises UsageError for an instant in the future, LockedError, StoreError.
    """
    now = times.now()
    moment = now if at is None else at
    if moment > now + AHEAD:
        raise UsageError(f"--at {times.format_instant(moment)} lies in the future")
    with writing_turn(project, offline):
        with offline.reading():
            frames = {
                version: _tombstones(offline, version, entity, moment)
                for version in offline.versions()
                if version.entity_type == entity_type
            }
        has_history = any(stored for stored, _ in frames.values())
        todo = {version: frame for version, (_, frame) in frames.items() if has_history and frame.height}
        rows: Counter[str] = Counter()
        for version, frame in todo.items():
            rows[version.id.feature] += frame.height
        if not todo or dry_run:
            return DeleteResult(entity_type, entity, False, moment, rows, None, deleted_before=has_history and not todo)
        with deletion_run(project, offline, list(todo), rows, "1 entity deleted") as (run_id, run):
            for version, frame in todo.items():
                run.delete(version, frame)
    return DeleteResult(entity_type, entity, False, moment, rows, run_id)


def _tombstones(
    offline: OfflineStore, version: StoredVersion, entity: Entity, moment: int
) -> tuple[bool, pl.DataFrame]:
    """Whether the entity has any row, and the (keys, computed_at) that need a tombstone."""
    names = list(version.entity_type.key_names)
    rows = offline.scan(version, entities=entity_frame(version.entity_type, entity))
    # The scan ends with run_seq, so the last row of an instant is the one that counts.
    latest = rows.unique([*names, "computed_at"], keep="last", maintain_order=True)
    instant = pl.lit(moment).cast(pl.Int64).cast(INSTANT)
    later = latest.filter(pl.col("computed_at") >= instant)
    here = entity_frame(version.entity_type, entity).with_columns(instant.alias("computed_at"))
    deleted = later.filter(pl.col("op") == TOMBSTONE).select(*names, "computed_at")
    wanted = pl.concat([later.select(*names, "computed_at"), here]).unique(maintain_order=True)
    before = latest.filter(pl.col("computed_at") < instant)
    already_deleted = before.height > 0 and before["op"][-1] == TOMBSTONE
    todo = wanted.join(deleted, on=[*names, "computed_at"], how="anti")
    if already_deleted and not later.filter(pl.col("op") != TOMBSTONE).height:
        todo = todo.clear()
    return rows.height > 0, todo.sort(*names, "computed_at")


def entity_frame(entity_type: EntityType, entity: Entity) -> pl.DataFrame:
    return pl.DataFrame({name: [entity[name]] for name in entity_type.key_names}, schema=key_types(entity_type))


@contextmanager
def deletion_run(
    project: Project, offline: OfflineStore, versions: Sequence[StoredVersion], rows: Mapping[str, int], note: str
) -> Iterator[tuple[str, RunTransaction]]:
    """A run of the audit log around a deletion. Each feature is logged once, under the version that is active."""
    started, clock, commit = times.now(), time.perf_counter(), commit_of(project.root)
    run_id = new_run_id()
    # Before the store is opened for writing, which keeps readers out.
    with offline.reading():
        # The version that is logged last counts as the active one, so the active version is logged.
        last = {name: offline.last_committed(name) for name in sorted({version.id.feature for version in versions})}
        versions_by_id = {version.id: version for version in offline.versions()}
    with offline.writing(run_id) as run:
        yield run_id, run
        features = tuple(
            FeatureRun(name, "delete", "ok", versions_by_id[id_].number, id_.sha256, rows_written=rows[name], note=note)
            for name, id_ in last.items()
            if id_ in versions_by_id
        )
        duration = round(time.perf_counter() - clock, 6)
        run.finish(
            Run(
                run_id, started, times.now(), duration, "ok", ("delete",), os.uname().nodename,
                commit, features, run.run_seq, run.learned_at,
            )
        )  # fmt: skip
