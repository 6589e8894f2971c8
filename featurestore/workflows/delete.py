"""Deleting an entity from an instant on: a tombstone there, and what is held after it is withdrawn.

Both are history like any other rows: joins answer null from then on, and the online values go at the next sync.
Erasing what was ever learned of it is `workflows.erasure`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import EntityType, FeatureRun, Run, StoredVersion
from featurestore.offline.contract import TOMBSTONE, UNTIL, VALUE, WITHDRAWN, OfflineStore, RunTransaction
from featurestore.point_in_time.entities import Entity
from featurestore.registry.git import commit_of
from featurestore.runs import new_run_id
from featurestore.tables.types import INSTANT, key_types
from featurestore.workflows.erasure.completion import writing_turn


@frozen
class DeleteResult:
    """What was deleted, or would be: tombstones and withdrawn rows written, or rows erased, by feature, all versions
    together.

    ``run_id`` is None where nothing was changed. The rest is of erasures. ``incomplete`` says what could not be
    erased yet, why, and what to do; ``datasets`` are those whose stored labels named the entity and were removed;
    ``errors`` counts the texts of recorded errors that were removed, since they may quote values, and ``logged`` the
    lines of logs of requests that name the entity; ``beside`` says whether anything else named it: rows of sources that
    are kept or were set aside, recorded errors, positions; ``named_in`` are files of the sources that still name the
    entity, and ``unread`` says which could not be looked through; ``beyond`` is what an erasure can't reach.
    ``deleted_before`` says that there is history of the entity, and all of it is deleted already; ``completed`` that
    all there was to do was to complete an erasure that had been broken off. ``namesakes`` are lines on entities of
    other types that have its keys among theirs.
    """

    entity_type: EntityType
    entity: Entity
    erased: bool
    at: int
    rows: Mapping[str, int]
    run_id: str | None
    incomplete: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    errors: int = 0
    logged: int = 0
    named_in: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    deleted_before: bool = False
    completed: bool = False
    namesakes: tuple[str, ...] = ()
    beside: bool = False

    @property
    def exit_code(self) -> int:
        """0 done; 3 where a file of a source or a store still has the entity, or other entities have its keys."""
        return 3 if self.incomplete or self.named_in or self.unread or self.namesakes else 0


def delete(
    project: Project,
    offline: OfflineStore,
    entity_type: EntityType,
    entity: Entity,
    at: int | None = None,
    *,
    dry_run: bool = False,
) -> DeleteResult:
    """Deletes an entity in every feature of its type, from an instant (µs; now by default) on.

    At the instant each version gets a tombstone, and what it holds after it is withdrawn: what later rows make of the
    time after it is written by the next run. A second deletion writes nothing. With ``dry_run`` the result says what
    would be written. Raises UsageError for an instant ahead of the clock, LockedError, StoreError.
    """
    now = times.now()
    moment = now if at is None else at
    if moment > now:
        raise UsageError(
            f"--at {times.format_instant(moment)} lies in the future", hint="leave out --at to delete it from now on"
        )
    with writing_turn(project, offline, dry_run=dry_run):
        with offline.reading():
            marks = offline.deletions(entity_type).join(entity_frame(entity_type, entity), on=entity_type.key_names)
            by_snapshot = marks.filter(pl.col("author") == "snapshot")["deleted_at"].to_physical().to_list()
            found = {
                version: _changes(offline, version, entity, moment, now, by_snapshot)
                for version in offline.versions()
                if version.entity_type == entity_type
            }
        has_history = any(changes.stored for changes in found.values())
        todo = {version: changes for version, changes in found.items() if has_history and changes.any}
        rows: Counter[str] = Counter()
        withdrawn: Counter[str] = Counter()
        for version, changes in todo.items():
            rows[version.id.feature] += changes.rows
            withdrawn[version.id.feature] += changes.withdrawn.height
        if not todo or dry_run:
            return DeleteResult(entity_type, entity, False, moment, rows, None, deleted_before=has_history and not todo)
        note = "1 entity deleted"
        with deletion_run(project, offline, list(todo), rows, note, withdrawn=withdrawn, clock=now) as (run_id, run):
            instant = pl.lit(moment).cast(pl.Int64).cast(INSTANT).alias("deleted_at")
            run.mark_deleted(entity_type, entity_frame(entity_type, entity).with_columns(instant), "user")
            for version, changes in todo.items():
                if version.steps:
                    _settle(run, version, entity, changes.coming, now)
                run.delete(version, changes.deleted)
                run.withdraw(version, changes.withdrawn)
    return DeleteResult(entity_type, entity, False, moment, rows, run_id)


@frozen
class _Changes:
    """What a deletion does to a version: the (keys, computed_at) that get a tombstone, and those that are withdrawn.

    ``stored`` says whether the version has any row of the entity; ``coming`` are its coming steps, which it loses.
    """

    stored: bool
    deleted: pl.DataFrame
    withdrawn: pl.DataFrame
    coming: pl.DataFrame

    @property
    def any(self) -> bool:
        return self.rows > 0 or self.coming.filter(pl.col("op") == VALUE).height > 0

    @property
    def rows(self) -> int:
        return self.deleted.height + self.withdrawn.height


def _changes(
    offline: OfflineStore,
    version: StoredVersion,
    entity: Entity,
    moment: int,
    now: int,
    by_snapshot: Collection[int],
) -> _Changes:
    """``by_snapshot`` are deletions (µs) that the entity's return would undo."""
    keys = list(version.entity_type.key_names)
    pair = [*keys, "computed_at"]
    wanted = entity_frame(version.entity_type, entity)
    rows = offline.scan(version, entities=wanted)
    coming = offline.coming(version, entities=wanted)
    stored = rows.height + coming.height > 0
    if version.steps:
        rows = pl.concat([rows, _due(coming, now)]).sort([*pair, "run_seq"])
    # The scan ends with the order of learning, so the last row of a pair is the one that counts.
    pairs = rows.unique(pair, keep="last", maintain_order=True)
    pairs = pairs.filter(pl.col("op") != WITHDRAWN)
    instant = pl.lit(moment).cast(pl.Int64).cast(INSTANT)
    later = pairs.filter((pl.col("computed_at") > instant) & (pl.col("op") == VALUE)).select(pair)
    until = pairs.filter(pl.col("computed_at") <= instant)
    here = wanted.with_columns(instant.alias("computed_at"))
    # Where the entity ends with a tombstone, it is deleted already; where later values go, the instant divides it.
    last = until["computed_at"].to_physical()[-1] if until.height and until["op"][-1] == TOMBSTONE else None
    is_here, deleted_before = last == moment, last is not None and last not in by_snapshot
    here = here.clear() if is_here or (deleted_before and not later.height) else here
    if version.steps:  # a step is never withdrawn: what is looked at next time is what stands there
        nothing = not until.height and not later.height
        return _Changes(stored, pl.concat([here.clear() if nothing else here, later]), later.clear(), coming)
    return _Changes(stored, here, later, coming)


def _due(coming: pl.DataFrame, now: int) -> pl.DataFrame:
    return coming.filter(pl.col("op") == VALUE, pl.col("computed_at") <= pl.lit(now).cast(pl.Int64).cast(INSTANT))


def _settle(run: RunTransaction, version: StoredVersion, entity: Entity, coming: pl.DataFrame, now: int) -> None:
    """Moves the steps that fell due into the history as they are, and drops those that did not."""
    run.append_rows(version, _due(coming, now))
    run.replace_coming(version, entity_frame(version.entity_type, entity), coming.filter(pl.col("op") == UNTIL))


def entity_frame(entity_type: EntityType, entity: Entity) -> pl.DataFrame:
    return pl.DataFrame({name: [entity[name]] for name in entity_type.key_names}, schema=key_types(entity_type))


@contextmanager
def deletion_run(
    project: Project,
    offline: OfflineStore,
    versions: Sequence[StoredVersion],
    rows: Mapping[str, int],
    note: str,
    *,
    withdrawn: Mapping[str, int] | None = None,
    clock: int | None = None,
) -> Iterator[tuple[str, RunTransaction]]:
    """A run of the audit log around a deletion. Each feature is logged once, under the version that is active.

    ``rows`` and, among them, ``withdrawn`` are counts by feature.
    """
    started, began, commit = times.now(), time.perf_counter(), commit_of(project.root)
    run_id = new_run_id()
    # Before the store is opened for writing, which keeps readers out.
    with offline.reading():
        # The version that is logged last counts as the active one, so the active version is logged.
        last = {name: offline.last_committed(name) for name in sorted({version.id.feature for version in versions})}
        versions_by_id = {version.id: version for version in offline.versions()}
    with offline.writing(run_id, clock=clock) as run:
        yield run_id, run
        gone = withdrawn or {}
        features = tuple(
            FeatureRun(
                name, "delete", "ok", versions_by_id[id_].number, id_.sha256, note=note,
                rows_written=rows[name] - gone.get(name, 0), rows_withdrawn=gone.get(name, 0),
            )
            for name, id_ in last.items()
            if id_ in versions_by_id
        )  # fmt: skip
        duration = round(time.perf_counter() - began, 6)
        run.finish(
            Run(
                run_id, started, times.now(), duration, "ok", ("delete",), os.uname().nodename,
                commit, features, run.run_seq, run.learned_at,
            )
        )  # fmt: skip
