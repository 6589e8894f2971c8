"""What ``doctor`` saw: a block that can be pasted into a mail as it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from featurestore.model import Check
from featurestore.render.text.style import BAD, DIM, GOOD, WARN, line

COLOURS = {"ok": GOOD, "warn": WARN, "fail": BAD}


def doctor_block(checks: Sequence[Check]) -> RenderableType:
    """A line for each check, and under it what to do."""
    block = Table.grid(padding=(0, 2, 0, 0))
    block.add_column(no_wrap=True)
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for check in checks:
        block.add_row(line(check.state, COLOURS[check.state]), line(check.area), line(check.what))
        if check.hint:
            block.add_row("", "", line(f"→ {check.hint}", DIM))
    failed, warned = (sum(check.state == state for check in checks) for state in ("fail", "warn"))
    wrong = [*([f"{failed} failed"] if failed else []), *([f"{warned} to look at"] if warned else [])]
    return Group(block, Text(", ".join(wrong) or "nothing is wrong", style=DIM))
