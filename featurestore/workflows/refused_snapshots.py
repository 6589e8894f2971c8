"""Sources that stand still since their snapshot is not whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from featurestore.config import Project
from featurestore.model import Run

NEWEST_RUNS = 200
"""So many are looked at by those who want the state of things."""


def refused_snapshots(project: Project, runs: Sequence[Run]) -> Iterator[str]:
    """Sources whose last snapshot was taken for no whole one: all else that makes a run partial is a feature's.

    Takes the runs newest first.
    """
    for source in project.sources.values():
        last = next((run for run in runs if source.name in run.sources), None)
        if not source.snapshot or last is None or last.status != "partial":
            continue
        if not any(item.status == "failed" or item.rows_rejected for item in last.features):
            yield (
                f"source {source.name} was no whole snapshot in its last run, {last.run_id}: nobody was deleted; "
                "featurestore ingest says who is gone"
            )
