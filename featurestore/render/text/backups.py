"""What ``backup`` wrote, and what ``restore`` put in place."""

from __future__ import annotations

from rich.console import Group, RenderableType

from featurestore.errors import plural
from featurestore.render.text.style import DIM, line
from featurestore.times import format_instant
from featurestore.workflows.backup.backup import BackupResult
from featurestore.workflows.backup.restore import RestoreResult


def backup_lines(result: BackupResult, *, dry_run: bool) -> RenderableType:
    state = result.state
    if not result.changed:
        return line(f"{result.path} is a backup of this very state already; nothing changed")
    what = _held(state.runs, state.versions, state.rows)
    if dry_run:
        return line(f"would back up {what} and {plural(result.files, 'version file')} to {result.path}")
    size = "" if result.size is None else f" ({result.size / 1e6:,.1f} MB)"
    return Group(
        line(f"backed up {what} and {plural(result.files, 'version file')} to {result.path}{size}"),
        line("it holds your data, and only you may read it; keep a copy on another machine", DIM),
    )


def restore_lines(result: RestoreResult, *, dry_run: bool) -> RenderableType:
    backup = result.backup
    if not result.changed:
        return line(f"what {result.path} holds is here already; nothing changed")
    made = format_instant(backup.made_at // 1_000_000 * 1_000_000)
    held = _held(backup.runs, backup.versions, backup.rows)
    lines = [line(f"{'would restore' if dry_run else 'restored'} {held}, backed up at {made}")]
    for names, done in ((result.files.missing, "written"), (result.files.different, "replaced")):
        if names:
            lines.append(line(f"{plural(len(names), 'version file')} {'would be ' if dry_run else ''}{done}"))
    if result.replaced:
        gone = "would be gone" if dry_run else "is gone" if result.replaced == 1 else "are gone"
        lines.append(line(f"{plural(result.replaced, 'run')} of before that it does not have {gone}"))
    if result.erased:
        again = "would be erased again" if dry_run else "erased again"
        entities = "1 entity" if result.erased == 1 else f"{result.erased:,} entities"
        lines.append(line(f"{entities} that had been erased since {again}"))
    if result.needs_force:
        lines.append(line(f"it needs --force: {'; '.join(result.needs_force)}"))
    elif not dry_run:
        lines.append(line("the online store is as it was: run featurestore sync --full", DIM))
    return Group(*lines)


def _held(runs: int, versions: int, rows: int) -> str:
    return f"{plural(rows, 'row')} of {plural(versions, 'version')}, {plural(runs, 'run')}"
