"""What a committed run adds to the summary that ``list`` and ``show`` read."""

from __future__ import annotations

from featurestore.config import Project
from featurestore.model import FeatureRun, Json, Run
from featurestore.registry.summary import FeatureSummary, read_summary, update_summary


def summarise(project: Project, run: Run) -> None:
    """Updates the summary of the features that a run committed. Under the project's lock."""
    before = read_summary(project)
    committed = [item for item in run.features if item.status != "failed"]
    update_summary(project, {item.name: _facts(run, item, before.get(item.name)) for item in committed})


def _facts(run: Run, item: FeatureRun, before: FeatureSummary | None) -> dict[str, Json]:
    facts: dict[str, Json] = {
        "active_sha256": item.sha256,
        "last_run": run.run_id,
        "last_run_at": run.started_at,
        "last_status": item.status,
    }
    if before is None or before.active_sha256 != item.sha256:
        facts["active_since"] = run.started_at
    if item.statistics is not None and item.sha256 is not None:
        before = before or FeatureSummary()
        drift = None if item.drift is None else dict(item.drift)
        facts["statistics"] = {**(before.statistics or {}), item.sha256: dict(item.statistics)}
        facts["drift"] = {**(before.drift or {}), item.sha256: drift}
    return facts
