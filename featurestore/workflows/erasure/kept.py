"""Kept rows of sources: a run that committed nothing, or only tried, keeps what it has parsed all the same."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from featurestore.config import Project
from featurestore.model import EntityType
from featurestore.offline.naming import naming, texts_in
from featurestore.point_in_time.entities import Entity
from featurestore.workflows.erasure.sources import columns_naming, frame_naming


def kept_naming(project: Project, entity_type: EntityType, entity: Entity) -> bool:
    """Whether kept rows name an entity, by its keys or in any column, or can't be looked through."""
    files = [path for path in (project.state / "rows").rglob("*") if path.is_file()]
    try:
        return any(_names(path, entity_type, entity) for path in files)
    except (OSError, ValueError, RecursionError, pl.exceptions.PolarsError):  # broken off or damaged
        return True


def _names(path: Path, entity_type: EntityType, entity: Entity) -> bool:
    if path.suffix == ".parquet":
        rows = pl.scan_parquet(path, glob=False)
        columns = columns_naming(rows.collect_schema(), entity_type, anywhere=True)
        found = frame_naming(rows.select(columns).collect(), entity_type, entity, anywhere=True)
        return len(found) > 0
    names = naming([entity[name] for name in entity_type.key_names])
    return names("\n".join(texts_in(json.loads(path.read_bytes()))))
