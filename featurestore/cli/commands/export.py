"""``featurestore export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature: name, name@2 or name@1f2e3d.")],
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="CSV, Parquet, Arrow or JSON lines (default: CSV on stdout).")
    ] = None,
) -> None:
    """Write the whole history of a feature version: keys, value, when it was true, when it was learned.

    \b
    Examples:
      featurestore export age_normalized --output ages.parquet
      featurestore export risk@1 > risk.csv
    """
    from featurestore.frames.tables import format_of, write_table
    from featurestore.render import joins as render
    from featurestore.workflows.export import export
    from featurestore.workflows.references import resolve_one

    session: Session = ctx.obj
    project = session.project()
    store = session.offline(project)
    target = None if output is None or output == "-" else Path(output)
    if target is not None:
        format_of(target)  # a name that says no format is refused before the work, not after it
    result = export(store, resolve_one(project, store, name))
    if target is not None:
        write_table(result.frame, target)
        session.note(f"{result.frame.height:,} rows written to {target}")
    elif not session.json:
        write_table(result.frame, sys.stdout.buffer)
    if session.json:
        session.write_json(render.export_json(result, target))
