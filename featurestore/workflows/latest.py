"""One row per entity as of a time, for scoring everybody: what a join of all entities with that time would answer.

The entities are those that some of the features had a row about by then, and that were not deleted. The kernel
searches each history for its own entities, so that nobody has to be looked up; the columns of features with the same
entities and times are put side by side, and only others are matched by their keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import polars as pl

from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import EntityType, StoredVersion
from featurestore.offline.columns.files import ColumnsLostError
from featurestore.offline.contract import VALUE, OfflineStore
from featurestore.offline.partitions import ALL_KEYS
from featurestore.point_in_time import kernel
from featurestore.progress import SILENT, Progress
from featurestore.tables.batches import write_batches
from featurestore.tables.types import key_types, value_type
from featurestore.workflows.get import find_entity_type
from featurestore.workflows.join.answer import StoreState, store_state, with_zone
from featurestore.workflows.join.facts import KnownBy
from featurestore.workflows.join.history import (
    DEFAULT_LIMITS,
    ROW_BYTES,
    HistoryLimits,
    HistoryPartition,
    PartitionedHistory,
    ScannedPartition,
    prepare_columns,
    read_columns,
)
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature, check_columns
from featurestore.workflows.join.warnings import known_warnings
from featurestore.workflows.join.windows import outdated
from featurestore.workflows.partitions import key_ranges
from featurestore.workflows.table_files import TableFile, check_output


@frozen
class LatestFeature:
    """One column of the result. ``nulls`` counts the entities without a value; ``known_by`` is that of a join."""

    column_name: str
    version: StoredVersion
    nulls: int
    max_age: int | None
    role: str | None = None
    known_by: KnownBy = "run"


@frozen
class LatestResult:
    """Everybody as of ``at`` (µs): ``entities`` rows of the entity's keys and the features, sorted by the keys.

    ``frame`` is None where they were written to an output, and in a ``dry_run``. ``as_of_run`` is the last run whose
    rows could answer.
    """

    entity_type: EntityType
    at: int
    as_of_run: int
    entities: int
    columns: tuple[str, ...]
    features: tuple[LatestFeature, ...]
    warnings: tuple[str, ...] = ()
    frame: pl.DataFrame | None = None
    dry_run: bool = False


def latest(
    project: Project,
    store: OfflineStore,
    entity_type: str,
    features: Sequence[ResolvedFeature],
    *,
    at: int,
    known: bool = False,
    output: TableFile | None = None,
    dry_run: bool = False,
    limits: HistoryLimits = DEFAULT_LIMITS,
    progress: Progress = SILENT,
) -> LatestResult:
    """One row per entity of a type as of an instant (µs), written to ``output`` where there is one.

    ``features`` come from `resolve_features`; ``known`` asks that a value was learned by then, ``dry_run`` writes
    nothing. Raises UsageError for an entity type that does not exist or is not that of a feature, StoreError,
    CancelledError, and what `check_output` and `write_batches` raise.
    """
    if output is not None:
        check_output(output)
    declared = find_entity_type(project, entity_type)
    _refuse_request_time(features)
    own = _check_types(declared, features)
    question = JoinQuestion(features, "at", known=known)
    check_columns(question, own.key_names, f"the keys of {entity_type}")
    state = store_state(store, question)
    warnings = [feature.note for feature in features if feature.note is not None]
    for feature in features:
        known_by = state.known_by(feature.version.id)
        warnings += known_warnings(project, question, feature.column_name, feature.version, known_by)
    for feature in features:
        progress(f"preparing {feature.column_name}")
        mark = state.marks[feature.version.id]
        said = prepare_columns(project, store, feature.version, mark, limits.sort_entities, limits)
        warnings += [said] if said else []
    everybody = _Everybody(project, store, question, at, state, limits)
    with store.reading():
        for number, feature in enumerate(features, 1):
            progress(f"reading {feature.column_name} ({number} of {len(features)})")
            everybody.add(feature)
    progress("sorting")
    frame = everybody.table(own)
    if output is not None and not dry_run:
        progress("writing")
        with write_batches(output.place, form=output.form) as write:
            write(frame)
    facts = tuple(
        LatestFeature(
            each.column_name,
            each.version,
            frame[each.column_name].null_count(),
            each.version.max_age,
            each.role,
            state.known_by(each.version.id),
        )
        for each in features
    )
    return LatestResult(
        own, at, state.last_run, len(frame), tuple(frame.columns), facts, tuple(warnings),
        None if output is not None or dry_run else frame, dry_run,
    )  # fmt: skip


def _refuse_request_time(features: Sequence[ResolvedFeature]) -> None:
    """Raises UsageError for a request-time feature: for everybody there is no request."""
    for feature in features:
        if feature.bound is not None:
            raise UsageError(
                f"{feature.column_name} is computed from a request, and latest has none for everybody",
                hint="join it to a table with the fields of a request; its inputs can be asked for here: "
                + ", ".join(version.id.feature for version in feature.bound.inputs),
            )


def _check_types(declared: EntityType, features: Sequence[ResolvedFeature]) -> EntityType:
    """The entity type of the features. Raises UsageError where one is of another type, or of one with other keys."""
    for feature in features:
        found = feature.version.entity_type
        if found.name != declared.name or found != features[0].version.entity_type:
            keys = "" if found.name != declared.name else f" with the keys {', '.join(found.key_names)}"
            raise UsageError(
                f"{feature.column_name} is a feature of {found.name}{keys}, not of {declared.name}",
                hint=f"ask for features of {declared.name} only, or for everybody of {found.name}",
            )
    return features[0].version.entity_type if features else declared


@frozen
class _Found:
    """A partition that was searched: its history, which entities have a row, and the rows that answer them."""

    layout: object
    history: kernel.SortedHistory
    present: pl.Series
    matches: dict[int | None, kernel.Matches]


@dataclass(slots=True)
class _Everybody:
    """The answers of one feature after another, those with the same entities side by side."""

    project: Project
    store: OfflineStore
    question: JoinQuestion
    at: int
    state: StoreState
    limits: HistoryLimits
    _found: dict[int, _Found] = field(default_factory=dict)
    _tables: dict[object, list[pl.DataFrame]] = field(default_factory=dict)

    def add(self, feature: ResolvedFeature) -> None:
        """Answers a feature for all entities of its history."""
        version, mark = feature.version, self.state.marks[feature.version.id]
        columns = None if version.steps else read_columns(self.project, version, mark, self.state.last_run, self.limits)
        if columns is not None:
            with suppress(ColumnsLostError):  # another process has just replaced them: scan instead
                self._add(feature, columns)
                return
        self._add(feature, PartitionedHistory(self._scan(version)))

    def _scan(self, version: StoredVersion) -> Iterator[HistoryPartition]:
        mark = self.state.marks[version.id]
        whole = mark is None or mark.rows * ROW_BYTES <= self.project.memory
        for key_range in [ALL_KEYS] if whole else key_ranges(self.store, [version], self.project.memory):
            frame = self.store.scan(version, up_to_run=self.state.last_run, key_range=key_range)
            if version.steps:  # coming steps are rows too
                held = self.state.windows.of(version) if whole else None
                coming = self.store.coming(version, key_range=key_range) if held is None else held.rows
                coming = coming.filter(pl.col("op") == VALUE, pl.col("run_seq") <= self.state.last_run)
                order = [*version.entity_type.key_names, "computed_at", "run_seq"]
                frame = pl.concat([frame, coming]).sort(order)
            yield ScannedPartition(frame, version.entity_type.key_names)

    def _add(self, feature: ResolvedFeature, history: PartitionedHistory) -> None:
        layouts: list[object] = []
        parts: list[pl.DataFrame] = []
        for number, partition in enumerate(history.partitions):
            found = self._search(number, partition, history.last_run)
            layouts.append(found.layout if found.layout is not None else object())
            parts.append(self._answer(feature, partition, found, history.last_run))
        group = tuple(layouts)
        answers = pl.concat(parts) if parts else _nobody(feature)
        others = self._tables.setdefault(group, [])
        others.append(answers.select(feature.column_name) if others else answers)

    def _search(self, number: int, partition: HistoryPartition, last_run: int | None) -> _Found:
        """Who has a row in a partition; of one that is laid out like that of another feature this is known."""
        layout = None if partition.layout is None else (partition.layout, last_run)
        if layout is None or number not in self._found or self._found[number].layout != layout:
            history = partition.history()
            matches = self._matches(history, None, last_run)
            named = ~history.entities.select(pl.any_horizontal(pl.all().is_null())).to_series()
            present = pl.Series(matches.history_rows != kernel.NONE) & named
            self._found[number] = _Found(layout, history, present, {None: matches})
        return self._found[number]

    def _matches(self, history: kernel.SortedHistory, max_age: int | None, last_run: int | None) -> kernel.Matches:
        everybody = np.arange(len(history.entities))
        labels = kernel.GroupedLabels(
            history.entities, everybody, everybody, np.full(len(everybody), self.at), len(everybody)
        )
        return kernel.search(history, labels, max_age=max_age, runs=self.state.runs, last_run=last_run)

    def _answer(
        self, feature: ResolvedFeature, partition: HistoryPartition, found: _Found, last_run: int | None
    ) -> pl.DataFrame:
        max_age = self.question.max_age_of(feature.version)
        coming = self.state.windows.of(feature.version)
        if coming is not None:
            at, known = np.array([self.at]), self.question.known
            expired = bool(outdated(coming, at, max_age, known=known, seen_by=None)[0])
            max_age = None
        if max_age not in found.matches:
            found.matches[max_age] = self._matches(found.history, max_age, last_run)
        column = kernel.FeatureColumn(len(found.present), value_type(feature.version.data_type))
        column.fill(partition.values(), found.matches[max_age])
        values = with_zone(column.series()).alias(feature.column_name)
        if coming is not None and expired:
            values = values.clear(len(values))
        return found.history.entities.with_columns(values).filter(found.present)

    def table(self, entity_type: EntityType) -> pl.DataFrame:
        """The table of all features: keys, then features in the order asked, sorted by the keys."""
        keys = entity_type.key_names
        tables = [pl.concat(parts, how="horizontal") for parts in self._tables.values()]
        whole = reduce(lambda one, other: one.join(other, on=list(keys), how="full", coalesce=True), tables)
        columns = [feature.column_name for feature in self.question.features]
        return whole.select(*keys, *columns).sort(*keys)


def _nobody(feature: ResolvedFeature) -> pl.DataFrame:
    version = feature.version
    values = with_zone(pl.Series(feature.column_name, [], value_type(version.data_type)))
    return pl.DataFrame(schema=key_types(version.entity_type)).with_columns(values)
