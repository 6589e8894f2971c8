"""One batch of labels, answered feature by feature."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import polars as pl

from featurestore.config import Project
from featurestore.model import VersionId
from featurestore.offline.columns.files import ColumnsLostError
from featurestore.offline.contract import HistoryMark, OfflineStore
from featurestore.point_in_time import kernel
from featurestore.tables.types import value_type
from featurestore.workflows.join.facts import JoinedFeature
from featurestore.workflows.join.history import (
    HistoryLimits,
    HistoryPartition,
    PartitionedHistory,
    read_columns,
    scan_history,
)
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature


@dataclass(frozen=True, slots=True)
class StoreState:
    """The state of the store that a batch is answered from.

    ``last_run`` is the last run whose rows may answer, ``runs`` are all of them where the question asks for known
    values, and ``marks`` say what each version's table contains.
    """

    last_run: int
    runs: kernel.Runs | None
    marks: Mapping[VersionId, HistoryMark | None]


@dataclass(frozen=True, slots=True)
class BatchSearch:
    """Answers the labels of one batch, for one feature after another.

    Features of one source mostly have the same entities and times. So the latest matches in each partition are
    stored: for a partition of the same layout they hold again, and only its values have to be read.
    """

    project: Project
    store: OfflineStore
    question: JoinQuestion
    labels: kernel.GroupedLabels
    state: StoreState
    limits: HistoryLimits
    _latest: dict[int, tuple[object, kernel.Matches]] = field(default_factory=dict)

    def answer(self, feature: ResolvedFeature) -> tuple[JoinedFeature, pl.Series]:
        """The feature's column, in the order of the labels, and its counts. Raises StoreError."""
        version, last_run = feature.version, self.state.last_run
        mark = self.state.marks[version.id]
        columns = read_columns(self.project, version, mark, last_run, self.limits)
        if columns is not None:
            with suppress(ColumnsLostError):  # another process has just replaced them: scan instead
                return self._fill(feature, columns)
        scanned = scan_history(
            self.project, self.store, version, mark, last_run=last_run, entities=self.labels.entities,
            limits=self.limits,
        )  # fmt: skip
        return self._fill(feature, scanned)

    def _fill(self, feature: ResolvedFeature, history: PartitionedHistory) -> tuple[JoinedFeature, pl.Series]:
        version, max_age = feature.version, self.question.max_age_of(feature.version)
        column = kernel.FeatureColumn(self.labels.height, value_type(version.data_type))
        rows = matched = 0
        for number, partition in enumerate(history.partitions):
            matches = self._search(number, partition, max_age, history.last_run)
            column.fill(partition.values(), matches)
            rows, matched = rows + matches.searched, matched + matches.matched
        values = _with_zone(column.series()).alias(feature.column_name)
        empty = self.state.marks[version.id] is None
        return JoinedFeature(feature.column_name, version, rows, matched, values.null_count(), max_age, empty), values

    def _search(
        self, number: int, partition: HistoryPartition, max_age: int | None, last_run: int | None
    ) -> kernel.Matches:
        wanted = (partition.layout, last_run, max_age)
        if partition.layout is None or number not in self._latest or self._latest[number][0] != wanted:
            matches = kernel.search(
                partition.history(), self.labels, max_age=max_age, runs=self.state.runs, last_run=last_run
            )
            self._latest[number] = (wanted, matches)
        return self._latest[number][1]


def _with_zone(values: pl.Series) -> pl.Series:
    """Instants have no zone inside the store; where a person sees them they carry UTC."""
    return values.dt.replace_time_zone("UTC") if isinstance(values.dtype, pl.Datetime) else values
