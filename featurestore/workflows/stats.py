"""A feature's distribution in one run, and how it moved from run to run."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.config import Project
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.workflows.drift.timeline import Point, find_point, points_of
from featurestore.workflows.references import resolve_one


@dataclass(frozen=True, slots=True)
class StatsResult:
    """The run whose statistics are shown, and the points of the timeline, oldest first."""

    version: StoredVersion
    shown: Point
    points: tuple[Point, ...]


def stats(
    project: Project, store: OfflineStore, name: str, *, run: str | None = None, last: int | None = None
) -> StatsResult:
    """The statistics of a feature (``name``, ``name@2``) in a run, by default in the last one that wrote rows of it.

    ``run`` is the run's id, the beginning of it, or its number. ``last`` limits the timeline to its newest points.
    Raises UsageError for a name that is not a feature's, a version without history, or a run that wrote no rows of it.
    """
    version = resolve_one(project, store, name)
    points = points_of(store, version)
    shown = points[-1] if run is None else find_point(points, run)
    return StatsResult(version, shown, tuple(points if last is None else points[-last:]))
