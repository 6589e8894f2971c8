"""A source that is read as a whole where it has changed: one without event times, or a slice of ``--input``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from featurestore.errors import CancelledError, ConfigError, FeatureStoreError
from featurestore.evaluation.evaluate import SortedRows, sort_rows
from featurestore.evaluation.events import last_known, moving
from featurestore.evaluation.moves import restate
from featurestore.model import EntityType, Problem, Scalar, VersionId
from featurestore.offline.contract import Position
from featurestore.sources.contract import Cursor, Offer, OpenSource, Start
from featurestore.sources.offers import fingerprint
from featurestore.sources.reading import FittingRows, SourceRows, read_rows
from featurestore.workflows.ingest.calling import Caller, Ready, Values
from featurestore.workflows.ingest.evaluating import Comparison
from featurestore.workflows.ingest.events import Computed, Event, Failed, Read
from featurestore.workflows.ingest.plans import SLICE
from featurestore.workflows.ingest.problems import (
    ahead_problem,
    all_set_aside,
    problem_of,
    shrunk_problem,
    strict_error,
    untimed_problem,
    window_problem,
)
from featurestore.workflows.ingest.snapshots import find_present
from featurestore.workflows.ingest.taken import read_taken
from featurestore.workflows.ingest.turn import Turn, mark_due

NO_TIMES = "whole source: it has no event_time"
AT_ONCE = 3  # times the size of its files is about what a source takes that is read as a whole


def at_once(
    turn: Turn,
    ready: Sequence[Ready],
    positions: Mapping[VersionId, Position | None],
    opened: OpenSource,
    offer: Offer,
    pins: Mapping[str, Scalar],
    caller: Caller,
) -> Iterator[Event]:
    """Reads all rows, and evaluates all targets over them."""
    due: list[Ready] = []
    for one in ready:
        problem = find_refusal(turn, one, positions[one.target.version.id], opened, offer)
        if problem is None:
            due.append(one)
        else:
            yield Failed(one.target, problem)
    if not due:
        return
    try:
        rows = read_whole(turn, due, opened, offer)
    except (CancelledError, ConfigError):  # a setting that can't be used is nobody's failure but its own
        raise
    except FeatureStoreError as exc:
        yield from (Failed(one.target, problem_of(exc, turn.project, one.target)) for one in due)
        return
    yield from _evaluate(turn, due, positions, rows, offer, pins, caller)


def _evaluate(
    turn: Turn,
    due: Sequence[Ready],
    positions: Mapping[VersionId, Position | None],
    rows: SourceRows,
    offer: Offer,
    pins: Mapping[str, Scalar],
    caller: Caller,
) -> Iterator[Event]:
    named = {id(one): misfitting(one, rows) for one in due}
    shown = [row for row in rows.misfits if any(row.column in columns for columns in named.values())]
    yield Read(
        turn.source, (*rows.rejected, *shown), rows.warnings, rows.inferred, rows.widened, columns=tuple(rows.names)
    )
    # Of a dry run the types are not pinned, and the next run is to read again.
    kinds = pins if turn.options.dry_run else {**pins, **rows.inferred, **rows.widened}
    print_ = fingerprint(turn.source, offer, kinds)
    if turn.source.snapshot is not None and turn.options.input is None:
        yield from _present(turn, due, rows)
    groups: dict[tuple[EntityType, frozenset[str]], list[Ready]] = {}
    for one in due:
        groups.setdefault((one.target.feature.entity_type, named[id(one)]), []).append(one)
    for (entity_type, columns), group in groups.items():
        fitting = rows.fitting(columns)
        error = refused_rows(turn, fitting)
        if error is not None:
            for one in group:
                problem = problem_of(error, turn.project, one.target)
                yield Failed(one.target, problem, fitting.rows_read, fitting.rejected_count)
            continue
        unread = [name for name in rows.names if name not in rows.frame.columns]
        sorted_rows = sort_rows(fitting.frame, entity_type, turn.source, unread=unread)
        for some, seen in _by_known(group, sorted_rows):
            for one, values in caller.call(some, seen, fitting.place):
                cursor = _cursor(turn, positions[one.target.version.id], offer)
                yield _event(turn, one, values, fitting, print_, cursor)


def misfitting(one: Ready, rows: SourceRows) -> frozenset[str]:
    """The columns that a feature names and that some rows don't fit."""
    columns = {row.column for row in rows.misfits}
    return frozenset(name for name in one.target.names_among(rows.names) if name in columns)


def refused_rows(turn: Turn, rows: FittingRows) -> FeatureStoreError | None:
    """Why no feature can be computed for the rows that are set aside."""
    count = rows.rejected_count
    if count and turn.options.strict:
        return strict_error(turn.source.name, count, rows.rejected[0])
    if count and count == rows.rows_read:
        return all_set_aside(turn.source.name, count, rows.rejected[0])
    return None


def _present(turn: Turn, due: Sequence[Ready], rows: SourceRows) -> Iterator[Event]:
    for entity_type in dict.fromkeys(one.target.feature.entity_type for one in due):
        if all(name in rows.frame.columns for name in entity_type.key_names):
            versions = [one.target.version for one in due if one.target.feature.entity_type == entity_type]
            yield find_present(turn.source, entity_type, rows.frame, rows.rejected, rows.rejected_count, versions)


def _by_known(ready: Sequence[Ready], rows: SortedRows) -> Iterator[tuple[Sequence[Ready], SortedRows]]:
    """Targets with the rows that they see: those of scope ``row`` all that were ever known."""
    if rows.source.known_at is None:
        yield ready, rows
        return
    every = [one for one in ready if one.scope.kind == "row"]
    if every:
        yield every, replace(rows, known=rows.source.known_at, identity=moving(rows.entity_type, rows.source))
    others = [one for one in ready if one.scope.kind != "row"]
    if others:
        yield others, last_known(rows)


def read_whole(turn: Turn, due: Sequence[Ready], opened: OpenSource, offer: Offer) -> SourceRows:
    # The short form takes the entity's keys from the source; the long form may make them itself.
    needed = [name for one in due if one.target.feature.short for name in one.target.feature.entity_type.key_names]
    only: dict[str, Start | None] | None = None
    if turn.source.snapshot is not None:
        needed += [] if due[0].target.feature.sources else turn.keys
        if turn.source.snapshot == "newest" and offer.contents and turn.options.input is None:
            only = {max(content.name for content in offer.contents): None}
    columns = None if turn.needs is None or turn.needs.everything else turn.needs
    return read_rows(
        turn.project, turn.source, opened, offer, turn.keys, needed=needed, columns=columns, only=only,
        latest=turn.latest, by_column=True, progress=turn.progress,
    )  # fmt: skip


def _event(turn: Turn, one: Ready, values: Values, rows: FittingRows, print_: str, cursor: Cursor) -> Computed | Failed:
    read, rejected = rows.rows_read, rows.rejected_count
    if isinstance(values, Problem):
        return Failed(one.target, values, read, rejected)
    if values.future and not values.frame.height:
        return Failed(one.target, ahead_problem(one.target, values.future), read, rejected)
    due = min((at for at in (rows.due, values.due) if at is not None), default=None)
    values, departures = restate(values, None)
    return Computed(
        one.target, values, read, rejected + values.future, mark_due(print_, due), cursor, scope=one.scope,
        rows_computed=rows.frame.height, reason=NO_TIMES if turn.options.input is None else SLICE,
        comparison=None if departures is None else Comparison(departures=departures),
    )  # fmt: skip


def find_refusal(
    turn: Turn, ready: Ready, position: Position | None, opened: OpenSource, offer: Offer
) -> Problem | None:
    """Why a target can't be computed from what there is to read."""
    options = turn.options
    size = AT_ONCE * sum(content.size for content in offer.contents or ())
    if turn.source.event_time is None and size > turn.project.memory:
        return untimed_problem(ready.target, size, turn.project.memory)
    if ready.target.feature.window is not None and options.input is None:
        return window_problem(ready.target)
    if options.input is not None:
        return None
    gone = [] if position is None else opened.missing(offer, position.cursor)
    if gone and ready.scope.kind == "source" and not options.allow_shrunk:
        return shrunk_problem(ready.target, turn.source.name, gone)
    return None


def _cursor(turn: Turn, position: Position | None, offer: Offer) -> Cursor:
    """What to store of the source; after a slice the next run over the source computes everything."""
    if turn.options.input is None:
        return offer.cursor
    taken = None if position is None else read_taken(position.cursor)
    return None if taken is None else replace(taken, restate=True).to_json()
