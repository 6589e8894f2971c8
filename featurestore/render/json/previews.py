"""What a change of code would move, as ``plan --stats`` says it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from featurestore.model import Json
from featurestore.tables.values import json_value

if TYPE_CHECKING:
    from featurestore.drift.version_changes import EntityComparison
    from featurestore.workflows.preview import Preview


def preview_document(item: Preview) -> dict[str, Json]:
    return {
        "old": None if item.old is None else dict(item.old),
        "new": None if item.new is None else dict(item.new),
        "shift": None if item.shift is None else dict(item.shift),
        "rows": _counts(item.rows),
        "entities": _counts(item.entities),
        "problem": None if item.problem is None else asdict(item.problem),
    }


def _counts(item: EntityComparison | None) -> Json:
    if item is None:
        return None
    largest: list[Json] = [
        {
            "keys": {name: json_value(key) for name, key in change.keys.items()},
            "old": json_value(change.old),
            "new": json_value(change.new),
            "change": json_value(change.change),
        }
        for change in item.largest
    ]
    counts = {"compared": item.compared, "changed": item.changed, "only_old": item.only_old, "only_new": item.only_new}
    return {**counts, "largest": largest}
