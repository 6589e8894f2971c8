"""What ``init`` wrote, and what comes next."""

from __future__ import annotations

import shlex

from rich.console import Group, RenderableType

from featurestore.render.text.style import line
from featurestore.workflows.init import InitResult
from featurestore.workflows.new import NewFeature

DEMO = (
    "featurestore ingest        compute the features and store their history",
    "featurestore list          see them",
)
# Each file, where it was written, and what to do with it.
EDITED = {
    "featurestore.toml": "edit featurestore.toml     entity types and sources",
    "features/examples.py": "edit features/examples.py  a first feature",
}
LAST = "featurestore plan          see what you declared"


def init_lines(result: InitResult, *, dry_run: bool) -> RenderableType:
    if not result.created:
        return line(f"{result.root} is already a project; nothing changed")
    found = [] if result.proposal is None else ["found:", *(f"  {note}" for note in result.proposal.notes), ""]
    if result.proposal is not None:
        found += [*(f"  {text}" for text in result.proposal.settings.splitlines()), ""]
    lines = [
        *found,
        f"{'would write' if dry_run else 'wrote'} to {result.root}:",
        *(f"  {path}" for path in result.created),
    ]
    if not dry_run:
        edited = [step for path, step in EDITED.items() if path in map(str, result.created)]
        steps = DEMO if result.demo or result.proposal else (*edited, LAST)
        lines += ["", "next:", f"  cd {shlex.quote(str(result.root))}", *(f"  {step}" for step in steps)]
    return Group(*map(line, lines))


def new_lines(made: NewFeature, *, dry_run: bool) -> RenderableType:
    """The file and its text."""
    path = made.path.as_posix()
    head = f"would write {path}:" if dry_run else f"wrote {path}:"
    lines = [head, *(f"  {text}" for text in made.text.splitlines()), ""]
    return Group(*map(line, lines if dry_run else [*lines, "next: edit it, then featurestore ingest " + made.name]))
