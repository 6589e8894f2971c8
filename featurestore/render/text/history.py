"""Every value of one entity."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.point_in_time.entities import format_entity
from featurestore.render.printable import one_line
from featurestore.render.text.style import DIM, NAME, line
from featurestore.render.text.table import Column, table
from featurestore.render.words import number
from featurestore.times import format_instant
from featurestore.workflows.history import HistoryResult, HistoryValue


def _value(item: HistoryValue) -> Text:
    if item.tombstone or item.withdrawn:
        return Text("deleted" if item.tombstone else "withdrawn", style=DIM)
    return line(number(item.value))


def _row(item: HistoryValue) -> list[str | Text]:
    known = [] if item.known_at is None else [format_instant(item.known_at)]
    return [format_instant(item.computed_at), _value(item), *known, format_instant(item.ingested_at), item.run_id]


def history_table(result: HistoryResult) -> RenderableType:
    """Its values, oldest first: when each was true, and when it was learned."""
    version = result.version
    entity = one_line(f"{version.entity_type.name} {format_entity(version.entity_type, result.entity)}")
    if not result.values:
        return line(f"there is no value of {entity}")
    columns = [
        Column("true from"), Column("value", "value"), Column("learned at", spare=1), Column("run", "id", DIM, spare=2),
    ]  # fmt: skip
    known = any(item.known_at is not None for item in result.values)
    if known:  # all rows of a version have one, or none
        columns.insert(2, Column("known at"))
    rows = [_row(item) for item in result.values]
    title = Text.assemble((version.id.feature, NAME), f" version {version.number} of ", line(entity))
    return Group(title, table(columns, rows))
