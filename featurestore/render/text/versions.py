"""What ``promote`` switched."""

from __future__ import annotations

from rich.console import Group, RenderableType

from featurestore.errors import plural
from featurestore.render.text.style import line
from featurestore.workflows.promote import PromoteResult


def promote_lines(result: PromoteResult, *, dry_run: bool) -> RenderableType:
    name, number = result.version.id.feature, result.version.number
    if not result.changed:
        return line(f"version {number} of {name} is already promoted; nothing changed")
    if result.before is not None and result.before.id == result.version.id:
        return line(f"version {number} of {name} {'would stay' if dry_run else 'stays'} the active one, now promoted")
    before = "" if result.before is None else f" (before: version {result.before.number})"
    lines = [line(f"version {number} of {name} {'would become' if dry_run else 'is now'} the active one{before}")]
    if result.online and not dry_run:
        lines.append(line(f"online readers now get this version; {plural(result.entities_written, 'value')} written"))
    if result.models:
        verb = "would get" if dry_run else "get"
        whose = f"models that name no version of it {verb} values of this one"
        lines.append(line(f"{whose}: {', '.join(result.models)}"))
    if result.followers.moved:
        verb = "would be" if dry_run else "is"
        lines += [
            line(f"{item.name} {verb} computed from it at the request: version {item.number}")
            for item in result.followers.moved
        ]
    lines += [
        line(f"{item.name} stays at version {item.number}, which was promoted, with the versions of its inputs")
        for item in result.followers.kept
    ]
    return Group(*lines)
