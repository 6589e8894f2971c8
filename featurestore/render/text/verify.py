"""Where the online store and the history differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.errors import plural
from featurestore.model import Json
from featurestore.point_in_time.entities import format_entity
from featurestore.render.json.verify import finding_document
from featurestore.render.lines import replay_line
from featurestore.render.text.style import DIM, NAME, WARN, line
from featurestore.render.text.table import Column, table
from featurestore.render.words import instant, number

if TYPE_CHECKING:
    from featurestore.config import Project
    from featurestore.workflows.verify.differences import Mismatch
    from featurestore.workflows.verify.replay import Replay
    from featurestore.workflows.verify.verify import VerifyResult


def verify_page(result: VerifyResult, project: Project) -> RenderableType:
    """Some of the differences, and how many there are of each kind."""
    checked = plural(result.checked, "online value")
    left_out = f"; {plural(len(result.unchecked), 'feature')} not compared" if result.unchecked else ""
    if not result.found:
        return Group(line(f"{checked}: all match the history{left_out}"))
    counts = ", ".join(f"{count:,} {kind}" for kind, count in result.counts.items() if count)
    parts = [*_examples(result, project), line(f"{checked}: {counts}{left_out}")]
    if result.fixed is None:
        hint = "featurestore sync writes what is new; featurestore verify --fix repairs the rest"
        parts.append(Text(result.way_out or hint, style=DIM))
    return Group(*parts)


def replay_page(replay: Replay) -> RenderableType:
    """Some of the answers that the history gives otherwise, and how many there are."""
    columns = [
        Column("line", "number"), Column("at", spare=1), Column("entity", "id"), Column("feature", "name", NAME),
        Column("answered", "words"), Column("history", "words"),
    ]  # fmt: skip
    rows = [
        (
            str(item.line), instant(item.at), format_entity(item.entity_type, item.entity), item.feature,
            _value(item.logged), _value(item.joined),
        )
        for item in replay.examples
    ]  # fmt: skip
    parts: list[RenderableType] = [table(columns, rows)] if rows else []
    parts += [line(problem, WARN) for problem in replay.problems]
    return Group(*parts, line(replay_line(replay)))


def _value(shown: Json) -> str:
    return "null" if shown is None else json.dumps(shown, ensure_ascii=False)


def _examples(result: VerifyResult, project: Project) -> list[RenderableType]:
    """A table with two rows for each difference: what is online, and what the history has."""
    columns = [
        Column("", style=WARN), Column("feature", "name", NAME), Column("entity", "id"), Column("in"),
        Column("value", "words"), Column("computed at", spare=1), Column("run", "number", spare=2),
        Column("", "words", DIM),
    ]  # fmt: skip
    rows = [row for item in result.examples for row in _cells(item, project)]
    return [table(columns, rows)] if rows else []


def _cells(item: Mismatch, project: Project) -> list[tuple[str, ...]]:
    shown = finding_document(item, project)
    return [
        (item.kind, item.feature or "", _entity(shown["entity_id"]), "online", *_packed(shown["online"]), item.note),
        ("", "", "", "history", *_packed(shown["history"]), ""),
    ]


def _packed(shown: Json) -> tuple[str, str, str]:
    """A stored value, its time and its run."""
    if not isinstance(shown, dict):
        return "–", "", ""
    if "bytes" in shown:
        return f"damaged: {shown['bytes']}", "", ""
    value = "deleted" if shown["deleted"] else "null" if shown["value"] is None else number(shown["value"])
    return value, str(shown["computed_at"]), str(shown["run_seq"])


def _entity(shown: Json) -> str:
    return "" if shown is None else shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
