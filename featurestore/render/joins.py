"""How a join, its plan, a history and an export look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore import times
from featurestore.model import Json
from featurestore.offline.contract import DataSet
from featurestore.point_in_time.entities import entity_json, format_entity
from featurestore.render.datasets import dataset_json
from featurestore.render.style import DIM, NAME, number, plural, table
from featurestore.tables.values import json_value
from featurestore.workflows.export import ExportResult
from featurestore.workflows.history import HistoryResult
from featurestore.workflows.join.facts import JoinedFeature, JoinFacts

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console


def join_json(
    facts: JoinFacts, target: Path | None, frame: pl.DataFrame | None = None, dataset: DataSet | None = None
) -> dict[str, Json]:
    """The facts of a join; the rows too where they go to no file, and the data set where one was kept."""
    rows: dict[str, Json] = {"output": str(target)}
    if frame is not None:
        rows = {"rows": [{name: json_value(item) for name, item in row.items()} for row in frame.iter_rows(named=True)]}
    return {
        "entity_type": facts.entity_type.name,
        "labels": facts.labels,
        "columns": list(facts.columns),
        "features": [_feature_json(item) for item in facts.features],
        **({} if dataset is None else {"dataset": dataset_json(dataset)}),
        **rows,
    }


def plan_json(plan: JoinFacts) -> dict[str, Json]:
    return {
        "entity_type": plan.entity_type.name,
        "labels": plan.labels,
        "first": None if plan.first is None else times.format_instant(plan.first),
        "last": None if plan.last is None else times.format_instant(plan.last),
        "features": [
            {**_feature_json(item), "rows_scanned": item.rows_scanned, "share": plan.share(item)}
            for item in plan.features
        ],
    }


def draw_join(console: Console, facts: JoinFacts, target: Path | None) -> None:
    _draw_features(console, facts.features, facts.labels)
    console.print(f"{plural(facts.labels, 'label')} written to {target}")


def draw_plan(console: Console, plan: JoinFacts) -> None:
    _draw_features(console, plan.features, plan.labels, scanned=True)
    span = ""
    if plan.first is not None and plan.last is not None:
        span = f" from {times.format_instant(plan.first)} to {times.format_instant(plan.last)}"
    console.print(f"would join {plural(plan.labels, 'label')}{span}")


def history_json(result: HistoryResult) -> dict[str, Json]:
    """``history --json``, oldest first."""
    version = result.version
    return {
        "feature": version.id.feature,
        "version": version.number,
        "sha256": version.id.sha256,
        "entity_id": entity_json(version.entity_type, result.entity),
        "values": [
            {
                "value": item.value,
                "computed_at": times.format_instant(item.computed_at),
                "ingested_at": times.format_instant(item.ingested_at),
                "run_id": item.run_id,
                "tombstone": item.tombstone,
            }
            for item in result.values
        ],
    }


def draw_history(console: Console, result: HistoryResult) -> None:
    version = result.version
    entity = format_entity(version.entity_type, result.entity)
    if not result.values:
        console.print(Text(f"nothing is held of {version.entity_type.name} {entity}"))
        return
    grid = table("true from", "value", "learned at", "run", right=("value",))
    for item in result.values:
        value = Text("deleted", style=DIM) if item.tombstone else Text(number(item.value))
        learned = times.format_instant(item.ingested_at)
        grid.add_row(times.format_instant(item.computed_at), value, learned, Text(item.run_id, style=DIM))
    console.print(
        Text.assemble((version.id.feature, NAME), f" version {version.number} of {version.entity_type.name} {entity}")
    )
    console.print(grid)


def export_json(result: ExportResult, target: Path | None) -> dict[str, Json]:
    version = result.version
    rows: dict[str, Json] = {"output": str(target)}
    if target is None:
        rows = {
            "rows": [
                {name: json_value(item) for name, item in row.items()} for row in result.frame.iter_rows(named=True)
            ]
        }
    return {
        "feature": version.id.feature,
        "version": version.number,
        "sha256": version.id.sha256,
        "count": result.frame.height,
        "columns": list(result.frame.columns),
        **rows,
    }


def _feature_json(item: JoinedFeature) -> dict[str, Json]:
    return {
        "column": item.column_name,
        "name": item.version.id.feature,
        "version": item.version.number,
        "sha256": item.version.id.sha256,
        "matched": item.matched,
        "nulls": item.nulls,
        "max_age": None if item.max_age is None else times.format_duration(item.max_age),
    }


def _draw_features(
    console: Console, features: tuple[JoinedFeature, ...], labels: int, *, scanned: bool = False
) -> None:
    right = ("version", "with a value", "share") + (("rows scanned",) if scanned else ())
    grid = table("feature", *right, "max age", right=right)
    for item in features:
        filled = labels - item.nulls
        share = f"{filled / labels:.1%}" if labels else "–"
        counts = (f"{filled:,}", share) + ((f"{item.rows_scanned:,}",) if scanned else ())
        age = "" if item.max_age is None else times.format_duration(item.max_age)
        grid.add_row(Text(item.column_name, style=NAME), str(item.version.number), *counts, age)
    console.print(grid)
