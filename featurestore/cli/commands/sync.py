"""``featurestore sync``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import FeatureStoreError, LockedError, NewerFormatError, StoreError, UsageError

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
    no_auto_full: Annotated[
        bool,
        typer.Option("--no-auto-full", help="Where the store has lost values, say so (exit code 3) and write none."),
    ] = False,
    every: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="Go on and sync again this often (30, 30s, 5m) until stopped.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be written, write nothing.")] = False,
) -> None:
    """Bring the online store up to date with the history, and serve the active versions.

    Nothing online ever goes backwards, whoever syncs beside. A store that was flushed, restored or replaced is
    noticed and filled again, unless --no-auto-full leaves that to you. Exit code 3: some feature was left as it is,
    since it serves a version that was promoted later than the one that is active here, or by --no-auto-full.

    \b
    Examples:
      featurestore sync
      featurestore sync --full --feature age_normalized
      featurestore sync --every 30s
      * * * * *  /srv/heart/.venv/bin/featurestore -C /srv/heart sync >/dev/null     (the same from cron)
    """
    session: Session = ctx.obj
    if full and incremental:
        raise UsageError("--full and --incremental exclude each other")
    work = _Work(
        session, session.project(), feature or (), "full" if full else "incremental", dry_run, repair=not no_auto_full
    )
    if every is None:
        result = work.round()
        from featurestore.render import json, text

        session.show(lambda: json.sync.sync_document(result), lambda: text.sync.sync_table(result))
        raise typer.Exit(3 if result.refused or result.unrepaired else 0)
    pause = _seconds(every)
    while True:
        work.report()
        time.sleep(pause)


@dataclass(slots=True)
class _Work:
    """What is synced and how, a round at a time."""

    session: Session
    project: Project
    names: Sequence[str]
    mode: Mode
    dry_run: bool
    repair: bool
    begun: bool = False

    def round(self) -> SyncResult:
        """One sync; its warnings go to stderr."""
        from featurestore.online.open import open_online
        from featurestore.workflows.sync import active_features, sync

        offline = self.session.offline(self.project)
        features = active_features(self.project, offline, self.names)
        online = open_online(self.project)
        try:
            with self.session.progress("syncing") as tell:
                result = sync(
                    self.project, offline, online, features, self.mode, dry_run=self.dry_run, repair=self.repair,
                    tell=tell,
                )  # fmt: skip
        finally:
            online.close()
        for warning in result.warnings:
            self.session.warn(warning)
        self.begun = True
        return result

    def report(self) -> None:
        """One round of ``--every``: one line. A store that is away for a while is not the end, nor is anything else
        that may be mended while this goes on, once a round has gone well.
        """
        import sys

        from featurestore.render import json
        from featurestore.render.json.writing import write_line
        from featurestore.render.lines import sync_line
        from featurestore.render.printable import printable

        try:
            result = self.round()
        except NewerFormatError:
            raise
        except FeatureStoreError as exc:
            if not (self.begun or isinstance(exc, StoreError | LockedError)):
                raise
            sys.stderr.write(printable(f"error: {_now()} {exc}; trying again\n"))  # said with -q too
            sys.stderr.flush()
            return
        if self.session.json:
            sys.stdout.write(write_line(json.sync.sync_document(result)))
        elif not self.session.quiet:
            sys.stdout.write(f"{_now()} {sync_line(result)}\n")
        sys.stdout.flush()


def _now() -> str:
    from featurestore import times

    return times.format_instant(times.now() // 1_000_000 * 1_000_000)


def _seconds(text: str) -> float:
    from featurestore import times

    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else times.parse_duration(text) / 1e6
    except ValueError as exc:
        raise UsageError(f"--every: {exc}") from None
    if seconds < 1:
        raise UsageError("--every needs at least a second")
    return seconds
