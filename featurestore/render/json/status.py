"""The document of ``status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json

if TYPE_CHECKING:
    from featurestore.workflows.status import FeatureState, ProjectState


def status_document(state: ProjectState) -> dict[str, Json]:
    """All features, worst first; ``problems`` counts theirs and those of the project."""
    return {
        "features": [_feature(item) for item in state.features],
        "problems": state.problem_count,
        "project_problems": list(state.problems),
    }


def _feature(item: FeatureState) -> dict[str, Json]:
    return {
        "name": item.name,
        "version": item.version,
        "sha256": item.sha256,
        "freshness_s": None if item.age is None else round(item.age / 1_000_000, 3),
        "last_run": item.last_run,
        "last_status": item.last_status,
        "rows_rejected": item.rejected,
        "drift": None if item.drift is None else dict(item.drift),
        "online_lag_runs": item.online_lag,
        "problems": list(item.problems),
    }
