"""A feature that is made of several sources: it sees all rows of each, wherever one of them has something new."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from featurestore.errors import CancelledError, ConfigError, FeatureStoreError, StoreError
from featurestore.evaluation.evaluate import SortedRows, sort_rows
from featurestore.evaluation.events import last_known, refuse_contradictions, sorted_rows
from featurestore.frozen import frozen
from featurestore.model import Problem, Scalar
from featurestore.offline.contract import Position
from featurestore.parsed.rows import DamagedRowsError, KeptRows
from featurestore.sources.contract import Offer, OpenSource
from featurestore.sources.offers import fingerprint
from featurestore.workflows.ingest.at_once import find_refusal, misfitting, read_whole, refused_rows
from featurestore.workflows.ingest.by_contents import ContentsTurn, open_contents
from featurestore.workflows.ingest.calling import Caller, Ready
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.divided import AT_ONCE
from featurestore.workflows.ingest.evaluating import Comparison
from featurestore.workflows.ingest.events import Computed, Event, Failed, Read, SourcePosition
from featurestore.workflows.ingest.news import Looking
from featurestore.workflows.ingest.pairs import Start, above, first_due, join_due
from featurestore.workflows.ingest.problems import ahead_problem, problem_of, slice_problem, too_large_problem
from featurestore.workflows.ingest.snapshots import find_present
from featurestore.workflows.ingest.taken import Taken
from featurestore.workflows.ingest.targets import Target
from featurestore.workflows.ingest.turn import Turn, mark_due


@frozen
class OneSource:
    """One of the sources in this run; ``position`` is how far the target had come in it."""

    turn: Turn
    opened: OpenSource
    offer: Offer
    pins: Mapping[str, Scalar]
    position: Position | None


@frozen
class _Rows:
    """The rows of one source as the function sees them, and what a position behind them says.

    ``size`` is about how many bytes they take in memory, ``floor`` (µs) the instant up to which nothing is written.
    ``taken`` is None where the source is read as a whole: its position holds the offer's cursor.
    """

    load: Callable[[], SortedRows]
    name: str
    offer: Offer
    fingerprint: str
    read: int
    rejected: int
    size: int
    due: int | None
    taken: Taken | None = None
    floor: int | None = None
    start: Start | None = None

    def position(self, ahead: Sequence[int], due: tuple[tuple[object, ...], ...] | None) -> SourcePosition:
        """``ahead`` are instants (µs) of results that are due later, ``due`` their pairs."""
        first = min([*ahead, *([] if self.due is None else [self.due])], default=None)
        cursor = self.offer.cursor if self.taken is None else replace(self.taken, due=due).to_json()
        return SourcePosition(self.name, mark_due(self.fingerprint, first), cursor)


def several(target: Target, sources: Sequence[OneSource]) -> Iterator[Event]:
    """Reads all sources and evaluates the target over them."""
    turn = sources[0].turn
    caller = Caller(turn.project, turn.progress, latest=turn.latest, strict=turn.options.strict)
    ready = caller.load(target, first=any(one.position is None for one in sources))
    if isinstance(ready, Problem):
        yield Failed(target, ready)
        return
    if turn.options.input is not None:
        yield Failed(target, slice_problem(target, ready.scope))
        return
    with ExitStack() as stack:
        readers = [_Reader.of(one, ready, stack) for one in sources]
        while True:
            try:
                yield from _attempt(turn, ready, readers, caller)
            except DamagedRowsError:
                for reader in readers:
                    reader.forget_damaged()  # ends: what is parsed again is sound
            else:
                return
            finally:
                for reader in readers:
                    reader.save()


def _attempt(turn: Turn, ready: Ready, readers: Sequence[_Reader], caller: Caller) -> Iterator[Event]:
    parts: list[_Rows] = []
    for reader in readers:
        try:
            rows = yield from reader.rows()
        except (CancelledError, ConfigError, StoreError):
            raise
        except FeatureStoreError as exc:
            yield Failed(ready.target, problem_of(exc, turn.project, ready.target))
            return
        if rows is None:
            return
        parts.append(rows)
    yield _evaluate(turn, ready, parts, caller)


def _evaluate(turn: Turn, ready: Ready, parts: Sequence[_Rows], caller: Caller) -> Computed | Failed:
    target = ready.target
    read, rejected = sum(part.read for part in parts), sum(part.rejected for part in parts)
    needed = AT_ONCE * sum(part.size for part in parts)
    if needed > turn.project.memory:
        problem: Problem = too_large_problem(target, read - rejected, needed, turn.project.memory)
        return Failed(target, problem, read, rejected)
    try:
        rows = [part.load() for part in parts]
    except FeatureStoreError as exc:
        return Failed(target, problem_of(exc, turn.project, target), read, rejected)
    values = caller.call_joined(ready, rows)
    if isinstance(values, Problem):
        return Failed(target, values, read, rejected)
    if values.future and not values.frame.height:
        return Failed(target, ahead_problem(target, values.future), read, rejected)
    due = join_due((), values.ahead)
    ahead = first_due(due, [])
    first, *others = [part.position([] if ahead is None else [ahead], due) for part in parts]
    floor = max((part.floor for part in parts if part.floor is not None), default=None)
    start = next((part.start for part in parts if part.start is not None and part.start.at == (floor or 0) + 1), None)
    stored = values
    if values.timed:
        stored = above(values, floor) if start is None else start.of(values)
    return Computed(
        target, stored, read, rejected + values.future, first.fingerprint,
        first.cursor, scope=ready.scope, rows_computed=sum(each.frame.height for each in rows),
        reason="whole source: it is made of several", others=others,
        comparison=Comparison(everything=True, floor=floor, ceiling=turn.latest) if values.timed else None,
    )  # fmt: skip


@frozen
class _Reader:
    """Reads one of the sources; ``kept`` and ``contents`` are None where it is read as a whole."""

    one: OneSource
    ready: Ready
    kept: KeptRows | None = None
    contents: SourceContents | None = None

    @classmethod
    def of(cls, one: OneSource, ready: Ready, stack: ExitStack) -> _Reader:
        """Raises StoreError."""
        if one.offer.contents is None or one.turn.source.event_time is None:
            return cls(one, ready)
        return cls(one, ready, *open_contents(one.turn, one.opened, one.offer, one.pins, stack))

    def forget_damaged(self) -> None:
        if self.contents is not None:
            self.contents.forget_damaged()

    def save(self) -> None:
        if self.kept is not None:
            self.kept.save_quietly()

    def rows(self) -> Generator[Event, None, _Rows | None]:
        """What can't be read is among the events, and nothing is given. Raises FeatureStoreError, DamagedRowsError."""
        return (yield from self._at_once() if self.contents is None else self._by_contents(self.contents))

    def _by_contents(self, contents: SourceContents) -> Generator[Event, None, _Rows | None]:
        one, target = self.one, self.ready.target
        version, entity_type = target.version.id, target.feature.entity_type
        found = ContentsTurn(one.turn, [self.ready], {version: one.position}, one.offer, one.pins, contents)
        planned = yield from found.plan()
        if planned is None or not planned.plans:
            return None
        (plan,), aside, named = planned.plans, planned.asides[version], planned.named[version]
        fitting = contents.seen(planned.views[version]).fitting(contents.misfit_columns & named)

        def load() -> SortedRows:
            looking = Looking(fitting, entity_type, one.turn.source)
            rows = fitting.rows(plan.now.ranks, plan.now.clock)
            if not looking.keyed:
                return sort_rows(rows.select(looking.columns), entity_type, looking.source, unread=looking.unread)
            events = looking.count(rows)
            refuse_contradictions(events, named, entity_type, looking.source, fitting.locate, looking.unread)
            return sorted_rows(events.rows, looking.columns, entity_type, looking.source, unread=looking.unread)

        size = contents.count(plan.now.ranks) * contents.row_bytes()
        return _Rows(
            load, one.turn.source.name, one.offer, planned.fingerprint, planned.total, aside.count, size, aside.due,
            plan.taken, plan.floor, plan.start,
        )  # fmt: skip

    def _at_once(self) -> Generator[Event, None, _Rows | None]:
        one, turn, target = self.one, self.one.turn, self.ready.target
        problem = find_refusal(turn, self.ready, one.position, one.opened, one.offer)
        if problem is not None:
            yield Failed(target, problem)
            return None
        rows = read_whole(turn, [self.ready], one.opened, one.offer)
        columns = misfitting(self.ready, rows)
        shown = [row for row in rows.misfits if row.column in columns]
        yield Read(
            turn.source, (*rows.rejected, *shown), rows.warnings, rows.inferred, rows.widened,
            columns=tuple(rows.names),
        )  # fmt: skip
        kinds = one.pins if turn.options.dry_run else {**one.pins, **rows.inferred, **rows.widened}
        fitting = rows.fitting(columns)
        error = refused_rows(turn, fitting)
        if error is not None:
            raise error
        entity_type = target.feature.entity_type
        if turn.source.snapshot is not None and all(name in rows.frame.columns for name in entity_type.key_names):
            rejected, count = rows.rejected, rows.rejected_count
            yield find_present(turn.source, entity_type, rows.frame, rejected, count, [target.version])

        def load() -> SortedRows:
            return last_known(sort_rows(fitting.frame, entity_type, turn.source))

        size = int(fitting.frame.estimated_size())
        return _Rows(
            load, turn.source.name, one.offer, fingerprint(turn.source, one.offer, kinds), fitting.rows_read,
            fitting.rejected_count, size, fitting.due,
        )  # fmt: skip
