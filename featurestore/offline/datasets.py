"""The SQL of data sets: what it takes to make each again, and the label files they were made from.

A label file is stored by the SHA-256 of its bytes, once however many data sets use it, in many small rows: DuckDB reads
a column 2,048 rows at a time, so rows of megabytes would all be read for each of them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from featurestore.offline.contract import DataSet, DataSetEntity, DataSetFeature, DataSetInput, DataSetSplit
from featurestore.offline.sql import SqlConnection, Values

SINCE_FORMAT = 2
PART_BYTES = 4 << 20  # of a label file that are in memory at a time
ROW_BYTES = 4_096  # the longest value that DuckDB stores inline


class SqlDataSets(ABC):
    """The reading half of `DataSets`, the same for DuckDB and PostgreSQL. A store gives it ``_rows``."""

    @abstractmethod
    def _rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        """Queries the tables; no rows where the store does not exist yet."""

    def datasets(self, name: str | None = None) -> list[DataSet]:
        if not self._has_datasets():
            return []
        where, values = ("TRUE", []) if name is None else ("name = $1", [name])
        rows = self._rows(f"SELECT manifest FROM datasets WHERE {where} ORDER BY made_at, name", values)
        return [read_dataset(row["manifest"]) for row in rows]

    def label_file(self, sha256: str) -> Iterator[bytes]:
        if not self._has_datasets():
            return
        count = self._rows("SELECT count(*) AS rows FROM label_files WHERE sha256 = $1", [sha256])[0]["rows"]
        query = "SELECT bytes FROM label_files WHERE sha256 = $1 AND position >= $2 AND position < $3 ORDER BY position"
        at_once = PART_BYTES // ROW_BYTES
        for begin in range(0, count, at_once):
            yield b"".join(bytes(row["bytes"]) for row in self._rows(query, [sha256, begin, begin + at_once]))

    def _has_datasets(self) -> bool:
        """Readers do not migrate: a store of an earlier release has no data sets."""
        found = self._rows("SELECT format FROM meta")
        return bool(found) and int(found[0]["format"]) >= SINCE_FORMAT


def insert_dataset(connection: SqlConnection, dataset: DataSet, labels: Iterable[bytes] | None) -> None:
    """Stores a data set and its labels, in place of one of its name; inside the caller's transaction."""
    _put(connection, dataset)
    if labels is not None:
        copies = connection.rows("SELECT 1 FROM label_files WHERE sha256 = $1 LIMIT 1", [dataset.labels_sha256])
        position = 0
        for part in () if copies else labels:
            rows = [(dataset.labels_sha256, position + number, piece) for number, piece in enumerate(cut(part))]
            connection.insert("label_files", ("sha256", "position", "bytes"), rows)
            position += len(rows)
    _sweep(connection)


def cut(part: bytes) -> list[bytes]:
    """Bytes in pieces for the rows of a table."""
    return [part[begin : begin + ROW_BYTES] for begin in range(0, len(part), ROW_BYTES)]


def drop_labels(connection: SqlConnection, hashes: Collection[str], at: int) -> None:
    """Removes label files and records the instant in their data sets; inside the caller's transaction."""
    for dataset in _all(connection):
        if dataset.labels_kept and dataset.labels_sha256 in hashes:
            _put(connection, replace(dataset, labels_kept=False, labels_erased=at))
    _sweep(connection)


def _put(connection: SqlConnection, dataset: DataSet) -> None:
    connection.rows("DELETE FROM datasets WHERE name = $1 RETURNING 1", [dataset.name])
    row = (dataset.name, dataset.made_at, json.dumps(asdict(dataset), ensure_ascii=False))
    connection.insert("datasets", ("name", "made_at", "manifest"), [row])


def _sweep(connection: SqlConnection) -> None:
    """Removes label files that no data set uses any more."""
    in_use = {dataset.labels_sha256 for dataset in _all(connection) if dataset.labels_kept}
    for row in connection.rows("SELECT DISTINCT sha256 FROM label_files"):
        if row["sha256"] not in in_use:
            connection.rows("DELETE FROM label_files WHERE sha256 = $1 RETURNING 1", [row["sha256"]])


def _all(connection: SqlConnection) -> list[DataSet]:
    return [read_dataset(row["manifest"]) for row in connection.rows("SELECT manifest FROM datasets")]


def _read_feature(item: dict[str, Any]) -> DataSetFeature:
    inputs = tuple(DataSetInput(**each) for each in item.pop("inputs", ()))
    return DataSetFeature(**item, inputs=inputs)


def read_dataset(manifest: str) -> DataSet:
    """A data set from its JSON."""
    found = json.loads(manifest)
    features = tuple(_read_feature(item) for item in found.pop("features"))
    entities = tuple(
        DataSetEntity(item["type"], tuple(item["columns"]), item["role"]) for item in found.pop("entities", ())
    )
    splits = tuple(DataSetSplit(**item) for item in found.pop("splits", ()))
    columns = tuple(found.pop("entity_columns"))
    return DataSet(**found, features=features, entities=entities, splits=splits, entity_columns=columns)
