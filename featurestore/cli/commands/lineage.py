"""``featurestore lineage``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import json, text
from featurestore.workflows.catalogue import show_feature


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature of the working tree.")],
) -> None:
    """Draw where a feature comes from and what became of it: source, columns, helpers, versions, data sets.

    Columns and helpers are found from the code, which is not run.

    \b
    Examples:
      featurestore lineage composite_risk_score
      featurestore lineage composite_risk_score --json
    """
    session: Session = ctx.obj

    project = session.project()
    detail = show_feature(project, name)
    for line in detail.warnings:
        session.warn(line)
    made = [item for item in session.offline(project).datasets() if any(part.feature == name for part in item.features)]
    session.show(lambda: json.lineage.lineage_document(detail, made), lambda: text.lineage.lineage_tree(detail, made))
