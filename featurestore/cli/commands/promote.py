"""``featurestore promote``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number, or a hash prefix.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be switched.")] = False,
) -> None:
    """Make a version the active one, back or forward. Joins, reads and the online store follow it.

    Where the feature is online, the version's values are written first and readers switched then. ingest goes
    on feeding the promoted version, whatever the working tree becomes. Commit features/.versions/NAME/active.

    \b
    Examples:
      featurestore promote composite_risk_score 1
      featurestore promote composite_risk_score 1f2e3d4c --dry-run
    """
    from featurestore.online.open import open_online
    from featurestore.render import json, text
    from featurestore.workflows.promote import promote

    session: Session = ctx.obj
    project = session.project()
    with session.progress("switching the online store"):
        result = promote(project, session.offline(project), open_online(project), name, version, dry_run=dry_run)
    for warning in result.warnings:
        session.warn(warning)
    session.show(
        lambda: json.versions.promote_document(result, dry_run=dry_run),
        lambda: text.versions.promote_lines(result, dry_run=dry_run),
    )
