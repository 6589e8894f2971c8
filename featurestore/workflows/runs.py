"""The audit log: all runs, or one with what it set aside."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.errors import UsageError
from featurestore.model import RejectedRow, Run
from featurestore.offline.contract import OfflineStore

STATUSES = ("ok", "partial", "failed")


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run and the rows that it set aside."""

    run: Run
    rejected: tuple[RejectedRow, ...]


def list_runs(
    store: OfflineStore, *, feature: str | None = None, status: str | None = None, last: int | None = None
) -> list[Run]:
    """Runs, newest first. Raises UsageError for a status that runs don't have."""
    if status is not None and status not in STATUSES:
        raise UsageError(f"there is no status {status!r}", hint="one of " + ", ".join(STATUSES))
    return store.runs(feature=feature, status=status, last=last)


def show_run(store: OfflineStore, wanted: str) -> RunDetail:
    """The run of that id, or beginning of an id, or sequence number. Raises UsageError."""
    with store.reading():
        found = store.runs(run_id=wanted)
        if not found:
            raise UsageError(f"there is no run {wanted!r}", hint="featurestore runs lists them")
        if len(found) > 1:
            raise UsageError(f"{len(found)} runs begin with {wanted!r}", hint="give more of the id")
        return RunDetail(found[0], tuple(store.rejected(found[0].run_id)))
