"""How ``doctor`` looks: a block that can be pasted into a mail as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from featurestore.model import Check, Json

if TYPE_CHECKING:
    from rich.console import Console


def doctor_json(checks: Sequence[Check]) -> dict[str, Json]:
    """The document of ``doctor --json``."""
    counts = Counter(check.state for check in checks)
    return {
        "ok": counts["ok"],
        "warn": counts["warn"],
        "fail": counts["fail"],
        "checks": [
            {"area": check.area, "state": check.state, "what": check.what, "hint": check.hint} for check in checks
        ],
    }


def draw_doctor(console: Console, checks: Sequence[Check]) -> None:
    """A line for each check, and under it what to do."""
    from rich.padding import Padding
    from rich.text import Text

    from featurestore.render.style import BAD, DIM, GOOD, WARN

    colours = {"ok": GOOD, "warn": WARN, "fail": BAD}
    width = max(len(check.area) for check in checks)
    for check in checks:
        state = (f"{check.state:4}", colours[check.state])
        console.print(Text.assemble(state, f"  {check.area:{width}}  ", check.what))
        if check.hint:
            console.print(Padding(Text(f"→ {check.hint}", style=DIM), (0, 0, 0, width + 8), expand=False))
    failed, odd = (sum(check.state == state for check in checks) for state in ("fail", "warn"))
    wrong = [*([f"{failed} failed"] if failed else []), *([f"{odd} to look at"] if odd else [])]
    console.print(Text(", ".join(wrong) or "nothing is wrong", style=DIM))
