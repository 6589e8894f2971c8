"""The document of ``verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore import times
from featurestore.errors import StoreError
from featurestore.model import Json
from featurestore.online import format as layout
from featurestore.point_in_time.entities import entity_json
from featurestore.tables.values import json_value

if TYPE_CHECKING:
    from featurestore.config import Project
    from featurestore.workflows.verify.differences import Mismatch
    from featurestore.workflows.verify.replay import Replay
    from featurestore.workflows.verify.verify import VerifyResult


def verify_document(result: VerifyResult, project: Project) -> dict[str, Json]:
    return {
        "checked": result.checked,
        **{str(kind): count for kind, count in result.counts.items()},
        "examples": [finding_document(item, project) for item in result.examples],
        "fixed": result.fixed is not None,
        "dry_run": result.dry_run,
        "warnings": list(result.warnings),
    }


def replay_document(replay: Replay) -> dict[str, Json]:
    """How a log of requests compares with the history."""
    return {
        "lines": replay.lines,
        "behind": replay.behind,
        "unreadable": replay.unreadable,
        "checked": replay.checked,
        "different": replay.different,
        "examples": [
            {
                "line": item.line,
                "at": times.format_instant(item.at),
                "entity_type": item.entity_type.name,
                "entity_id": entity_json(item.entity_type, item.entity),
                "feature": item.feature,
                "sha256": item.sha256,
                "logged": item.logged,
                "history": item.joined,
            }
            for item in replay.examples
        ],
        "warnings": list(replay.problems),
    }


def finding_document(item: Mismatch, project: Project) -> dict[str, Json]:
    """One difference between what is online and the history."""
    return {
        "kind": item.kind,
        "feature": item.feature,
        "version": None if item.version is None else item.version.number,
        "entity_id": _entity(item, project),
        "online": _packed(item, item.online),
        "history": _packed(item, item.history),
        "note": item.note,
    }


def _entity(item: Mismatch, project: Project) -> Json:
    """The entity as elsewhere in JSON; the store's own key where it can't be read as one."""
    if item.key is None:
        return None
    entity_type = project.entity_types.get(item.key.split(":", 3)[2]) if item.key.count(":") >= 3 else None
    if entity_type is None:
        return item.key
    try:
        return entity_json(entity_type, layout.entity_parts(entity_type, item.key))
    except StoreError:
        return item.key


def _packed(item: Mismatch, packed: bytes | None) -> Json:
    if packed is None:
        return None
    if item.version is None:
        return {"bytes": packed.hex()}
    try:
        unpacked = layout.unpack(item.version.data_type.kind, packed)  # before its coming steps
    except StoreError:
        return {"bytes": packed.hex()}
    return {
        "value": json_value(unpacked.value),
        "computed_at": times.format_instant(unpacked.computed_at),
        "run_seq": unpacked.run_seq,
        "deleted": unpacked.op == layout.TOMBSTONE,
    }
