"""Label files: read and hashed for a new data set, and looked through for an entity that is erased."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import polars as pl

from featurestore.dialect import STANDARD, Dialect, dialect_of
from featurestore.errors import SourceError
from featurestore.frozen import frozen
from featurestore.model import EntityType
from featurestore.offline.contract import DataSet, OfflineStore
from featurestore.point_in_time.labels import read_entities
from featurestore.tables.batches import read_batches
from featurestore.tables.files import Format

CHUNK_BYTES = 4 << 20  # read from a file at a time
_BATCH_ROWS = 200_000


@frozen
class LabelFile:
    """The bytes that labels are read from: an open file, its name as typed, its format and its hash.

    ``dialect`` is how text is written in it.
    """

    stream: BinaryIO
    name: str
    form: Format
    sha256: str
    size: int
    dialect: Dialect = STANDARD

    def chunks(self) -> Iterator[bytes]:
        """The bytes once more. Raises SourceError where they have changed since they were hashed."""
        digest = hashlib.sha256()
        self.stream.seek(0)
        for chunk in read_chunks(self.stream):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != self.sha256:
            raise SourceError("changed while it was read", where=self.name, hint="run the same command again")


def hash_labels(stream: BinaryIO, form: Format, name: str, dialect: Dialect = STANDARD) -> LabelFile:
    """Hashes the bytes of an open label file that can seek, before they are joined."""
    digest = hashlib.sha256()
    stream.seek(0)
    for chunk in read_chunks(stream):
        digest.update(chunk)
    size = stream.tell()
    stream.seek(0)
    return LabelFile(stream, name, form, digest.hexdigest(), size, dialect)


def read_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The rest of a stream, some MB at a time."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def label_format(dataset: DataSet) -> Format:
    """The format of a data set's label file."""
    forms: dict[str, Format] = {"csv": "csv", "parquet": "parquet", "arrow": "arrow", "ndjson": "ndjson"}
    return forms[dataset.labels_form]


def read_labels(dataset: DataSet, copy: BinaryIO, rows: int) -> Iterator[pl.DataFrame]:
    """The labels of a data set, from a copy of their file, in frames of ``rows`` rows."""
    dialect = dialect_of({"delimiter": dataset.delimiter, **dataset.dialect})
    return read_batches(copy, name=dataset.labels_name, form=label_format(dataset), rows=rows, dialect=dialect)


def datasets_naming(store: OfflineStore, entity_type: EntityType, entity: pl.DataFrame) -> list[DataSet]:
    """The data sets whose stored label files have a row of the entity (a frame of key columns, one row).

    A row names it by the columns that were its keys, or by columns that are called like them, whatever else was joined.
    Each file is looked at once. The result has every data set that stores such a file.
    """
    types = {(version.id.feature, version.id.sha256): version.entity_type for version in store.versions()}
    with_labels = [dataset for dataset in store.datasets() if dataset.labels_kept]
    naming: set[str] = set()
    for dataset in with_labels:
        joined = entity_type in {types.get((item.feature, item.sha256)) for item in dataset.features}
        columns = _key_columns(dataset, entity_type) if joined else []
        if dataset.labels_sha256 not in naming and _names(store, dataset, entity_type, columns, entity):
            naming.add(dataset.labels_sha256)
    return [dataset for dataset in with_labels if dataset.labels_sha256 in naming]


def _names(
    store: OfflineStore,
    dataset: DataSet,
    entity_type: EntityType,
    joined: Sequence[tuple[str, ...]],
    entity: pl.DataFrame,
) -> bool:
    with tempfile.TemporaryFile() as copy:
        copy.writelines(store.label_file(dataset.labels_sha256))
        try:
            for frame in read_labels(dataset, copy, _BATCH_ROWS):
                if _has_row(frame, entity):
                    return True
                for columns in joined:
                    keys = read_entities(frame, entity_type, columns, name=dataset.labels_name).keys
                    if keys.join(entity, on=entity.columns, how="semi").height:
                        return True
        except SourceError:
            return True  # a damaged copy can't make a data set again, and may name any entity
    return False


def _has_row(frame: pl.DataFrame, entity: pl.DataFrame) -> bool:
    """Whether a frame has columns that are called like an entity's keys, and a row with all of these."""
    if not {*entity.columns} <= {*frame.columns}:
        return False
    read = [pl.col(name).cast(pl.String, strict=False).cast(kind, strict=False) for name, kind in entity.schema.items()]
    return frame.select(read).join(entity, on=entity.columns, how="semi").height > 0


def _key_columns(dataset: DataSet, entity_type: EntityType) -> list[tuple[str, ...]]:
    """The label columns that hold keys of the entity type, in each role; ``()`` for those called like the keys."""
    if not dataset.entities:
        return [dataset.entity_columns]
    return [item.columns for item in dataset.entities if item.type == entity_type.name]
