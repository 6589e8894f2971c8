"""The document of ``delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore import times
from featurestore.model import Json
from featurestore.point_in_time.entities import entity_json

if TYPE_CHECKING:
    from featurestore.workflows.delete import DeleteResult


def delete_document(result: DeleteResult, *, dry_run: bool) -> dict[str, Json]:
    erasure: dict[str, Json] = {
        "completed": result.completed,
        "errors_removed": result.errors,
        "logged_requests": result.logged,
        "beside": result.beside,
        "named_in": list(result.named_in),
        "unread": list(result.unread),
        "namesakes": list(result.namesakes),
        "beyond_reach": list(result.beyond),
        "warnings": list(result.incomplete),
    }
    return {
        "entity_type": result.entity_type.name,
        "entity_id": entity_json(result.entity_type, result.entity),
        "erased": result.erased,
        "at": times.format_instant(result.at),
        "features": [{"name": name, "rows": rows} for name, rows in sorted(result.rows.items())],
        "datasets": list(result.datasets),
        **(erasure if result.erased else {}),
        "run_id": result.run_id,
        "dry_run": dry_run,
    }
