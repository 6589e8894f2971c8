"""``featurestore preview``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="SOURCE|FILE", help="A source of featurestore.toml, or any file.")],
    rows: Annotated[int, typer.Option(metavar="N", min=0, help="How many rows to show.")] = 10,
    table: Annotated[str | None, typer.Option(metavar="NAME", help="Of a SQLite or DuckDB file: which table.")] = None,
) -> None:
    """Show what would be read: settings, types, first rows, and the rows that would be set aside.

    A source is read as featurestore.toml says. A file is looked at, and the settings that it seems to need are shown.
    Reads the beginning only, and writes nothing.

    \b
    Examples:
      featurestore preview visits
      featurestore preview data/export.csv --rows 3
      featurestore preview shop.sqlite --table orders --json
    """
    from featurestore.errors import NoProjectError
    from featurestore.render import json, text
    from featurestore.workflows.source_preview import preview

    session: Session = ctx.obj
    try:
        project = session.project()
    except NoProjectError:
        project = None  # a file can be looked at anywhere
    found = preview(project, what, rows, table)
    for warning in found.warnings:
        session.warn(warning)
    session.show(lambda: json.sources.preview_document(found), lambda: text.sources.preview_page(found))
