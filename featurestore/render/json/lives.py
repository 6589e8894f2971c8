"""The documents of ``rename`` and ``retire``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from featurestore.model import Json
from featurestore.render.json.instants import instant

if TYPE_CHECKING:
    from featurestore.workflows.rename import RenameResult
    from featurestore.workflows.retire import RetireResult


def rename_document(result: RenameResult, *, dry_run: bool) -> dict[str, Json]:
    history = result.history
    return {
        "old": result.old,
        "new": result.new,
        "changed": result.changed,
        "edits": [asdict(edit) for edit in result.edits],
        "versions": list(result.versions),
        "history": None if history is None else {"versions": history.versions, "rows": history.rows},
        "dry_run": dry_run,
        "warnings": list(result.warnings),
    }


def retire_document(result: RetireResult, *, dry_run: bool) -> dict[str, Json]:
    return {
        "feature": result.name,
        "retired_at": instant(result.retired.since),
        "renamed_to": result.retired.renamed_to,
        "changed": result.changed,
        "online": result.online,
        "erased": result.erased,
        "rows_erased": result.rows,
        "run_id": result.run_id,
        "online_error": result.online_error,
        "models": list(result.models),
        "datasets": list(result.datasets),
        "warnings": list(result.incomplete),
        "dry_run": dry_run,
    }
