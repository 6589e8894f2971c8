"""A unified diff of two versions' code, section by section."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.workflows.diff import CodeDiff

CONTEXT = 3


def unified_diff(code: CodeDiff) -> str:
    """A unified diff of two closures; empty where no line differs."""
    lines: list[str] = []
    for name in dict.fromkeys([*code.old.code, *code.new.code]):
        before, after = code.old.code.get(name, "").splitlines(), code.new.code.get(name, "").splitlines()
        names = (f"{code.old.label}/{name}", f"{code.new.label}/{name}")
        lines += difflib.unified_diff(before, after, *names, lineterm="", n=CONTEXT)
    return "\n".join(lines) + "\n" if lines else ""
