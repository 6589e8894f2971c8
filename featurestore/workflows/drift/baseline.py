"""What a version's runs are compared with: finding it for a run, and naming another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore import times
from featurestore.config import DriftSettings, Project
from featurestore.drift.assess import Reference
from featurestore.errors import UsageError
from featurestore.locking import write_lock
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import Baseline, CommittedRun, OfflineStore
from featurestore.registry.discovery import discover
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.workflows.drift.timeline import Point, find_point, timeline

MOST_RUNS = 200


@dataclass(frozen=True, slots=True)
class BaselineResult:
    """The reference that holds from now on, and whether that is news. ``run`` is None for a rolling one."""

    version: StoredVersion
    baseline: Baseline
    run: Point | None
    method: str
    changed: bool


def find_reference(
    store: OfflineStore, version: VersionId, learned: Sequence[CommittedRun], *, now: int | None = None
) -> Reference | None:
    """What a run at ``now`` (µs) compares the version with; None before the version's first run.

    A rolling reference is the runs of its window before that, the newest `MOST_RUNS` of them; where the window
    holds none, the newest run before it.
    """
    baseline = store.reference(version)
    if baseline is None:
        return None
    if baseline.window is None:
        blob = None if baseline.run_seq is None else store.sample(version, baseline.run_seq)
        names = {item.run_seq: item.run_id for item in learned}
        if blob is None or baseline.run_seq is None:
            return None
        return Reference(names[baseline.run_seq], (blob,), method=baseline.method)
    start = (times.now() if now is None else now) - baseline.window
    past = [item.run_seq for item in learned if now is None or item.learned_at < now]
    inside = [item.run_seq for item in learned if item.run_seq in set(past) and item.learned_at >= start]
    found = between(store, version, learned, inside[0], inside[-1], method=baseline.method) if inside else None
    if found is None and past:
        found = between(store, version, learned, past[0], past[-1], method=baseline.method, limit=1)
    return found


def between(
    store: OfflineStore,
    version: VersionId,
    learned: Sequence[CommittedRun],
    first: int,
    last: int,
    *,
    method: str | None = None,
    limit: int = MOST_RUNS,
) -> Reference | None:
    """The samples of all runs from ``first`` to ``last`` as one reference; None where they hold none."""
    samples = store.samples(version, first, last, limit)
    if not samples:
        return None
    names = {item.run_seq: item.run_id for item in learned}
    runs = list(samples)
    since = names[runs[0]] if len(runs) > 1 else None
    return Reference(names[runs[-1]], tuple(samples.values()), since, method, version.sha256)


def find_previous(store: OfflineStore, version: VersionId, learned: Sequence[CommittedRun]) -> Reference | None:
    """The version before, for a version's first run: all that its runs kept."""
    last = store.last_committed(version.feature)
    if last is None or last == version or not learned:
        return None
    return between(store, last, learned, learned[0].run_seq, learned[-1].run_seq)


def set_baseline(
    project: Project,
    store: OfflineStore,
    version: StoredVersion,
    *,
    run: str | None = None,
    window: str | None = None,
    dry_run: bool = False,
) -> BaselineResult:
    """Makes a run (the last by default), or the runs of a rolling ``window``, what later runs are compared with.

    The drift method that the configuration gives the feature is pinned with it. Raises UsageError for a run that
    wrote nothing of the version, or a window that is no duration.
    """
    if run is not None and window is not None:
        raise UsageError("a run and --window exclude each other", hint="name one run, or a rolling window")
    method = drift_settings(project, version.id.feature).method
    with write_lock(project):
        points = timeline(store, version)
        point = None if window else points[-1] if run is None else find_point(points, run)
        wanted = Baseline(point.run_seq if point else None, _duration(window) if window else None, method)
        held = store.reference(version.id)
        changed = held != wanted
        if changed and not dry_run:
            store.set_reference(version.id, wanted)
    return BaselineResult(version, wanted, point, method, changed)


def drift_settings(project: Project, feature: str) -> DriftSettings:
    """What featurestore.toml says of drift for a feature, by its name and the tags it is declared with."""
    declared = discover(project, SourceTree(project.root)).features
    return project.drift.of(feature, next((item.tags for item in declared if item.name == feature), ()))


def _duration(text: str) -> int:
    try:
        micros = times.parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"--window {exc}") from None
    if micros <= 0:
        raise UsageError("--window must be longer than nothing", hint="for example --window 30d")
    return micros
