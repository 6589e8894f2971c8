"""The document of ``init``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json

if TYPE_CHECKING:
    from featurestore.workflows.init import InitResult


def init_document(result: InitResult) -> dict[str, Json]:
    return {
        "project": result.name,
        "root": str(result.root),
        "demo": result.demo,
        "created": list(result.created),
        "kept": list(result.existing),
    }
