"""The state of every feature in one look: what failed, is too old or has drifted, worst first.

Made for the morning and for alerting: a feature with a problem is one that somebody has to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing

from featurestore import times
from featurestore.config import Project
from featurestore.errors import FeatureStoreError
from featurestore.frozen import frozen
from featurestore.model import FeatureRun, Json, Run, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.online.open import open_online
from featurestore.online.tables import Marker
from featurestore.serving.last_sync import online_features
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.ownership import TAKE_OVER, describe_foreign, is_foreign
from featurestore.serving.plan import LOAD_AGAIN, describe_lost, describe_set_back
from featurestore.workflows.catalogue import Entry, Filter, list_features
from featurestore.workflows.refused_snapshots import NEWEST_RUNS, refused_snapshots

"""How many runs are looked at. What was last taken before them is known from the summary."""


@frozen
class FeatureState:
    """One feature. Instants and ages are microseconds.

    ``age`` is the time since the last run that took the feature without a failure, whether or not there was anything
    new; None where none has. ``online_lag`` counts the runs whose values the online store does not have yet; None where
    it has none of the feature at all. ``problems`` are sentences: what, since when, and what to run.
    """

    name: str
    version: int | None
    sha256: str | None
    age: int | None
    last_run: str | None
    last_status: str | None
    rejected: int
    drift: Mapping[str, Json] | None
    online_lag: int | None
    problems: tuple[str, ...]
    rank: int

    @property
    def drifted(self) -> bool:
        return self.drift is not None and bool(self.drift.get("detected"))


@frozen
class ProjectState:
    """All features, worst first, problems that are not those of one feature, and warnings."""

    features: tuple[FeatureState, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def problem_count(self) -> int:
        return len(self.problems) + sum(len(item.problems) for item in self.features)


def project_state(
    project: Project, store: OfflineStore, *, max_age: int | None = None, now: int | None = None
) -> ProjectState:
    """The state of the features of the working tree.

    A feature whose ``age`` is above ``max_age`` (µs) is too old. An online store that does not answer is a problem, and
    hides nothing else, and so is a history that was set back. Raises StoreError where the offline store can't be read.
    """
    now = times.now() if now is None else now
    catalogue = list_features(project, Filter())
    with store.reading():
        runs = store.runs(last=NEWEST_RUNS)
        learned = _learned(store, catalogue.entries)
    damaged = {entry.feature.name for entry in catalogue.entries if entry.damaged is not None}
    problems = [
        f"{item.problem.where or item.name}: {item.problem.message}"
        + (f" ({item.problem.hint})" if item.problem.hint else "")
        for item in catalogue.broken
        if item.name not in damaged  # those have it among their own
    ]
    lost = store.set_back()
    if lost is not None:
        problems.append(f"{lost}; {lost.hint}")
    problems += refused_snapshots(project, runs)
    watermarks: Mapping[VersionId, int] = {}
    try:
        online = _online(project, {entry.feature.name for entry in catalogue.entries})
        watermarks = {version: marker.run_seq for version, marker in online.markers.items()}
        wrong = _wrong_online(project, store, online.owner, online.markers.values())
        problems += [wrong] if wrong and lost is None else []
        problems += [f"{online.lost}; {LOAD_AGAIN}"] if online.lost and not wrong and lost is None else []
    except FeatureStoreError as exc:
        problems.append(f"the online store does not answer: {exc}")
    states = [_state(entry, runs, learned, watermarks, max_age, now) for entry in catalogue.entries]
    ordered = sorted(states, key=lambda item: (item.rank, -(item.age or 0), item.name))
    return ProjectState(tuple(ordered), tuple(problems), catalogue.warnings)


def _state(
    entry: Entry,
    runs: Sequence[Run],
    learned: Mapping[VersionId, int],
    watermarks: Mapping[VersionId, int],
    max_age: int | None,
    now: int,
) -> FeatureState:
    name, summary = entry.feature.name, entry.summary
    taken = [(run, items) for run in runs if (items := [item for item in run.features if item.name == name])]
    fresh_at = next((run.finished_at for run, items in taken if not _failure(items)), summary.last_run_at)
    age = None if fresh_at is None else max(now - fresh_at, 0)
    newest, items = taken[0] if taken else (None, [])
    drift = entry.drift if isinstance(entry.drift, Mapping) else None
    problems, rank = [], 5
    if entry.problem is not None:
        problems.append(f"can't be hashed: {entry.problem.message}, at {entry.problem.where}")
        rank = 0
    if entry.damaged is not None:
        problems.append(f"{entry.damaged.where}: {entry.damaged.message}; {entry.damaged.hint}")
        rank = 0
    failure = _failure(items)
    if failure is not None:
        problems.append(_failed(name, failure, [run for run, each in _until_success(taken)]))
        rank = 0
    elif entry.feature.materialised and fresh_at is None:
        problems.append(f"has never been ingested; run featurestore ingest {name}")
        rank = 1
    elif max_age is not None and age is not None and age > max_age:
        since = times.format_instant((fresh_at or 0) // 1_000_000 * 1_000_000)
        problems.append(f"was last ingested at {since}, longer ago than {times.format_duration(max_age)}")
        rank = 1
    if drift is not None and drift.get("detected"):
        problems.append(f"has drifted ({_reasons(drift)}); run featurestore drift {name}")
        rank = min(rank, 2)
    rejected = _still_rejected(each for _, each in taken)
    lag = _lag(name, entry.active_sha256, runs, learned, watermarks)
    if lag or rejected:
        rank = min(rank, 3)
    return FeatureState(
        name=name,
        version=entry.active.number if entry.active else None,
        sha256=entry.active_sha256,
        age=age,
        last_run=newest.run_id if newest else summary.last_run,
        last_status=_status(items) if newest else summary.last_status,
        rejected=rejected,
        drift=drift,
        online_lag=lag,
        problems=tuple(problems),
        rank=rank,
    )


def _still_rejected(taken: Iterable[Sequence[FeatureRun]]) -> int:
    """How many rows the last run set aside that read any: a run without news leaves them missing."""
    read = (items for items in taken if any(item.rows_read or item.status != "unchanged" for item in items))
    return max((item.rows_rejected for item in next(read, [])), default=0)


def _failure(items: Iterable[FeatureRun]) -> FeatureRun | None:
    return next((item for item in items if item.status == "failed"), None)


def _until_success(taken: Sequence[tuple[Run, list[FeatureRun]]]) -> list[tuple[Run, list[FeatureRun]]]:
    """The newest runs, back to the last one in which nothing of the feature failed."""
    ends = next((at for at, (_, items) in enumerate(taken) if not _failure(items)), len(taken))
    return list(taken[:ends])


def _failed(name: str, failure: FeatureRun, failing: Sequence[Run]) -> str:
    since = times.format_instant(failing[-1].started_at // 1_000_000 * 1_000_000)
    error = failure.error
    why = "" if error is None else f": {error.message}" + (f", at {error.where}" if error.where else "")
    hint = error.hint if error is not None and error.hint else f"run featurestore ingest {name}"
    often = f", {len(failing)} runs" if len(failing) > 1 else ""
    return f"has failed since {since}{often}{why} ({hint})"


def _status(items: Sequence[FeatureRun]) -> str:
    return "failed" if _failure(items) else items[0].status


def _reasons(drift: Mapping[str, Json]) -> str:
    reasons, score = drift.get("reasons"), drift.get("score")
    named = reasons if isinstance(reasons, list) else []
    words = [str(item).replace("_", " ") for item in named if item != "score"]
    return ", ".join([f"score {score:.3f}", *words] if isinstance(score, float) else words)


def _learned(store: OfflineStore, entries: Iterable[Entry]) -> dict[VersionId, int]:
    """The last run that wrote each active version, its coming steps among that."""
    active = {(entry.feature.name, entry.active_sha256) for entry in entries}
    stored = [version for version in store.versions() if (version.id.feature, version.id.sha256) in active]
    found = {version: mark.run_seq for version in stored if (mark := store.mark(version)) is not None}
    for version, last in found.items():
        if version.steps:
            newer = store.coming(version, after_run=last)["run_seq"].to_list()
            found[version] = max(newer, default=last)
    return {version.id: last for version, last in found.items()}


def online_watermarks(project: Project) -> dict[VersionId, int]:
    """How far the online store has each version that it serves. Raises StoreError."""
    with closing(open_online(project)) as store:
        return {version: marker.run_seq for version, marker in OnlineTables(store).markers().versions.items()}


@frozen
class _Online:
    """How far the online store has each version that it serves, the first run of whose values these are, and what it
    has lost.
    """

    markers: Mapping[VersionId, Marker]
    owner: str
    lost: str | None


def _online(project: Project, declared: Collection[str]) -> _Online:
    with closing(open_online(project)) as store:
        tables = OnlineTables(store)
        markers, expected = tables.markers().versions, online_features(project) & set(declared)
        lost = describe_lost(expected, tables, store.pulse())
        return _Online(markers, tables.owner(), lost)


def _wrong_online(project: Project, store: OfflineStore, owner: str, markers: Collection[Marker]) -> str | None:
    """Where what is online comes from another history, or from runs that this one does not have any more."""
    with store.reading():
        run_ids = {run.run_seq: run.run_id for run in store.committed_runs()}
    if not run_ids:
        return None  # this checkout only reads what others serve
    if is_foreign(owner, run_ids):
        return f"{describe_foreign(project, owner, run_ids)}; {TAKE_OVER}"
    gone = describe_set_back(markers, run_ids)
    return None if gone is None else f"{gone[0]}; {gone[1]}"


def _lag(
    name: str,
    sha256: str | None,
    runs: Sequence[Run],
    learned: Mapping[VersionId, int],
    watermarks: Mapping[VersionId, int],
) -> int | None:
    version = VersionId(name, sha256 or "")
    watermark = watermarks.get(version)
    if watermark is None:
        return None
    if learned.get(version, 0) <= watermark:
        return 0
    behind = [
        run
        for run in runs
        if (run.run_seq or 0) > watermark
        and any(item.name == name and item.sha256 == sha256 and item.status != "failed" for item in run.features)
    ]
    return max(len(behind), 1)
