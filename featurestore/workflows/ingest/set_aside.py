"""The rows that were set aside and are missing until somebody corrects them: said by every run, and by ``doctor``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from featurestore.model import RejectedRow, VersionId
from featurestore.offline.contract import OfflineStore, Position
from featurestore.runs import counted_once


@dataclass(frozen=True, slots=True)
class SetAside:
    """The rows of a source that a run set aside: how many, and the first that is known."""

    run_id: str
    source: str
    count: int
    first: RejectedRow | None = None


def find_set_aside(
    store: OfflineStore, positions: Iterable[Position | None], *, with_rows: bool = False
) -> dict[VersionId, SetAside]:
    """What the run of each position set aside; the first row ``with_rows``."""
    held: dict[VersionId, SetAside] = {}
    for run_seq in {position.run_seq for position in positions if position is not None}:
        for run in store.runs(run_id=str(run_seq)):
            rows = store.rejected(run.run_id) if with_rows else []
            for item in run.features:
                if item.rows_rejected and item.sha256 is not None:
                    first = next((row for row in rows if row.source in item.source.split(", ")), None)
                    version = VersionId(item.name, item.sha256)
                    held[version] = SetAside(run.run_id, item.source, item.rows_rejected, first)
    return held


def reminders(held: Iterable[SetAside]) -> list[str]:
    """A sentence for each run whose rows are missing still."""
    runs: dict[str, dict[str, int]] = {}
    for one in held:
        runs.setdefault(one.run_id, {})[one.source] = one.count
    return [_reminder(run_id, counted_once(counts)) for run_id, counts in runs.items()]


def _reminder(run_id: str, counts: Mapping[str, int]) -> str:
    count = sum(counts.values())
    rows = f"{count:,} row{'' if count == 1 else 's'}"
    return (
        f"{rows} of {', '.join(counts)} {'is' if count == 1 else 'are'} still set aside: "
        f"featurestore runs {run_id} says which, and why"
    )
