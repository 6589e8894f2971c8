"""``featurestore stats``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature: name, name@2 or name@1f2e3d.")],
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run to show: its id, the beginning of it, or its number.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest N runs of the timeline.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Show a feature's distribution in its last run, and how its mean and drift moved from run to run.

    The statistics are over the finite values of the rows that the run wrote or corrected.

    \b
    Examples:
      featurestore stats age_normalized
      featurestore stats age_normalized --run 3 --json
      featurestore stats age_normalized@1 --last 30 --markdown
    """
    from featurestore.render import json, text
    from featurestore.render.markdown.stats import stats_page
    from featurestore.workflows.stats import stats

    session: Session = ctx.obj
    project = session.project()
    store = session.offline(project)
    result = stats(project, store, name, run=run, last=last)
    if markdown and not session.json:
        session.write_text(stats_page(result) + "\n")
        return
    session.show(lambda: json.stats.stats_document(result), lambda: text.stats.stats_page(result))
