"""``featurestore backup``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an older backup.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be in it, write nothing.")] = False,
) -> None:
    """Write the whole history, the audit log and the version files to one file, for featurestore restore.

    In it are all values ever learned, runs with their statistics and set-aside rows, references, data sets with their
    stored labels, raw rows of streams, deletions, and features/.versions. Not in it are your sources, your code, the
    settings with their passwords, and the online store, which featurestore sync fills again. It is of one instant,
    whatever is ingested meanwhile, and whole or not there. It holds your data: only you may read it. A backup of the
    embedded history can be restored to PostgreSQL, and the other way round. Where the file is a backup of the very
    same state already, nothing is written.

    \b
    Examples:
      featurestore backup ~/backups/shop.backup
      featurestore backup "/backups/shop-$(date +%F).backup"     # one a day
      featurestore backup shop.backup --force
    """
    from featurestore.regular import in_home
    from featurestore.render import json, text
    from featurestore.workflows.backup.backup import backup

    session: Session = ctx.obj
    project = session.project()
    with session.progress("backing up") as report:
        result = backup(
            project, session.offline(project), Path(in_home(file)), force=force, dry_run=dry_run, progress=report
        )
    for warning in result.warnings:
        session.warn(warning)
    session.show(
        lambda: json.backups.backup_document(result, dry_run=dry_run),
        lambda: text.backups.backup_lines(result, dry_run=dry_run),
    )
