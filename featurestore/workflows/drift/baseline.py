"""Sets the reference that a version's later runs are compared with."""

from __future__ import annotations

from featurestore import times
from featurestore.config import DriftSettings, Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import Baseline, OfflineStore
from featurestore.registry.discovery import discover
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.workflows.drift.timeline import Point, find_point, points_of
from featurestore.workflows.erasure.completion import writing_turn
from featurestore.workflows.references import resolve_one


@frozen
class BaselineResult:
    """The reference from now on, and whether it has changed. ``run`` is None for a rolling one."""

    version: StoredVersion
    baseline: Baseline
    run: Point | None
    method: str
    changed: bool


def set_baseline(
    project: Project,
    store: OfflineStore,
    name: str,
    *,
    run: str | None = None,
    window: str | None = None,
    dry_run: bool = False,
) -> BaselineResult:
    """Compares later runs of a feature (``name``, ``name@2``) with one run, by default the last, or a rolling window.

    ``run`` is a run's id, the beginning of it, or its number; ``window`` a duration such as ``30d``. The drift method
    that is configured for the feature is stored with the reference. Raises UsageError for a run that wrote nothing of
    the version, or a window that is not a duration.
    """
    if run is not None and window is not None:
        raise UsageError("a run and --window can't be combined", hint="name one run, or a rolling window")
    version = resolve_one(project, store, name)
    method = drift_settings(project, version.id.feature).method
    with writing_turn(project, store, dry_run=dry_run):
        points = points_of(store, version)
        point = None if window else points[-1] if run is None else find_point(points, run)
        if point is not None and store.sample(version.id, point.run_seq) is None:
            raise UsageError(
                f"the sample of run {point.run_id} is not stored any more",
                hint="name a later run, or a rolling --window",
            )
        baseline = Baseline(point.run_seq if point else None, _duration(window) if window else None, method)
        changed = store.reference(version.id) != baseline
        if changed and not dry_run:
            store.set_reference(version.id, baseline)
    return BaselineResult(version, baseline, point, method, changed)


def drift_settings(project: Project, feature: str) -> DriftSettings:
    """The drift settings of a feature in featurestore.toml, by its name and by the tags of its declaration."""
    declared = discover(project, SourceTree(project.root)).features
    return project.drift.of(feature, next((item.tags for item in declared if item.name == feature), ()))


def _duration(text: str) -> int:
    try:
        micros = times.parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"--window {exc}") from None
    if micros <= 0:
        raise UsageError("--window must be longer than zero", hint="for example --window 30d")
    return micros
