"""What ``doctor`` saw: a block that can be pasted into a mail as it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from featurestore.model import Check
from featurestore.render.printable import printable
from featurestore.render.text.style import BAD, DIM, GOOD, WARN, line

COLOURS = {"ok": GOOD, "warn": WARN, "fail": BAD}


def doctor_block(checks: Sequence[Check]) -> RenderableType:
    """A line for each check, and under it what to do."""
    width = max(len(check.area) for check in checks)
    parts: list[RenderableType] = []
    for check in checks:
        state = (f"{check.state:4}", COLOURS[check.state])
        parts.append(Text.assemble(state, f"  {check.area:{width}}  ", printable(check.what)))
        if check.hint:
            parts.append(Padding(line(f"→ {check.hint}", DIM), (0, 0, 0, width + 8), expand=False))
    failed, warned = (sum(check.state == state for check in checks) for state in ("fail", "warn"))
    wrong = [*([f"{failed} failed"] if failed else []), *([f"{warned} to look at"] if warned else [])]
    return Group(*parts, Text(", ".join(wrong) or "nothing is wrong", style=DIM))
