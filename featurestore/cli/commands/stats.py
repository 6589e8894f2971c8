"""``featurestore stats``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature: name, name@2 or name@1f2e3d.")],
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run to show: its id, its beginning, or its number.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest N runs of the timeline.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Show a feature's distribution at its last run, and how mean and drift moved from run to run.

    Statistics are of the rows that the run wrote or corrected, over their finite values.

    \b
    Examples:
      featurestore stats age_normalized
      featurestore stats age_normalized --run 3 --json
      featurestore stats age_normalized@1 --last 30 --markdown
    """
    from featurestore.render import json, text
    from featurestore.render.markdown.stats import stats_page
    from featurestore.workflows.references import resolve_one
    from featurestore.workflows.stats import stats

    session: Session = ctx.obj
    project = session.project()
    store = session.offline(project)
    result = stats(store, resolve_one(project, store, name), run=run, last=last)
    if markdown and not session.json:
        sys.stdout.write(stats_page(result) + "\n")
        return
    session.show(lambda: json.stats.stats_document(result), lambda: text.stats.stats_page(result))
