"""Evidently's own report of a feature's last run."""

from __future__ import annotations

from pathlib import Path

from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.workflows.drift.recompute import StoredSamples
from featurestore.workflows.drift.timeline import Point, points_of
from featurestore.workflows.references import resolve_one


@frozen
class ReportResult:
    """The run that was reported, and the HTML file; in a ``dry_run`` those that would be."""

    version: StoredVersion
    point: Point
    path: Path
    dry_run: bool = False


def write_report(
    project: Project,
    store: OfflineStore,
    name: str,
    path: Path,
    *,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> ReportResult:
    """Writes Evidently's report of the last run of a feature (``name``, ``name@2``) against its reference, as HTML.

    With ``dry_run`` only looks whether there is anything to compare.

    Raises UsageError if there is nothing to compare, StoreError if the file can't be written, and FeatureStoreError if
    Evidently is not installed.
    """
    version = resolve_one(project, store, name)
    with store.reading():
        point = points_of(store, version)[-1]
        samples = StoredSamples(store, version.id)
        reference, current = samples.reference(point), samples.current(point)
    if reference is None or current is None:
        raise UsageError(
            f"the last run of {version.id.feature} ({point.run_id}) has no other to be compared with",
            hint="it is the reference itself; ingest more, or name another with featurestore baseline",
        )
    if dry_run:
        return ReportResult(version, point, path, dry_run=True)
    progress("importing Evidently")
    from featurestore.drift import report  # SciPy, pandas and Evidently, which take seconds

    report.write(path, version.id.feature, reference.sample(), current)
    return ReportResult(version, point, path)
