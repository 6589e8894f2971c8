"""How ``plan --stats`` and ``plan --markdown`` look: what a change of code would move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore.drift.compare import EntityComparison
from featurestore.model import Json
from featurestore.render.markdown import cell
from featurestore.render.style import DIM, NAME, WARN, number, table
from featurestore.tables.values import json_value
from featurestore.workflows.plan import VersionPlan
from featurestore.workflows.preview import Preview

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = ("count", "null_count", "distinct", "mean", "std", "min", "p05", "p50", "p95", "max")


def preview_json(item: Preview) -> dict[str, Json]:
    return {
        "old": None if item.old is None else dict(item.old),
        "new": None if item.new is None else dict(item.new),
        "shift": None if item.shift is None else dict(item.shift),
        "rows": _counts(item.rows),
        "entities": _counts(item.entities),
        "problem": None if item.problem is None else asdict(item.problem),
    }


def draw_preview(console: Console, item: Preview) -> None:
    console.print(Text(item.name, style=NAME))
    if item.problem is not None:
        console.print(Text(f"  {item.problem.message} ({item.problem.where})", style=WARN))
        return
    rows = _moments(item)
    grid = table("statistic", "old", "new", "shift", right=("old", "new", "shift"))
    for name, old, new, moved in rows:
        grid.add_row(name.replace("_", " "), old, new, Text(moved, style=WARN if moved not in ("", "0") else DIM))
    console.print(grid)
    if item.rows is not None and item.entities is not None:
        console.print(
            Text(f"  {_share(item.rows)} values and {_share(item.entities)} latest values would change", style=DIM)
        )


def plan_markdown(plan: VersionPlan, previews: Sequence[Preview] | None) -> str:
    """A table of the changes with their reasons, and a table for each preview; ends with a line feed."""
    if not plan.changes:
        return "No feature changes.\n"
    lines = ["| feature | change | version | why |", "|---|---|---|---|"]
    for item in plan.changes:
        old = "–" if item.old is None else str(item.old.number)
        new = item.locked.number if item.locked else item.next_number
        step = old if new is None else f"{old} → {new}"
        lines.append(f"| `{item.name}` | {item.change} | {step} | {cell('; '.join(item.reasons))} |")
    for preview in previews or ():
        lines += ["", f"#### `{preview.name}`", ""]
        if preview.problem is not None:
            lines.append(cell(f"{preview.problem.message} ({preview.problem.where})"))
            continue
        lines += ["| statistic | old | new | shift |", "|---|--:|--:|--:|"]
        lines += [f"| {name} | {old} | {new} | {moved} |" for name, old, new, moved in _moments(preview)]
        if preview.rows is not None and preview.entities is not None:
            lines += ["", f"{_share(preview.rows)} values and {_share(preview.entities)} latest values would change."]
            if preview.entities.largest:
                lines += ["", "| largest | old | new | change |", "|---|--:|--:|--:|"]
                lines += [
                    f"| {cell(', '.join(map(str, change.keys.values())))} | {cell(number(change.old))} "
                    f"| {cell(number(change.new))} | {number(change.change)} |"
                    for change in preview.entities.largest
                ]
    return "\n".join(lines) + "\n"


def _moments(item: Preview) -> list[tuple[str, str, str, str]]:
    old, new, shift = item.old or {}, item.new or {}, item.shift or {}
    return [
        (name, number(old.get(name)), number(new.get(name)), number(shift[name]) if name in shift else "")
        for name in SHOWN
        if name in old or name in new
    ]


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


def _share(item: EntityComparison) -> str:
    return f"{item.changed:,} of {item.compared:,}"
