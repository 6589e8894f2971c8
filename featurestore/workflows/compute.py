"""From sources to results: reads each source once and runs its features over it.

Gives a stream of events, so that the caller can store each result and let it go before the next is made.
Nothing here writes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.errors import FeatureError, FeatureStoreError, did_you_mean
from featurestore.evaluation.evaluate import Rows, arrange, build_expression, call_long, call_short, passes
from featurestore.evaluation.results import Moments, Result, shape, shape_values
from featurestore.model import Feature, KeyType, Problem, RejectedRow, Source, VersionId
from featurestore.offline.contract import OfflineStore, Position
from featurestore.sources import listing as listings
from featurestore.versioning.running.modules import user_frame
from featurestore.workflows.targets import Target

if TYPE_CHECKING:
    from featurestore.sources.slices import Slice

FUTURE_TOLERANCE = 5 * 60 * 1_000_000
NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Rules:
    """The flags of ``ingest`` that decide what is computed and what is set aside."""

    input: str | None = None
    full: bool = False
    strict: bool = False
    allow_future: bool = False
    allow_shrunk: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """A source was read: what of it was set aside, and what to say about it."""

    source: str
    rows_read: int
    rejected_count: int
    rejected: tuple[RejectedRow, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Computed:
    """One target's rows, ready to be stored.

    ``files`` (path to SHA-256) are those that must still be there at the next run; an ``--input`` adds none.
    """

    target: Target
    result: Result
    rows_read: int
    rows_rejected: int
    fingerprint: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A target that has taken this very slice already."""

    target: Target
    position: Position


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
    rules: Rules,
    declared: Sequence[Feature],
    pipes: dict[str, listings.Listing] | None = None,
) -> Iterator[Event]:
    """Computes all targets, source by source.

    ``declared`` are all features of the project: the keys of each that reads a source are read as keys, so that a
    row counts the same whichever features are due. ``pipes`` keeps what came by a pipe, by source, for a caller that
    computes again: from there it is read then.
    """
    pipes = {} if pipes is None else pipes
    for name in dict.fromkeys(target.source.name for target in targets):
        group = [target for target in targets if target.source.name == name]
        keys = {key.name: key.type for item in declared if item.source_name == name for key in item.entity_type.keys}
        yield from _compute_source(project, store, project.sources[name], group, rules, keys, pipes)


def problem_of(error: BaseException, project: Project, target: Target) -> Problem:
    """An exception in the three parts of every error; a user's own is located in the user's file."""
    if isinstance(error, FeatureStoreError):
        return Problem(error.code, error.message, error.where or target.place, error.hint)
    where = user_frame(error, project.root) or target.place
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        return _missing_column(error, target, where)
    text = " ".join(str(error).split("\n\n")[0].split())
    message = f"{target.feature.function}() raised {type(error).__name__}: {text}".rstrip(": ")
    return Problem(
        "feature", message, where, "mend the function, then ingest again; the other features are not affected"
    )


def _missing_column(error: pl.exceptions.ColumnNotFoundError, target: Target, where: str) -> Problem:
    """Polars names the column and lists what there is; of that people need the nearest."""
    quoted = re.findall(r'"([^"]*)"', str(error).split("\n\n")[0])
    if not quoted:
        return Problem("feature", f"{target.feature.function}() asks for a column that is not there", where)
    name, *known = quoted
    message = f"{target.feature.function}() asks for the column {name!r}, which its rows don't have"
    return Problem("feature", message, where, did_you_mean(name, known) or "mend the function, or the source's columns")


def _compute_source(
    project: Project,
    store: OfflineStore,
    source: Source,
    targets: list[Target],
    rules: Rules,
    keys: Mapping[str, KeyType],
    pipes: dict[str, listings.Listing],
) -> Iterator[Event]:
    try:
        listing = _list(project, source, rules, pipes)
    except FeatureStoreError as exc:
        yield from (Failed(target, problem_of(exc, project, target)) for target in targets)
        return
    due = []
    kept: dict[VersionId, Mapping[str, str]] = {}
    for target in targets:
        position = store.position(target.version.id, source.name)
        if position is not None and position.fingerprint == listing.fingerprint and not rules.full:
            yield Unchanged(target, position)
            continue
        gone = [] if position is None or rules.input else listings.vanished(position.files, listing)
        if gone and target.feature.lookback is None and not rules.allow_shrunk:
            yield Failed(target, _shrunk(source, target, gone))
            continue
        due.append(target)
        kept[target.version.id] = position.files if position is not None else {}
    if not due:
        return
    from featurestore.sources.slices import read, save_pins  # the readers, which an unchanged slice does not need

    try:
        slice_ = read(project, source, listing, keys, needed=_needed(due))
        if not rules.dry_run:
            slice_ = save_pins(project, slice_)
        if rules.strict and slice_.rejected_count:
            raise _strict(source, slice_)
    except FeatureStoreError as exc:
        yield from (Failed(target, problem_of(exc, project, target)) for target in due)
        return
    yield Read(source.name, slice_.rows_read, slice_.rejected_count, slice_.rejected, slice_.warnings)
    for entity_type in dict.fromkeys(target.feature.entity_type.name for target in due):
        group = [target for target in due if target.feature.entity_type.name == entity_type]
        rows = arrange(slice_.frame, group[0].feature.entity_type, source)
        shaper = _Shaper(project, rows, slice_, rules)
        for target, raw in _evaluate(project, group, rows):
            if isinstance(raw, Failed):
                yield raw
            else:
                yield shaper.shape(target, raw, kept[target.version.id] if rules.input else slice_.listing.hashes)


def _list(project: Project, source: Source, rules: Rules, pipes: dict[str, listings.Listing]) -> listings.Listing:
    listing = pipes.get(source.name) or listings.list_files(project, source, rules.input)
    if listing.piped:
        pipes[source.name] = listing
    return listing


def _evaluate(project: Project, targets: list[Target], rows: Rows) -> Iterator[tuple[Target, pl.DataFrame | Failed]]:
    """Runs the users' functions. What they print goes to stderr: stdout is for results."""
    short: dict[VersionId, Target] = {}
    expressions: dict[VersionId, pl.Expr] = {}
    for target in targets:
        key = target.version.id  # not the hash alone: two features may have the same code
        try:
            with redirect_stdout(sys.stderr):
                function = target.load()
                if not target.feature.short:
                    yield target, call_long(target.feature, function, rows)
                    continue
                expressions[key] = build_expression(target.feature, function)
                short[key] = target
        except (Exception, SystemExit) as exc:  # noqa: BLE001  # a user's code may raise anything; it fails alone
            yield target, Failed(target, problem_of(exc, project, target))
    for group in passes(expressions, rows.frame.height):
        yield from _evaluate_pass(project, {key: short[key] for key in group}, group, rows)


def _evaluate_pass(
    project: Project, targets: Mapping[VersionId, Target], expressions: Mapping[VersionId, pl.Expr], rows: Rows
) -> Iterator[tuple[Target, pl.DataFrame | Failed]]:
    try:
        frames = call_short(expressions, rows)
    except (FeatureStoreError, pl.exceptions.PolarsError) as exc:
        if len(expressions) == 1:
            ((key, target),) = targets.items()
            yield target, Failed(target, problem_of(exc, project, target))
            return
        # One of them is wrong, and Polars does not say which: each by itself.
        for key, target in targets.items():
            yield from _evaluate_pass(project, {key: target}, {key: expressions[key]}, rows)
        return
    for key, frame in frames.items():
        yield targets[key], frame


class _Shaper:
    """Shapes the results of one entity type over one source's rows."""

    def __init__(self, project: Project, rows: Rows, slice_: Slice, rules: Rules) -> None:
        self._project, self._rows, self._slice, self._rules = project, rows, slice_, rules
        self._latest = None if rules.allow_future else times.now() + FUTURE_TOLERANCE
        self._moments: Moments | None = None

    def shape(self, target: Target, raw: pl.DataFrame, files: Mapping[str, str]) -> Event:
        read, rejected = self._slice.rows_read, self._slice.rejected_count
        try:
            result = self._shape(target.feature, raw)
        except FeatureError as exc:
            return Failed(target, problem_of(exc, self._project, target), read, rejected)
        if self._rules.strict and result.future:
            message = f"{result.future} rows lie in the future"
            problem = Problem("feature", message, target.place, "--allow-future takes them")
            return Failed(target, problem, read, rejected)
        return Computed(target, result, read, rejected + result.future, self._slice.listing.fingerprint, files)

    def _shape(self, feature: Feature, raw: pl.DataFrame) -> Result:
        if feature.short and self._rows.source.event_time is not None:
            self._moments = self._moments or Moments(feature, self._rows)
            latest = NEVER if self._latest is None else self._latest
            found = shape_values(feature, raw["value"], self._rows, self._moments, self._slice.place, latest=latest)
            if found is not None:
                return found
        return shape(feature, raw, self._rows, self._slice.place, latest=self._latest)


def _needed(targets: Sequence[Target]) -> list[str]:
    """The short form takes the entity's keys from the source; the long form may make them itself."""
    return [name for target in targets if target.feature.short for name in target.feature.entity_type.key_names]


def _shrunk(source: Source, target: Target, gone: list[str]) -> Problem:
    more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    return Problem(
        "source_shrunk",
        f"{gone[0]}{more} of the source {source.name!r} was there at the last run and is gone; this feature sees the "
        "whole source, so its values would change in silence",
        target.place,
        'put the files back, declare lookback="30d" (or "0"), or accept it with --allow-shrunk',
    )


def _strict(source: Source, slice_: Slice) -> FeatureStoreError:
    first = slice_.rejected[0]
    return FeatureError(
        f"{slice_.rejected_count} rows of {source.name!r} break its rules; the first: {first.reason}",
        where=f"{first.file} row {first.row}",
        hint="mend the data or the rules, or leave out --strict",
    )
