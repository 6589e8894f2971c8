"""``featurestore lock``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import json, text
from featurestore.workflows.lock import lock


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Features (default: all).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Write the version files for what plan shows, for you to commit. Computes nothing and activates nothing.

    ingest does the same for the features it computes. If a merge left two files with the same number, the later
    one is renumbered; values are stored by hash, so nothing in the stores changes.

    \b
    Examples:
      featurestore lock
      featurestore lock age_normalized --dry-run
    """
    session: Session = ctx.obj
    locked = lock(session.project(), names or (), dry_run=dry_run, open_offline=session.offline)
    session.show(
        lambda: json.features.lock_document(locked),
        lambda: text.features.lock_lines(locked, dry_run=dry_run),
    )
