"""The document of ``promote``, and how documents name a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json, StoredVersion

if TYPE_CHECKING:
    from featurestore.workflows.promote import PromoteResult


def promote_document(result: PromoteResult, *, dry_run: bool) -> dict[str, Json]:
    return {
        "feature": result.version.id.feature,
        "before": None if result.before is None else _version(result.before),
        "after": _version(result.version),
        "changed": result.changed,
        "online": result.online,
        "entities_written": result.entities_written,
        "models": list(result.models),
        "dry_run": dry_run,
    }


def version_keys(version: StoredVersion) -> dict[str, Json]:
    """The keys with which a document about one version begins."""
    return {"feature": version.id.feature, "version": version.number, "sha256": version.id.sha256}


def _version(version: StoredVersion) -> Json:
    return {"version": version.number, "sha256": version.id.sha256}
