"""What the runs of one version recorded of it: its statistics and drift, run by run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from featurestore.errors import UsageError
from featurestore.model import Json, Run, StoredVersion
from featurestore.offline.contract import OfflineStore


@dataclass(frozen=True, slots=True)
class Point:
    """One run that wrote rows of a version. ``verdict`` is empty where drift was not measured."""

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
        found = self.verdict.get("reasons")
        return tuple(str(reason) for reason in found) if isinstance(found, list) else ()

    @property
    def reference_run(self) -> str | None:
        found = self.verdict.get("reference_run")
        return found if isinstance(found, str) else None


def timeline(store: OfflineStore, version: StoredVersion) -> list[Point]:
    """The runs that wrote rows of the version, oldest first. Raises UsageError for a version without history."""
    points = points_of(store.runs(feature=version.id.feature), version)
    if not points:
        name = version.id.feature
        raise UsageError(
            f"{name}@{version.number} ({version.id.short}) has no history here",
            hint=f"run featurestore ingest {name}",
        )
    return points


def points_of(runs: Iterable[Run], version: StoredVersion) -> list[Point]:
    """What some runs, newest first, say of the version; oldest first."""
    points = [
        Point(run.run_id, run.run_seq, run.started_at, item.statistics, item.drift or {})
        for run in runs
        for item in run.features
        if item.name == version.id.feature and item.sha256 == version.id.sha256
        if run.run_seq is not None and item.statistics is not None
    ]
    return points[::-1]


def find_point(points: list[Point], wanted: str) -> Point:
    """The point of a run: its id, the beginning of it, or its number. Raises UsageError."""
    found = [point for point in points if point.run_id.startswith(wanted) or str(point.run_seq) == wanted]
    exact = [point for point in found if wanted in (point.run_id, str(point.run_seq))]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise UsageError(f"{len(found)} runs begin with {wanted!r}", hint="give more of the id")
    raise UsageError(
        f"no run {wanted!r} wrote rows of this version", hint="featurestore runs --feature NAME lists its runs"
    )


def number(value: Json) -> float | None:
    """A number of a stored JSON document, or None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
