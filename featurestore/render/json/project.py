"""The documents of ``init`` and ``new``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json

if TYPE_CHECKING:
    from featurestore.workflows.init import InitResult
    from featurestore.workflows.new import NewFeature


def init_document(result: InitResult) -> dict[str, Json]:
    return {
        "project": result.name,
        "root": str(result.root),
        "demo": result.demo,
        "created": list(result.created),
        "kept": list(result.existing),
        **({} if result.proposal is None else {"found": list(result.proposal.notes)}),
    }


def new_document(made: NewFeature, *, dry_run: bool) -> dict[str, Json]:
    return {"name": made.name, "path": made.path.as_posix(), "text": made.text, "dry_run": dry_run}
