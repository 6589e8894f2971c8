"""The document of ``promote``, and how documents name a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json, StoredVersion
from featurestore.render.json.instants import instant

if TYPE_CHECKING:
    from featurestore.versioning.folder.versionfile import VersionFile
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
        "followers": [{"name": item.name, "version": item.number} for item in result.followers.moved],
        "dry_run": dry_run,
    }


def version_document(version: VersionFile) -> dict[str, Json]:
    """One version with its code, as it is served; no command prints it, since the file can be read."""
    return {
        "feature": version.feature.name,
        "version": version.number,
        "sha256": version.sha256,
        "created": instant(version.created),
        "git_commit": version.commit,
        "parent": version.parent,
        "packages": dict(version.packages),
        "code": [{"module": section.module, "text": section.text} for section in version.sections],
    }


def version_keys(version: StoredVersion) -> dict[str, Json]:
    """The keys with which a document about one version begins."""
    return {"feature": version.id.feature, "version": version.number, "sha256": version.id.sha256}


def _version(version: StoredVersion) -> Json:
    return {"version": version.number, "sha256": version.id.sha256}
