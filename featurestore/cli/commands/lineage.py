"""``featurestore lineage``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import checks as render
from featurestore.workflows.lineage import trace


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature of the working tree.")],
) -> None:
    """Draw where a feature comes from and what was made from it: source, columns, helpers, versions, data sets.

    Columns and helpers are found from the code, which is not run.

    \b
    Examples:
      featurestore lineage composite_risk_score
      featurestore lineage composite_risk_score --json
    """
    session: Session = ctx.obj
    project = session.project()
    found = trace(project, session.offline(project), name)
    session.show(
        lambda: render.lineage_json(found.detail, found.datasets),
        lambda console: render.draw_lineage(console, found.detail, found.datasets),
    )
