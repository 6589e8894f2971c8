"""The documents of ``join`` and of its plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.model import Json, StoredVersion
from featurestore.render.json.datasets import dataset_document
from featurestore.render.json.instants import duration, instant
from featurestore.tables.values import json_value

if TYPE_CHECKING:
    import polars as pl

    from featurestore.offline.contract import DataSet
    from featurestore.workflows.join.facts import JoinedFeature, JoinFacts
    from featurestore.workflows.latest import LatestResult


def join_document(
    facts: JoinFacts, target: Path | None, frame: pl.DataFrame | None = None, dataset: DataSet | None = None
) -> dict[str, Json]:
    """The facts of a join; its rows where they go to no file, and the data set where one was stored."""
    return {
        "entity_type": None if facts.entity_type is None else facts.entity_type.name,
        "labels": facts.labels,
        "on_own_event": facts.on_own_event,
        **_splits(facts),
        "columns": list(facts.columns),
        "features": [_feature(item) for item in facts.features],
        "warnings": list(facts.all_warnings),
        **({} if dataset is None else {"dataset": dataset_document(dataset)}),
        **({"output": str(target)} if frame is None else {"rows": table_rows(frame)}),
    }


def plan_document(plan: JoinFacts) -> dict[str, Json]:
    return {
        "entity_type": None if plan.entity_type is None else plan.entity_type.name,
        "labels": plan.labels,
        "on_own_event": plan.on_own_event,
        **_splits(plan),
        "first": instant(plan.first),
        "last": instant(plan.last),
        "features": [
            {**_feature(item), "rows_scanned": item.rows_scanned, "share": plan.share(item)} for item in plan.features
        ],
        "warnings": list(plan.all_warnings),
    }


def latest_document(result: LatestResult, target: Path | None) -> dict[str, Json]:
    """Everybody as of a time; the rows where they go to no file."""
    features: list[Json] = [
        {
            "column": item.column_name,
            "name": item.version.id.feature,
            "version": item.version.number,
            "sha256": item.version.id.sha256,
            "nulls": item.nulls,
            "max_age": duration(item.max_age),
            "role": item.role,
            "known_by": item.known_by,
        }
        for item in result.features
    ]
    return {
        "entity_type": result.entity_type.name,
        "at": instant(result.at),
        "entities": result.entities,
        "columns": list(result.columns),
        "features": features,
        "warnings": list(result.warnings),
        **rows_or_place(result.frame, target),
        "dry_run": result.dry_run,
    }


def rows_or_place(frame: pl.DataFrame | None, target: Path | None) -> dict[str, Json]:
    """The rows of a result, or the file that it goes to; neither in a dry run that names none."""
    if frame is not None:
        return {"rows": table_rows(frame)}
    return {} if target is None else {"output": str(target)}


def table_rows(frame: pl.DataFrame) -> list[Json]:
    """The rows of a table as objects."""
    return [{name: json_value(item) for name, item in row.items()} for row in frame.iter_rows(named=True)]


def _splits(facts: JoinFacts) -> dict[str, Json]:
    return {} if facts.splits is None else {"splits": dict(facts.splits)}


def _feature(item: JoinedFeature) -> dict[str, Json]:
    return {
        "column": item.column_name,
        "name": item.version.id.feature,
        "version": item.version.number,
        "sha256": item.version.id.sha256,
        "matched": item.matched,
        "nulls": item.nulls,
        "max_age": duration(item.max_age),
        "entity_type": item.version.entity_type.name,
        "role": item.role,
        "scope": item.scope,
        "known_by": item.known_by,
        **({} if item.beyond_horizon is None else {"beyond_horizon": item.beyond_horizon}),
        **({"inputs": [_input(version) for version in item.inputs]} if item.inputs else {}),
    }


def _input(version: StoredVersion) -> dict[str, Json]:
    """An input of a request-time feature."""
    return {
        "name": version.id.feature,
        "version": version.number,
        "sha256": version.id.sha256,
        "max_age": duration(version.max_age),
    }
