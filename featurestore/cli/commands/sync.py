"""``featurestore sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.workflows.sync import Mode, SyncResult, SyncRound


def command(
    ctx: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Compare everything, and remove what the history has no more.")
    ] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what was learned since the last sync (the default).")
    ] = False,
    feature: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this feature; repeatable.")] = None,
    no_auto_full: Annotated[
        bool,
        typer.Option("--no-auto-full", help="Where the store has lost values, report it (exit code 3), write none."),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Make a store that belongs to another history of this name this one's."),
    ] = False,
    every: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="Sync again this often (30, 30s, 5m) until stopped.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be written, write nothing.")] = False,
) -> None:
    """Bring the online store up to date with the history, and serve the active versions.

    No value online is ever replaced by an older one, whoever syncs at the same time. If the store was flushed, restored
    or replaced, sync notices and fills it again, unless --no-auto-full leaves that to you. Exit code 3: a feature was
    left as it is, because a version that was promoted later than the active one is served, or because of
    --no-auto-full; or nothing was written, because the store belongs to another history.

    \b
    Examples:
      featurestore sync
      featurestore sync --full --feature age_normalized
      featurestore sync --every 30s
      * * * * *  /srv/heart/.venv/bin/featurestore -C /srv/heart sync >/dev/null     (the same from cron)
    """
    from featurestore.progress import Progress
    from featurestore.render import json, text
    from featurestore.workflows.sync import sync_project, sync_repeatedly

    session: Session = ctx.obj
    if full and incremental:
        raise UsageError("--full and --incremental can't be combined")
    project = session.project()
    mode: Mode = "full" if full else "incremental"

    def once() -> SyncResult:
        with session.progress("syncing") as report:
            return sync_project(
                project, feature or (), mode, dry_run=dry_run, repair=not no_auto_full, take_over=take_over,
                progress=Progress(report), open_offline=session.offline,
            )  # fmt: skip

    if every is not None:
        from featurestore.cli.parsing import every_seconds

        session.answer_in_lines()
        for finished in sync_repeatedly(once, every_seconds(every)):
            _show_round(session, finished)
    result = once()
    session.warn_all(result.warnings, result.reasons)
    session.show(lambda: json.sync.sync_document(result), lambda: text.sync.sync_table(result))
    raise typer.Exit(result.exit_code)


def _show_round(session: Session, finished: SyncRound) -> None:
    """One line for a round of ``--every``; an error goes to stderr, with -q too."""
    import sys

    from featurestore import times
    from featurestore.render import json
    from featurestore.render.lines import sync_line

    at = times.format_instant(finished.at // 1_000_000 * 1_000_000)
    if finished.result is None:
        session.report(f"error: {at} {finished.error}; trying again")
        return
    session.warn_all(finished.result.warnings, finished.result.reasons)
    if session.json:
        session.write_json_line(json.sync.sync_document(finished.result))
    elif not session.quiet:
        session.write_text(f"{at} {sync_line(finished.result)}\n")
    sys.stdout.flush()
