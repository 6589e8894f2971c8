"""A feature's distribution at one run, and how it moved from run to run."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.workflows.drift.timeline import Point, find_point, timeline


@dataclass(frozen=True, slots=True)
class StatsResult:
    """The run whose statistics are shown, and the points of the timeline, oldest first."""

    version: StoredVersion
    shown: Point
    points: tuple[Point, ...]


def stats(
    store: OfflineStore, version: StoredVersion, *, run: str | None = None, last: int | None = None
) -> StatsResult:
    """The statistics of ``run`` (its id, the beginning of it, or its number), or of the last run that wrote rows.

    ``last`` shortens the timeline to its newest points. Raises UsageError for a version without history, or a
    run that wrote no rows of it.
    """
    points = timeline(store, version)
    shown = points[-1] if run is None else find_point(points, run)
    return StatsResult(version, shown, tuple(points if last is None else points[-last:]))
