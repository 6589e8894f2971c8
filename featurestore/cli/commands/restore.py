"""``featurestore restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file that featurestore backup has made.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the history and the version files that are here.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the whole file, say what would be restored, change nothing.")
    ] = False,
) -> None:
    """Put the history, the audit log and the version files of a backup in the place of what is here.

    The whole file is checked before anything is changed, and the history that is here stays until the new one is
    complete. Version files that the backup does not have stay. What was erased after the backup was made, as far as
    the history here knows, is erased again. Then run featurestore sync --full: the online store is left as it is.
    Version files are code that runs, so restore only what you trust. Exit code 3: restored, and something that was
    erased since has still to be erased again.

    \b
    Examples:
      featurestore restore ~/backups/shop.backup --dry-run
      featurestore restore ~/backups/shop.backup
      featurestore restore ~/backups/shop.backup --force     # where there is a history already
    """
    from featurestore.online.open import open_online
    from featurestore.regular import in_home
    from featurestore.render import json, text
    from featurestore.workflows.backup.restore import restore

    session: Session = ctx.obj
    project = session.project()
    with session.progress("restoring") as report:
        result = restore(
            project, session.offline(project), open_online(project), Path(in_home(file)),
            force=force, dry_run=dry_run, progress=report,
        )  # fmt: skip
    for warning in result.warnings:
        session.warn(warning)
    for line in result.left:
        session.report(f"warning: {line}")
    session.show(
        lambda: json.backups.restore_document(result, dry_run=dry_run),
        lambda: text.backups.restore_lines(result, dry_run=dry_run),
    )
    raise typer.Exit(result.exit_code)
