"""How ``diff`` looks: on a terminal, as Markdown for a pull request, as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from featurestore.model import EntityType, Json
from featurestore.point_in_time.entities import entity_json, format_entity
from featurestore.render.code import draw_code, unified
from featurestore.render.markdown import cell
from featurestore.render.style import DIM, NAME, number, table
from featurestore.tables.values import json_value
from featurestore.workflows.diff import CodeDiff, Side, ValueDiff

if TYPE_CHECKING:
    from rich.console import Console

MOMENTS = (
    "count",
    "null_count",
    "distinct",
    "mean",
    "std",
    "min",
    "p01",
    "p05",
    "p25",
    "p50",
    "p75",
    "p95",
    "p99",
    "max",
)


def diff_json(code: CodeDiff, values: ValueDiff | None, entity_type: EntityType | None) -> dict[str, Json]:
    """The document of ``diff --json``. What was not asked for, or can't be compared, is null."""
    document: dict[str, Json] = {
        "feature": code.feature,
        "old": _side_json(code.old),
        "new": _side_json(code.new),
        "code_changed": code.code_changed,
        "reasons": list(code.reasons),
        "metadata": {name: {"old": old, "new": new} for name, (old, new) in code.metadata.items()},
        "unified_diff": _unified(code),
        "statistics": None,
        "entities": None,
    }
    if values is not None:
        document["statistics"] = {
            "old": None if values.old is None else dict(values.old),
            "new": None if values.new is None else dict(values.new),
            "shift": dict(values.shift),
        }
    if values is not None and values.entities is not None and entity_type is not None:
        entities = values.entities
        document["entities"] = {
            "compared": entities.compared,
            "changed": entities.changed,
            "only_old": entities.only_old,
            "only_new": entities.only_new,
            "largest": [
                {
                    "entity_id": _entity(entity_type, item.keys),
                    "old": json_value(item.old),
                    "new": json_value(item.new),
                    "change": json_value(item.change),
                }
                for item in entities.largest
            ],
        }
    return document


def draw_diff(
    console: Console, code: CodeDiff | None, values: ValueDiff | None, entity_type: EntityType | None
) -> None:
    """The parts that were asked for, code first."""
    if code is not None:
        labels = (code.old.label, code.new.label)
        console.print(Text.assemble((code.feature, NAME), f"  {labels[0]} → {labels[1]}"))
        for reason in code.reasons:
            console.print(Text(f"  {reason}"))
        for name, (old, new) in code.metadata.items():
            console.print(Text(f"  metadata {name}: {old!r} → {new!r}", style=DIM))
        console.print()
        if code.code_changed:
            draw_code(console, code.old.code, code.new.code, labels)
        else:
            console.print("the code is the same")
    if values is not None:
        _draw_values(console, values, entity_type)


def diff_markdown(code: CodeDiff | None, values: ValueDiff | None, entity_type: EntityType | None) -> str:
    """Markdown with a fenced diff and tables; ends with a line feed."""
    lines: list[str] = []
    if code is not None:
        lines += [f"### `{code.feature}`: {code.old.label} → {code.new.label}", ""]
        lines += [f"- {reason}" for reason in code.reasons] + ([""] if code.reasons else [])
        text = _unified(code)
        fence = "`" * max(3, _longest_fence(text) + 1)
        lines += [f"{fence}diff", text.rstrip("\n"), fence, ""] if text else ["The code is the same.", ""]
    if values is not None and values.old is not None and values.new is not None:
        lines += ["| statistic | old | new | shift |", "|---|--:|--:|--:|"]
        lines += [f"| {name} | {old} | {new} | {moved} |" for name, old, new, moved in _moments(values)]
        lines.append("")
    if values is not None and values.entities is not None and entity_type is not None:
        entities = values.entities
        lines += [f"{entities.changed:,} of {entities.compared:,} entities have another latest value.", ""]
        if entities.largest:
            lines += [f"| {entity_type.name} | old | new | change |", "|---|--:|--:|--:|"]
            lines += [
                f"| {cell(format_entity(entity_type, item.keys))} | {cell(number(item.old))} "
                f"| {cell(number(item.new))} | {number(item.change)} |"
                for item in entities.largest
            ]
            lines.append("")
    return "\n".join(lines)


def _draw_values(console: Console, values: ValueDiff, entity_type: EntityType | None) -> None:
    if values.old is None or values.new is None:
        missing = "neither version has" if values.old is values.new else "only one of the versions has"
        console.print(Text(f"{missing} history; featurestore ingest computes it", style=DIM))
        return
    grid = table("statistic", "old", "new", "shift", right=("old", "new", "shift"))
    for name, old, new, moved in _moments(values):
        grid.add_row(name.replace("_", " "), old, new, Text(moved, style="yellow" if moved not in ("", "0") else DIM))
    console.print(grid)
    entities = values.entities
    if entities is None or entity_type is None:
        console.print(Text("entity type or data type differ; entities are not compared", style=DIM))
        return
    noun = "entity" if entities.compared == 1 else "entities"
    console.print(f"{entities.changed:,} of {entities.compared:,} {noun} have another latest value")
    if entities.only_old or entities.only_new:
        console.print(
            Text(f"{entities.only_old:,} only in the old version, {entities.only_new:,} only in the new", style=DIM)
        )
    if entities.largest:
        largest = table(entity_type.name, "old", "new", "change", right=("old", "new", "change"))
        for item in entities.largest:
            name = format_entity(entity_type, item.keys)
            largest.add_row(Text(name, style=NAME), Text(number(item.old)), Text(number(item.new)), number(item.change))
        console.print(largest)


def _moments(values: ValueDiff) -> list[tuple[str, str, str, str]]:
    old, new, shift = values.old or {}, values.new or {}, values.shift
    return [
        (name, number(old.get(name)), number(new.get(name)), number(shift[name]) if name in shift else "")
        for name in MOMENTS
        if name in old or name in new
    ]


def _side_json(side: Side) -> dict[str, Json]:
    code = "\n".join(f"# {module}\n{text.rstrip()}\n" for module, text in side.code.items())
    return {
        "version": side.number,
        "sha256": side.sha256,
        "source": code,
        "data_source": side.source,
        "label": side.label,
    }


def _unified(code: CodeDiff) -> str:
    return unified(code.old.code, code.new.code, code.old.label, code.new.label)


def _entity(entity_type: EntityType, keys: object) -> Json:
    return entity_json(entity_type, keys)  # type: ignore[arg-type]


def _longest_fence(text: str) -> int:
    import re

    return max((len(run) for run in re.findall(r"`+", text)), default=0)
