"""The rows that were set aside and are missing until somebody corrects them: said by every run, and by ``doctor``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field

from featurestore.frozen import frozen
from featurestore.model import RejectedRow, VersionId
from featurestore.offline.contract import OfflineStore, Position
from featurestore.runs import counted_once


@frozen
class SetAside:
    """The rows of a source that a run set aside: how many, and where that is asked those that it kept."""

    run_id: str
    run_seq: int
    source: str
    count: int
    rows: tuple[RejectedRow, ...] = field(default=(), repr=False)


def find_set_aside(
    store: OfflineStore, positions: Iterable[Position | None], *, with_rows: bool = False
) -> dict[VersionId, SetAside]:
    """What the run of each position set aside; the rows ``with_rows``, and where several runs may have the same."""
    held: dict[VersionId, SetAside] = {}
    runs = {position.run_seq for position in positions if position is not None}
    with_rows = with_rows or len(runs) > 1
    for run_seq in runs:
        for run in store.runs(run_id=str(run_seq)):
            without = [item for item in run.features if item.rows_rejected and item.sha256 is not None]
            rows = store.rejected(run.run_id) if without and with_rows else []
            of_source = {
                source: tuple(row for row in rows if row.source in source.split(", "))
                for source in {item.source for item in without}
            }
            for item in without:
                version = VersionId(item.name, str(item.sha256))
                held[version] = SetAside(
                    run.run_id, run_seq, item.source, item.rows_rejected, of_source[item.source]
                )  # fmt: skip
    return held


def reminders(held: Iterable[SetAside]) -> list[str]:
    """A sentence for each run whose rows are missing still, unless a later run says the same of all of them."""
    runs: dict[str, dict[str, int]] = {}
    said: set[tuple[str | None, ...]] = set()
    for one in sorted(held, key=lambda one: one.run_seq, reverse=True):
        rows = {(row.source, row.file, row.column, json.dumps(dict(row.values), sort_keys=True)) for row in one.rows}
        if one.run_id in runs or not rows or not rows <= said:
            counts = runs.setdefault(one.run_id, {})
            counts[one.source] = max(one.count, counts.get(one.source, 0))
        said |= rows
    return [_reminder(run_id, counted_once(counts)) for run_id, counts in reversed(runs.items())]


def _reminder(run_id: str, counts: Mapping[str, int]) -> str:
    count = sum(counts.values())
    rows = f"{count:,} row{'' if count == 1 else 's'}"
    return (
        f"{rows} of {', '.join(counts)} {'is' if count == 1 else 'are'} still set aside: "
        f"featurestore runs {run_id} says which, and why"
    )
