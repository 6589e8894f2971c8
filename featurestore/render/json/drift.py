"""The documents of ``drift`` and ``baseline``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.model import Json
from featurestore.render.json.instants import duration
from featurestore.render.json.versions import version_keys

if TYPE_CHECKING:
    from featurestore.offline.contract import Baseline
    from featurestore.workflows.drift.baseline import BaselineResult
    from featurestore.workflows.drift.overview import DriftRow
    from featurestore.workflows.drift.recompute import Recomputed
    from featurestore.workflows.drift.report import ReportResult
    from featurestore.workflows.drift.timeline import DriftResult, Point


def drift_document(result: DriftResult) -> dict[str, Json]:
    """One feature's timeline, oldest first: each run with its whole verdict."""
    return {
        **version_keys(result.version),
        "reference": None if result.baseline is None else _baseline(result.baseline),
        "runs": [_point(point) for point in result.points],
    }


def overview_document(rows: Sequence[DriftRow]) -> dict[str, Json]:
    """All features, worst first: each with its last run's verdict, and since which run it has drifted."""
    return {
        "features": [
            {
                **version_keys(row.version),
                **_point(row.last),
                "since_run": row.since.run_id if row.since else None,
                "since": times.format_instant(row.since.started_at) if row.since else None,
            }
            for row in rows
        ]
    }


def recomputed_document(verdicts: Sequence[Recomputed]) -> dict[str, Json]:
    """Each recorded verdict with the recomputed one, and the keys in which they differ."""
    return {
        "checked": sum(item.again is not None for item in verdicts),
        "different": sum(bool(item.differs) for item in verdicts),
        "runs": [
            {
                **version_keys(item.version),
                "run_id": item.point.run_id,
                "recorded": dict(item.point.verdict),
                "recomputed": None if item.again is None else dict(item.again),
                "differs": list(item.differs),
            }
            for item in verdicts
        ],
    }


def baseline_document(result: BaselineResult, *, dry_run: bool) -> dict[str, Json]:
    return {
        **version_keys(result.version),
        "run_id": result.run.run_id if result.run else None,
        **_baseline(result.baseline),
        "changed": result.changed,
        "dry_run": dry_run,
    }


def report_document(result: ReportResult) -> dict[str, Json]:
    return {
        "feature": result.version.id.feature,
        "run_id": result.point.run_id,
        "report": str(result.path),
        "dry_run": result.dry_run,
    }


def _point(point: Point) -> dict[str, Json]:
    verdict: dict[str, Json] = dict(point.verdict) or {"detected": False, "status": point.status, "score": None}
    return {
        "run_id": point.run_id,
        "run_seq": point.run_seq,
        "started_at": times.format_instant(point.started_at),
        **verdict,
    }


def _baseline(baseline: Baseline) -> dict[str, Json]:
    return {"run_seq": baseline.run_seq, "window": duration(baseline.window), "method": baseline.method}
