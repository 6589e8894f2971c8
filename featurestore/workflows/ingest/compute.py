"""From sources to results: reads each source once and runs its features over it.

Gives a stream of events, so that the caller can store each result and release it before the next is made.
Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.declared_files import changed_since
from featurestore.errors import CancelledError, ConfigError, FeatureError, FeatureStoreError
from featurestore.evaluation.evaluate import (
    SortedRows,
    build_expression,
    call_long,
    call_short,
    group_expressions,
    pad,
    sort_rows,
)
from featurestore.evaluation.results import FeatureValues, RowTimes, check_column, check_frame
from featurestore.evaluation.scope import declared_scope, scope_of
from featurestore.evaluation.user_code import ENDS_THE_RUN, user_code
from featurestore.model import Feature, KeyType, Problem, RejectedRow, Scalar, Scope, Source, VersionId
from featurestore.offline.contract import OfflineStore, Position
from featurestore.progress import SILENT, Progress
from featurestore.sources.contract import Cursor, Offer, OpenSource
from featurestore.sources.offers import fingerprint, open_source
from featurestore.sources.pinned_types import read_pins
from featurestore.versioning.running.modules import working_in
from featurestore.workflows.ingest.problems import (
    ahead_problem,
    all_set_aside,
    problem_of,
    shrunk_problem,
    slice_problem,
    strict_error,
    unkeyed_error,
)
from featurestore.workflows.ingest.scope_checks import check_scope
from featurestore.workflows.ingest.set_aside import SetAside, find_set_aside
from featurestore.workflows.ingest.targets import Target

if TYPE_CHECKING:
    from featurestore.sources.reading import SourceRows

FUTURE_TOLERANCE = 5 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """The flags of ``ingest`` that decide what is computed and which rows are rejected."""

    input: str | None = None
    full: bool = False
    strict: bool = False
    allow_future: bool = False
    allow_shrunk: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A source was read: which of its rows were rejected, what to warn of, and the types inferred for its columns."""

    source: Source
    rejected: tuple[RejectedRow, ...]
    warnings: tuple[str, ...]
    inferred: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Computed:
    """One target's rows, ready to be stored, and the position to store with them.

    ``cursor`` is that of the source; an ``--input`` does not move it. ``scope`` is as declared, or as it was found.
    """

    target: Target
    result: FeatureValues
    rows_read: int
    rows_rejected: int
    fingerprint: str
    cursor: Cursor
    scope: Scope


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A target that has taken these very rows already, but for those that were set aside then and still are."""

    target: Target
    position: Position
    set_aside: SetAside | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A target that can't be computed; nothing of it may be stored."""

    target: Target
    problem: Problem
    rows_read: int = 0
    rows_rejected: int = 0


Event = Read | Computed | Unchanged | Failed


def compute(
    project: Project,
    store: OfflineStore,
    targets: Sequence[Target],
    options: IngestOptions,
    declared: Sequence[Feature],
    progress: Progress = SILENT,
    copies: dict[str, Offer] | None = None,
) -> Iterator[Event]:
    """Computes all targets, source by source.

    ``declared`` are all features of the project: the keys of each that reads a source are read as keys, so that a
    row counts the same whichever features are due. ``copies`` collects the offers, by source, of what can be read
    only once, for a caller that computes again.
    """
    copies = {} if copies is None else copies
    with store.reading():  # all at once: later the caller may have the store open for writing, which keeps readers out
        positions = {item.version.id: store.position(item.version.id, item.source.name) for item in targets}
        set_aside = find_set_aside(store, positions.values(), with_rows=options.strict)
    for name in dict.fromkeys(target.source.name for target in targets):
        group = [target for target in targets if target.source.name == name]
        readers = [item for item in declared if item.source is not None and item.source.name == name]
        keys = {key.name: key.type for item in readers for key in item.entity_type.keys}
        progress(f"reading {name}")
        run = _SourceRun(project, project.sources[name], keys, options, progress, set_aside)
        yield from run.run(group, positions, copies)


# The scope of a target, what is evaluated (the expression of the short form, the function of the long one), and the
# rows that the long form saw.
_Code = tuple[Scope, pl.Expr | Callable[..., Any], SortedRows]
# A position with rows that were ahead of the clock says in its fingerprint when the first of them is due.
_DUE = " due "


class _SourceRun:
    """One source's part of a run."""

    def __init__(
        self,
        project: Project,
        source: Source,
        keys: Mapping[str, KeyType],
        options: IngestOptions,
        progress: Progress,
        set_aside: Mapping[VersionId, SetAside],
    ) -> None:
        self._set_aside = set_aside
        self._project, self._source, self._keys = project, source, keys
        self._options, self._progress = options, progress
        self._latest = None if options.allow_future else times.now() + FUTURE_TOLERANCE

    def run(
        self, targets: Sequence[Target], positions: Mapping[VersionId, Position | None], copies: dict[str, Offer]
    ) -> Iterator[Event]:
        try:
            opened = open_source(self._project, self._source, self._options.input)
            offer = copies.get(self._source.name) or opened.offer()
            pins = read_pins(self._project, self._source)
            print_ = fingerprint(self._source, offer, pins)
        except FeatureStoreError as exc:
            yield from (Failed(target, problem_of(exc, self._project, target)) for target in targets)
            return
        if offer.once:
            copies[self._source.name] = offer
        due: list[Target] = []
        cursors: dict[VersionId, Cursor] = {}
        for target in targets:
            position = positions[target.version.id]
            if position is not None and self._is_current(position, print_):
                yield self._unchanged(target, position)
                continue
            scope = declared_scope(target.feature)
            if self._options.input is not None and scope is not None and scope.kind != "row":
                yield Failed(target, slice_problem(target, scope))
                continue
            missing = [] if position is None or self._options.input else opened.missing(offer, position.cursor)
            if missing and (scope is None or scope.kind == "source") and not self._options.allow_shrunk:
                yield Failed(target, shrunk_problem(target, missing))
                continue
            due.append(target)
            previous = None if position is None else position.cursor
            cursors[target.version.id] = previous if self._options.input else offer.cursor
        if due:
            yield from self._compute(due, opened, offer, pins, cursors)

    def _is_current(self, position: Position, print_: str) -> bool:
        """Whether a position is that of these rows, none of which has become due since."""
        taken, _, due = position.fingerprint.partition(_DUE)
        is_due = bool(due) and (self._latest is None or int(due) <= self._latest)
        return taken == print_ and not is_due and not self._options.full

    def _unchanged(self, target: Target, position: Position) -> Unchanged | Failed:
        held = self._set_aside.get(target.version.id)
        if held is not None and self._options.strict:
            error = strict_error(held.source, held.count, held.first)
            return Failed(target, problem_of(error, self._project, target))
        return Unchanged(target, position, held)

    def _compute(
        self,
        due: Sequence[Target],
        opened: OpenSource,
        offer: Offer,
        pins: Mapping[str, Scalar],
        cursors: Mapping[VersionId, Cursor],
    ) -> Iterator[Event]:
        from featurestore.sources.reading import read_rows  # the readers, which an unchanged source does not need

        # The short form takes the entity's keys from the source; the long form may make them itself.
        needed = [name for target in due if target.feature.short for name in target.feature.entity_type.key_names]
        try:
            rows = read_rows(
                self._project, self._source, opened, offer, self._keys, needed=needed, latest=self._latest,
                progress=self._progress,
            )  # fmt: skip
            if self._options.strict and rows.rejected_count:
                raise strict_error(self._source.name, rows.rejected_count, rows.rejected[0])
        except (CancelledError, ConfigError):  # a setting that can't be used is nobody's failure but its own
            raise
        except FeatureStoreError as exc:
            yield from (Failed(target, problem_of(exc, self._project, target)) for target in due)
            return
        yield Read(self._source, rows.rejected, rows.warnings, rows.inferred)
        if rows.rejected_count and rows.rejected_count == rows.rows_read:
            error = all_set_aside(self._source.name, rows.rejected_count, rows.rejected[0])
            for target in due:
                yield Failed(target, problem_of(error, self._project, target), rows.rows_read, rows.rejected_count)
            return
        inferred = {} if self._options.dry_run else rows.inferred  # the run will pin them
        print_ = fingerprint(self._source, offer, {**pins, **inferred})
        for entity_type in dict.fromkeys(target.feature.entity_type.name for target in due):
            group = [target for target in due if target.feature.entity_type.name == entity_type]
            sorted_rows = sort_rows(rows.frame, group[0].feature.entity_type, self._source)
            row_times: RowTimes | None = None
            codes: dict[VersionId, _Code] = {}
            for target, raw in self._evaluate(group, sorted_rows, codes):
                if isinstance(raw, Failed):
                    yield raw
                    continue
                feature = target.feature
                scope, code, seen = codes.pop(target.version.id)
                try:
                    if feature.short and self._source.event_time is not None:
                        row_times = row_times or RowTimes(feature, sorted_rows)
                    result = self._shape(feature, raw, seen, row_times, rows)
                    check_scope(
                        self._project, target, scope, code, sorted_rows, result, rows.place, latest=self._latest
                    )
                except FeatureError as exc:
                    problem = problem_of(exc, self._project, target)
                    yield Failed(target, problem, rows.rows_read, rows.rejected_count)
                    continue
                if result.future and not result.frame.height:
                    yield Failed(target, ahead_problem(target, result.future), rows.rows_read, rows.rejected_count)
                    continue
                rejected = rows.rejected_count + result.future
                ahead = [at for at in (rows.due, result.due) if at is not None]
                taken = f"{print_}{_DUE}{min(ahead)}" if ahead else print_
                yield Computed(target, result, rows.rows_read, rejected, taken, cursors[target.version.id], scope)

    def _shape(
        self, feature: Feature, raw: pl.DataFrame, sorted_rows: SortedRows, row_times: RowTimes | None,
        rows: SourceRows,
    ) -> FeatureValues:  # fmt: skip
        """What a function returned, as rows that can be stored. Raises FeatureError."""
        result: FeatureValues | None = None
        if feature.short and row_times is not None:
            result = check_column(feature, raw["value"], sorted_rows, row_times, rows.place, latest=self._latest)
        if result is None:
            result = check_frame(feature, raw, sorted_rows, rows.place, latest=self._latest)
        if self._options.strict and result.future:
            raise FeatureError(f"{result.future} rows are in the future", hint="--allow-future takes them")
        return result

    def _evaluate(
        self, targets: Sequence[Target], rows: SortedRows, codes: dict[VersionId, _Code]
    ) -> Iterator[tuple[Target, pl.DataFrame | Failed]]:
        """Runs the users' functions. With ``--input`` only what is row by row: the slice is all that it sees.

        ``codes`` collects what was run, by version, each before its values are given.
        """
        short: dict[VersionId, Target] = {}
        expressions: dict[tuple[Path | None, bool], dict[VersionId, pl.Expr]] = {}
        padded = pad(rows, "entity")  # enough for scope row too: two entities are two rows
        for target in targets:
            self._progress.check()
            key = target.version.id  # not the hash alone: two features may have the same code
            try:
                with user_code():
                    scope, made = self._call(target, rows, codes)
            except ENDS_THE_RUN:
                raise
            except BaseException as exc:  # noqa: BLE001  # a user's code may raise anything; it fails alone
                yield target, Failed(target, problem_of(exc, self._project, target))
                continue
            if isinstance(made, pl.DataFrame):
                yield target, self._checked(target, made)
                continue
            if self._options.input is not None and scope.kind != "row":
                yield target, Failed(target, slice_problem(target, scope))
                continue
            short[key] = target
            expressions.setdefault((target.folder(), scope.kind == "source" and padded.padding > 0), {})[key] = made
        for (folder, unpadded), together in expressions.items():
            seen = rows if unpadded else padded
            for group in group_expressions(together, rows.frame.height):
                self._progress.check()
                with working_in(folder):
                    done = list(self._evaluate_pass({key: short[key] for key in group}, group, seen))
                yield from ((target, self._checked(target, raw)) for target, raw in done)

    def _checked(self, target: Target, raw: pl.DataFrame | Failed) -> pl.DataFrame | Failed:
        """What a feature gave, unless a file that it declares is no longer the one that was hashed."""
        if isinstance(raw, Failed) or target.hashed is None:
            return raw
        for file in target.feature.depends_on.files:
            if changed_since(self._project.root, file):
                error = FeatureError(f"{file.path} changed while the feature ran", hint="run featurestore ingest again")
                return Failed(target, problem_of(error, self._project, target))
        return raw

    def _call(
        self, target: Target, rows: SortedRows, codes: dict[VersionId, _Code]
    ) -> tuple[Scope, pl.DataFrame | pl.Expr]:
        """The scope, and the frame of a long-form feature or the expression of a short one."""
        with target.watching(), working_in(target.folder()):  # a lazy frame is evaluated after the function
            function = target.load()
            expression = build_expression(target.feature, function) if target.feature.short else None
            scope = scope_of(target.feature, expression)
            if scope.kind == "entity" and not rows.keyed:
                raise unkeyed_error(target)
            if expression is not None:
                codes[target.version.id] = scope, expression, rows
                return scope, expression
            seen = pad(rows, scope.kind)
            codes[target.version.id] = scope, function, seen
            return scope, call_long(target.feature, function, seen)

    def _evaluate_pass(
        self, targets: Mapping[VersionId, Target], expressions: Mapping[VersionId, pl.Expr], rows: SortedRows
    ) -> Iterator[tuple[Target, pl.DataFrame | Failed]]:
        try:
            with user_code():  # an expression may call Python functions
                frames = call_short(expressions, rows)
        except ENDS_THE_RUN:
            raise
        except BaseException as exc:  # noqa: BLE001  # what they raise, and panics of Polars
            if len(expressions) == 1:
                ((_, target),) = targets.items()
                yield target, Failed(target, problem_of(exc, self._project, target))
                return
            # One of them is wrong, and Polars does not say which: each by itself.
            for key, target in targets.items():
                yield from self._evaluate_pass({key: target}, {key: expressions[key]}, rows)
            return
        for key, frame in frames.items():
            yield targets[key], frame
