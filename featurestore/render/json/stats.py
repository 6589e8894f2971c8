"""The document of ``stats``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore import times
from featurestore.model import Json
from featurestore.render.json.versions import version_keys
from featurestore.workflows.drift.timeline import number

if TYPE_CHECKING:
    from featurestore.workflows.stats import StatsResult


def stats_document(result: StatsResult) -> dict[str, Json]:
    return {
        **version_keys(result.version),
        "run_id": result.shown.run_id,
        "statistics": dict(result.shown.statistics),
        "held": {"rows": result.rows, "statistics": None if result.held is None else dict(result.held)},
        "drift": [
            {
                "run_id": point.run_id,
                "started_at": times.format_instant(point.started_at),
                "score": point.score,
                "detected": point.detected,
                "status": point.status,
                "mean": number(point.statistics.get("mean")),
                "count": point.statistics.get("count"),
            }
            for point in result.points
        ],
    }
