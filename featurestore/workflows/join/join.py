"""The point-in-time join of a label table with features: one column per feature, as of each label's time.

Finds out what is asked, scans each version's history once and lets `point_in_time.kernel` answer. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.model import EntityType, StoredVersion, VersionId
from featurestore.offline.columns.files import ColumnsLostError
from featurestore.offline.contract import CommittedRun, HistoryMark, OfflineStore
from featurestore.point_in_time import kernel
from featurestore.point_in_time.labels import Labels, read_labels
from featurestore.tables.types import value_type
from featurestore.workflows.history import no_history
from featurestore.workflows.join.history import HeldHistory, held_columns, prepare_history, scanned

Tell = Callable[[str], None]


def _untold(_line: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ResolvedFeature:
    """A feature reference as typed, which names the result's column, and the version it stands for."""

    column_name: str
    version: StoredVersion


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What to join. Instants and durations are microseconds.

    ``labels`` is any frame; ``labels_name`` is what messages call it. ``entity_type`` names the type where
    the features' own should be checked; ``entity_columns`` the labels' key columns in the order of the keys.
    ``known`` asks that a value was already learned by the label's time; ``as_of`` answers as the store stood
    then, ``last_run`` as it stood after that run; ``max_age`` stands in for each feature's own. ``first_row`` is
    the number of the first label, for messages.
    """

    labels: pl.DataFrame
    features: Sequence[ResolvedFeature]
    timestamp_column: str
    labels_name: str = "labels"
    entity_type: str | None = None
    entity_columns: Sequence[str] = ()
    known: bool = False
    as_of: int | None = None
    max_age: int | None = None
    last_run: int | None = None
    first_row: int = 1


@dataclass(frozen=True, slots=True)
class JoinedFeature:
    """What came of one feature: the labels that found a row, and those without a value (the rest, and stored nulls)."""

    column_name: str
    version: StoredVersion
    rows_scanned: int
    matched: int
    nulls: int
    max_age: int | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinResult:
    """The labels, as they came and in their order, with one more column per feature.

    ``as_of_run`` is the last run that was looked at; ``warnings`` are about the labels.
    """

    frame: pl.DataFrame
    entity_type: EntityType
    features: tuple[JoinedFeature, ...]
    as_of_run: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JoinFacts:
    """What a join does, without the table.

    ``first`` and ``last`` are the labels' range of time in microseconds, None where there are no labels;
    ``columns`` are the table's.
    """

    labels: int
    first: int | None
    last: int | None
    columns: tuple[str, ...]
    entity_type: EntityType
    features: tuple[JoinedFeature, ...]
    as_of_run: int
    warnings: tuple[str, ...]

    def share(self, feature: JoinedFeature) -> float:
        """The share of labels, 0 to 1, that would get a value."""
        return (self.labels - feature.nulls) / self.labels if self.labels else 0.0


_Found = dict[int, tuple[object, kernel.Answer]]


def join(project: Project, store: OfflineStore, request: JoinRequest) -> JoinResult:
    """Joins the labels with the features.

    Raises UsageError for columns, entity types or versions that don't fit together, SourceError naming the
    row for a label that can't be read, StoreError for a store that can't answer.
    """
    question = _ask(project, store, request, _untold)
    with store.reading():
        answers = list(_answers(project, store, request, question, _untold))
    return JoinResult(
        frame=request.labels.hstack([values for _, values in answers]),
        entity_type=question.entity_type,
        features=tuple(_warned(request, feature, len(request.labels)) for feature, _ in answers),
        as_of_run=question.last_run,
        warnings=question.labels.warnings,
    )


def join_batches(
    project: Project,
    store: OfflineStore,
    request: JoinRequest,
    frames: Iterable[pl.DataFrame],
    take: Callable[[pl.DataFrame], None],
    tell: Tell = _untold,
) -> JoinFacts:
    """Joins labels that come in frames, at least one, of the same columns; each is handed on as it is done.

    ``request.labels`` is not looked at. What is in memory at a time are one frame and one feature's history. All
    frames are answered as the store stood at the first. ``tell`` gets a line for people now and then. Raises what
    `join` raises.
    """
    facts: JoinFacts | None = None
    for frame in frames:
        request = replace(request, labels=frame)
        question = _ask(project, store, request, tell)
        with store.reading():
            answers = list(_answers(project, store, request, question, tell))
        take(frame.hstack([values for _, values in answers]))
        facts = _add(facts, _facts(request, question, [feature for feature, _ in answers]))
        request = replace(request, last_run=question.last_run, first_row=request.first_row + len(frame))
    assert facts is not None, "an empty table is one empty frame"
    return replace(facts, features=tuple(_warned(request, feature, facts.labels) for feature in facts.features))


def plan_join(project: Project, store: OfflineStore, request: JoinRequest) -> JoinFacts:
    """What `join` would do, by doing it without keeping the table. Raises what `join` raises."""
    return join_batches(project, store, request, [request.labels], lambda _frame: None)


def _facts(request: JoinRequest, question: _Question, features: Sequence[JoinedFeature]) -> JoinFacts:
    times = question.labels.instants
    return JoinFacts(
        labels=len(times),
        first=int(times.min()) if len(times) else None,
        last=int(times.max()) if len(times) else None,
        columns=(*request.labels.columns, *(feature.column_name for feature in features)),
        entity_type=question.entity_type,
        features=tuple(features),
        as_of_run=question.last_run,
        warnings=question.labels.warnings,
    )


def _add(before: JoinFacts | None, more: JoinFacts) -> JoinFacts:
    if before is None:
        return more
    features = (
        replace(
            one,
            rows_scanned=one.rows_scanned + other.rows_scanned,
            matched=one.matched + other.matched,
            nulls=one.nulls + other.nulls,
        )
        for one, other in zip(before.features, more.features, strict=True)
    )
    return replace(
        before,
        labels=before.labels + more.labels,
        first=min((at for at in (before.first, more.first) if at is not None), default=None),
        last=max((at for at in (before.last, more.last) if at is not None), default=None),
        features=tuple(features),
        warnings=tuple(dict.fromkeys((*before.warnings, *more.warnings))),
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """What all features of a request share: the labels' side, and the runs to look at."""

    entity_type: EntityType
    labels: Labels
    side: kernel.LabelSide
    last_run: int
    known: kernel.Runs | None
    marks: Mapping[VersionId, HistoryMark | None]


def _ask(project: Project, store: OfflineStore, request: JoinRequest, tell: Tell) -> _Question:
    _check_columns(request)
    entity_type = _entity_type(project, request)
    labels = read_labels(
        request.labels,
        entity_type,
        timestamp_column=request.timestamp_column,
        entity_columns=request.entity_columns,
        name=request.labels_name,
        first_row=request.first_row,
    )
    versions = [feature.version for feature in request.features]
    with ThreadPoolExecutor(1) as beside:  # while the store is asked
        prepared = beside.submit(kernel.prepare_labels, labels.keys, labels.instants)
        with store.reading():
            _check_history(store, request.features)
            # Every feature is read as of one run, so that a commit between two scans can't come between two columns.
            runs = [run for run in store.learned() if _counts(run, request)]
            marks = {version.id: store.mark(version) for version in versions}
        side = prepared.result()
    for feature in request.features:
        mark = marks[feature.version.id]
        tell(f"preparing {feature.column_name}: {0 if mark is None else mark.rows:,} rows of history")
        prepare_history(project, store, feature.version, mark, len(side.entities))
    known = kernel.Runs(
        np.array([run.run_seq for run in runs], dtype=np.int64),
        np.array([run.learned_at for run in runs], dtype=np.int64),
    )
    return _Question(
        entity_type,
        labels,
        side,
        runs[-1].run_seq if runs else 0,
        known if request.known else None,
        marks,
    )


def _counts(run: CommittedRun, request: JoinRequest) -> bool:
    in_time = request.as_of is None or run.learned_at <= request.as_of
    return in_time and (request.last_run is None or run.run_seq <= request.last_run)


def _answers(
    project: Project, store: OfflineStore, request: JoinRequest, question: _Question, tell: Tell
) -> Iterator[tuple[JoinedFeature, pl.Series]]:
    found: _Found = {}
    done = f", {request.first_row - 1:,} labels done" if request.first_row > 1 else ""
    for number, feature in enumerate(request.features, 1):
        tell(f"joining {feature.column_name} ({number} of {len(request.features)}){done}")
        version, last_run = feature.version, question.last_run
        mark = question.marks[version.id]
        columns = held_columns(project, version, mark, last_run)
        if columns is not None:
            try:
                answer = _answer(request, question, feature, columns, found)
            except ColumnsLostError:  # another process has replaced them
                columns = None
        if columns is None:
            rows = scanned(project, store, version, mark, last_run=last_run, entities=question.side.entities)
            answer = _answer(request, question, feature, rows, found)
        yield answer


def _answer(
    request: JoinRequest, question: _Question, feature: ResolvedFeature, held: HeldHistory, found: _Found
) -> tuple[JoinedFeature, pl.Series]:
    """One feature's column. ``found`` are the answers of the last search of each part, and what it searched."""
    version = feature.version
    max_age = version.max_age if request.max_age is None else request.max_age
    column = kernel.Column(question.side.height, value_type(version.data_type))
    rows = matched = 0
    for number, part in enumerate(held.parts):
        # Features of one source mostly have the same entities and times: one search answers for all of them.
        searched = (part.layout, held.last_run, max_age)
        if part.layout is None or number not in found or found[number][0] != searched:
            found[number] = (
                searched,
                kernel.search(
                    part.history(), question.side, max_age=max_age, known=question.known, last_run=held.last_run
                ),
            )
        answer = found[number][1]
        column.fill(part.values(), answer)
        rows, matched = rows + answer.rows, matched + answer.matched
    values = _outside(column.series()).alias(feature.column_name)
    return JoinedFeature(feature.column_name, version, rows, matched, values.null_count(), max_age, ()), values


def _outside(values: pl.Series) -> pl.Series:
    """Instants carry their zone wherever a person sees them."""
    return values.dt.replace_time_zone("UTC") if isinstance(values.dtype, pl.Datetime) else values


def _warned(request: JoinRequest, feature: JoinedFeature, labels: int) -> JoinedFeature:
    if not labels or feature.matched:
        return feature
    narrowed = [
        text
        for text, given in (
            ("--known", request.known),
            ("--as-of", request.as_of is not None),
            ("max_age", feature.max_age is not None),
        )
        if given
    ]
    also = f", nor {', '.join(narrowed)} too narrow" if narrowed else ""
    text = f"no label found a value of {feature.column_name}: check that keys and times are of the same kind{also}"
    return replace(feature, warnings=(text,))


def _check_columns(request: JoinRequest) -> None:
    if not request.features:
        raise UsageError("no feature is named", hint="name some with -f NAME[,NAME...]")
    taken = set(request.labels.columns)
    for feature in request.features:
        name = feature.column_name
        if name in request.labels.columns:
            raise UsageError(
                f"the labels have a column {name!r} already",
                where=request.labels_name,
                hint=f"rename that column, or ask for {name}@{feature.version.number}",
            )
        if name in taken:
            raise UsageError(f"{name} is asked for twice", hint="name it once")
        taken.add(name)


def _entity_type(project: Project, request: JoinRequest) -> EntityType:
    named = request.entity_type
    if named is not None and named not in project.entity_types:
        raise UsageError(f"no entity type {named!r}", hint=did_you_mean(named, project.entity_types))
    wanted = request.features[0].version.entity_type if named is None else project.entity_types[named]
    if any(feature.version.entity_type != wanted for feature in request.features):
        kinds = ", ".join(f"{feature.column_name} of {_signature(feature)}" for feature in request.features)
        raise UsageError(
            f"a join takes features of one entity type{f', {named}' if named else ''}; these are {kinds}",
            hint="join each entity type by itself, one after the other",
        )
    return wanted


def _signature(feature: ResolvedFeature) -> str:
    kind = feature.version.entity_type
    return f"{kind.name} ({', '.join(f'{key.name} {key.type}' for key in kind.keys)})"


def _check_history(store: OfflineStore, features: Sequence[ResolvedFeature]) -> None:
    held = {version.id for version in store.versions()}
    for feature in features:
        if feature.version.id not in held:
            raise no_history(feature.version)
