"""``plan --markdown``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featurestore.render.distribution import COMPARED_BRIEFLY, shifts
from featurestore.render.markdown.cells import cell, table
from featurestore.render.words import number

if TYPE_CHECKING:
    from featurestore.drift.version_changes import EntityComparison
    from featurestore.workflows.plan import PlannedFeature, VersionPlan
    from featurestore.workflows.preview import Preview


def plan_page(plan: VersionPlan, previews: Sequence[Preview] | None) -> str:
    """A table of the changes with their reasons, and a table for each preview; ends with a line feed."""
    if not plan.changes:
        return "No feature changes.\n"
    rows = [(f"`{item.name}`", item.change, _step(item), cell("; ".join(item.reasons))) for item in plan.changes]
    lines = table(("feature", "change", "version", "why"), rows)
    for preview in previews or ():
        lines += ["", f"#### `{preview.name}`", "", *_preview(preview)]
    return "\n".join(lines) + "\n"


def _step(item: PlannedFeature) -> str:
    old = "–" if item.old is None else str(item.old.number)
    new = item.locked.number if item.locked else item.next_number
    return old if new is None else f"{old} → {new}"


def _preview(preview: Preview) -> list[str]:
    if preview.problem is not None:
        return [cell(f"{preview.problem.message} ({preview.problem.where})")]
    rows = shifts(preview.old, preview.new, preview.shift, COMPARED_BRIEFLY)
    lines = table(("statistic", "old", "new", "shift"), rows, right=("old", "new", "shift"))
    if preview.rows is None or preview.entities is None:
        return lines
    lines += ["", f"{_share(preview.rows)} values and {_share(preview.entities)} latest values would change."]
    if preview.entities.largest:
        largest = [
            (cell(", ".join(map(str, item.keys.values()))), cell(number(item.old)), cell(number(item.new)),
             number(item.change))
            for item in preview.entities.largest
        ]  # fmt: skip
        lines += ["", *table(("largest", "old", "new", "change"), largest, right=("old", "new", "change"))]
    return lines


def _share(item: EntityComparison) -> str:
    return f"{item.changed:,} of {item.compared:,}"
