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
    from featurestore.render import json, text
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
            lambda: json.drift.report_document(versions[0], point, path),
            lambda: text.drift.report_line(path),
        )
    elif recompute:
        found = work.recompute(store, versions)
        session.show(lambda: json.drift.recomputed_document(found), lambda: text.drift.recomputed_lines(found))
        raise typer.Exit(1 if any(item.differs for item in found) else 0)
    elif name is not None:
        result = work.drift(store, versions[0], last=last)
        if markdown and not session.json:
            from featurestore.render.markdown.drift import drift_page

            sys.stdout.write(drift_page(result) + "\n")
            return
        session.show(lambda: json.drift.drift_document(result), lambda: text.drift.drift_page(result))
    else:
        rows = work.drift_page(store, versions, last=last)
        if markdown and not session.json:
            from featurestore.render.markdown.drift import overview_page

            sys.stdout.write(overview_page(rows) + "\n")
            return
        session.show(lambda: json.drift.overview_document(rows), lambda: text.drift.overview_table(rows))
