"""Where a feature comes from and what was made from it: ``lineage``."""

from __future__ import annotations

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.offline.contract import DataSet, OfflineStore
from featurestore.workflows.catalogue import Detail, show_feature
from featurestore.workflows.feature_sets import ModelUse, models_using


@frozen
class Lineage:
    """A feature with its source, helpers and versions, and the data sets and models made from any of its versions."""

    detail: Detail
    datasets: tuple[DataSet, ...]
    models: tuple[ModelUse, ...] = ()


def trace(project: Project, store: OfflineStore, name: str) -> Lineage:
    """The lineage of a feature, also of one that was removed or retired. Raises DeclarationError for any other name."""
    detail = show_feature(project, name)
    made = [item for item in store.datasets() if any(part.feature == name for part in item.features)]
    return Lineage(detail, tuple(made), models_using(project, name))
