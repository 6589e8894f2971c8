"""The point-in-time join: label batches in, the same batches with one more column per feature out.

`join` is the one entry point: the command, data sets and the tests that check it against brute force all call it.
It only reads the store. `point_in_time.kernel` defines which value answers a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from featurestore.config import Project
from featurestore.offline.contract import OfflineStore
from featurestore.point_in_time import kernel
from featurestore.point_in_time.labels import EntityTimes, read_labels
from featurestore.progress import SILENT, Progress
from featurestore.tables.instants import NAIVE
from featurestore.workflows.history import no_history
from featurestore.workflows.join.answer import BatchSearch, StoreState
from featurestore.workflows.join.facts import JoinedFeature, JoinFacts, add_batch
from featurestore.workflows.join.history import DEFAULT_LIMITS, HistoryLimits, prepare_columns
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature, check_columns, entity_type_of
from featurestore.workflows.join.warnings import with_warnings, zone_warnings

SAMPLE_LABELS = 1_000  # whose ids are compared with those of the history where no label has a value


def join(
    project: Project,
    store: OfflineStore,
    question: JoinQuestion,
    labels: Iterable[pl.DataFrame],
    write: Callable[[pl.DataFrame], None],
    *,
    labels_name: str = "labels",
    limits: HistoryLimits = DEFAULT_LIMITS,
    progress: Progress = SILENT,
) -> JoinFacts:
    """Joins batches of labels and calls ``write`` with each joined batch.

    ``labels`` are frames of the same columns; an empty table is one empty frame. Each is written with its rows, order
    and columns unchanged, and one more column per feature. In memory at a time are one batch and one feature's
    history. All batches are answered as the store was at the first. ``labels_name`` is what messages call the table.

    Raises UsageError for columns, entity types or versions that don't fit together, SourceError naming the row of a
    label that can't be read, StoreError, and CancelledError between two features or batches.
    """
    shared = _Join(project, store, labels_name, limits, progress)
    facts: JoinFacts | None = None
    sample: pl.DataFrame | None = None
    for frame in labels:
        times = shared.read(question, frame, 0 if facts is None else facts.labels)
        sample = times.keys.head(SAMPLE_LABELS).unique() if sample is None else sample
        joined, batch = shared.join_batch(question, frame, times, 0 if facts is None else facts.labels)
        write(joined)
        facts = batch if facts is None else add_batch(facts, batch)
        question = replace(question, last_run=batch.as_of_run)
    if facts is None or sample is None:
        raise ValueError("labels must have at least one frame; an empty table is one empty frame")
    return with_warnings(project, store, question, facts, sample)


@dataclass(frozen=True, slots=True)
class _Join:
    """What all batches of a join share."""

    project: Project
    store: OfflineStore
    labels_name: str
    limits: HistoryLimits
    progress: Progress

    def read(self, question: JoinQuestion, frame: pl.DataFrame, done: int) -> EntityTimes:
        """The keys and times of a batch; ``done`` labels came before it."""
        check_columns(question, frame.columns, self.labels_name)
        return read_labels(
            frame,
            entity_type_of(self.project, question),
            timestamp_column=question.timestamp_column,
            entity_columns=question.entity.columns,
            timezone=question.timezone,
            name=self.labels_name,
            first_row=done + 1,
        )

    def join_batch(
        self, question: JoinQuestion, frame: pl.DataFrame, times: EntityTimes, done: int
    ) -> tuple[pl.DataFrame, JoinFacts]:
        """The joined batch and its facts."""
        zones: tuple[str, ...] = ()
        if times.naive and not done:
            zones = zone_warnings(self.project, question.features, self.labels_name, question.timestamp_column)
        grouped, state, damaged = self._prepare(question, times)
        search = BatchSearch(self.project, self.store, question, grouped, state, self.limits)
        answers = self._answer(search, done)
        facts = JoinFacts(
            labels=len(frame),
            first=int(times.instants.min()) if len(frame) else None,
            last=int(times.instants.max()) if len(frame) else None,
            columns=(*frame.columns, *(feature.column_name for feature, _ in answers)),
            entity_type=entity_type_of(self.project, question),
            features=tuple(feature for feature, _ in answers),
            as_of_run=state.last_run,
            # Each of the zones says of naive times all that the general warning does.
            warnings=(*(each for each in times.warnings if not (zones and each.endswith(NAIVE))), *zones, *damaged),
        )
        return frame.hstack([column for _, column in answers]), facts

    def _prepare(
        self, question: JoinQuestion, times: EntityTimes
    ) -> tuple[kernel.GroupedLabels, StoreState, list[str]]:
        """Groups the labels, looks up the store's state, and brings sorted columns up to date; with what to say."""
        with ThreadPoolExecutor(1) as beside:  # grouping runs while the store answers
            grouping = beside.submit(kernel.group_labels, times.keys, times.instants)
            state = _store_state(self.store, question)
            grouped = grouping.result()
        damaged = []
        for feature in question.features:
            mark = state.marks[feature.version.id]
            self.progress(f"preparing {feature.column_name}: {0 if mark is None else mark.rows:,} rows of history")
            entities = len(grouped.entities)
            said = prepare_columns(self.project, self.store, feature.version, mark, entities, self.limits)
            damaged += [said] if said else []
        return grouped, state, damaged

    def _answer(self, search: BatchSearch, done: int) -> list[tuple[JoinedFeature, pl.Series]]:
        features = search.question.features
        suffix = f", {done:,} labels done" if done else ""
        answers = []
        with self.store.reading():
            for number, feature in enumerate(features, 1):
                self.progress(f"joining {feature.column_name} ({number} of {len(features)}){suffix}")
                answers.append(search.answer(feature))
        return answers


def _store_state(store: OfflineStore, question: JoinQuestion) -> StoreState:
    with store.reading():
        _check_history(store, question.features)
        # All features are read up to the same run. Otherwise a run that commits between two scans would show in one
        # column and not in the other.
        runs = [run for run in store.committed_runs() if question.counts(run)]
        marks = {feature.version.id: store.mark(feature.version) for feature in question.features}
    learned = kernel.Runs(
        np.array([run.run_seq for run in runs], dtype=np.int64),
        np.array([run.learned_at for run in runs], dtype=np.int64),
    )
    return StoreState(runs[-1].run_seq if runs else 0, learned if question.known else None, marks)


def _check_history(store: OfflineStore, features: Sequence[ResolvedFeature]) -> None:
    stored = {version.id for version in store.versions()}
    for feature in features:
        if feature.version.id not in stored:
            raise no_history(feature.version)
