"""The document of ``sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.model import Json

if TYPE_CHECKING:
    from featurestore.workflows.sync import SyncResult


def sync_document(result: SyncResult) -> dict[str, Json]:
    return {
        "mode": result.mode,
        "duration_s": result.duration_s,
        "features": [
            {
                "name": item.name,
                "version": item.version,
                "sha256": item.sha256,
                "entities_written": item.entities_written,
                "watermark": item.watermark,
            }
            for item in result.features
        ],
        "warnings": list(result.warnings),
        "dry_run": result.dry_run,
    }
