"""``featurestore init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.render import json, text
from featurestore.workflows.init import init


def command(
    ctx: typer.Context,
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="The folder; created if it is missing.")] = ".",
    demo: Annotated[bool, typer.Option("--demo", help="Create the heart-disease example: data and features.")] = False,
    name: Annotated[str | None, typer.Option(help="The project's name (default: the folder's).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Start a project. Files that are there already are left alone.

    \b
    Examples:
      featurestore init                  here
      featurestore init --demo heart     the example project, in ./heart
    """
    session: Session = ctx.obj
    result = init(Path(directory), name=name, demo=demo, dry_run=dry_run)
    session.show(lambda: json.project.init_document(result), lambda: text.project.init_lines(result, dry_run=dry_run))
