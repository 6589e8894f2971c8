"""Checks on a sample that a scope holds: some values are computed again from only the rows that it allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from featurestore.config import Project
from featurestore.errors import FeatureError
from featurestore.evaluation.evaluate import SortedRows, call_long, call_short
from featurestore.evaluation.results import FeatureValues, Place, cast_values, check_frame
from featurestore.evaluation.row_check import RowCheck
from featurestore.evaluation.scope_check import SampleSize, ScopeCheck
from featurestore.evaluation.scope_sample import Sampling
from featurestore.evaluation.user_code import ENDS_THE_RUN, user_code
from featurestore.model import Scope, VersionId
from featurestore.versioning.running.modules import working_in
from featurestore.workflows.ingest.problems import problem_of
from featurestore.workflows.ingest.targets import Target

LATER = SampleSize(rows=200, entities=8, entity_rows=20_000, alone=2)
"""The sample of a run that brings a version new rows: a small part of what the run costs."""


def sample_size(share: int) -> SampleSize:
    """The sample of the first run of a version, for one of ``share`` parts of its rows."""
    whole = SampleSize()
    return SampleSize(
        rows=max(whole.rows // share, LATER.rows),
        entities=max(whole.entities // share, LATER.entities),
        entity_rows=max(whole.entity_rows // share, LATER.entity_rows),
        alone=max(whole.alone // share, LATER.alone),
    )


def check_scope(
    project: Project,
    target: Target,
    scope: Scope,
    code: pl.Expr | Callable[..., Any],
    rows: SortedRows,
    values: FeatureValues,
    place: Place,
    *,
    latest: int | None,
    size: SampleSize,
    sampling: Sampling,
) -> None:
    """Compares ``values``, computed from ``rows``, with what ``code`` gives from the rows that the scope allows alone.

    ``code`` is the expression of the short form, or the function of the long one. Raises ScopeError.
    """
    if not project.check_scopes or (scope.kind == "source" and scope.lookback is None):
        return

    def again(parts: Sequence[SortedRows]) -> pl.DataFrame:
        try:
            with user_code(), working_in(target.folder()):
                if isinstance(code, pl.Expr):
                    found = [call_short({"value": code}, part)["value"] for part in parts]
                else:
                    found = [call_long(target.feature, code, part) for part in parts]
        except ENDS_THE_RUN:
            raise
        except BaseException as exc:  # a user's code may raise anything
            raise FeatureError(problem_of(exc, project, target).message) from exc
        if len(parts) == 1:
            return check_frame(target.feature, found[0], parts[0], place, latest=latest).frame
        frame, origin = pl.concat([part.frame for part in parts]), pl.concat([part.origin for part in parts])
        together = replace(rows, frame=frame, origin=origin, padding=0)
        return check_frame(target.feature, pl.concat(found), together, place, latest=latest).frame

    ScopeCheck(
        target.feature, scope, rows, values.frame, again, named=_named(target, rows), seed=_seed(target, rows),
        size=size, sampling=sampling,
    ).run()  # fmt: skip


class RowChecks:
    """Checks expressions of scope ``row`` over the same rows together, as far as that shows that the scope holds.

    ``expressions`` are those of targets, by version.
    """

    def __init__(
        self, expressions: Mapping[VersionId, tuple[Target, pl.Expr, SampleSize]], rows: SortedRows, sampling: Sampling
    ) -> None:
        self._expressions, self._rows, self._sampling = expressions, rows, sampling
        self._done: dict[tuple[Path | None, SampleSize], RowCheck[VersionId] | None] = {}

    def holds(self, target: Target, values: FeatureValues) -> bool:
        """Whether the scope of a target holds. Its values are one for each row; where it is false, `check_scope` says.

        No two rows are of one entity and time.
        """
        version = target.version.id
        if version not in self._expressions:
            return False
        alike = target.folder(), self._expressions[version][2]
        if alike not in self._done:
            self._done[alike] = self._evaluate(*alike)
        done = self._done[alike]
        cast = partial(cast_values, target.feature, rows=self._rows)
        try:
            return done is not None and done.holds(version, values.frame["value"], cast, target.feature.tolerance)
        except FeatureError:
            return False

    def _evaluate(self, folder: Path | None, size: SampleSize) -> RowCheck[VersionId] | None:
        """What those that run in one folder give; None where one of them fails."""
        together = {
            version: (target, expression)
            for version, (target, expression, its) in self._expressions.items()
            if target.folder() == folder and its == size
        }
        first, _ = next(iter(together.values()))
        try:
            with user_code(), working_in(folder):
                return RowCheck(
                    {version: expression for version, (_, expression) in together.items()},
                    {version: _named(target, self._rows) for version, (target, _) in together.items()},
                    self._rows, seed=_seed(first, self._rows), size=size, sampling=self._sampling,
                )  # fmt: skip
        except ENDS_THE_RUN:
            raise
        except BaseException:  # noqa: BLE001  # a user's code may raise anything: each is looked at by itself
            return None


def _named(target: Target, rows: SortedRows) -> list[str]:
    """The columns that a target's code names."""
    use = None if target.hashed is None else target.hashed.closure.columns
    return [name for name in rows.frame.columns if use is None or use.may_name(name)]


def _seed(target: Target, rows: SortedRows) -> int:
    """From the hash, so that the same rows always give the same sample."""
    return int(target.version.id.sha256[:8], 16) + rows.frame.height
