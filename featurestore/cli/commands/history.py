"""``featurestore history``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature: name, name@2 or name@1f2e3d.")],
    entity_id: Annotated[str, typer.Argument(metavar="ENTITY_ID", help="A composite one is k1=v1,k2=v2 or JSON.")],
) -> None:
    """Show every value an entity ever had: when it was true, and when it was learned.

    \b
    Examples:
      featurestore history age_normalized 42
      featurestore history stock@1 store=s1,product=7 --json
    """
    from featurestore.render import json, text
    from featurestore.workflows.history import feature_history

    session: Session = ctx.obj
    project = session.project()
    result = feature_history(project, session.offline(project), name, entity_id)
    session.show(lambda: json.history.history_document(result), lambda: text.history.history_table(result))
