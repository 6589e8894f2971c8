"""A join and its plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType

from featurestore.errors import plural
from featurestore.render.text.style import NAME, line
from featurestore.render.text.table import Column, table
from featurestore.render.words import duration
from featurestore.times import format_instant
from featurestore.workflows.join.facts import JoinedFeature, JoinFacts


def join_page(facts: JoinFacts, target: Path | None) -> RenderableType:
    """What each feature had for the labels, and where the table is."""
    columns, rows = _columns(), [_cells(item, facts.labels) for item in facts.features]
    return Group(table(columns, rows), line(f"{plural(facts.labels, 'label')} written to {target}"))


def plan_page(plan: JoinFacts) -> RenderableType:
    """What each feature would have for the labels, and the rows it takes to find out."""
    columns = [*_columns(), Column("rows scanned", "number", spare=1)]
    rows = [(*_cells(item, plan.labels), f"{item.rows_scanned:,}") for item in plan.features]
    span = ""
    if plan.first is not None and plan.last is not None:
        span = f" from {format_instant(plan.first)} to {format_instant(plan.last)}"
    return Group(table(columns, rows), line(f"would join {plural(plan.labels, 'label')}{span}"))


def _columns() -> Sequence[Column]:
    return [
        Column("feature", "name", NAME), Column("version", "number"), Column("with a value", "number"),
        Column("share", "number"), Column("max age"),
    ]  # fmt: skip


def _cells(item: JoinedFeature, labels: int) -> tuple[str, ...]:
    filled = labels - item.nulls
    share = f"{filled / labels:.1%}" if labels else "–"
    return (item.column_name, str(item.version.number), f"{filled:,}", share, duration(item.max_age))
