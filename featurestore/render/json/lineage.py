"""The document of ``lineage``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from featurestore.model import Json, Source
from featurestore.render.json.features import named_version

if TYPE_CHECKING:
    from featurestore.offline.contract import DataSet
    from featurestore.workflows.catalogue import Detail
    from featurestore.workflows.feature_sets import ModelUse


def lineage_document(detail: Detail, datasets: Sequence[DataSet], models: Sequence[ModelUse]) -> dict[str, Json]:
    feature, closure = detail.entry.feature, detail.closure
    return {
        "feature": feature.name,
        "declared": detail.note is None,
        "retired": detail.retired,
        "named": named_version(detail),
        "source": _source(feature.source),
        "sources": [_source(source) for source in feature.reads],
        "inputs": [{"name": item.name, "sha256": item.sha256} for item in feature.inputs],
        "columns": list(detail.columns),
        "helpers": list(closure.helpers) if closure else [],
        "packages": list(closure.third_party) if closure else [],
        "versions": [
            {
                "version": item.name.number,
                "sha256": item.sha256,
                "parent": item.parent,
                "active": item.sha256 == detail.entry.active_sha256,
                "datasets": datasets_of(datasets, feature.name, item.sha256),
            }
            for item in detail.files
        ],
        "taken_by": list(detail.taken_by),
        "models": [{"name": use.model, "reference": use.reference} for use in models],
    }


def _source(source: Source | None) -> Json:
    return None if source is None else {"name": source.name, "type": source.type, "path": source.location}


def datasets_of(datasets: Sequence[DataSet], feature: str, sha256: str) -> list[str]:
    """The names of the data sets that hold a version."""
    return [
        item.name
        for item in datasets
        if any((part.feature, part.sha256) == (feature, sha256) for part in item.features)
    ]
