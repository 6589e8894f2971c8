"""How data sets look: the list, one of them, and what came of making it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore import times
from featurestore.model import Json
from featurestore.offline.contract import DataSet, DataSetFeature
from featurestore.render.style import DIM, NAME, plural, table

if TYPE_CHECKING:
    from rich.console import Console

    from featurestore.workflows.datasets.rebuild import RebuildResult


def dataset_json(dataset: DataSet) -> dict[str, Json]:
    return {
        "name": dataset.name,
        "made_at": times.format_instant(dataset.made_at),
        "run_seq": dataset.run_seq,
        "run_id": dataset.run_id,
        "entity_type": dataset.entity_type,
        "features": [_feature_json(item) for item in dataset.features],
        "timestamp_column": dataset.timestamp_column,
        "entity_columns": list(dataset.entity_columns),
        "known": dataset.known,
        "as_of": None if dataset.as_of is None else times.format_instant(dataset.as_of),
        "labels": {
            "name": dataset.labels_name,
            "format": dataset.labels_form,
            "sha256": dataset.labels_sha256,
            "bytes": dataset.labels_bytes,
            "kept": dataset.labels_kept,
            "erased_at": None if dataset.labels_erased is None else times.format_instant(dataset.labels_erased),
        },
        "rows": dataset.rows,
        "content_sha256": dataset.content_sha256,
        "output": None
        if dataset.output_form is None
        else {"format": dataset.output_form, "sha256": dataset.output_sha256},
        "git_commit": dataset.git_commit,
        "writer": dataset.writer,
    }


def rebuilt_json(rebuilt: RebuildResult, target: Path | None) -> dict[str, Json]:
    return {
        "dataset": dataset_json(rebuilt.dataset),
        "same": rebuilt.same,
        "content_sha256": rebuilt.content_sha256,
        "same_writer": rebuilt.same_writer,
        "reasons": list(rebuilt.reasons),
        "output": None if target is None else str(target),
    }


def draw_datasets(console: Console, datasets: Sequence[DataSet]) -> None:
    if not datasets:
        console.print("no data set yet; featurestore join … --dataset NAME makes one")
        return
    grid = table("data set", "rows", "features", "made", "as of run", right=("rows", "features", "as of run"))
    for item in datasets:
        made = times.format_instant(item.made_at // 1_000_000 * 1_000_000)
        counts = (f"{item.rows:,}", str(len(item.features)))
        grid.add_row(Text(item.name, style=NAME), *counts, made, str(item.run_seq))
    console.print(grid)


def draw_dataset(console: Console, dataset: DataSet) -> None:
    kept = "kept" if dataset.labels_kept else "not kept" if dataset.labels_erased is None else "erased"
    options = [f"as of {times.format_instant(dataset.as_of)}"] if dataset.as_of is not None else []
    options += ["known at the label's time"] if dataset.known else []
    made = times.format_instant(dataset.made_at // 1_000_000 * 1_000_000)
    console.print(Text.assemble((dataset.name, NAME), f": {plural(dataset.rows, 'row')}, made {made}"))
    grid = table("feature", "version", "sha256", "max age", right=("version",))
    for item in dataset.features:
        age = "" if item.max_age is None else times.format_duration(item.max_age)
        grid.add_row(Text(item.column_name, style=NAME), str(item.number), Text(item.sha256[:12], style=DIM), age)
    console.print(grid)
    for name, value in {
        "labels": f"{dataset.labels_name} ({dataset.labels_sha256[:12]}, {kept})",
        "options": ", ".join(options),
        "as of run": f"{dataset.run_seq} ({dataset.run_id})",
        "content": dataset.content_sha256,
        "git commit": dataset.git_commit or "",
        "writer": dataset.writer,
    }.items():
        if value:
            console.print(Text.assemble((f"{name:12}", DIM), value))


def draw_verdict(console: Console, rebuilt: RebuildResult) -> None:
    name = rebuilt.dataset.name
    if rebuilt.same:
        console.print(Text(f"{name}: made again, the content is the same ({rebuilt.content_sha256[:12]})"))
        return
    console.print(Text(f"{name}: made again, the content differs"))
    for reason in rebuilt.reasons:
        console.print(Text(f"  {reason}"))


def _feature_json(item: DataSetFeature) -> dict[str, Json]:
    return {
        "column": item.column_name,
        "name": item.feature,
        "version": item.number,
        "sha256": item.sha256,
        "max_age": None if item.max_age is None else times.format_duration(item.max_age),
    }
