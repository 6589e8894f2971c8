"""``featurestore rename``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A feature of the working tree.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it gets.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the edits, write nothing.")] = False,
) -> None:
    """Give a feature another name. Versions, history, learned times, reference and active version come along.

    Writes the new name and renamed_from= into the declaration, and the new name into the feature sets and drift rules
    of featurestore.toml. Everything stored is copied: the former name is retired, so that readers lose it at the next
    sync, and its history stays for the data sets that were made of it. Writing renamed_from= by hand and running
    ingest does the same. Commit the code together with features/.versions.

    \b
    Examples:
      featurestore rename spend spend_30d --dry-run
      featurestore rename spend spend_30d
    """
    from featurestore.render import json, text
    from featurestore.workflows.rename import rename

    session: Session = ctx.obj
    project = session.project()
    result = rename(project, session.offline(project), old, new, dry_run=dry_run)
    for warning in result.warnings:
        session.warn(warning)
    session.show(
        lambda: json.lives.rename_document(result, dry_run=dry_run),
        lambda: text.lives.rename_lines(result, dry_run=dry_run),
    )
