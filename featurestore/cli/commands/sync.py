"""``featurestore sync``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import LockedError, StoreError, UsageError

if TYPE_CHECKING:
    from featurestore.config import Project
    from featurestore.workflows.sync import Mode, SyncResult


def command(
    ctx: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Compare everything, and remove what has vanished.")] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what was learned since the last sync (the default).")
    ] = False,
    feature: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this feature; repeatable.")] = None,
    every: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="Go on and sync again this often (30, 30s, 5m) until stopped.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be written, write nothing.")] = False,
) -> None:
    """Bring the online store up to date with the history, and serve the active versions.

    Nothing online ever goes backwards, whoever syncs beside. A store that was flushed, restored or replaced is
    noticed and filled again. Exit code 3: some feature keeps serving a version that was promoted later than the
    one that is active here.

    \b
    Examples:
      featurestore sync
      featurestore sync --full --feature age_normalized
      featurestore sync --every 30s
      * * * * *  featurestore -C /srv/heart sync -q      (the same from cron)
    """
    session: Session = ctx.obj
    if full and incremental:
        raise UsageError("--full and --incremental exclude each other")
    project = session.project()
    mode: Mode = "full" if full else "incremental"
    if every is None:
        result = _round(session, project, feature or (), mode, dry_run=dry_run)
        from featurestore.render import online as render

        session.show(lambda: render.sync_json(result), lambda console: render.draw_sync(console, result))
        raise typer.Exit(3 if result.refused else 0)
    pause = _seconds(every)
    while True:
        _report(session, project, feature or (), mode, dry_run=dry_run)
        time.sleep(pause)


def _round(
    session: Session, project: Project, names: list[str] | tuple[str, ...], mode: Mode, *, dry_run: bool
) -> SyncResult:
    from featurestore.online.open import open_online
    from featurestore.workflows.sync import active_features, sync

    offline = session.offline(project)
    features = active_features(project, offline, names)
    online = open_online(project)
    try:
        with session.progress("syncing"):
            result = sync(project, offline, online, features, mode, dry_run=dry_run)
    finally:
        online.close()
    for warning in result.warnings:
        session.warn(warning)
    return result


def _report(
    session: Session, project: Project, names: list[str] | tuple[str, ...], mode: Mode, *, dry_run: bool
) -> None:
    """One round of ``--every``: one line, and a store that is away for a while is not the end."""
    import json
    import sys

    from featurestore import times
    from featurestore.render import online as render

    try:
        result = _round(session, project, names, mode, dry_run=dry_run)
    except (StoreError, LockedError) as exc:
        session.warn(f"{times.format_instant(times.now())} {exc}; trying again")
        return
    if session.json:
        sys.stdout.write(json.dumps(render.sync_json(result), ensure_ascii=False) + "\n")
    elif not session.quiet:
        sys.stdout.write(f"{times.format_instant(times.now() // 1_000_000 * 1_000_000)} {render.closing(result)}\n")
    sys.stdout.flush()


def _seconds(text: str) -> float:
    from featurestore import times

    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else times.parse_duration(text) / 1e6
    except ValueError as exc:
        raise UsageError(f"--every: {exc}") from None
    if seconds < 1:
        raise UsageError("--every needs at least a second")
    return seconds
