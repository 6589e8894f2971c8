"""What ``rename`` and ``retire`` did."""

from __future__ import annotations

from rich.console import Group, RenderableType

from featurestore.errors import plural
from featurestore.render.text.style import DIM, line
from featurestore.workflows.rename import RenameResult
from featurestore.workflows.retire import RetireResult


def rename_lines(result: RenameResult, *, dry_run: bool) -> RenderableType:
    """The edits, then what came along."""
    if not result.changed:
        return line(f"{result.old} is called {result.new} already; nothing changed")
    lines = []
    for edit in result.edits:
        lines += [line(f"{edit.file}:{edit.line}"), line(f"- {edit.before.strip()}", DIM)]
        lines += [line(f"+ {after.strip()}") for after in edit.after.split("\n")]
    named = ", ".join(map(str, result.versions))
    if named:
        lines.append(line(f"{'would copy' if dry_run else 'copied'} version {named} of {result.old} to {result.new}"))
    if result.history is not None:
        lines.append(line(f"carried over {plural(result.history.rows, 'row')} of history"))
    if not dry_run:
        lines.append(line("commit the code and features/.versions; featurestore sync switches readers", DIM))
    return Group(*lines)


def retire_lines(result: RetireResult, *, dry_run: bool) -> RenderableType:
    """What became of the feature, of its readers and of its history."""
    name = result.name
    if not (result.changed or result.online or result.rows):
        return line(f"{name} is retired already; nothing changed")
    lines = []
    if result.changed:
        lines.append(line(f"{name} {'would be' if dry_run else 'is'} retired"))
    if result.online:
        lines.append(line(f"readers {'would not be' if dry_run else 'are not'} served it any more"))
    if result.rows:
        verb = "would be" if dry_run else "was" if result.rows == 1 else "were"
        lines.append(line(f"{plural(result.rows, 'row')} of history {verb} erased"))
    elif not result.erased:
        lines.append(line("its history stays; --erase removes it", DIM))
    if result.models:
        lines.append(line(f"models that take it: {', '.join(result.models)}"))
    if result.datasets:
        again = "can't be made again" if result.rows else "can be made again as long as its history stays"
        lines.append(line(f"data sets made of it {again}: {', '.join(result.datasets)}"))
    if result.changed and not dry_run:
        lines.append(line(f"commit features/.versions/{name}/retired", DIM))
    return Group(*lines)


def erase_question(plan: RetireResult) -> str:
    """What to ask before the history of a feature is erased."""
    return f"Erase {plural(plan.rows, 'row')} of the history of {plan.name} for good?"
