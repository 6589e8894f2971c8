"""Runs the users' functions over rows, and gives each target's checked values, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from featurestore.config import Project
from featurestore.declared_files import changed_since
from featurestore.errors import ConfigError, FeatureError, FeatureStoreError
from featurestore.evaluation.evaluate import (
    SortedRows,
    build_expression,
    call_long,
    call_short,
    group_expressions,
    join_sources,
    pad,
)
from featurestore.evaluation.results import FeatureValues, Place, RowTimes, check_column, check_frame, no_values
from featurestore.evaluation.retention import check_retention
from featurestore.evaluation.scope import scope_of
from featurestore.evaluation.scope_sample import Sampling
from featurestore.evaluation.user_code import ENDS_THE_RUN, user_code
from featurestore.evaluation.windows import Slices, evaluate
from featurestore.frozen import frozen
from featurestore.model import Problem, Scope, ScopeKind, VersionId
from featurestore.progress import Progress
from featurestore.versioning.running.modules import working_in
from featurestore.workflows.ingest.problems import problem_of, unkeyed_error
from featurestore.workflows.ingest.scope_checks import LATER, RowChecks, check_scope, sample_size
from featurestore.workflows.ingest.targets import Target


@frozen
class Ready:
    """A target whose code is loaded: its function, its scope, and the expression of one of the short form.

    ``first`` says that no run of this version was committed yet.
    """

    target: Target
    function: Callable[..., Any]
    scope: Scope
    expression: pl.Expr | None = None
    first: bool = True


Values = FeatureValues | Problem


class Caller:
    """Calls features over rows. ``latest`` (µs) is the time after which results are left out; None for no limit."""

    def __init__(self, project: Project, progress: Progress, *, latest: int | None, strict: bool) -> None:
        self._project, self._progress = project, progress
        self._latest, self._strict = latest, strict
        self._padded: tuple[SortedRows, ScopeKind, SortedRows] | None = None

    def load(self, target: Target, *, first: bool) -> Ready | Problem:
        """Loads a target's function, and calls it where that needs no rows."""
        self._progress.check()
        try:
            with user_code(), target.watching(), working_in(target.folder()):
                function = target.load()
                expression = build_expression(target.feature, function) if target.feature.short else None
        except ENDS_THE_RUN:
            raise
        except BaseException as exc:  # noqa: BLE001  # a user's code may raise anything; it fails alone
            return problem_of(exc, self._project, target)
        scope = scope_of(target.feature, expression)
        try:
            for source in target.feature.reads:
                check_retention(source, target.feature, scope)
        except ConfigError as exc:
            return problem_of(exc, self._project, target)
        return Ready(target, function, scope, expression, first)

    def call(
        self, ready: Sequence[Ready], rows: SortedRows, place: Place, *, share: int = 1
    ) -> Iterator[tuple[Ready, Values]]:
        """Each target's values over these rows, one of ``share`` parts of about one size."""
        times: RowTimes | None = None
        sampling = Sampling(rows)
        sizes = {one.target.version.id: sample_size(share) if one.first else LATER for one in ready}
        checks = RowChecks(
            {
                one.target.version.id: (one.target, one.expression, sizes[one.target.version.id])
                for one in ready
                if one.expression is not None and one.scope.kind == "row"
            },
            rows,
            sampling,
        )
        if rows.frame.is_empty():  # of columns without a value not even the type is known: the code waits for the first
            timed = rows.source.event_time is not None
            yield from ((one, no_values(one.target.feature, timed=timed)) for one in ready if one.first)
            ready = [one for one in ready if not one.first]
        for one, raw in self._evaluate(ready, rows):
            feature = one.target.feature
            if isinstance(raw, Problem):
                yield one, raw
                continue
            try:
                if feature.short and rows.source.event_time is not None:
                    times = times or RowTimes(feature, rows)
                values, by_row = self._shape(one, raw, self._seen(one, rows), times, place)
                code = one.function if one.expression is None else one.expression
                if not (self._project.check_scopes and by_row and checks.holds(one.target, values)):
                    check_scope(
                        self._project, one.target, one.scope, code, rows, values, place, latest=self._latest,
                        size=sizes[one.target.version.id], sampling=sampling,
                    )  # fmt: skip
                yield one, values
            except FeatureError as exc:
                yield one, problem_of(exc, self._project, one.target)

    def call_joined(self, ready: Ready, rows: Sequence[SortedRows]) -> Values:
        """The values of a target that is made of several sources."""
        feature = ready.target.feature
        joined = join_sources(feature, rows)
        if all(each.frame.is_empty() for each in rows) and ready.first:  # see `call`
            return no_values(feature, timed=joined.source.event_time is not None)
        raw = self._checked(ready, self._call_long(ready, *rows))
        if isinstance(raw, Problem):
            return raw
        hint = f"make one value of them in {feature.function}(), for example .sum() or .max() by entity and time"
        try:
            return self._strictly(check_frame(feature, raw, joined, str, latest=self._latest, hint=hint))
        except FeatureError as exc:
            return problem_of(exc, self._project, ready.target)

    def over_slices(self, ready: Ready, rows: pl.DataFrame, slices: Slices) -> pl.Series:
        """The value of a window's expression over each slice of some rows. Raises FeatureError."""
        self._progress.check()
        target, expression = ready.target, ready.expression
        assert expression is not None, "a window is over an expression"
        try:
            with user_code(), working_in(target.folder()):  # an expression may call Python functions
                return evaluate(target.feature, expression, rows, slices)
        except (*ENDS_THE_RUN, FeatureStoreError):
            raise
        except BaseException as exc:  # a user's code may raise anything, and Polars may panic
            problem = problem_of(exc, self._project, target)
            raise FeatureError(problem.message, where=problem.where, hint=problem.hint) from exc

    def _shape(
        self, ready: Ready, raw: pl.DataFrame, rows: SortedRows, times: RowTimes | None, place: Place
    ) -> tuple[FeatureValues, bool]:
        """What a function returned, as rows that can be stored; and whether they are one for each of ``rows``, no two
        of which are of one entity and time. Raises FeatureError.
        """
        feature = ready.target.feature
        if feature.short and times is not None:
            result = check_column(feature, raw["value"], rows, times, place, latest=self._latest)
            if result is not None:
                return result, times.distinct
        return self._strictly(check_frame(feature, raw, rows, place, latest=self._latest)), False

    def _strictly(self, values: FeatureValues) -> FeatureValues:
        if self._strict and values.future:
            raise FeatureError(f"{values.future} rows are in the future", hint="--allow-future takes them")
        return values

    def _evaluate(self, ready: Sequence[Ready], rows: SortedRows) -> Iterator[tuple[Ready, pl.DataFrame | Problem]]:
        short: dict[tuple[Path | None, bool], dict[VersionId, Ready]] = {}
        padded = pad(rows, "entity")  # enough for scope row too: two entities are two rows
        for one in ready:
            self._progress.check()
            if one.scope.kind == "entity" and not rows.keyed:
                yield one, problem_of(unkeyed_error(one.target), self._project, one.target)
                continue
            if one.expression is not None:
                # By version, not by the hash alone: two features may have the same code.
                alike = one.target.folder(), one.scope.kind == "source" and padded.padding > 0
                short.setdefault(alike, {})[one.target.version.id] = one
                continue
            yield one, self._checked(one, self._call_long(one, rows))
        for (folder, unpadded), together in short.items():
            seen = rows if unpadded else padded
            expressions = {key: one.expression for key, one in together.items() if one.expression is not None}
            for group in group_expressions(expressions, rows.frame.height):
                self._progress.check()
                with working_in(folder):
                    done = list(self._evaluate_pass({key: together[key] for key in group}, group, seen))
                yield from ((one, self._checked(one, raw)) for one, raw in done)

    def _call_long(self, ready: Ready, *rows: SortedRows) -> pl.DataFrame | Problem:
        target = ready.target
        try:
            with user_code(), target.watching(), working_in(target.folder()):  # a lazy frame is evaluated after it
                seen = rows if target.feature.sources else [self._seen(ready, each) for each in rows]
                return call_long(target.feature, ready.function, *seen)
        except ENDS_THE_RUN:
            raise
        except BaseException as exc:  # noqa: BLE001  # a user's code may raise anything; it fails alone
            return problem_of(exc, self._project, target, rows)

    def _seen(self, ready: Ready, rows: SortedRows) -> SortedRows:
        """The rows as a function sees them: of the long form with what stands beside a row alone, or an entity."""
        if ready.expression is not None:
            return rows
        if self._padded is None or self._padded[0] is not rows or self._padded[1] != ready.scope.kind:
            self._padded = rows, ready.scope.kind, pad(rows, ready.scope.kind)
        return self._padded[2]

    def _checked(self, ready: Ready, raw: pl.DataFrame | Problem) -> pl.DataFrame | Problem:
        """What a feature gave, unless a file that it declares is no longer the one that was hashed."""
        target = ready.target
        if isinstance(raw, Problem) or target.hashed is None:
            return raw
        for file in target.feature.depends_on.files:
            if changed_since(self._project.root, file):
                error = FeatureError(f"{file.path} changed while the feature ran", hint="run featurestore ingest again")
                return problem_of(error, self._project, target)
        return raw

    def _evaluate_pass(
        self, ready: Mapping[VersionId, Ready], expressions: Mapping[VersionId, pl.Expr], rows: SortedRows
    ) -> Iterator[tuple[Ready, pl.DataFrame | Problem]]:
        try:
            with user_code():  # an expression may call Python functions
                frames = call_short(expressions, rows)
        except ENDS_THE_RUN:
            raise
        except BaseException as exc:  # noqa: BLE001  # what they raise, and panics of Polars
            if len(expressions) == 1:
                ((_, one),) = ready.items()
                yield one, problem_of(exc, self._project, one.target, [rows])
                return
            # One of them is wrong, and Polars does not say which: each by itself.
            for key, one in ready.items():
                yield from self._evaluate_pass({key: one}, {key: expressions[key]}, rows)
            return
        for key, frame in frames.items():
            yield ready[key], frame
