"""What the places show, read from files and stores. Every function here may wait, so each is called in a thread.

Nothing runs a user's code, nothing is changed (the summary of the audit log may be written anew, as ``list`` does), and
no store stays open after a call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from featurestore import times
from featurestore.config import FILE, Project, load_project
from featurestore.errors import FeatureStoreError
from featurestore.frozen import frozen
from featurestore.locking import holder_of
from featurestore.model import Feature, Problem, Run, StoredVersion, VersionId
from featurestore.offline.contract import DataSet, OfflineStore
from featurestore.offline.duckdb.holder import holder_of_file
from featurestore.offline.duckdb.place import history_path, stamp_of
from featurestore.offline.totals import RunTotals, VersionTotals
from featurestore.registry.discovery import BrokenDeclaration
from featurestore.tui.filter import Searchable, searchable
from featurestore.versioning.analysis.tree import SourceTree, without_collecting
from featurestore.workflows.catalogue import (
    Catalogue,
    Detail,
    Entry,
    Filter,
    list_features,
    locked_entries,
    locked_names,
    refresh,
    show_feature,
)
from featurestore.workflows.diff import CodeDiff, Difference, compare_values, diff_code
from featurestore.workflows.drift.timeline import DriftResult, timeline
from featurestore.workflows.feature_sets import ModelUse, models_using
from featurestore.workflows.runs import RunDetail, show_run
from featurestore.workflows.version_commits import VersionCommits, known_commits

SCORES = 24
"""The runs of a sparkline."""
POINTS = 200
"""The runs of a timeline."""
RUNS_AT_ONCE = 5_000
LARGE, FIRST_PAGE = 1_000, 100
"""From how many features on the first ones are shown before all are read, and how many that are."""
FEATURE_FIELDS = ("tag", "owner", "status", "entity", "source", "type")
RUN_FIELDS = ("status", "source", "feature", "commit")


@dataclass(frozen=True)  # no slots: what it works out is kept
class FeatureRow:
    """A feature as a line of the list. ``totals`` are None until the store has answered."""

    entry: Entry
    searched: Searchable
    totals: VersionTotals | None = None
    is_locked: bool = False
    """Whether it is as it was last locked, and what its code says now is still being read."""

    @property
    def name(self) -> str:
        return self.entry.feature.name

    @property
    def feature(self) -> Feature:
        return self.entry.feature

    @cached_property
    def score(self) -> float | None:
        drift = self.entry.drift
        found = drift.get("score") if isinstance(drift, Mapping) else None
        return float(found) if isinstance(found, int | float) else None

    @cached_property
    def drifted(self) -> bool:
        return isinstance(self.entry.drift, Mapping) and bool(self.entry.drift.get("detected"))


@frozen
class FeatureList:
    """All features, and what can't be listed. ``code`` is the state of the code that was read."""

    catalogue: Catalogue
    rows: tuple[FeatureRow, ...]
    code: str

    @property
    def broken(self) -> tuple[BrokenDeclaration, ...]:
        return self.catalogue.broken


@frozen
class LockedPage:
    """The first features by name, of so many, to look at until all are read."""

    rows: tuple[FeatureRow, ...]
    count: int


@frozen
class FeatureFiles:
    """What the files say of one feature, git of its versions, and the settings of the models that use it."""

    detail: Detail
    commits: VersionCommits
    models: tuple[ModelUse, ...]


@frozen
class FeatureHistory:
    """What the stores say of one feature. ``watermark`` is the run up to which its active version is online.

    ``horizon`` (µs) is up to when the values of a window are known. Of a request-time feature there are no values, and
    ``offline_inputs`` are those of its inputs that are not online.
    """

    timeline: DriftResult | None
    runs: tuple[RunRow, ...]
    datasets: tuple[DataSet, ...]
    watermark: int | None
    online_problem: str | None
    horizon: int | None = None
    offline_inputs: tuple[str, ...] = ()


@frozen
class RunRow:
    """A run as a line of the list."""

    totals: RunTotals
    searched: Searchable


@frozen
class State:
    """Cheap to read, and another one once something was committed or the code was changed."""

    stores: str
    code: str
    versions: str


@dataclass(slots=True)
class Data:
    """A project's data. Threads may share it."""

    project: Project
    _store: OfflineStore | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, root: Path) -> Data:
        return cls(load_project(root))

    @property
    def store(self) -> OfflineStore:
        """The offline store. Nothing is opened before it is asked."""
        # These bring DuckDB and Polars, which the first frame need not.
        from featurestore.offline.duckdb.connect import leave_a_core
        from featurestore.offline.open import open_offline

        with self._opening:
            if self._store is None:
                leave_a_core()
                self._store = open_offline(self.project)
            return self._store

    # What has changed

    def state(self) -> State:
        """The state of the project's files. Opens nothing; of a store on a server it says nothing."""
        own = self.project.state
        stamps = [stamp_of(history_path(self.project)), _stat(self.project.summary), _stat(own / "synced.json")]
        return State(" ".join(stamps), self.code(), self._versions())

    def server_stamp(self) -> str:
        """The state of a store on a server; nothing for the embedded one. Raises StoreError."""
        return "" if self.project.offline_url is None else self.store.stamp()

    def code(self) -> str:
        """The state of the project's Python files and settings, from the times of the folders and files alone."""
        newest, count = 0, 0
        stack = [self.project.features]
        while stack:
            with suppress(OSError), os.scandir(stack.pop()) as found:
                for item in found:
                    if item.name.startswith((".", "__pycache__")):
                        continue
                    if item.is_dir(follow_symlinks=False):
                        stack.append(Path(item.path))
                    elif item.name.endswith(".py"):
                        count += 1
                        newest = max(newest, item.stat(follow_symlinks=False).st_mtime_ns)
        return f"{count}.{newest:x} {_stat(self.project.root / FILE)}"

    def _versions(self) -> str:
        """The state of the version files: each feature's folder changes with what is written into it."""
        newest, count = 0, 0
        with suppress(OSError), os.scandir(self.project.versions) as found:
            for item in found:
                count += 1
                newest = max(newest, item.stat(follow_symlinks=False).st_mtime_ns)
        return f"{count}.{newest:x}"

    def holder(self) -> str | None:
        """Who writes to the project now, or keeps its history open for writing."""
        with suppress(OSError):
            return holder_of(self.project) or holder_of_file(history_path(self.project))
        return None

    # Features

    def features(self, known: FeatureList | None = None) -> FeatureList:
        """All features. Where the code is as in the known list, only their history is read again."""
        code = self.code()
        if known is not None and known.code == code:
            catalogue = refresh(self.project, known.catalogue)
        else:
            self.project = load_project(self.project.root)
            catalogue = self._read_code()
        totals = {} if known is None else {row.name: row.totals for row in known.rows}
        rows = tuple(
            FeatureRow(entry, _feature_text(entry), totals.get(entry.feature.name)) for entry in catalogue.entries
        )
        return FeatureList(catalogue, rows, code)

    def _read_code(self) -> Catalogue:
        """The declared features, without a pause of Python's collector and without keeping their code."""
        tree = SourceTree(self.project.root)
        with without_collecting():
            found = list_features(self.project, Filter(), tree)
            tree.forget()
        return found

    def locked(self) -> LockedPage | None:
        """The first features of a large project as they were last locked; None for one that is listed soon enough."""
        names = locked_names(self.project)
        if len(names) < LARGE:
            return None
        entries = locked_entries(self.project, names[:FIRST_PAGE])
        rows = tuple(FeatureRow(entry, _feature_text(entry), is_locked=True) for entry in entries)
        return LockedPage(rows, len(names))

    def with_totals(self, listed: FeatureList) -> FeatureList:
        """The same list with what the store adds up for the active versions."""
        totals = self.store.version_totals(last=SCORES)
        rows = [
            replace(row, totals=totals.get(VersionId(row.name, row.entry.active_sha256 or ""), VersionTotals(0, ())))
            for row in listed.rows
        ]
        return replace(listed, rows=tuple(rows))

    # One feature

    def feature_files(self, name: str) -> FeatureFiles:
        """Raises DeclarationError for a name that is not a feature's."""
        detail = show_feature(self.project, name)
        return FeatureFiles(detail, known_commits(self.project, name), models_using(self.project, name))

    def feature_history(self, feature: Feature, sha256: str | None) -> FeatureHistory:
        """Raises StoreError where the offline store can't be read; one online that can't is named in the answer."""
        store, name = self.store, feature.name
        found, horizons = None, list[int]()
        with store.reading():
            if sha256 is not None:
                with suppress(FeatureStoreError):  # no history yet
                    found = timeline(self.project, store, f"{name}@{sha256}", last=POINTS)
                horizons = store.horizons(VersionId(name, sha256))
            runs = tuple(RunRow(item, run_text(item)) for item in store.run_totals(feature=name, last=POINTS))
            datasets = tuple(item for item in store.datasets() if any(part.feature == name for part in item.features))
        online, problem = self._online()
        return FeatureHistory(
            found, runs, datasets, online.get(VersionId(name, sha256 or "")), problem, max(horizons, default=None),
            tuple(item.name for item in feature.inputs if VersionId(item.name, item.sha256) not in online),
        )  # fmt: skip

    def _online(self) -> tuple[Mapping[VersionId, int], str | None]:
        """Up to which run each version is online, or why that can't be read."""
        from featurestore.workflows.status import online_watermarks

        try:
            return online_watermarks(self.project), None
        except FeatureStoreError as exc:
            return {}, str(exc)

    # Two versions

    def code_difference(self, name: str, old: str | None, new: str | None) -> CodeDiff:
        """Raises UsageError or VersionFileError for versions that are not there, or are not two."""
        return diff_code(self.project, name, old, new)

    def value_difference(self, code: CodeDiff) -> Difference:
        """The same with what moved."""
        store = self.store
        entity_type = next((version.entity_type for version in store.versions(code.feature)), None)
        return Difference(code, compare_values(store, code, memory=self.project.memory), entity_type)

    def version_choices(self, name: str) -> list[tuple[str, str]]:
        """What ``diff`` can compare of a feature: each version's number with its hash, then the working tree."""
        from featurestore.versioning.folder.files import versions_of

        found = [(str(item.number), item.short) for item in versions_of(self.project.versions, name)]
        return [*found, ("worktree", "the code as it is now")]

    # Drift and runs

    def timeline(self, reference: str) -> DriftResult:
        """The drift of a version, run by run. Raises UsageError where it has no history."""
        return timeline(self.project, self.store, reference, last=POINTS)

    def runs(self, feature: str | None, skip: int, last: int = RUNS_AT_ONCE) -> list[RunRow]:
        """Some of the audit log, newest first."""
        return [RunRow(item, run_text(item)) for item in self.store.run_totals(feature=feature, last=last, skip=skip)]

    def run(self, run_id: str) -> RunDetail:
        """One run with all that it set aside. Raises UsageError."""
        return show_run(self.store, run_id)


def version_reference(version: StoredVersion) -> str:
    """``name@2``, as commands take it."""
    return f"{version.id.feature}@{version.number}"


def errors_of(run: Run) -> list[tuple[str, Problem]]:
    """The features that failed in a run, and why."""
    return [(item.name, item.error) for item in run.features if item.error is not None]


def age_of(entry: Entry) -> int | None:
    """How long ago (µs) the last run was that took the feature; None where none has."""
    at = entry.summary.last_run_at
    return None if at is None else max(0, times.now() - at)


def _feature_text(entry: Entry) -> Searchable:
    feature = entry.feature
    fields: dict[str, Sequence[str]] = {
        "tag": feature.tags, "owner": (feature.owner,), "status": (feature.status,),
        "entity": (feature.entity_type.name,), "source": feature.source_names,
        "type": (str(feature.data_type),),
    }  # fmt: skip
    words = [feature.name, feature.description, *(word for each in fields.values() for word in each)]
    return searchable(" ".join(words), fields)


def run_text(run: RunTotals) -> Searchable:
    """What a run is searched by."""
    fields: dict[str, Sequence[str]] = {
        "status": (run.status,), "source": run.sources, "feature": run.names, "commit": (run.git_commit or "",),
    }  # fmt: skip
    at = times.format_instant(run.started_at)
    number = "" if run.run_seq is None else str(run.run_seq)
    return searchable(" ".join([run.run_id, number, at, *(word for each in fields.values() for word in each)]), fields)


def _stat(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "-"
    return f"{found.st_ino:x}.{found.st_size:x}.{found.st_mtime_ns:x}"
