"""Results for programs: each answer as a document of plain dicts, one module a topic. Nothing here needs Rich.

A module is imported when its name is first used: ``json.runs.run_document(run)``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featurestore.render.json import (
        backups,
        checks,
        datasets,
        deletion,
        diff,
        doctor,
        drift,
        features,
        get,
        history,
        joins,
        lineage,
        lives,
        previews,
        project,
        runs,
        serve,
        sources,
        stats,
        status,
        sync,
        verify,
        versions,
    )

__all__ = [
    "backups",
    "checks",
    "datasets",
    "deletion",
    "diff",
    "doctor",
    "drift",
    "features",
    "get",
    "history",
    "joins",
    "lineage",
    "lives",
    "previews",
    "project",
    "runs",
    "serve",
    "sources",
    "stats",
    "status",
    "sync",
    "verify",
    "versions",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
