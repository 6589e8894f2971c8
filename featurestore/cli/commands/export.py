"""``featurestore export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.options import output_format
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
    from featurestore.tables.batches import write_batches
    from featurestore.workflows.export import export
    from featurestore.workflows.references import resolve_one

    session: Session = ctx.obj
    project = session.project()
    store = session.offline(project)
    target = None if output is None or output == "-" else Path(output)
    form = output_format(format_, target)
    result = export(store, resolve_one(project, store, name))
    if target is not None or not session.json:
        with write_batches(target or sys.stdout.buffer, form=form) as write:
            write(result.frame)
    if target is not None:
        session.note(f"{result.frame.height:,} rows written to {target}")
    if session.json:
        session.write_json(json.history.export_document(result, target))
