"""A data set's card: what somebody needs to know who finds its table in a year."""

from __future__ import annotations

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.offline.contract import DataSet, DataSetFeature, OfflineStore
from featurestore.workflows.datasets.rebuild import find_dataset
from featurestore.workflows.lives import locked_metadata, read_lives


@frozen
class CardFeature:
    """A column of a data set, with what the project says of the feature today: empty where nothing is known."""

    kept: DataSetFeature
    entity_type: str
    owner: str
    description: str


@frozen
class Card:
    """A data set with the features that it is made of."""

    dataset: DataSet
    features: tuple[CardFeature, ...]


def dataset_card(project: Project, store: OfflineStore, name: str) -> Card:
    """The card of a data set. Raises UsageError for a name that does not exist, StoreError."""
    dataset = find_dataset(store, name)
    types = {(each.id.feature, each.id.sha256): each.entity_type.name for each in store.versions()}
    lives = read_lives(project)
    features = []
    for item in dataset.features:
        declared = lives.declared.get(item.feature)
        locked = (locked_metadata(project.versions, item.feature) or {}) if declared is None else {}
        owner, description = (
            (declared.owner, declared.description) if declared else (locked.get("owner"), locked.get("description"))
        )
        entity_type = types.get((item.feature, item.sha256), dataset.entity_type)
        features.append(CardFeature(item, entity_type or "", owner or "", description or ""))
    return Card(dataset, tuple(features))
