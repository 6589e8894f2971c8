"""Deleting an entity: by tombstones from an instant on, or by erasing every row that was ever learned of it.

Tombstones are history like any other rows: joins answer null from then on, and the online values go at the next sync.
Erasing is for the law: the rows leave both stores and the disk, and what was derived from them is removed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.errors import StoreError, UsageError
from featurestore.locking import write_lock
from featurestore.model import EntityType, FeatureRun, Run, StoredVersion
from featurestore.offline.contract import TOMBSTONE, DataSet, OfflineStore, RunTransaction
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore
from featurestore.point_in_time.entities import Entity
from featurestore.registry.git import commit_of
from featurestore.runs import new_run_id
from featurestore.tables.types import INSTANT, key_types
from featurestore.workflows.datasets.label_files import datasets_naming

AHEAD = 300_000_000  # µs that a deletion may be dated ahead of the clock, as a value may


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What was deleted, or would be: tombstones written or rows erased, by feature, all versions together.

    ``run_id`` is None where nothing was changed. ``online_error`` says why the online values could not be erased;
    ``datasets`` are those whose stored labels named the entity and were removed.
    """

    entity_type: EntityType
    entity: Entity
    erased: bool
    at: int
    rows: Mapping[str, int]
    run_id: str | None
    online_error: str | None = None
    datasets: tuple[str, ...] = ()


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
    with write_lock(project):
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
            return DeleteResult(entity_type, entity, False, moment, rows, None)
        with _run(project, offline, list(todo), rows, "1 entity deleted") as (run_id, run):
            for version, frame in todo.items():
                run.delete(version, frame)
    return DeleteResult(entity_type, entity, False, moment, rows, run_id)


def erase(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    entity_type: EntityType,
    entity: Entity,
    *,
    dry_run: bool = False,
) -> DeleteResult:
    """Removes every row of an entity, offline and online, for good.

    What was derived from the history is removed with it, and so are stored label files that name the entity: their
    data sets can't be made again. The audit log records how many rows were erased, not whose. With ``dry_run`` the
    result says what would be erased. Raises LockedError, StoreError; where the online store can't be reached, the
    result says so and the next sync erases there.
    """
    run_id: str | None = None
    online_error: str | None = None
    with write_lock(project):
        found = _find_rows(offline, entity_type, entity)
        if found and not dry_run:
            run_id = _erase_offline(project, offline, found)
    if not dry_run:
        try:
            # Online last: a sync in between would write the values again from a history that still has them.
            online.remove([layout.entity_key(project.name, entity_type, entity)])
        except StoreError as exc:
            online_error = str(exc)
    names = tuple(dataset.name for dataset in found.datasets)
    return DeleteResult(entity_type, entity, True, times.now(), found.by_feature(), run_id, online_error, names)


@dataclass(frozen=True, slots=True)
class _EntityRows:
    """What the offline store has of an entity: rows by version, and the data sets whose stored labels name it."""

    entity: pl.DataFrame
    counts: Mapping[StoredVersion, int]
    datasets: Sequence[DataSet]

    def __bool__(self) -> bool:
        return bool(self.datasets) or any(self.counts.values())

    def by_feature(self) -> Mapping[str, int]:
        rows: Counter[str] = Counter()
        for version, count in self.counts.items():
            rows[version.id.feature] += count
        return +rows

    def affected(self) -> list[StoredVersion]:
        """The versions that lose rows, and those that the data sets were made of."""
        used = {(item.feature, item.sha256) for dataset in self.datasets for item in dataset.features}
        return [
            version
            for version, count in self.counts.items()
            if count or (version.id.feature, version.id.sha256) in used
        ]


def _find_rows(offline: OfflineStore, entity_type: EntityType, entity: Entity) -> _EntityRows:
    wanted = _frame(entity_type, entity)
    with offline.reading():
        counts = {
            version: offline.scan(version, entities=wanted).height
            for version in offline.versions()
            if version.entity_type == entity_type
        }
        return _EntityRows(wanted, counts, datasets_naming(offline, entity_type, wanted))


def _erase_offline(project: Project, offline: OfflineStore, found: _EntityRows) -> str:
    """Erases the rows and the label files, and what was derived from them; gives the run's id."""
    note = "1 entity erased"
    if found.datasets:
        note += f", and the labels of {', '.join(dataset.name for dataset in found.datasets)}"
    with _run(project, offline, found.affected(), found.by_feature(), note) as (run_id, run):
        for version in found.counts:
            run.erase(version, found.entity)
        run.drop_labels({dataset.labels_sha256 for dataset in found.datasets})
    offline.purge()
    shutil.rmtree(project.state / "columns", ignore_errors=True)
    return run_id


def _tombstones(
    offline: OfflineStore, version: StoredVersion, entity: Entity, moment: int
) -> tuple[bool, pl.DataFrame]:
    """Whether the entity has any row, and the (keys, computed_at) that need a tombstone."""
    names = list(version.entity_type.key_names)
    rows = offline.scan(version, entities=_frame(version.entity_type, entity))
    # The scan ends with run_seq, so the last row of an instant is the one that counts.
    latest = rows.unique([*names, "computed_at"], keep="last", maintain_order=True)
    instant = pl.lit(moment).cast(pl.Int64).cast(INSTANT)
    later = latest.filter(pl.col("computed_at") >= instant)
    here = _frame(version.entity_type, entity).with_columns(instant.alias("computed_at"))
    deleted = later.filter(pl.col("op") == TOMBSTONE).select(*names, "computed_at")
    wanted = pl.concat([later.select(*names, "computed_at"), here]).unique(maintain_order=True)
    before = latest.filter(pl.col("computed_at") < instant)
    already_deleted = before.height > 0 and before["op"][-1] == TOMBSTONE
    todo = wanted.join(deleted, on=[*names, "computed_at"], how="anti")
    if already_deleted and not later.filter(pl.col("op") != TOMBSTONE).height:
        todo = todo.clear()
    return rows.height > 0, todo.sort(*names, "computed_at")


def _frame(entity_type: EntityType, entity: Entity) -> pl.DataFrame:
    return pl.DataFrame({name: [entity[name]] for name in entity_type.key_names}, schema=key_types(entity_type))


@contextmanager
def _run(
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
