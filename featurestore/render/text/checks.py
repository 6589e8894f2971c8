"""What ``check`` fixed, the limits of hashes, and that nothing is wrong. Its findings are lines on stderr."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.render.text.style import DIM, WARN, line
from featurestore.render.words import plural
from featurestore.workflows.check import CheckResult


def check_lines(result: CheckResult) -> RenderableType:
    lines = [line(f"{item.what} {item.name} version {item.version.number}") for item in result.fixed]
    lines += [
        line(f"{limit.where}: the hash of {limit.feature} is limited: {limit.message}", WARN) for limit in result.limits
    ]
    if not result.findings:
        counts = f"{plural(result.features, 'feature')}, {plural(result.versions, 'version file')}"
        lines.append(Text(f"{counts}: nothing is wrong", style=DIM))
    return Group(*lines)
