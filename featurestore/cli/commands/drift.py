"""``featurestore drift``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import UsageError


def command(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A feature: name, name@2 or name@1f2e3d (default: all).")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest N runs.")] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Measure the kept samples again; exit 1 if a verdict differs.")
    ] = False,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write Evidently's report of the last run as HTML.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Show how far each feature has moved, worst first; or one feature's score from run to run.

    The score runs from 0 to 1, higher meaning more drift, whatever the method. Drift is measured by every
    ingestion; this command only reads what was recorded.

    \b
    Examples:
      featurestore drift
      featurestore drift age_normalized --last 30
      featurestore drift --recompute
      featurestore drift age_normalized --report drift.html
    """
    from featurestore.render import drift as render
    from featurestore.workflows.drift import overview as work
    from featurestore.workflows.references import resolve_one

    session: Session = ctx.obj
    project = session.project()
    store = session.offline(project)
    versions = [resolve_one(project, store, name)] if name else work.watched_versions(project, store)
    if report is not None:
        if name is None:
            raise UsageError("--report is about one feature", hint="featurestore drift NAME --report FILE")
        path = Path(report)
        with session.progress("importing Evidently"):
            point = work.write_report(store, versions[0], path)
        session.show(
            lambda: {"feature": versions[0].id.feature, "run_id": point.run_id, "report": str(path)},
            lambda console: console.print(f"wrote {path}"),
        )
    elif recompute:
        found = work.recompute(store, versions)
        session.show(lambda: render.recomputed_json(found), lambda console: render.draw_recomputed(console, found))
        raise typer.Exit(1 if any(item.differs for item in found) else 0)
    elif name is not None:
        result = work.drift(store, versions[0], last=last)
        if markdown and not session.json:
            sys.stdout.write(render.drift_markdown(result) + "\n")
            return
        session.show(lambda: render.drift_json(result), lambda console: render.draw_drift(console, result))
    else:
        rows = work.drift_page(store, versions, last=last)
        if markdown and not session.json:
            sys.stdout.write(render.page_markdown(rows) + "\n")
            return
        session.show(lambda: render.page_json(rows), lambda console: render.draw_page(console, rows))
