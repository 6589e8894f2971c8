"""``featurestore ingest``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from featurestore.cli.options import duration, instant
from featurestore.cli.session import Session
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.config import Project
    from featurestore.model import Run
    from featurestore.offline.contract import OfflineStore
    from featurestore.workflows.ingest.follow import FollowRound
    from featurestore.workflows.ingest.ingest import IngestRequest
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
    since: Annotated[
        str | None, typer.Option(metavar="TS", help="A backfill: nothing is written that is dated before.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TS", help="Where a backfill ends, exclusive (now).")] = None,
    step: Annotated[str | None, typer.Option(metavar="DURATION", help="A backfill in runs of 30d each, say.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Take what comes of streams until SIGTERM, one line a run.")
    ] = False,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="With --follow: how often a run is made (default: 10s).")
    ] = None,
    restart_source: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Begin where start says, of a stream made anew; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compute and count, store nothing.")] = False,
) -> None:
    """Read sources, validate, compute features, version their code, store values, measure drift, log.

    One run is one transaction. Data and code that were taken before are left alone; a feature that fails does
    not hold up the others. Exit code 3: some features failed or some rows were set aside, the rest is stored.
    A backfill (--since) is for versions without values; one that was broken off goes on where it was.

    \b
    Examples:
      featurestore ingest
      featurestore ingest age_normalized --full
      featurestore ingest --source visits --input today.csv
      featurestore ingest spend_30d --since 2022-01-01T00:00:00Z --step 30d
      zcat visits.csv.gz | featurestore ingest --source visits --input -
      featurestore ingest --follow --every 30s
    """
    from featurestore.render import json, text
    from featurestore.render.lines import run_lines
    from featurestore.tables.memory import use_one_heap
    from featurestore.workflows.ingest.events import IngestOptions
    from featurestore.workflows.ingest.ingest import IngestRequest, ingest
    from featurestore.workflows.ingest.steps import backfill_bounds

    use_one_heap()
    session: Session = ctx.obj
    project = session.project()
    begin, end = instant(session, "--since", since), instant(session, "--until", until)
    length, restart = duration("--step", step), tuple(restart_source or ())
    options = IngestOptions(input_, full, strict, allow_future, allow_shrunk, dry_run, restart, since=begin)
    request = IngestRequest(tuple(names or ()), tuple(source or ()), options, drift=not no_drift)
    if take_over and not dry_run:
        from featurestore.offline.open import take_over as take_over_history

        take_over_history(project)
    store = session.offline(project)
    if follow:
        _follow(session, project, store, request, every)
        return
    if every is not None:
        raise UsageError("--every goes with --follow")
    bounds = backfill_bounds(begin, end, length, full=full)
    if bounds is not None:
        _backfill(session, project, store, request, bounds, length, fail_on_drift=fail_on_drift)
    with session.progress("reading sources") as progress:
        result = ingest(project, store, request, progress)
    session.warn_all(result.warnings, result.reasons)
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
    _report_drift(session, result.run, asked=fail_on_drift)
    raise typer.Exit(result.exit_code(fail_on_drift=fail_on_drift))


def _report_drift(session: Session, run: Run, *, asked: bool) -> None:
    """With -q and --fail-on-drift, which features have drifted."""
    from featurestore.render.lines import drift_lines

    session.report_findings(drift_lines(run) if asked else ())


def _backfill(
    session: Session,
    project: Project,
    store: OfflineStore,
    request: IngestRequest,
    bounds: tuple[int, int],
    length: int | None,
    *,
    fail_on_drift: bool,
) -> NoReturn:
    """Makes the steps, shows each, and exits."""
    from featurestore.render import json, text
    from featurestore.render.lines import run_lines
    from featurestore.workflows.ingest.backfill import BackfillStep, backfill

    dry_run = request.options.dry_run

    def done(step: BackfillStep) -> None:
        result = step.result
        session.warn_all(result.warnings, result.reasons)
        session.show_problems(
            lambda: run_lines(result.run, result.rejected, dry_run=dry_run),
            lambda: text.runs.ingest_problems(result.run, result.rejected, dry_run=dry_run),
        )
        _report_drift(session, result.run, asked=fail_on_drift)

    with session.progress("reading sources") as progress:
        found = backfill(project, store, request, bounds, length, progress, done)
    session.show(
        lambda: json.runs.backfill_document(found, dry_run=dry_run),
        lambda: text.runs.backfill_page(found, dry_run=dry_run),
    )
    raise typer.Exit(found.exit_code(fail_on_drift=fail_on_drift))


def _follow(session: Session, project: Project, store: OfflineStore, request: IngestRequest, every: str | None) -> None:
    from featurestore.cli.parsing import every_seconds
    from featurestore.workflows.ingest.follow import EVERY, follow

    options = request.options
    for flag, given in (
        ("--input", options.input is not None),
        ("--dry-run", options.dry_run),
        ("--since", options.since is not None),
    ):
        if given:
            raise UsageError(f"--follow and {flag} can't be combined")
    session.answer_in_lines()
    for finished in follow(project, store, request, every_seconds(every or EVERY)):
        _show_round(session, finished)


def _show_round(session: Session, finished: FollowRound) -> None:
    """One line for a run of ``--follow``; an error goes to stderr, with -q too."""
    import sys

    from featurestore import times
    from featurestore.render import json
    from featurestore.render.lines import round_line, run_lines

    at = times.format_instant(finished.at // 1_000_000 * 1_000_000)
    if finished.result is None:
        session.report(f"error: {at} {finished.error}; trying again")
        return
    run, warnings = finished.result.run, finished.result.warnings
    session.warn_all(warnings, finished.result.reasons)
    if session.json:
        session.write_json_line(json.runs.ingest_document(run, warnings, dry_run=False))
    elif not session.quiet:
        session.write_text(f"{at} {round_line(run)}\n")
    for line in run_lines(run, finished.result.rejected, dry_run=False):
        session.report(line)
    sys.stdout.flush()


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
