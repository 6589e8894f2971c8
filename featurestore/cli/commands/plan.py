"""``featurestore plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import UsageError
from featurestore.progress import Progress
from featurestore.render import json, text
from featurestore.render.lines import problem_lines
from featurestore.workflows.plan import plan


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Features (default: all).")] = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Run old and new code on the same rows and compare the values.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown, for a pull request.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 1 when there is any change, 2 where a declaration can't be used.")
    ] = False,
    models: Annotated[
        bool, typer.Option("--models", help="With --exit-code: exit 1 only where a change touches a model.")
    ] = False,
) -> None:
    """Show what the working tree would change: new, changed and removed features, and why. Writes nothing.

    Runs none of your code, unless --stats is given, which runs the changed features.

    \b
    Examples:
      featurestore plan
      featurestore plan composite_risk_score --json
      featurestore plan --stats
      featurestore plan --stats --markdown > pull-request.md
      featurestore plan --exit-code -q
      featurestore plan --exit-code --models -q
    """
    session: Session = ctx.obj
    if models and not exit_code:
        raise UsageError("--models needs --exit-code")
    project = session.project()
    result = plan(project, names or ())
    for line in result.warnings:
        session.warn(line)
    session.report_reasons(problem_lines(result.broken), fails=exit_code)
    for line in problem_lines(result.left_out):
        session.warn(line)
    previews = None
    if stats:
        from featurestore.workflows.preview import preview

        store = session.offline(project)
        with session.progress("computing old and new code") as report:
            previews = preview(project, store, result, Progress(report))
    if markdown and not session.json:
        from featurestore.render.markdown.previews import plan_page

        session.write_text(plan_page(result, previews))
    else:
        session.show(
            lambda: json.features.plan_document(result, previews),
            lambda: text.features.plan_table(result, previews, verbose=session.verbose),
        )
    refused = any(item.models if models else item.is_pending for item in result.changes)
    raise typer.Exit(0 if not exit_code else 2 if result.broken else 1 if refused else 0)
