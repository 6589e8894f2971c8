"""``featurestore export``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.options import output_table, would_write
from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature: name, name@2 or name@1f2e3d.")],
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="CSV, Parquet, Arrow or JSON lines (default: CSV on stdout).")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="csv, parquet, arrow or ndjson (default: by FILE's name)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, write nothing.")] = False,
) -> None:
    """Write the whole history of a feature version: keys, value, when it was true, when it was learned.

    \b
    Examples:
      featurestore export age_normalized --output ages.parquet
      featurestore export risk@1 > risk.csv
    """
    from featurestore.errors import plural
    from featurestore.render import json
    from featurestore.workflows.export import export_feature

    session: Session = ctx.obj
    project = session.project()
    sink = output_table(session, output, format_)
    path = sink.path if sink else None
    result = export_feature(project, session.offline(project), name, sink, dry_run=dry_run)
    if path is not None and not dry_run:
        session.note(f"{plural(result.rows, 'row')} written to {path}")
    if session.json or dry_run:
        session.show(lambda: json.history.export_document(result, path), lambda: would_write(result.rows, path))
