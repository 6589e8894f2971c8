"""The documents of ``dataset``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.model import Json
from featurestore.render.json.instants import duration, instant

if TYPE_CHECKING:
    from featurestore.offline.contract import DataSet, DataSetFeature
    from featurestore.workflows.datasets.rebuild import RebuildResult


def datasets_document(datasets: Sequence[DataSet]) -> dict[str, Json]:
    return {"datasets": [dataset_document(item) for item in datasets]}


def dataset_document(dataset: DataSet) -> dict[str, Json]:
    output: Json = {"format": dataset.output_form, "sha256": dataset.output_sha256}
    return {
        "name": dataset.name,
        "made_at": times.format_instant(dataset.made_at),
        "run_seq": dataset.run_seq,
        "run_id": dataset.run_id,
        "entity_type": dataset.entity_type,
        "features": [_feature(item) for item in dataset.features],
        "timestamp_column": dataset.timestamp_column,
        "entity_columns": list(dataset.entity_columns),
        "entities": [
            {"entity_type": item.type, "role": item.role, "columns": list(item.columns)} for item in dataset.entities
        ],
        "request": dict(dataset.request),
        "known": dataset.known,
        "as_of": instant(dataset.as_of),
        "lag": duration(dataset.lag),
        "timezone": dataset.timezone,
        "times_suffix": dataset.times_suffix,
        "split_column": dataset.split_column,
        "splits": [{"name": part.name, "end": instant(part.end), "labels": part.labels} for part in dataset.splits],
        "first": instant(dataset.first),
        "last": instant(dataset.last),
        "on_own_event": dataset.on_own_event,
        "labels": {
            "name": dataset.labels_name,
            "format": dataset.labels_form,
            "sha256": dataset.labels_sha256,
            "bytes": dataset.labels_bytes,
            "kept": dataset.labels_kept,
            "erased_at": instant(dataset.labels_erased),
        },
        "rows": dataset.rows,
        "content_sha256": dataset.content_sha256,
        "output": None if dataset.output_form is None else output,
        "git_commit": dataset.git_commit,
        "writer": dataset.writer,
    }


def rebuilt_document(rebuilt: RebuildResult, target: Path | None, *, dry_run: bool = False) -> dict[str, Json]:
    return {
        "dataset": dataset_document(rebuilt.dataset),
        "same": rebuilt.same,
        "content_sha256": rebuilt.content_sha256,
        "same_writer": rebuilt.same_writer,
        "reasons": list(rebuilt.reasons),
        "output": None if target is None else str(target),
        "dry_run": dry_run,
    }


def _feature(item: DataSetFeature) -> dict[str, Json]:
    return {
        "column": item.column_name,
        "name": item.feature,
        "version": item.number,
        "sha256": item.sha256,
        "max_age": duration(item.max_age),
        "role": item.role,
        "inputs": [
            {"name": each.feature, "version": each.number, "sha256": each.sha256, "max_age": duration(each.max_age)}
            for each in item.inputs
        ],
        "nulls": item.nulls,
        "ages": {
            "least": duration(item.least_age),
            "mean": duration(item.mean_age),
            "greatest": duration(item.greatest_age),
        },
    }
