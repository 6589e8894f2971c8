"""Shows the audit log: all runs, or one with the rows that it rejected."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.errors import UsageError
from featurestore.model import RejectedRow, Run
from featurestore.offline.contract import AuditLog

STATUSES = ("ok", "partial", "failed")


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run and the rows that it rejected."""

    run: Run
    rejected: tuple[RejectedRow, ...]


def list_runs(
    store: AuditLog, *, feature: str | None = None, status: str | None = None, last: int | None = None
) -> list[Run]:
    """Runs, newest first. Raises UsageError for a status that runs don't have."""
    if status is not None and status not in STATUSES:
        raise UsageError(f"there is no status {status!r}", hint="one of " + ", ".join(STATUSES))
    return store.runs(feature=feature, status=status, last=last)


def show_run(store: AuditLog, wanted: str) -> RunDetail:
    """The run with that id, beginning of an id, or number. Raises UsageError."""
    with store.reading():
        runs = store.runs(run_id=wanted)
        if not runs:
            raise UsageError(f"there is no run {wanted!r}", hint="featurestore runs lists them")
        if len(runs) > 1:
            raise UsageError(f"{len(runs)} runs begin with {wanted!r}", hint="give more of the id")
        return RunDetail(runs[0], tuple(store.rejected(runs[0].run_id)))
