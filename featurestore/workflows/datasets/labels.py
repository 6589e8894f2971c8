"""The label files that a store keeps for its data sets: which of them name an entity."""

from __future__ import annotations

import tempfile

import polars as pl

from featurestore.errors import SourceError
from featurestore.model import EntityType
from featurestore.offline.contract import DataSet, OfflineStore
from featurestore.point_in_time.labels import read_keys
from featurestore.tables.batches import read_batches
from featurestore.tables.files import Format

_ROWS = 200_000


def form_of(dataset: DataSet) -> Format:
    """The format of a data set's label file."""
    forms: dict[str, Format] = {"csv": "csv", "parquet": "parquet", "arrow": "arrow", "ndjson": "ndjson"}
    return forms[dataset.labels_form]


def datasets_naming(store: OfflineStore, entity_type: EntityType, entity: pl.DataFrame) -> list[DataSet]:
    """The data sets of this type whose kept labels have a row of the entity (a frame of key columns, one row).

    A label file is looked through once, in pieces, by the columns that were its keys. All data sets that keep a file
    are named with it.
    """
    kinds = {(version.id.feature, version.id.sha256): version.entity_type for version in store.versions()}
    kept = [dataset for dataset in store.datasets() if dataset.labels_kept]
    naming: set[str] = set()
    for dataset in kept:
        own = {kinds.get((item.feature, item.sha256)) for item in dataset.features}
        if entity_type in own and dataset.labels_sha256 not in naming and _names(store, dataset, entity_type, entity):
            naming.add(dataset.labels_sha256)
    return [dataset for dataset in kept if dataset.labels_sha256 in naming]


def _names(store: OfflineStore, dataset: DataSet, entity_type: EntityType, entity: pl.DataFrame) -> bool:
    with tempfile.TemporaryFile() as copy:
        for part in store.label_file(dataset.labels_sha256):
            copy.write(part)
        try:
            for frame in read_batches(copy, name=dataset.labels_name, form=form_of(dataset), rows=_ROWS):
                keys = read_keys(frame, entity_type, dataset.entity_columns, dataset.labels_name)
                if keys.join(entity, on=entity.columns, how="semi").height:
                    return True
        except SourceError:
            return True  # a damaged copy makes no data set again, and may hold anything
    return False
