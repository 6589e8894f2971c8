"""``featurestore drift``."""

from __future__ import annotations

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
        bool, typer.Option("--recompute", help="Recompute the verdicts from the stored samples; exit 1 if one differs.")
    ] = False,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write Evidently's report of the last run as HTML.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --report: write no file.")] = False,
) -> None:
    """Show how far each feature has drifted, worst first, or one feature's score from run to run.

    The score is from 0 to 1 with every method; higher means more drift. Every ingestion measures drift; this command
    only reads the recorded verdicts.

    \b
    Examples:
      featurestore drift
      featurestore drift age_normalized --last 30
      featurestore drift --recompute
      featurestore drift age_normalized --report drift.html
    """
    from featurestore.errors import plural
    from featurestore.render import json, text
    from featurestore.workflows.drift import overview, timeline

    session: Session = ctx.obj
    project = session.project()
    store = session.offline(project)
    if report is not None:
        from featurestore.workflows.drift.report import write_report

        if name is None:
            raise UsageError("--report is about one feature", hint="featurestore drift NAME --report FILE")
        with session.progress("reading samples") as progress:
            written = write_report(project, store, name, Path(report), dry_run=dry_run, progress=progress)
        session.show(lambda: json.drift.report_document(written), lambda: text.drift.report_line(written))
    elif recompute:
        from featurestore.workflows.drift.recompute import recompute as compute_again

        with session.progress("recomputing") as progress:
            found = compute_again(project, store, name, progress=progress)
        session.show(lambda: json.drift.recomputed_document(found), lambda: text.drift.recomputed_lines(found))
        differ = sum(bool(item.differs) for item in found)
        session.report_findings([f"{plural(differ, 'verdict')} came out differently"] if differ else ())
        raise typer.Exit(1 if differ else 0)
    elif name is not None:
        result = timeline.timeline(project, store, name, last=last)
        if markdown and not session.json:
            from featurestore.render.markdown.drift import drift_page

            session.write_text(drift_page(result) + "\n")
            return
        session.show(lambda: json.drift.drift_document(result), lambda: text.drift.drift_page(result))
    else:
        rows = overview.overview(project, store, last=last)
        if markdown and not session.json:
            from featurestore.render.markdown.drift import overview_page

            session.write_text(overview_page(rows) + "\n")
            return
        session.show(lambda: json.drift.overview_document(rows), lambda: text.drift.overview_table(rows))
