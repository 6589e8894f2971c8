"""Two versions compared: code, distribution and entities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.point_in_time.entities import format_entity
from featurestore.render.distribution import shifts
from featurestore.render.printable import one_line
from featurestore.render.text.code import CodeComparison
from featurestore.render.text.previews import shift_table
from featurestore.render.text.style import DIM, NAME, line
from featurestore.render.text.table import Column, table
from featurestore.render.words import number

if TYPE_CHECKING:
    from featurestore.drift.version_changes import EntityComparison
    from featurestore.model import EntityType
    from featurestore.workflows.diff import CodeDiff, ValueDiff


def diff_page(code: CodeDiff | None, values: ValueDiff | None, entity_type: EntityType | None) -> RenderableType:
    """The parts that were asked for, code first."""
    parts = [] if code is None else _code(code)
    return Group(*parts, *([] if values is None else _values(values, entity_type)))


def _code(code: CodeDiff) -> list[RenderableType]:
    labels = (code.old.label, code.new.label)
    return [
        Text.assemble((code.feature, NAME), f"  {labels[0]} → {labels[1]}"),
        *(line(f"  {reason}") for reason in code.reasons),
        *(line(f"  metadata {name}: {old!r} → {new!r}", DIM) for name, (old, new) in code.metadata.items()),
        Text(""),
        CodeComparison(code.old.code, code.new.code, labels)
        if code.code_changed
        else line(code.note or "the code is the same"),
    ]


def _values(values: ValueDiff, entity_type: EntityType | None) -> list[RenderableType]:
    if values.at_request:
        return [Text("its values are computed at the request: there is no history to compare", style=DIM)]
    if values.old is None or values.new is None:
        missing = "neither version has" if values.old is values.new else "only one of the versions has"
        return [Text(f"{missing} history; featurestore ingest computes it", style=DIM)]
    moments = shift_table(shifts(values.old, values.new, values.shift))
    if values.entities is None or entity_type is None:
        return [moments, Text("entities are not compared: the entity types or data types differ", style=DIM)]
    return [moments, *_entities(values.entities, entity_type)]


def _entities(entities: EntityComparison, entity_type: EntityType) -> list[RenderableType]:
    noun, verb = ("entity", "has") if entities.compared == 1 else ("entities", "have")
    parts: list[RenderableType] = [
        line(f"{entities.changed:,} of {entities.compared:,} {noun} {verb} a different latest value")
    ]
    if entities.only_old or entities.only_new:
        only = f"{entities.only_old:,} only in the old version, {entities.only_new:,} only in the new"
        parts.append(Text(only, style=DIM))
    if entities.largest:
        columns = [
            Column(entity_type.name, "id", NAME), Column("old", "value"), Column("new", "value"),
            Column("change", "number"),
        ]  # fmt: skip
        rows = [
            (one_line(format_entity(entity_type, item.keys)), number(item.old), number(item.new), number(item.change))
            for item in entities.largest
        ]
        parts.append(table(columns, rows))
    return parts
