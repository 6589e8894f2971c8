"""``featurestore ingest``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.session import Session

if TYPE_CHECKING:
    from featurestore.config import Project
    from featurestore.workflows.source_preview import SourcePreview


def command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Features (default: all).")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only the features of this source; repeatable.")] = None,
    input_: Annotated[
        str | None, typer.Option("--input", metavar="PATH", help="Read this in place of the source's path; - is stdin.")
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Make the history on the server this project's, where it is another's.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Compute even where neither data nor code changed.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="A row that breaks a rule fails the source.")] = False,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit 1 when a feature has drifted.")] = False,
    no_drift: Annotated[bool, typer.Option("--no-drift", help="Don't report drift.")] = False,
    allow_future: Annotated[bool, typer.Option("--allow-future", help="Take rows dated ahead of the clock.")] = False,
    allow_shrunk: Annotated[
        bool, typer.Option("--allow-shrunk", help="Go on where files of the last run are gone.")
    ] = False,
    restart_source: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Begin where start says, of a stream made anew; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compute and count, store nothing.")] = False,
) -> None:
    """Read sources, validate, compute features, version their code, store values, measure drift, log.

    One run is one transaction. Data and code that were taken before are left alone; a feature that fails does
    not hold up the others. Exit code 3: some features failed or some rows were set aside, the rest is stored.

    \b
    Examples:
      featurestore ingest
      featurestore ingest age_normalized --full
      featurestore ingest --source visits --input today.csv
      zcat visits.csv.gz | featurestore ingest --source visits --input -
    """
    from featurestore.render import json, text
    from featurestore.render.lines import run_lines
    from featurestore.workflows.ingest.events import IngestOptions
    from featurestore.workflows.ingest.ingest import IngestRequest, ingest

    session: Session = ctx.obj
    project = session.project()
    restart = tuple(restart_source or ())
    options = IngestOptions(input_, full, strict, allow_future, allow_shrunk, dry_run, restart)
    request = IngestRequest(tuple(names or ()), tuple(source or ()), options, drift=not no_drift)
    if take_over and not dry_run:
        from featurestore.offline.open import take_over as take_over_history

        take_over_history(project)
    store = session.offline(project)
    with session.progress("reading sources") as progress:
        result = ingest(project, store, request, progress)
    for warning in result.warnings:
        session.warn(warning)
    found = _previews(project, result.run.sources, input_) if dry_run else []
    session.show(
        lambda: json.runs.ingest_document(
            result.run, result.warnings, dry_run=dry_run, sources=list(map(json.sources.preview_document, found))
        ),
        lambda: text.runs.ingest_page(result.run, dry_run=dry_run, sources=list(map(text.sources.preview_page, found))),
    )
    session.show_problems(
        lambda: run_lines(result.run, result.rejected, dry_run=dry_run),
        lambda: text.runs.ingest_problems(result.run, result.rejected, dry_run=dry_run),
    )
    raise typer.Exit(result.exit_code(fail_on_drift=fail_on_drift))


def _previews(project: Project, sources: Sequence[str], given: str | None) -> list[SourcePreview]:
    """How each source is read; not of what can be read only once, nor of what can't be read: the run says why."""
    from featurestore.errors import FeatureStoreError
    from featurestore.workflows.source_preview import preview_source

    if given is not None and not Path(given).is_file():
        return []
    found = []
    for name in sources:
        with suppress(FeatureStoreError):
            found.append(preview_source(project, name, given=given))
    return found
