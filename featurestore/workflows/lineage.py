"""Where a feature comes from and what was made from it: ``lineage``."""

from __future__ import annotations

from dataclasses import replace

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.offline.contract import DataSet, OfflineStore
from featurestore.workflows.catalogue import Detail, show_feature, uses_of
from featurestore.workflows.feature_sets import ModelUse


@frozen
class Lineage:
    """A feature with its source, helpers and versions, and the data sets and models made from any of its versions."""

    detail: Detail
    datasets: tuple[DataSet, ...]
    models: tuple[ModelUse, ...] = ()


def trace(project: Project, store: OfflineStore, reference: str) -> Lineage:
    """The lineage of a feature, or of the version of it that is named; also of one that was removed or retired.

    Raises what `show_feature` raises.
    """
    detail = show_feature(project, reference)
    name, version = detail.entry.feature.name, detail.version
    made = [item for item in store.datasets() if any(part.feature == name for part in item.features)]
    if version is not None:
        detail = replace(detail, files=(version,))
    return Lineage(detail, tuple(made), uses_of(project, detail))
