"""``featurestore tui``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import UsageError, did_you_mean


def command(
    ctx: typer.Context,
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer nothing that changes anything.")] = False,
    theme: Annotated[str | None, typer.Option(metavar="NAME", help="The colours, such as ansi-dark.")] = None,
) -> None:
    """Browse features, versions, diffs, drift and runs; ingest, sync and promote from there.

    Keys 1 to 5 are the places, ? lists the keys that work, ctrl+p finds anything, q leaves. It holds no store open, so
    cron may go on ingesting beside it, and it shows what was committed by itself. With 16 colours it takes those of
    your terminal; NO_COLOR is obeyed.

    \b
    Examples:
      featurestore tui
      featurestore tui --read-only
      featurestore tui --theme featurestore-light
    """
    session: Session = ctx.obj
    if session.json:
        raise UsageError("tui has no --json", hint="list, show, diff, drift and runs have")
    project = session.project()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("tui needs a terminal", hint="list, show, diff, drift and runs print the same")
    from featurestore.tui.app import FeatureStoreApp
    from featurestore.tui.data import Data

    app = FeatureStoreApp(Data(project), read_only=read_only, theme=theme)
    if theme is not None and theme not in app.available_themes:
        raise UsageError(f"there is no theme {theme!r}", hint=did_you_mean(theme, app.available_themes))
    raise typer.Exit(app.run() or 0)
