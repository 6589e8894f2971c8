"""The document of ``diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import EntityType, Json
from featurestore.point_in_time.entities import entity_json
from featurestore.render.unified import unified_diff
from featurestore.tables.values import json_value

if TYPE_CHECKING:
    from featurestore.drift.version_changes import EntityComparison
    from featurestore.workflows.diff import CodeDiff, Side, ValueDiff


def diff_document(code: CodeDiff, values: ValueDiff | None, entity_type: EntityType | None) -> dict[str, Json]:
    """What was not asked for, or can't be compared, is null."""
    return {
        "feature": code.feature,
        "old": _side(code.old),
        "new": _side(code.new),
        "code_changed": code.code_changed,
        "reasons": list(code.reasons),
        "note": code.note,
        "metadata": {name: {"old": old, "new": new} for name, (old, new) in code.metadata.items()},
        "unified_diff": unified_diff(code),
        "statistics": None if values is None else _statistics(values),
        "entities": None
        if values is None or values.entities is None or entity_type is None
        else _entities(values.entities, entity_type),
    }


def _side(side: Side) -> dict[str, Json]:
    code = "\n".join(f"# {module}\n{text.rstrip()}\n" for module, text in side.code.items())
    return {
        "version": side.number,
        "sha256": side.sha256,
        "source": code,
        "data_source": side.source,
        "label": side.label,
    }


def _statistics(values: ValueDiff) -> dict[str, Json]:
    return {
        "old": None if values.old is None else dict(values.old),
        "new": None if values.new is None else dict(values.new),
        "shift": dict(values.shift),
    }


def _entities(entities: EntityComparison, entity_type: EntityType) -> dict[str, Json]:
    return {
        "compared": entities.compared,
        "changed": entities.changed,
        "only_old": entities.only_old,
        "only_new": entities.only_new,
        "largest": [
            {
                "entity_id": entity_json(entity_type, item.keys),
                "old": json_value(item.old),
                "new": json_value(item.new),
                "change": json_value(item.change),
            }
            for item in entities.largest
        ],
    }
