"""``featurestore runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One run: its id, the beginning of it, or its number.")
    ] = None,
    feature: Annotated[str | None, typer.Option(help="Only runs that touched this feature.")] = None,
    status: Annotated[str | None, typer.Option(help="Only runs that ended so: ok, partial or failed.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest N.")] = None,
    rejected: Annotated[bool, typer.Option("--rejected", help="Of one run: all rows that it set aside.")] = False,
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With --rejected: write them to a file of any format."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --output: write no file.")] = False,
) -> None:
    """Show the audit log, newest first; or one run with its features and the rows it set aside.

    \b
    Examples:
      featurestore runs --last 10
      featurestore runs --status failed --json
      featurestore runs 3
      featurestore runs 3 --rejected --output rejected.csv
    """
    from featurestore.errors import UsageError
    from featurestore.render import json, text
    from featurestore.workflows.runs import list_runs, show_run

    session: Session = ctx.obj
    if rejected and run is None:
        raise UsageError("--rejected is of one run", hint="name the run, for example: featurestore runs 3 --rejected")
    if output is not None and not rejected:
        raise UsageError("--output is for the rows that a run set aside", hint="add --rejected")
    project = session.project()
    store = session.offline(project)
    if run is None:
        found = list_runs(project, store, feature=feature, status=status, last=last)
        session.show(lambda: json.runs.runs_document(found), lambda: text.runs.runs_table(found))
        return
    detail = show_run(store, run)
    if rejected:
        path = None if output is None else Path(output)
        if path is not None and dry_run:
            session.note(f"a dry run: {path} is not written")
        elif path is not None:
            from featurestore.workflows.rejected import write_rejected
            from featurestore.workflows.table_files import TableFile

            write_rejected(detail, TableFile(path))
        session.show(
            lambda: json.runs.rejected_document(detail, path, dry_run=dry_run),
            lambda: text.runs.rejected_page(detail, None if dry_run else path),
        )
        return
    session.show(lambda: json.runs.detail_document(detail), lambda: text.runs.run_page(detail))
