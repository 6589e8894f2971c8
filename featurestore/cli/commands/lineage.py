"""``featurestore lineage``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import json, text
from featurestore.workflows.lineage import trace


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A feature, also one that was retired.")],
) -> None:
    """Draw where a feature comes from and what was made from it: source, columns, helpers, versions, data sets, models.

    Columns and helpers are found from the code, which is not run; of a feature whose code is gone they are not known.

    \b
    Examples:
      featurestore lineage composite_risk_score
      featurestore lineage composite_risk_score@1
      featurestore lineage composite_risk_score --json
    """
    session: Session = ctx.obj
    project = session.project()
    found = trace(project, session.offline(project), name)
    for line in (*found.detail.warnings, *([found.detail.note] if found.detail.note else [])):
        session.warn(line)
    session.show(
        lambda: json.lineage.lineage_document(found.detail, found.datasets, found.models),
        lambda: text.lineage.lineage_tree(found.detail, found.datasets, found.models),
    )
