"""The statistics and drift of one version, run by run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import Json, Run, StoredVersion
from featurestore.offline.contract import Baseline, OfflineStore
from featurestore.runs import carried_from
from featurestore.workflows.references import resolve_one


@frozen
class Point:
    """One run that wrote rows of a version.

    ``verdict`` is empty where drift was not measured, ``statistics`` where they are no longer kept.
    """

    run_id: str
    run_seq: int
    started_at: int
    statistics: Mapping[str, Json]
    verdict: Mapping[str, Json]

    @property
    def detected(self) -> bool:
        return self.verdict.get("detected") is True

    @property
    def score(self) -> float | None:
        return number(self.verdict.get("score"))

    @property
    def threshold(self) -> float | None:
        return number(self.verdict.get("threshold"))

    @property
    def status(self) -> str:
        """``ok``, ``drifted``, ``skipped: reason`` or ``error: reason``."""
        return str(self.verdict.get("status", "skipped: not measured"))

    @property
    def reasons(self) -> tuple[str, ...]:
        reasons = self.verdict.get("reasons")
        return tuple(str(reason) for reason in reasons) if isinstance(reasons, list) else ()

    @property
    def reference_run(self) -> str | None:
        run_id = self.verdict.get("reference_run")
        return run_id if isinstance(run_id, str) else None


@frozen
class DriftResult:
    """The timeline of one version, oldest run first, and what its next run will be compared with."""

    version: StoredVersion
    points: tuple[Point, ...]
    baseline: Baseline | None


def timeline(project: Project, store: OfflineStore, name: str, *, last: int | None = None) -> DriftResult:
    """The drift of each run that wrote rows of a feature (``name``, ``name@2``), or of its ``last`` newest runs.

    Raises UsageError for a name that is not a feature's, and for a version without history.
    """
    from featurestore.workflows.drift.reference import find_baseline  # loads NumPy, which documents need not

    with store.reading():
        version = resolve_one(project, store, name)
        points = points_of(store, version)
        baseline = find_baseline(store, version.id)
    return DriftResult(version, tuple(points if last is None else points[-last:]), baseline)


def points_of(store: OfflineStore, version: StoredVersion) -> list[Point]:
    """The runs that wrote rows of the version, oldest first. Raises UsageError for a version without history."""
    points = points_in(_runs_of(store, version.id.feature), version)
    if not points:
        name = version.id.feature
        raise UsageError(
            f"{name}@{version.number} ({version.id.short}) has no history here",
            hint=f"run featurestore ingest {name}",
        )
    return points


def points_in(runs: Iterable[Run], version: StoredVersion) -> list[Point]:
    """The points of the version in some runs. The runs are newest first, the points oldest first.

    Before the run that carried its history over they are those of the former name.
    """
    name = version.id.feature
    points: list[Point] = []
    carried: list[Point] = []
    for run in runs:
        for item in [item for item in run.features if item.name == name and run.run_seq is not None]:
            former = carried_from(item.source, item.note)
            name = former or name
            if item.sha256 == version.id.sha256 and (item.statistics is not None or item.drift is not None):
                assert run.run_seq is not None, "such runs alone are looked at"
                point = Point(run.run_id, run.run_seq, run.started_at, item.statistics or {}, item.drift or {})
                (points if former is None else carried).append(point)
    # What was carried over is what the last run under the former name had, unless that is no longer kept.
    return (points or carried)[::-1]


def _runs_of(store: OfflineStore, name: str) -> list[Run]:
    """The runs of a feature, newest first, under its former names too."""
    runs = store.runs(feature=name)
    found = [
        (run, former)
        for run in runs
        for item in run.features
        if item.name == name and (former := carried_from(item.source, item.note))
    ]
    for run, former in found:
        runs += [each for each in _runs_of(store, former) if (each.run_seq or 0) < (run.run_seq or 0)]
    return runs


def find_point(points: list[Point], wanted: str) -> Point:
    """The point of a run, by the run's id, the beginning of it, or its number. Raises UsageError."""
    matches = [point for point in points if point.run_id.startswith(wanted) or str(point.run_seq) == wanted]
    exact = [point for point in matches if wanted in (point.run_id, str(point.run_seq))]
    if len(exact or matches) == 1:
        return (exact or matches)[0]
    if matches:
        raise UsageError(f"{len(matches)} runs begin with {wanted!r}", hint="give more of the id")
    raise UsageError(
        f"no run {wanted!r} wrote rows of this version", hint="featurestore runs --feature NAME lists its runs"
    )


def number(value: Json) -> float | None:
    """A number of a JSON document, or None for any other value."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
