"""What ``delete`` removed, and what that means."""

from __future__ import annotations

from rich.console import Group, RenderableType

from featurestore.point_in_time.entities import format_entity
from featurestore.render.text.style import DIM, line
from featurestore.render.words import plural
from featurestore.times import format_instant
from featurestore.workflows.delete import DeleteResult


def delete_lines(result: DeleteResult, *, dry_run: bool) -> RenderableType:
    name = f"{result.entity_type.name} {format_entity(result.entity_type, result.entity)}"
    rows, features = sum(result.rows.values()), plural(len(result.rows), "feature")
    if not rows and not result.datasets:
        return line(f"nothing to do: nothing is stored of {name}")
    if result.erased:
        verb = "would erase" if dry_run else "erased"
        lines = [line(f"{verb} {name}: {plural(rows, 'row')} of {features}")] if rows else []
        if result.datasets:
            labels = f"the stored labels of {plural(len(result.datasets), 'data set')} that name {name}"
            lines.append(line(f"{verb} {labels}; can't be rebuilt any more: {', '.join(result.datasets)}"))
        return Group(*lines)
    verb = "would delete" if dry_run else "deleted"
    lines = [line(f"{verb} {name} from {format_instant(result.at)} on: {features}")]
    if not dry_run:
        lines.append(line("featurestore sync removes its online values", DIM))
    return Group(*lines)
