"""Where the online store and the history differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.model import Json
from featurestore.render.json.verify import finding_document
from featurestore.render.text.style import DIM, NAME, WARN, line
from featurestore.render.text.table import Column, table
from featurestore.render.words import number, plural

if TYPE_CHECKING:
    from featurestore.config import Project
    from featurestore.workflows.verify.differences import Mismatch
    from featurestore.workflows.verify.verify import VerifyResult


def verify_page(result: VerifyResult, project: Project) -> RenderableType:
    """Some of the differences, and how many there are of each kind."""
    checked = plural(result.checked, "online value")
    if not result.found:
        return Group(*_examples(result, project), line(f"{checked}: all match the history"))
    counts = ", ".join(f"{count:,} {kind}" for kind, count in result.counts.items() if count)
    parts = [*_examples(result, project), line(f"{checked}: {counts}")]
    if result.fixed is None:
        hint = "featurestore sync writes what is new; featurestore verify --fix repairs the rest"
        parts.append(Text(result.way_out or hint, style=DIM))
    return Group(*parts)


def _examples(result: VerifyResult, project: Project) -> list[RenderableType]:
    columns = [
        Column("", style=WARN), Column("feature", "name", NAME), Column("entity", "id"), Column("online", "value"),
        Column("history", "value"), Column("", "words", DIM),
    ]  # fmt: skip
    return [table(columns, [_cells(item, project) for item in result.examples])] if result.examples else []


def _cells(item: Mismatch, project: Project) -> tuple[str, ...]:
    shown = finding_document(item, project)
    online, history = _packed(shown["online"]), _packed(shown["history"])
    return (item.kind, item.feature or "", _entity(shown["entity_id"]), online, history, item.note)


def _packed(shown: Json) -> str:
    """A stored value in a cell."""
    if not isinstance(shown, dict):
        return "–"
    if "bytes" in shown:
        return f"damaged: {shown['bytes']}"
    value = "deleted" if shown["deleted"] else "null" if shown["value"] is None else number(shown["value"])
    return f"{value} ({shown['computed_at']}, run {shown['run_seq']})"


def _entity(shown: Json) -> str:
    return "" if shown is None else shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
