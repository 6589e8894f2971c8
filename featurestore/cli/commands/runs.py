"""``featurestore runs``."""

from __future__ import annotations

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
) -> None:
    """Show the audit log, newest first; or one run with its features and the rows it set aside.

    \b
    Examples:
      featurestore runs --last 10
      featurestore runs --status failed --json
      featurestore runs 3
    """
    from featurestore.render import json, text
    from featurestore.workflows.runs import list_runs, show_run

    session: Session = ctx.obj
    store = session.offline(session.project())
    if run is None:
        found = list_runs(store, feature=feature, status=status, last=last)
        session.show(lambda: json.runs.runs_document(found), lambda: text.runs.runs_table(found))
        return
    detail = show_run(store, run)
    session.show(lambda: json.runs.detail_document(detail), lambda: text.runs.run_page(detail))
