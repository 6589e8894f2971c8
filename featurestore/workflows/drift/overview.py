"""How far every feature has drifted, worst first."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.config import Project
from featurestore.errors import UsageError, VersionFileError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.workflows.drift.timeline import Point, points_in
from featurestore.workflows.lives import read_lives
from featurestore.workflows.references import active_versions


@frozen
class DriftRow:
    """The drift of one version: its last run, and the first run of the drift that has lasted until then."""

    version: StoredVersion
    last: Point
    since: Point | None
    points: tuple[Point, ...]


def overview(project: Project, store: OfflineStore, *, last: int | None = None) -> list[DriftRow]:
    """Every feature with runs, worst first: the drifted by score, then errors, then the others by score.

    ``last`` takes only that many of the store's newest runs.
    """
    versions = watched_versions(project, store)
    runs = store.runs(last=last)
    rows = []
    for version in versions:
        points = points_in(runs, version)
        if points:
            rows.append(DriftRow(version, points[-1], _drifted_since(points), tuple(points)))
    return sorted(rows, key=_badness)


def watched_versions(project: Project, store: OfflineStore) -> list[StoredVersion]:
    """The active version of every feature with history, but for those that were retired or renamed.

    Where the active version can't be determined, the newest one: a damaged or missing version file of one feature must
    not hide the drift of the others. Raises ConfigError for drift settings of a feature that does not exist.
    """
    lives = read_lives(project)  # which refuses the settings of a feature that does not exist
    versions = []
    with store.reading():
        newest = {version.id.feature: version for version in store.versions()}
        for name, version in sorted(newest.items()):
            if lives.damage(name) is None and lives.retired(name) is not None:
                continue
            try:
                versions += active_versions(project, store, [name])
            except (UsageError, VersionFileError):
                versions.append(version)
    return versions


def _drifted_since(points: Sequence[Point]) -> Point | None:
    since = None
    for point in reversed(points):
        if not point.detected:
            break
        since = point
    return since


def _badness(row: DriftRow) -> tuple[int, float, str]:
    rank = 0 if row.last.detected else 1 if row.last.status.startswith("error") else 2
    return rank, -(row.last.score or 0.0), row.version.id.feature
