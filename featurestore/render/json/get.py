"""The document of ``get``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json
from featurestore.point_in_time.entities import entity_json
from featurestore.render.json.instants import instant
from featurestore.tables.values import json_value

if TYPE_CHECKING:
    from featurestore.serving.decoding import ServedValue
    from featurestore.workflows.get import GetResult


def get_document(result: GetResult) -> dict[str, Json]:
    entities: list[Json] = [
        {
            "entity_id": entity_json(result.entity_type, item.keys),
            "features": {served.name: served_document(served) for served in item.features},
        }
        for item in result.entities
    ]
    return {"entity_type": result.entity_type.name, "entities": entities, "warnings": list(result.warnings)}


def served_document(served: ServedValue) -> dict[str, Json]:
    """One value as it is served."""
    return {
        "value": json_value(served.value),
        "computed_at": instant(served.computed_at),
        "version": served.version,
        "sha256": served.sha256,
        "status": served.status,
    }
