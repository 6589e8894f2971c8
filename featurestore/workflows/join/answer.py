"""One batch of labels, answered feature by feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.model import VersionId
from featurestore.offline.columns.files import ColumnsLostError
from featurestore.offline.contract import HistoryMark, OfflineStore
from featurestore.point_in_time import kernel
from featurestore.tables.types import INSTANT, value_type
from featurestore.workflows.history import no_history
from featurestore.workflows.join.facts import NO_AGES, Ages, JoinedFeature, KnownBy
from featurestore.workflows.join.history import (
    HistoryLimits,
    HistoryPartition,
    PartitionedHistory,
    read_columns,
    scan_history,
)
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature
from featurestore.workflows.join.whole import WholeHistories
from featurestore.workflows.join.windows import WindowStates, beyond, outdated


@frozen
class StoreState:
    """The state of the store that a batch is answered from.

    ``last_run`` is the last run whose rows may answer, ``runs`` are all of them where the question asks for known
    values, and ``marks`` say what each version's table contains. ``known`` are the versions whose rows have known times
    of their own.
    """

    last_run: int
    runs: kernel.Runs | None
    marks: Mapping[VersionId, HistoryMark | None]
    windows: WindowStates
    known: frozenset[VersionId] = frozenset()

    def known_by(self, version: VersionId) -> KnownBy:
        return "row" if version in self.known else "run"


def store_state(
    store: OfflineStore, question: JoinQuestion, windows: WindowStates | None = None, *, last: int | None = None
) -> StoreState:
    """The state of the store now, for a question; ``windows`` are those of an earlier batch.

    ``last`` (µs) is that of all labels, where it is known.

    Raises UsageError for a version without history, StoreError.
    """
    with store.reading():
        _check_history(store, question.features)
        # All features are read up to the same run. Otherwise a run that commits between two scans would show in one
        # column and not in the other.
        runs = [run for run in store.committed_runs() if question.counts(run)]
        marks = {feature.version.id: store.mark(feature.version) for feature in question.features}
        known = frozenset(version for version in marks if store.has_known(version))
        windows = WindowStates() if windows is None else windows
        for feature in question.features:
            windows.read(store, feature.version, last=last)
    learned = kernel.Runs(
        np.array([run.run_seq for run in runs], dtype=np.int64),
        np.array([run.learned_at for run in runs], dtype=np.int64),
    )
    learned_or_none = learned if question.known else None
    return StoreState(runs[-1].run_seq if runs else 0, learned_or_none, marks, windows, known)


def _check_history(store: OfflineStore, features: Sequence[ResolvedFeature]) -> None:
    stored = {version.id for version in store.versions()}
    for feature in features:
        if feature.version.id not in stored:
            raise no_history(feature.version)


@frozen
class BatchSearch:
    """Answers the labels of one batch, grouped by the entities of one type or role, for one feature after another.

    ``instants`` are what is compared, in the order of the label table. ``own`` marks the labels that got a value dated
    at their very instant, of whatever entity; None where that is not asked. ``ages`` asks for those of the values.
    ``whole`` has the histories that earlier batches have asked for too.

    Features of one source mostly have the same entities and times. So the latest matches in each partition are
    stored: for a partition of the same layout they hold again, and only its values have to be read.
    """

    project: Project
    store: OfflineStore
    question: JoinQuestion
    labels: kernel.GroupedLabels
    instants: kernel.Integers
    state: StoreState
    limits: HistoryLimits
    own: NDArray[np.bool_] | None
    ages: bool = False
    whole: WholeHistories | None = None
    _latest: dict[int, tuple[object, kernel.Matches, kernel.Integers]] = field(default_factory=dict)

    def answer(self, feature: ResolvedFeature) -> tuple[JoinedFeature, list[pl.Series]]:
        """The feature's columns, in the order of the labels, and its counts. Raises StoreError."""
        version, last_run = feature.version, self.state.last_run
        mark = self.state.marks[version.id]
        columns = read_columns(self.project, version, mark, last_run, self.limits)
        if columns is not None:
            with suppress(ColumnsLostError):  # another process has just replaced them: scan instead
                return self._fill(feature, columns)
        whole = None if self.whole is None else self.whole.get(version, mark)
        if whole is not None:
            return self._fill(feature, PartitionedHistory([whole]))
        scanned = scan_history(
            self.project, self.store, version, mark, last_run=last_run, entities=self.labels.entities,
            limits=self.limits,
        )  # fmt: skip
        return self._fill(feature, scanned)

    def _fill(self, feature: ResolvedFeature, history: PartitionedHistory) -> tuple[JoinedFeature, list[pl.Series]]:
        if feature.version.steps:
            return self._fill_window(feature, history)
        version, max_age = feature.version, self.question.max_age_of(feature.version)
        column = kernel.FeatureColumn(self.labels.height, value_type(version.data_type))
        suffix = self.question.times_suffix
        times = None if suffix is None else kernel.FeatureColumn(self.labels.height, INSTANT)
        rows = matched = 0
        ages = NO_AGES
        for number, partition in enumerate(history.partitions):
            matches, computed_at = self._search(number, partition, max_age, history.last_run)
            column.fill(partition.values(), matches)
            if times is not None:
                times.fill(kernel.Flat(computed_at, INSTANT), matches)
            if self.ages:
                ages = ages.add(self._ages(matches, computed_at))
            rows, matched = rows + matches.searched, matched + matches.matched
        columns = [with_zone(column.series()).alias(feature.column_name)]
        if times is not None:
            columns.append(with_zone(times.series()).alias(f"{feature.column_name}{suffix}"))
        return JoinedFeature(
            feature.column_name, version, rows, matched, columns[0].null_count(), max_age,
            empty=self.state.marks[version.id] is None, role=feature.role, ages=ages,
            known_by=self.state.known_by(version.id),
        ), columns  # fmt: skip

    def _fill_window(
        self, feature: ResolvedFeature, history: PartitionedHistory
    ) -> tuple[JoinedFeature, list[pl.Series]]:
        """History and coming steps, which are all later than the entity's rows of history, as one table."""
        question, version, height = self.question, feature.version, self.labels.height
        coming = self.state.windows.of(version)
        assert coming is not None, "read with the state"
        column = kernel.FeatureColumn(height, value_type(version.data_type))
        max_age, runs = question.max_age_of(version), self.state.runs
        found: list[tuple[kernel.Matches, kernel.Integers]] = []
        for number, partition in enumerate(history.partitions):
            found.append(self._search(number, partition, None, history.last_run, mark=False))
            column.fill(partition.values(), found[-1][0])
        rows = sum(matches.searched for matches, _ in found)
        if (self.instants >= coming.first).any():
            steps = kernel.search(coming.history, self.labels, runs=runs, last_run=self.state.last_run).only_answered()
            column.fill(coming.steps["value"], steps)
            found.append((steps, coming.history.computed_at))
        seen_by = question.as_of if question.seen_by is None else question.seen_by
        known = runs is not None or question.as_served
        expired = outdated(coming, self.instants, max_age, known=known, seen_by=seen_by)
        answered = np.zeros(height, dtype=np.bool_)
        for matches, _ in found:
            answered[matches.label_rows] = matches.history_rows != kernel.NONE
        answered &= ~expired
        if self.own is not None:
            for matches, computed_at in found:
                self._mark_own(self.own, matches, computed_at, answered)
        unknown = beyond(
            coming, self.labels, self.instants, runs=runs, last_run=self.state.last_run, as_of=question.as_of
        )
        values = column.series()
        if expired.any():
            values = pl.select(pl.when(pl.Series(~expired)).then(values).alias(values.name)).to_series()
        columns = [with_zone(values).alias(feature.column_name)]
        dated = self._dates(found) if question.times_suffix is not None or self.ages else self.instants
        if question.times_suffix is not None:
            times = pl.select(pl.when(pl.Series(answered)).then(pl.Series(dated).cast(INSTANT))).to_series()
            columns.append(with_zone(times).alias(f"{feature.column_name}{question.times_suffix}"))
        ages = NO_AGES
        if self.ages and answered.any():
            old = self.instants[answered] - dated[answered]
            ages = Ages(len(old), int(old.min()), float(old.sum(dtype=np.float64)), int(old.max()))
        return JoinedFeature(
            feature.column_name, version, rows, int(answered.sum()), columns[0].null_count(), max_age,
            empty=self.state.marks[version.id] is None, role=feature.role, ages=ages,
            beyond_horizon=int((unknown & answered).sum()),
        ), columns  # fmt: skip

    def _dates(self, found: Sequence[tuple[kernel.Matches, kernel.Integers]]) -> kernel.Integers:
        """The instants that answers are dated at, label by label, where the later matches go before the earlier."""
        dates = np.full(self.labels.height, kernel.NO_INSTANT)
        for matches, computed_at in found:
            answers = matches.only_answered()
            dates[answers.label_rows] = computed_at[answers.history_rows]
        return dates

    def _search(
        self, number: int, partition: HistoryPartition, max_age: int | None, last_run: int | None, *, mark: bool = True
    ) -> tuple[kernel.Matches, kernel.Integers]:
        """The matches in a partition, and the times of all its rows. With ``mark`` they are what is answered."""
        wanted = (partition.layout, last_run, max_age, mark)
        if partition.layout is None or number not in self._latest or self._latest[number][0] != wanted:
            history = partition.history()
            matches = kernel.search(history, self.labels, max_age=max_age, runs=self.state.runs, last_run=last_run)
            if mark and self.own is not None:
                self._mark_own(self.own, matches, history.computed_at)
            self._latest[number] = (wanted, matches, history.computed_at)
        return self._latest[number][1:]

    def _mark_own(
        self,
        own: NDArray[np.bool_],
        matches: kernel.Matches,
        computed_at: kernel.Integers,
        answered: NDArray[np.bool_] | None = None,
    ) -> None:
        def mark_batch(batch: slice) -> None:
            labels, rows = matches.label_rows[batch], matches.history_rows[batch]
            labels = labels[(computed_at[rows] == self.instants[labels]) & (rows != kernel.NONE)]
            own[labels if answered is None else labels[answered[labels]]] = True

        if len(computed_at):
            kernel.in_batches(mark_batch, len(matches.label_rows))

    def _ages(self, matches: kernel.Matches, computed_at: kernel.Integers) -> Ages:
        answered = matches.history_rows != kernel.NONE
        if not answered.any():
            return NO_AGES
        ages = self.instants[matches.label_rows[answered]] - computed_at[matches.history_rows[answered]]
        return Ages(len(ages), int(ages.min()), float(ages.sum(dtype=np.float64)), int(ages.max()))


def with_zone(values: pl.Series) -> pl.Series:
    """Instants have no zone inside the store; where a person sees them they carry UTC."""
    return values.dt.replace_time_zone("UTC") if isinstance(values.dtype, pl.Datetime) else values
