"""A feature's distribution in one run, and how it moved from run to run."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.model import Json, StoredVersion
from featurestore.offline.contract import VALUE, OfflineStore
from featurestore.workflows.drift.timeline import Point, find_point, points_of
from featurestore.workflows.references import resolve_one

MOST_ROWS = 5_000_000  # of a history that is described as a whole
ROW_BYTES = 400  # of one of them, where keys and values are texts


@frozen
class StatsResult:
    """The run whose statistics are shown, and the points of the timeline, oldest first.

    ``held`` are the statistics of all values that are held now, of each entity and time the last learned; None for a
    history of over `MOST_ROWS` rows, or of more than fit into the project's memory. ``rows`` counts the rows of the
    history.
    """

    version: StoredVersion
    shown: Point
    points: tuple[Point, ...]
    rows: int = 0
    held: Mapping[str, Json] | None = None


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
    rows, held = _held(store, version, min(MOST_ROWS, project.memory // ROW_BYTES))
    return StatsResult(version, shown, tuple(points if last is None else points[-last:]), rows, held)


def _held(store: OfflineStore, version: StoredVersion, most_rows: int) -> tuple[int, Mapping[str, Json] | None]:
    from featurestore.drift.row_values import RowValues, describe_rows  # loads NumPy, which documents need not

    with store.reading():
        mark = store.mark(version)
        if mark is None or mark.rows > most_rows:
            return 0 if mark is None else mark.rows, None
        current = store.current(version)
    values = current.filter(current["op"] == VALUE)
    try:
        return mark.rows, describe_rows(RowValues(version.entity_type.key_names, values), version.data_type)
    except (ValueError, OverflowError):  # a time that an earlier release stored outside the years 1 to 9999
        return mark.rows, None
