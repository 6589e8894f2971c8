"""The documents of ``history`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.model import Json
from featurestore.point_in_time.entities import entity_json
from featurestore.render.json.joins import rows_or_place
from featurestore.render.json.versions import version_keys

if TYPE_CHECKING:
    from featurestore.workflows.export import ExportResult
    from featurestore.workflows.history import HistoryResult


def history_document(result: HistoryResult) -> dict[str, Json]:
    """Every value of one entity, oldest first."""
    return {
        **version_keys(result.version),
        "entity_id": entity_json(result.version.entity_type, result.entity),
        "values": [
            {
                "value": item.value,
                "computed_at": times.format_instant(item.computed_at),
                "ingested_at": times.format_instant(item.ingested_at),
                "run_id": item.run_id,
                "tombstone": item.tombstone,
                "withdrawn": item.withdrawn,
                **({} if item.known_at is None else {"known_at": times.format_instant(item.known_at)}),
            }
            for item in result.values
        ],
    }


def export_document(result: ExportResult, target: Path | None) -> dict[str, Json]:
    """The facts of an export; its rows where they go to no file."""
    return {
        **version_keys(result.version),
        "count": result.rows,
        "columns": list(result.columns),
        **rows_or_place(result.frame, target),
        "dry_run": result.dry_run,
    }
