"""What a change of code would move: ``plan --stats``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.render.distribution import COMPARED_BRIEFLY, Shift, shifts
from featurestore.render.text.style import DIM, NAME, WARN, line
from featurestore.render.text.table import Column, table

if TYPE_CHECKING:
    from featurestore.drift.version_changes import EntityComparison
    from featurestore.workflows.preview import Preview


def preview_page(item: Preview) -> RenderableType:
    """One feature's statistics before and after, and how many values change."""
    name = line(f"\n{item.name}", NAME)
    if item.problem is not None:
        return Group(name, line(f"  {item.problem.message} ({item.problem.where})", WARN))
    parts: list[RenderableType] = [name, shift_table(shifts(item.old, item.new, item.shift, COMPARED_BRIEFLY))]
    if item.rows is not None and item.entities is not None:
        shares = f"{_share(item.rows)} values and {_share(item.entities)} latest values would change"
        parts.append(Text(shares, style=DIM))
    return Group(*parts)


def shift_table(rows: Sequence[Shift]) -> RenderableType:
    """Statistics of two sides, and by how much they differ."""
    columns = [Column("statistic"), Column("old", "number"), Column("new", "number"), Column("shift", "number")]
    return table(columns, [(name.replace("_", " "), old, new, _moved(moved)) for name, old, new, moved in rows])


def _moved(shift: str) -> Text:
    return Text(shift, style=WARN if shift not in ("", "0") else DIM)


def _share(item: EntityComparison) -> str:
    return f"{item.changed:,} of {item.compared:,}"
