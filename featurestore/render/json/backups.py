"""The documents of ``backup`` and ``restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json
from featurestore.render.json.instants import instant

if TYPE_CHECKING:
    from featurestore.workflows.backup.backup import BackupResult
    from featurestore.workflows.backup.restore import RestoreResult


def backup_document(result: BackupResult, *, dry_run: bool) -> dict[str, Json]:
    state = result.state
    return {
        "file": str(result.path),
        "changed": result.changed,
        "made_at": instant(result.made_at),
        "last_run": state.run_id or None,
        "runs": state.runs,
        "versions": state.versions,
        "rows": state.rows,
        "version_files": result.files,
        "file_bytes": result.size,
        "dry_run": dry_run,
        "warnings": list(result.warnings),
    }


def restore_document(result: RestoreResult, *, dry_run: bool) -> dict[str, Json]:
    backup = result.backup
    return {
        "file": str(result.path),
        "changed": result.changed,
        "project": backup.project,
        "made_at": instant(backup.made_at),
        "last_run": backup.run_id or None,
        "runs": backup.runs,
        "versions": backup.versions,
        "rows": backup.rows,
        "version_files": {"written": list(result.files.missing), "replaced": list(result.files.different)},
        "runs_replaced": result.replaced,
        "entities_erased": result.erased,
        "needs_force": list(result.needs_force),
        "left": list(result.left),
        "dry_run": dry_run,
        "warnings": list(result.warnings),
    }
