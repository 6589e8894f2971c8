"""``featurestore new``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The feature's name: lower-case letters, digits and _.")],
    entity_type: Annotated[str | None, typer.Option(help="What it is about (default: the only one).")] = None,
    source: Annotated[str | None, typer.Option(help="The source it reads (default: the only one).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Add a feature to edit, in features/NAME.py.

    It reads a column of its source, and can be ingested as it is.

    \b
    Examples:
      featurestore new basket_total
      featurestore new basket_total --entity-type customer --source orders
    """
    from featurestore.render import json, text
    from featurestore.workflows.new import new_feature

    session: Session = ctx.obj
    made = new_feature(session.project(), name, entity_type=entity_type, source=source, dry_run=dry_run)
    session.show(
        lambda: json.project.new_document(made, dry_run=dry_run), lambda: text.project.new_lines(made, dry_run=dry_run)
    )
