"""``featurestore baseline``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature: name, name@2 or name@1f2e3d.")],
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id, the beginning of it, or its number (default: last)."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Compare with the runs of this long before, such as 30d."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change.")] = False,
) -> None:
    """Set the reference that later runs of a feature are compared with: a run, or a rolling window of runs.

    The drift method in featurestore.toml is stored with the reference. Recorded verdicts don't change.

    \b
    Examples:
      featurestore baseline age_normalized
      featurestore baseline age_normalized 1
      featurestore baseline age_normalized --window 30d
    """
    from featurestore.render import json, text
    from featurestore.workflows.drift.baseline import set_baseline

    session: Session = ctx.obj
    project = session.project()
    store = session.offline(project)
    result = set_baseline(project, store, name, run=run, window=window, dry_run=dry_run)
    session.show(
        lambda: json.drift.baseline_document(result, dry_run=dry_run),
        lambda: text.drift.baseline_line(result, dry_run=dry_run),
    )
