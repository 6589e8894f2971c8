"""The documents of ``ingest`` and ``runs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.errors import plural
from featurestore.model import FeatureRun, Json, RejectedRow, Run
from featurestore.runs import fewest_rejected

if TYPE_CHECKING:
    from pathlib import Path

    from featurestore.workflows.ingest.backfill import BackfillResult
    from featurestore.workflows.runs import RunDetail

EMPTY_DRIFT: dict[str, Json] = {
    "detected": False, "score": None, "statistic": None, "p_value": None, "method": None, "threshold": None,
    "reasons": [], "reference_run": None,
}  # fmt: skip


def ingest_document(
    run: Run, warnings: Sequence[str] = (), *, dry_run: bool, sources: Sequence[dict[str, Json]] = ()
) -> dict[str, Json]:
    """The run that was made, and what to warn of; of a dry run also how each source is read."""
    said = [*warnings, *_set_aside(run, dry_run=dry_run)]
    document = {**run_document(run), "dry_run": dry_run, "warnings": list[Json](said)}
    return {**document, "sources": list(sources)} if dry_run else document


def backfill_document(found: BackfillResult, *, dry_run: bool) -> dict[str, Json]:
    """The last run that was made, in the keys of `ingest_document`, and under ``steps`` all of them."""
    said = [[*step.result.warnings, *_set_aside(step.result.run, dry_run=dry_run)] for step in found.steps]
    warnings = list(dict.fromkeys(line for lines in said for line in lines))
    last: dict[str, Json] = dict.fromkeys(_RUN)
    last |= {"duration_s": 0.0, "status": "ok", "source": "", "features": []}
    if found.steps:
        last = run_document(found.steps[-1].result.run)
    steps: list[Json] = [
        {
            "since": times.format_instant(step.since),
            "until": times.format_instant(step.until),
            **run_document(step.result.run),
        }
        for step in found.steps
    ]
    return {**last, "dry_run": dry_run, "warnings": list[Json](warnings), "steps": steps}


def _set_aside(run: Run, *, dry_run: bool) -> list[str]:
    """What people see as a table of rows; a dry run stores none that could be listed."""
    count = fewest_rejected((item.source, item.rows_rejected) for item in run.features)
    if not count:
        return []
    where = "" if dry_run else f": featurestore runs {run.run_id} --rejected lists them, each with its reason"
    return [f"{plural(count, 'row')} set aside{where}"]


def runs_document(runs: Sequence[Run]) -> dict[str, Json]:
    """The audit log, in the order given."""
    return {"runs": [run_document(run) for run in runs]}


def detail_document(detail: RunDetail) -> dict[str, Json]:
    """One run with the rows that it set aside."""
    rejected = [rejected_row(row) for row in detail.rejected]
    return {"runs": [{**run_document(detail.run), "rejected": rejected}]}


def rejected_document(detail: RunDetail, path: Path | None, *, dry_run: bool = False) -> dict[str, Json]:
    """The rows that a run set aside, and the file they were written to."""
    rejected = [rejected_row(row) for row in detail.rejected]
    place = None if path is None else str(path)
    return {"run_id": detail.run.run_id, "output": place, "rejected": rejected, "dry_run": dry_run}


def run_document(run: Run) -> dict[str, Json]:
    """One run in the keys of ``runs``."""
    return {
        "run_id": run.run_id,
        "run_seq": run.run_seq,
        "started_at": times.format_instant(run.started_at),
        "finished_at": times.format_instant(run.finished_at),
        "duration_s": run.duration_s,
        "status": run.status,
        "source": ", ".join(run.sources),
        "host": run.host,
        "git_commit": run.git_commit,
        "features": [_feature(item) for item in run.features],
    }


_RUN = ("run_id", "run_seq", "started_at", "finished_at", "duration_s", "status", "source", "host", "git_commit")


def _feature(item: FeatureRun) -> dict[str, Json]:
    error = item.error
    return {
        "name": item.name,
        "version": item.version,
        "sha256": item.sha256,
        "new_version": item.new_version,
        "status": item.status,
        "rows_read": item.rows_read,
        "rows_rejected": item.rows_rejected,
        "rows_written": item.rows_written,
        "rows_unchanged": item.rows_unchanged,
        "rows_corrected": item.rows_corrected,
        "rows_withdrawn": item.rows_withdrawn,
        "rows_older": item.rows_older,
        "steps_written": item.steps_written,
        "rows_computed": item.rows_computed,
        "scope": item.scope,
        "reason": item.reason,
        "source": item.source,
        "drift": dict(item.drift) if item.drift is not None else dict(EMPTY_DRIFT),
        "note": item.note,
        "error": None if error is None else asdict(error),
    }


def rejected_row(row: RejectedRow) -> dict[str, Json]:
    """A row that was set aside: its place, what was wrong with which value, and all its values."""
    return {**asdict(row), "value": row.value, "values": dict(row.values)}
