"""The values that are served online."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from featurestore.point_in_time.entities import format_entity
from featurestore.render.printable import one_line
from featurestore.render.text.style import DIM, NAME, WARN, line
from featurestore.render.text.table import Column, table
from featurestore.render.words import instant, number
from featurestore.serving.decoding import ServedValue
from featurestore.tables.values import json_value
from featurestore.workflows.get import EntityValues, GetResult


def values_table(result: GetResult) -> RenderableType:
    """A line for each value, entity by entity."""
    if not any(item.features for item in result.entities):
        return line(f"nothing of {result.entity_type.name} is online yet; featurestore sync writes it there")
    columns = [
        Column(result.entity_type.name, "id"), Column("feature", "name", NAME), Column("value", "value"),
        Column("computed at", spare=1), Column("version", "number", spare=2), Column(""),
    ]  # fmt: skip
    return table(columns, [row for item in result.entities for row in _rows(result, item)])


def _rows(result: GetResult, item: EntityValues) -> list[tuple[str | Text, ...]]:
    """One entity's lines; its id is in the first."""
    names = [one_line(format_entity(result.entity_type, item.keys))] + [""] * len(item.features)
    return [(name, *_cells(served)) for name, served in zip(names, item.features, strict=False)]


def _cells(served: ServedValue) -> tuple[str | Text, ...]:
    value = number(json_value(served.value)) if served.status in ("ok", "stale") else "–"
    words: list[str] = [] if served.status == "ok" else [served.status]
    words += [f"{name} is {status}" for name, status in served.inputs or ()]
    note = Text(", ".join(words), style=WARN if served.status in ("expired", "stale") else DIM)
    return (served.name, value, instant(served.computed_at), str(served.version), note)
