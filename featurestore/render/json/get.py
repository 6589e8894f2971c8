"""The document of ``get``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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


def log_lines(result: GetResult) -> list[dict[str, Json]]:
    """What was answered about each entity, for ``verify --requests``."""
    return [
        {
            "at": instant(result.at),
            "run": result.run,
            "entity_type": result.entity_type.name,
            "entity_id": entity_json(result.entity_type, item.keys),
            "request": dict(result.request[at]) if result.request else {},
            "features": {
                served.name: {"sha256": served.sha256, "value": json_value(served.value), "status": served.status}
                for served in item.features
            },
        }
        for at, item in enumerate(result.entities)
    ]


def log_text(lines: Iterable[Mapping[str, Json]]) -> str:
    """Lines of a log as they are written: one JSON document each."""
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)


def served_document(served: ServedValue) -> dict[str, Json]:
    """One value as it is served."""
    return {
        "value": json_value(served.value),
        "computed_at": instant(served.computed_at),
        "version": served.version,
        "sha256": served.sha256,
        "status": served.status,
        **({} if served.inputs is None else {"inputs": dict(served.inputs)}),
    }
