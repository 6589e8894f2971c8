"""Drift over time: one feature's timeline, all features worst first, and the verdicts reached once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from featurestore.config import Project
from featurestore.errors import UsageError, VersionFileError
from featurestore.model import Json, StoredVersion
from featurestore.offline.contract import Baseline, OfflineStore
from featurestore.workflows.drift.timeline import Point, points_of, timeline
from featurestore.workflows.references import active_versions


@dataclass(frozen=True, slots=True)
class DriftResult:
    """The timeline of one version, oldest first, and what its next run will be compared with."""

    version: StoredVersion
    points: tuple[Point, ...]
    baseline: Baseline | None


@dataclass(frozen=True, slots=True)
class DriftRow:
    """How one version stands: its last run, and the run since which every one has drifted."""

    version: StoredVersion
    last: Point
    since: Point | None
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A recorded verdict beside the one that the kept samples give today; ``again`` is None where they can't."""

    version: StoredVersion
    point: Point
    again: Mapping[str, Json] | None

    @property
    def differs(self) -> tuple[str, ...]:
        """The keys that came out otherwise."""
        if self.again is None:
            return ()
        return tuple(key for key, value in self.again.items() if self.point.verdict.get(key) != value)


def drift(store: OfflineStore, version: StoredVersion, *, last: int | None = None) -> DriftResult:
    """The drift of each run that wrote rows of a version. Raises UsageError for a version without history."""
    with store.reading():
        points = timeline(store, version)
        baseline = store.reference(version.id)
    return DriftResult(version, tuple(points if last is None else points[-last:]), baseline)


def watched_versions(project: Project, store: OfflineStore) -> list[StoredVersion]:
    """The active version of every feature with history; its newest one where the active one can't be told.

    One feature's damaged or missing version file must not hide how the others stand.
    """
    found = []
    with store.reading():
        newest = {version.id.feature: version for version in store.versions()}
        for name, version in sorted(newest.items()):
            try:
                found += active_versions(project, store, [name])
            except (UsageError, VersionFileError):
                found.append(version)
    return found


def drift_page(store: OfflineStore, versions: Iterable[StoredVersion], *, last: int | None = None) -> list[DriftRow]:
    """How some versions stand, worst first: the drifted by score, then errors, then the rest by score.

    ``last`` looks at no more than that many of the store's runs.
    """
    runs = store.runs(last=last)
    rows = []
    for version in versions:
        points = points_of(runs, version)
        if points:
            rows.append(DriftRow(version, points[-1], _since(points), tuple(points)))
    return sorted(rows, key=_badness)


def recompute(store: OfflineStore, versions: Iterable[StoredVersion]) -> list[Recomputed]:
    """Measures every recorded verdict again, from the samples kept with the runs: the same numbers come out."""
    from featurestore.workflows.drift.verdicts import Samples, measure_again

    with store.reading():
        found = []
        for version in versions:
            samples = Samples(store, version.id)
            found += [
                Recomputed(version, point, measure_again(samples, point))
                for point in timeline(store, version)
                if point.verdict
            ]
        return found


def write_report(store: OfflineStore, version: StoredVersion, path: Path) -> Point:
    """Writes Evidently's own report of the last run against its reference, as HTML; gives that run.

    Raises UsageError where there is nothing to compare, StoreError where the file can't be written, and
    FeatureStoreError where Evidently is not installed.
    """
    from featurestore.drift.report import write
    from featurestore.workflows.drift.verdicts import Samples

    with store.reading():
        point = timeline(store, version)[-1]
        samples = Samples(store, version.id)
        reference, current = samples.reference(point), samples.current(point)
    if reference is None or current is None:
        raise UsageError(
            f"the last run of {version.id.feature} ({point.run_id}) has no other to be compared with",
            hint="it is the reference itself; ingest more, or name another with featurestore baseline",
        )
    write(path, version.id.feature, reference.sample(), current)
    return point


def _since(points: list[Point]) -> Point | None:
    since = None
    for point in reversed(points):
        if not point.detected:
            break
        since = point
    return since


def _badness(row: DriftRow) -> tuple[int, float, str]:
    rank = 0 if row.last.detected else 1 if row.last.status.startswith("error") else 2
    return rank, -(row.last.score or 0.0), row.version.id.feature
