"""The point-in-time join: label batches in, the same batches with one more column per feature out.

`join` is the one entry point: the command, data sets and the tests that check it against brute force all call it.
It only reads the store. `point_in_time.kernel` defines which value answers a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.offline.contract import OfflineStore
from featurestore.point_in_time import kernel
from featurestore.point_in_time.labels import LabelEntities, LabelTimes, read_entities, read_times
from featurestore.progress import SILENT, Progress
from featurestore.tables.instants import NAIVE
from featurestore.workflows.join.answer import BatchSearch, store_state
from featurestore.workflows.join.entities import LabelKeys, label_keys
from featurestore.workflows.join.facts import JoinedFeature, JoinFacts, add_batch
from featurestore.workflows.join.history import DEFAULT_LIMITS, HistoryLimits, prepare_columns
from featurestore.workflows.join.question import JoinQuestion, check_columns
from featurestore.workflows.join.request_columns import LabelBatch, RequestColumns
from featurestore.workflows.join.splits import split_labels
from featurestore.workflows.join.warnings import with_warnings, zone_warnings
from featurestore.workflows.join.whole import WholeHistories
from featurestore.workflows.join.windows import WindowStates, refuse_beyond

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
    ages: bool = False,
    progress: Progress = SILENT,
) -> JoinFacts:
    """Joins batches of labels and calls ``write`` with each joined batch.

    ``labels`` are frames of the same columns; an empty table is one empty frame. Each is written with its rows, order
    and columns unchanged, and one more column per feature, those for the times of values and the splits where the
    question asks for them. In memory at a time are one batch and one feature's history. All batches are answered as
    the store was at the first. ``labels_name`` is what messages call the table; ``ages`` asks for those of the values.

    Raises UsageError for columns, entity types or versions that don't fit together, SourceError naming the row of a
    label that can't be read, StoreError, and CancelledError between two features or batches. Raises
    FeatureStoreError for a strict question where a label lies beyond what is known of a window.
    """
    alone = isinstance(labels, Sequence) and len(labels) == 1
    shared = _Join(project, store, labels_name, limits, progress, ages, alone)
    asked = RequestColumns(question) if any(item.bound for item in question.features) else None
    question = question if asked is None else asked.stored
    facts: JoinFacts | None = None
    whole: WholeHistories | None = None
    sample: Mapping[LabelKeys, pl.DataFrame] | None = None
    for frame in labels:
        if asked is not None:
            check_columns(asked.question, frame.columns, labels_name)
        batch = shared.read(question, frame, 0 if facts is None else facts.labels)
        if sample is None:
            sample = {keys: item.keys.head(SAMPLE_LABELS).unique() for keys, item in batch.entities.items()}
        done = 0 if facts is None else facts.labels
        joined, found = shared.join_batch(question, batch, done, whole)
        write(joined if asked is None else asked.add(shared.labels_of(batch, done), joined))
        whole = whole or WholeHistories(store, found.as_of_run, project.memory)  # there may be many batches to come
        facts = found if facts is None else add_batch(facts, found)
        question = replace(question, last_run=found.as_of_run)
    if facts is None or sample is None:
        raise ValueError("labels must have at least one frame; an empty table is one empty frame")
    if question.strict:
        refuse_beyond(facts, clock=question.clock)
    facts = with_warnings(project, store, question, facts, sample)
    return facts if asked is None else asked.facts(facts)


@frozen
class _Batch:
    """A batch of labels with its times, the keys of each feature, and the entities of each of these keys."""

    frame: pl.DataFrame
    times: LabelTimes
    keys: tuple[LabelKeys, ...]
    entities: Mapping[LabelKeys, LabelEntities]


@frozen
class _Join:
    """What all batches of a join share; ``alone`` says that there is one batch."""

    project: Project
    store: OfflineStore
    labels_name: str
    limits: HistoryLimits
    progress: Progress
    ages: bool
    alone: bool = False
    windows: WindowStates = field(default_factory=WindowStates)

    def read(self, question: JoinQuestion, frame: pl.DataFrame, done: int) -> _Batch:
        """The keys and times of a batch; ``done`` labels came before it."""
        check_columns(question, frame.columns, self.labels_name)
        keys = label_keys(self.project, question, frame.columns, self.labels_name)
        times = read_times(
            frame, question.timestamp_column, timezone=question.timezone,
            written=question.dialect.time_format(question.timestamp_column),
            name=self.labels_name, first_row=done + 1,
        )  # fmt: skip
        entities = {
            each: read_entities(
                frame, each.entity_type, each.columns, role=each.role, name=self.labels_name, first_row=done + 1
            )
            for each in dict.fromkeys(keys)
        }
        return _Batch(frame, times, keys, entities)

    def labels_of(self, batch: _Batch, done: int) -> LabelBatch:
        """The batch as request-time features need it."""
        named = {
            (keys.entity_type.name, keys.role): ~entities.keys.select(pl.any_horizontal(pl.all().is_null())).to_series()
            for keys, entities in batch.entities.items()
        }
        return LabelBatch(batch.frame, batch.times.instants, named, self.labels_name, done)

    def join_batch(
        self, question: JoinQuestion, batch: _Batch, done: int, whole: WholeHistories | None
    ) -> tuple[pl.DataFrame, JoinFacts]:
        """The joined batch and its facts."""
        frame, times = batch.frame, batch.times
        zones: tuple[str, ...] = ()
        if times.naive and not done:
            zones = zone_warnings(self.project, question.features, self.labels_name, question.timestamp_column)
        # Each of the zones says of naive times all that the general warning does.
        assumed = tuple(each for each in times.warnings if not (zones and each.endswith(NAIVE)))
        assumed += tuple(each for entities in batch.entities.values() for each in entities.warnings)
        own = None if question.lag else np.zeros(len(frame), dtype=np.bool_)
        searches, damaged = self._prepare(question, batch, own, whole)
        answers = self._answer(question, [searches[keys] for keys in batch.keys], done)
        columns = [column for _, some in answers for column in some]
        splits = None
        if question.splits is not None:
            columns.append(split_labels(question.splits, times.instants))
            splits = {name: int((columns[-1] == name).sum()) for name in question.splits.names}
        joined = frame.hstack(columns)
        facts = JoinFacts(
            labels=len(frame),
            first=int(times.instants.min()) if len(frame) else None,
            last=int(times.instants.max()) if len(frame) else None,
            columns=tuple(joined.columns),
            keys=batch.keys,
            features=tuple(feature for feature, _ in answers),
            as_of_run=next(iter(searches.values())).state.last_run,
            warnings=(*assumed, *zones, *damaged),
            on_own_event=None if own is None else int(np.count_nonzero(own)),
            splits=splits,
        )
        return joined, facts

    def _prepare(
        self, question: JoinQuestion, batch: _Batch, own: NDArray[np.bool_] | None, whole: WholeHistories | None
    ) -> tuple[Mapping[LabelKeys, BatchSearch], list[str]]:
        """Groups the labels by each of their keys, and brings sorted columns up to date; with what to say."""
        instants = batch.times.instants - question.lag if question.lag else batch.times.instants
        with ThreadPoolExecutor(1) as beside:  # grouping runs while the store answers
            grouping = {
                keys: beside.submit(kernel.group_labels, entities.keys, instants)
                for keys, entities in batch.entities.items()
            }
            last = int(instants.max()) if self.alone and len(instants) else None
            state = store_state(self.store, question, self.windows, last=last)
            searches = {
                keys: BatchSearch(
                    self.project,
                    self.store,
                    question,
                    grouped.result(),
                    instants,
                    state,
                    self.limits,
                    own,
                    self.ages,
                    whole,
                )
                for keys, grouped in grouping.items()
            }
        damaged = []
        for feature, keys in zip(question.features, batch.keys, strict=True):
            mark = state.marks[feature.version.id]
            self.progress(f"preparing {feature.column_name}: {0 if mark is None else mark.rows:,} rows of history")
            entities = len(searches[keys].labels.entities)
            said = prepare_columns(self.project, self.store, feature.version, mark, entities, self.limits)
            damaged += [said] if said else []
        return searches, damaged

    def _answer(
        self, question: JoinQuestion, searches: Sequence[BatchSearch], done: int
    ) -> list[tuple[JoinedFeature, list[pl.Series]]]:
        suffix = f", {done:,} labels done" if done else ""
        answers = []
        with self.store.reading():
            for number, (feature, search) in enumerate(zip(question.features, searches, strict=True), 1):
                self.progress(f"joining {feature.column_name} ({number} of {len(searches)}){suffix}")
                answers.append(search.answer(feature))
        return answers
