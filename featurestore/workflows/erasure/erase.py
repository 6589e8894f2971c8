"""``delete --erase``: removes all that is stored of an entity, for the law.

What stays behind elsewhere is said: files of the sources that still name it, and what no program can reach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.model import EntityType, StoredVersion
from featurestore.offline.contract import DataSet, Measures, OfflineStore
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore
from featurestore.point_in_time.entities import Entity
from featurestore.progress import SILENT, Progress
from featurestore.registry.discovery import discover
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.workflows.datasets.label_files import datasets_naming
from featurestore.workflows.delete import DeleteResult, deletion_run, entity_frame
from featurestore.workflows.erasure.completion import (
    complete_erasures,
    flag_erasure,
    later,
    remove_online,
    writing_turn,
)
from featurestore.workflows.erasure.kept import kept_naming
from featurestore.workflows.erasure.measures import measure_without
from featurestore.workflows.erasure.namesakes import find_namesakes
from featurestore.workflows.erasure.positions import PositionErasure, positions_without
from featurestore.workflows.erasure.raw import RawErasure, raw_folder, raw_without
from featurestore.workflows.erasure.sources import SourcesNaming, feeding, sources_naming
from featurestore.workflows.request_logs import count_lines, erase_lines

ERASED = "1 entity erased"  # how the note of a run begins that has erased
COPIES = (
    "backups, and files of your own: sources, labels, exports, results of joins, reports, logs of requests that were "
    "moved or written on other machines"
)
POSTGRESQL = "PostgreSQL's write-ahead log, its archive and standbys; its statistics too, unless you own the database"
REDIS = "snapshots and append-only files of the online store, until it writes them again"


def erase(
    project: Project,
    offline: OfflineStore,
    online: OnlineStore,
    entity_type: EntityType,
    entity: Entity,
    *,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> DeleteResult:
    """Removes every row of an entity, offline and online, for good, and whatever was measured or derived from it.

    Stored label files that name it go too: their data sets can't be made again. Rows that were set aside and name it
    go, lines of logs of requests, and the texts of recorded errors, which may quote it. The audit log records how many
    rows were erased, not whose. With ``dry_run`` the result says what would be erased. Raises LockedError, StoreError;
    where the online store or a log can't be cleaned, or somebody keeps rows in the database's files, the result says
    so, and the next command that writes goes on.
    """
    if dry_run:
        found = _find_traces(project, offline, entity_type, entity)
        # Which files are gone is not looked up, so their names are not counted.
        positions = positions_without(offline, entity_type, entity, lambda _source: None)
        beside = bool(found.named or positions) or kept_naming(project, entity_type, entity)
        beside = beside or _raw_naming(project, offline, entity_type, entity, progress)
        others = find_namesakes(offline, entity_type, entity)
        return replace(_result(project, entity_type, entity, found, SourcesNaming()), namesakes=others, beside=beside)
    run_id: str | None = None
    errors, completed = 0, False
    online_key = layout.entity_key(project.name, entity_type, entity)
    with writing_turn(project, offline) as unfinished, raw_folder(project) as folder:
        found = _find_traces(project, offline, entity_type, entity)
        raw = raw_without(project, offline, entity_type, entity, folder, progress)
        named = sources_naming(project, entity_type, entity, progress)
        # Of a source that is not declared any more no file is there.
        there = {name: named.files.get(name) for name in project.sources}
        positions = positions_without(offline, entity_type, entity, lambda source: there.get(source, ()))
        beside = bool(found.named or raw.batches or positions) or kept_naming(project, entity_type, entity)
        if found or beside:
            flag_erasure(project)
            rest = _Rest(raw, positions, named.remaining)
            run_id, errors = _erase_offline(project, offline, found, rest, online_key)
            # Online after the commit: a sync in between would write the values again from a history that has them.
            left = complete_erasures(project, offline, online).left
        else:
            error = remove_online(project, offline, online, [online_key])
            completed = unfinished.completed
            left = (*unfinished.left, *(() if error is None else (later(error),)), *erase_lines(project, [online_key]))
    named = replace(named, unread=(*named.unread, *raw.unread))
    result = _result(
        project, entity_type, entity, found, named,
        run_id=run_id, incomplete=left, errors=errors, completed=completed,
    )  # fmt: skip
    return replace(result, namesakes=find_namesakes(offline, entity_type, entity), beside=beside)


@frozen
class _Traces:
    """What the offline store and the logs of requests have of an entity.

    ``rows`` are counts, and ``runs`` those that wrote them, by version; ``named`` counts set-aside rows and recorded
    errors that name it, ``logged`` lines of logs; ``datasets`` are those whose stored labels name it.
    """

    entity_type: EntityType
    entity: pl.DataFrame
    rows: Mapping[StoredVersion, int]
    runs: Mapping[StoredVersion, set[int]]
    named: int
    logged: int
    datasets: Sequence[DataSet]

    def __bool__(self) -> bool:
        return bool(self.datasets or self.named or self.logged) or any(self.rows.values())

    @property
    def keys(self) -> list[str | int]:
        return list(self.entity.row(0))

    def by_feature(self) -> Mapping[str, int]:
        rows: Counter[str] = Counter()
        for version, count in self.rows.items():
            rows[version.id.feature] += count
        return +rows

    def affected(self) -> list[StoredVersion]:
        """The versions that lose rows, and those that the data sets were made of."""
        used = {(item.feature, item.sha256) for dataset in self.datasets for item in dataset.features}
        return [
            version for version, count in self.rows.items() if count or (version.id.feature, version.id.sha256) in used
        ]


@frozen
class _Rest:
    """What is stored of sources without the entity. ``remaining`` are those that still have rows of it."""

    raw: RawErasure
    positions: PositionErasure
    remaining: Sequence[str]


def _find_traces(project: Project, offline: OfflineStore, entity_type: EntityType, entity: Entity) -> _Traces:
    wanted = entity_frame(entity_type, entity)
    rows: dict[StoredVersion, int] = {}
    runs: dict[StoredVersion, set[int]] = {}
    with offline.reading():
        for version in offline.versions():
            if version.entity_type == entity_type:
                coming = offline.coming(version, entities=wanted)
                held = pl.concat([offline.scan(version, entities=wanted), coming], how="diagonal")
                rows[version], runs[version] = held.height, set(held["run_seq"].to_list())
        named = offline.count_naming([entity[name] for name in entity_type.key_names])
        datasets = datasets_naming(offline, entity_type, wanted)
    logged = count_lines(project, layout.entity_key(project.name, entity_type, entity))
    return _Traces(entity_type, wanted, rows, runs, named, logged, datasets)


def _raw_naming(
    project: Project, offline: OfflineStore, entity_type: EntityType, entity: Entity, progress: Progress
) -> bool:
    """Whether raw rows name an entity. Writes only where there are any: others need no right to."""
    with offline.reading():
        if not offline.raw_batches():
            return False
    with raw_folder(project) as folder:
        return bool(raw_without(project, offline, entity_type, entity, folder, progress).batches)


def _erase_offline(
    project: Project,
    offline: OfflineStore,
    found: _Traces,
    rest: _Rest,
    online_key: str,
) -> tuple[str, int]:
    """Erases in one transaction, and records there what is still to be done; gives the run's id, and errors dropped."""
    note = ERASED
    if found.datasets:
        note += f", and the labels of {', '.join(dataset.name for dataset in found.datasets)}"
    # Before the store is open for writing: it is read for what remains.
    measured = [(version, each) for version in found.rows for each in _measures(project, offline, version, found)]
    read = feeding(project, found.entity_type)
    declared = discover(project, SourceTree(project.root)).features
    others = {item.name for item in declared if not read.intersection(item.source_names)}
    with deletion_run(project, offline, found.affected(), found.by_feature(), note) as (run_id, run):
        run.begin_erasure(online_key)
        for version in found.rows:
            run.erase(version, found.entity)
        for version, measures in measured:
            run.replace_measures(version.id, measures)
        run.unmark_deleted(found.entity_type, found.entity)
        rest.raw.store(run, remaining=rest.remaining)
        rest.positions.store(run)
        run.erase_rejected(found.keys)
        errors = run.drop_errors(found.keys, keep=others)
        run.drop_labels({dataset.labels_sha256 for dataset in found.datasets})
    return run_id, errors


def _measures(project: Project, offline: OfflineStore, version: StoredVersion, found: _Traces) -> list[Measures]:
    if not found.rows[version]:
        return []
    declared = discover(project, SourceTree(project.root)).features
    tags = next((item.tags for item in declared if item.name == version.id.feature), ())
    settings = project.drift.of(version.id.feature, tags)
    with offline.reading():
        return list(measure_without(offline, version, found.entity, found.runs[version], settings))


def _result(
    project: Project,
    entity_type: EntityType,
    entity: Entity,
    found: _Traces,
    named: SourcesNaming,
    *,
    run_id: str | None = None,
    incomplete: tuple[str, ...] = (),
    errors: int = 0,
    completed: bool = False,
) -> DeleteResult:
    beyond = [COPIES]
    beyond += [POSTGRESQL] if project.offline_url else []
    beyond += [REDIS] if project.online_url else []
    return DeleteResult(
        entity_type, entity, True, times.now(), found.by_feature(), run_id, incomplete,
        tuple(dataset.name for dataset in found.datasets), errors, found.logged, named.named_in,
        named.unread, tuple(beyond), completed=completed,
    )  # fmt: skip
