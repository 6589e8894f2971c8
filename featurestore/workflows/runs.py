"""Shows the audit log: all runs, or one with the rows that it rejected."""

from __future__ import annotations

from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import RejectedRow, Run
from featurestore.offline.contract import AuditLog, OfflineStore
from featurestore.registry.discovery import discover, unknown_feature
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.files import all_versions

STATUSES = ("ok", "partial", "failed")


@frozen
class RunDetail:
    """One run and the rows that it rejected."""

    run: Run
    rejected: tuple[RejectedRow, ...]


def list_runs(
    project: Project,
    store: OfflineStore,
    *,
    feature: str | None = None,
    status: str | None = None,
    last: int | None = None,
) -> list[Run]:
    """Runs, newest first. Raises UsageError for a status that runs don't have, and for a feature that is nowhere."""
    if status is not None and status not in STATUSES:
        raise UsageError(f"there is no status {status!r}", hint=did_you_mean(status, STATUSES))
    runs = store.runs(feature=feature, status=status, last=last)
    if feature is not None and not runs:
        _check_known(project, store, feature)
    return runs


def _check_known(project: Project, store: OfflineStore, feature: str) -> None:
    registry = discover(project, SourceTree(project.root))
    others = {*all_versions(project.versions), *(version.id.feature for version in store.versions())}
    if feature not in {*registry.names(), *(item.name for item in registry.broken), *others}:
        raise unknown_feature(registry, feature, others)


def show_run(store: AuditLog, wanted: str) -> RunDetail:
    """The run with that id, beginning of an id, or number. Raises UsageError."""
    with store.reading():
        runs = store.runs(run_id=wanted)
        if not runs:
            raise UsageError(f"there is no run {wanted!r}", hint="featurestore runs lists them")
        if len(runs) > 1:
            raise UsageError(f"{len(runs)} runs begin with {wanted!r}", hint="give more of the id")
        return RunDetail(runs[0], tuple(store.rejected(runs[0].run_id)))
