"""The document of ``check``."""

from __future__ import annotations

from dataclasses import asdict

from featurestore.model import Json
from featurestore.workflows.check import CheckResult


def check_document(result: CheckResult) -> dict[str, Json]:
    return {
        "features": result.features,
        "versions": result.versions,
        "findings": [asdict(item) for item in result.findings],
        "limits": [asdict(item) for item in result.limits],
        "observations": [asdict(item) for item in result.observations],
        "notes": list(result.notes),
        "fixed": [
            {"name": item.name, "version": item.version.number, "what": item.what}
            for item in (result.fixed.versions if result.fixed else ())
        ],
        "dry_run": result.dry_run,
    }
