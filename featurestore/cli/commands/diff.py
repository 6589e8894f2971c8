"""``featurestore diff``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import UsageError, did_you_mean
from featurestore.workflows.diff import diff

FORMATS = ("rich", "markdown", "json")


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature.")],
    old: Annotated[str | None, typer.Argument(metavar="[OLD]", help="A number, a hash prefix, or worktree.")] = None,
    new: Annotated[str | None, typer.Argument(metavar="[NEW]", help="The same (default: worktree).")] = None,
    rev: Annotated[
        str | None,
        typer.Option("--rev", metavar="REV", help="The code at a git revision, against OLD or the worktree."),
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="rich, markdown or json.")] = "rich",
    code: Annotated[bool, typer.Option("--code", help="Only the code; opens no store.")] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Only the values.")] = False,
    tolerance: Annotated[float, typer.Option(min=0.0, help="Numbers no further apart are equal.")] = 0.0,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 when the code differs.")] = False,
) -> None:
    """Compare two versions: code of the whole closure, distribution, and entities whose latest value changed.

    With neither version named: the active one against the working tree if that differs or there is no other
    version, else the previous against the active one.

    \b
    Examples:
      featurestore diff composite_risk_score
      featurestore diff composite_risk_score 1 2
      featurestore diff composite_risk_score 1 worktree --code
      featurestore diff composite_risk_score --rev main --code
      featurestore diff composite_risk_score 1 2 --format markdown > pull-request.md
    """
    session: Session = ctx.obj
    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}", hint=did_you_mean(form, FORMATS))
    if code and stats:
        raise UsageError("--code and --stats can't be combined", hint="leave both out to see everything")
    project = session.project()
    store = None if code else session.offline(project)
    found = diff(project, name, old, new, revision=rev, store=store, tolerance=tolerance)
    from featurestore.render import json, text
    from featurestore.render.markdown.diff import diff_page

    shown = None if stats else found.code
    if session.json or form == "json":
        session.write_json(json.diff.diff_document(found.code, found.values, found.entity_type))
    elif form == "markdown":
        session.write_text(diff_page(shown, found.values, found.entity_type))
    else:
        session.show(dict, lambda: text.diff.diff_page(shown, found.values, found.entity_type))
    raise typer.Exit(1 if exit_code and found.code.code_changed else 0)
