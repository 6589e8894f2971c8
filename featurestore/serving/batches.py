"""Partitions of the history as the batches that an online store takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import polars as pl

from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.online.packed_steps import pack_rows
from featurestore.online.packing import entity_keys
from featurestore.progress import SILENT, Progress
from featurestore.serving.request import DEFAULT_SIZES


@frozen
class VersionRows:
    """What is online of one version, and the field that it is written to.

    ``frame`` has rows as `OfflineStore.latest` gives them, of a version with steps those of `latest_with_steps`.
    """

    version: StoredVersion
    field: int
    frame: pl.DataFrame


class Partitions(Protocol):
    """Partitions of one entity type: in each the rows of the same versions, for entities of its own.

    It may be iterated again. Its length is known once the first partition has come.
    """

    def __iter__(self) -> Iterator[Sequence[VersionRows]]: ...

    def __len__(self) -> int: ...


class Batches:
    """Partitions as frames for `OnlineStore.load` and `merge`, packed when they are asked for. May be iterated again.

    Versions with the very same entities share a batch, one row per entity; others have batches of their own. While a
    batch is asked for, ``progress`` is called, so a cancelled caller ends the iteration between two batches.

    ``rows`` counts the rows so far by field; ``keys`` has the entity keys so far for the fields of ``collect_keys``.
    """

    def __init__(
        self,
        project: str,
        partitions: Partitions,
        *,
        batch_rows: int = DEFAULT_SIZES.batch_rows,
        progress: Progress = SILENT,
        collect_keys: Collection[int] = (),
    ) -> None:
        self._project = project
        self._partitions = partitions
        self._batch_rows = batch_rows
        self._progress = progress
        self._collect_keys = collect_keys
        self._begin()

    def _begin(self) -> None:
        self.rows: dict[int, int] = {}
        self.keys: dict[int, list[pl.Series]] = {field: [] for field in self._collect_keys}
        self._partition = self._total = 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._begin()
        done = 0
        for number, partition in enumerate(self._partitions, start=1):
            self._partition = number
            groups = _group_by_entities(partition)
            self._total += sum(group[0].frame.height for group in groups)
            for group in groups:
                names = ", ".join(rows.version.id.feature for rows in group)
                for start in range(0, group[0].frame.height, self._batch_rows):
                    self._progress(f"{self.describe(done)}: {names}")
                    batch = self._pack(group, start)
                    done += batch.height
                    yield batch

    def describe(self, done: int) -> str:
        """How far one is after so many entities, in words."""
        partitions = len(self._partitions)
        if partitions == 1:
            return f"{done:,} of {self._total:,} entities"
        return f"{done:,} entities in {self._partition} of {partitions} partitions"

    def _pack(self, group: Sequence[VersionRows], start: int) -> pl.DataFrame:
        frames = [rows.frame.slice(start, self._batch_rows) for rows in group]
        keys = entity_keys(self._project, group[0].version.entity_type, frames[0])
        packed = []
        for rows, frame in zip(group, frames, strict=True):
            packed.append(pack_rows(rows.version, frame).alias(str(rows.field)))
            self.rows[rows.field] = self.rows.get(rows.field, 0) + frame.height
            if rows.field in self.keys:
                self.keys[rows.field].append(keys)
        return pl.DataFrame([keys, *packed])


def _group_by_entities(partition: Sequence[VersionRows]) -> list[list[VersionRows]]:
    """Groups of versions that have the same entities in the same order."""
    groups: list[tuple[pl.DataFrame, list[VersionRows]]] = []
    for rows in partition:
        keys = rows.frame.select(rows.version.entity_type.key_names)
        for other, group in groups:
            if keys.equals(other):
                group.append(rows)
                break
        else:
            groups.append((keys, [rows]))
    return [group for _, group in groups]
