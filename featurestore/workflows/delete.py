"""Taking an entity out: by tombstones, from an instant on, or with every row that was ever learned of it.

Tombstones are history like any other: joins answer null from then on, and the online values go at the next sync.
Erasing is for the law: rows leave the stores and the disk, and what was derived from them is thrown away.
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
from featurestore.offline.contract import TOMBSTONE, OfflineStore, RunTransaction
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore
from featurestore.point_in_time.entities import Entity
from featurestore.registry.git import commit_of
from featurestore.runs import new_run_id
from featurestore.tables.types import INSTANT, key_types
from featurestore.workflows.datasets.labels import datasets_naming

AHEAD = 300_000_000  # µs: a deletion may be dated as far ahead of the clock as a value may


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What was deleted: rows (tombstones written, or rows erased) by feature, all versions together.

    ``run_id`` is None where nothing was changed. ``unreached`` says why the online values are still there;
    ``datasets`` are those whose kept labels named the entity, and went.
    """

    entity_type: EntityType
    entity: Entity
    erased: bool
    at: int
    rows: Mapping[str, int]
    run_id: str | None
    unreached: str | None = None
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

    What is known to be later than that instant is deleted too. Run again, it writes nothing. Raises UsageError for
    an instant in the future, LockedError, StoreError.
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
        known = any(found for found, _ in frames.values())
        todo = {version: frame for version, (_, frame) in frames.items() if known and frame.height}
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

    What was derived from the history is thrown away with it, and so are kept label files that name the entity: their
    data sets can't be made again. The audit log keeps how many rows went, not whose. Raises LockedError, StoreError;
    an online store that can't be reached is a warning, and the next sync's work.
    """
    wanted = _frame(entity_type, entity)
    run_id: str | None = None
    unreached: str | None = None
    with write_lock(project):
        with offline.reading():
            counts = {
                version: offline.scan(version, entities=wanted).height
                for version in offline.versions()
                if version.entity_type == entity_type
            }
            datasets = datasets_naming(offline, entity_type, wanted)
        rows: Counter[str] = Counter()
        for version, count in counts.items():
            rows[version.id.feature] += count
        rows = +rows
        if (rows or datasets) and not dry_run:
            used = {(item.feature, item.sha256) for dataset in datasets for item in dataset.features}
            touched = [
                version for version, count in counts.items() if count or (version.id.feature, version.id.sha256) in used
            ]
            note = "1 entity erased"
            if datasets:
                note += f", and the labels of {', '.join(dataset.name for dataset in datasets)}"
            with _run(project, offline, touched, rows, note) as (run_id, run):
                for version in counts:
                    run.erase(version, wanted)
                run.drop_labels({dataset.labels_sha256 for dataset in datasets})
            offline.purge()
            shutil.rmtree(project.state / "columns", ignore_errors=True)
    if not dry_run:
        try:
            online.remove([layout.entity_key(project.name, entity_type, entity)])
        except StoreError as exc:
            unreached = str(exc)
    names = tuple(dataset.name for dataset in datasets)
    return DeleteResult(entity_type, entity, True, times.now(), rows, run_id, unreached, names)


def _tombstones(
    offline: OfflineStore, version: StoredVersion, entity: Entity, moment: int
) -> tuple[bool, pl.DataFrame]:
    """Whether anything is held of the entity, and the (keys, computed_at) that need a tombstone."""
    names = list(version.entity_type.key_names)
    rows = offline.scan(version, entities=_frame(version.entity_type, entity))
    latest = rows.unique([*names, "computed_at"], keep="last", maintain_order=True)
    instant = pl.lit(moment).cast(pl.Int64).cast(INSTANT)
    later = latest.filter(pl.col("computed_at") >= instant)
    here = _frame(version.entity_type, entity).with_columns(instant.alias("computed_at"))
    gone = later.filter(pl.col("op") == TOMBSTONE).select(*names, "computed_at")
    wanted = pl.concat([later.select(*names, "computed_at"), here]).unique(maintain_order=True)
    before = latest.filter(pl.col("computed_at") < instant)
    still_gone = before.height > 0 and before["op"][-1] == TOMBSTONE
    todo = wanted.join(gone, on=[*names, "computed_at"], how="anti")
    if still_gone and not later.filter(pl.col("op") != TOMBSTONE).height:
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
    with offline.reading():
        # Whatever version is logged last is taken for the active one: so it is logged.
        last = {name: offline.last_committed(name) for name in sorted({version.id.feature for version in versions})}
        held = {version.id: version for version in offline.versions()}
    with offline.writing(run_id) as run:
        yield run_id, run
        features = tuple(
            FeatureRun(name, "delete", "ok", held[id_].number, id_.sha256, rows_written=rows[name], note=note)
            for name, id_ in last.items()
            if id_ in held
        )
        duration = round(time.perf_counter() - clock, 6)
        run.finish(
            Run(
                run_id, started, times.now(), duration, "ok", ("delete",), os.uname().nodename,
                commit, features, run.run_seq, run.learned_at,
            )
        )  # fmt: skip
