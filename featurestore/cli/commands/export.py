"""``featurestore export``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.options import output_table
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
) -> None:
    """Write the whole history of a feature version: keys, value, when it was true, when it was learned.

    \b
    Examples:
      featurestore export age_normalized --output ages.parquet
      featurestore export risk@1 > risk.csv
    """
    from featurestore.render import json
    from featurestore.render.words import plural
    from featurestore.workflows.export import export_feature

    session: Session = ctx.obj
    project = session.project()
    sink = output_table(session, output, format_)
    path = sink.path if sink else None
    result = export_feature(project, session.offline(project), name, sink)
    if path is not None:
        session.note(f"{plural(result.rows, 'row')} written to {path}")
    if session.json:
        session.write_json(json.history.export_document(result, path))
