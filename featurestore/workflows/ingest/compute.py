"""From sources to results: reads each source once and runs its features over it.

Gives a stream of events, so that the caller can store each result and release it before the next is made.
Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from featurestore.config import Project
from featurestore.errors import CancelledError, FeatureStoreError, StoreError
from featurestore.evaluation.scope import declared_scope
from featurestore.frozen import frozen
from featurestore.model import Feature, Problem, Scalar, VersionId
from featurestore.offline.contract import OfflineStore, Position
from featurestore.progress import SILENT, Progress
from featurestore.sources.contract import Offer, OpenSource
from featurestore.sources.offers import fingerprint, open_source, open_stream
from featurestore.sources.pinned_types import read_pins
from featurestore.workflows.ingest.events import (
    Came,
    Empty,
    Event,
    Failed,
    IngestOptions,
    Noticed,
    Present,
    Unchanged,
)
from featurestore.workflows.ingest.needs import Needs
from featurestore.workflows.ingest.problems import (
    backfill_problem,
    problem_of,
    slice_problem,
    strict_error,
)
from featurestore.workflows.ingest.set_aside import SetAside, find_set_aside
from featurestore.workflows.ingest.streams import Stream, fetch, fetching_folder, lay_out
from featurestore.workflows.ingest.taken import Taken, read_taken
from featurestore.workflows.ingest.targets import Target
from featurestore.workflows.ingest.turn import DUE, FUTURE_TOLERANCE, THIS_RUN, Turn, deleted_since

if TYPE_CHECKING:
    import polars as pl


def compute(
    project: Project,
    store: OfflineStore,
    targets: Sequence[Target],
    options: IngestOptions,
    declared: Sequence[Feature],
    progress: Progress = SILENT,
    copies: dict[str, Offer] | None = None,
    stack: ExitStack | None = None,
    *,
    clock: int,
) -> Iterator[Event]:
    """Computes all targets, source by source.

    ``declared`` are all features of the project: the keys of each that reads a source are read as keys, so that a
    row counts the same whichever features are due. ``copies`` collects the offers, by source, of what can be read
    only once, for a caller that computes again. What came of streams lies in files until ``stack`` ends, without one
    until the last event. ``clock`` (µs) is that of the run.
    """
    copies = {} if copies is None else copies
    with store.reading():  # all at once: later the caller may have the store open for writing, which keeps readers out
        positions = {
            (item.version.id, source.name): store.position(item.version.id, source.name)
            for item in targets
            for source in item.feature.reads
        }
        names = dict.fromkeys(source.name for item in targets for source in item.feature.reads)
        # Who is deleted, or is not any more, is to be known when others are evaluated.
        names = dict.fromkeys(sorted(names, key=lambda name: project.sources[name].snapshot is None))
        taken = {name: _all_taken(store.positions(name)) for name in names}
        types = {item.feature.entity_type.name: item.feature.entity_type for item in targets}
        deleted = {name: store.deletions(entity_type) for name, entity_type in types.items()}
        known = clock if options.step is None else min(clock, options.step.until - 1)
        due = {item.version.id: _due(store, item, known) for item in targets if item.version.steps}
        set_aside = find_set_aside(store, positions.values(), with_rows=options.strict)
    runs: list[_SourceRun] = []
    with ExitStack() if stack is None else nullcontext(stack) as files:
        for name in names:
            readers = [item for item in declared if name in item.source_names]
            keys = {key.name: key.type for item in readers for key in item.entity_type.keys}
            group = [target for target in targets if name in target.feature.source_names]
            # A clock that is set back takes nothing back: what was not ahead once is not ahead again.
            moment = _latest(clock + FUTURE_TOLERANCE, taken[name])
            ahead = moment
            if options.step is not None:
                own = [each for target in group if (each := positions[target.version.id, name]) is not None]
                ahead = _latest(min(moment, options.step.until - 1), _all_taken(own))
            last = taken[name][-1] if taken[name] else None
            back = next((item.name for item in readers if item.lookback), None)
            source = project.sources[name]
            complete = {item.name for item in readers} <= {target.feature.name for target in group}
            needs = Needs(source, keys, group, complete=complete)
            turn = Turn(
                project, source, keys, options, progress, ahead, moment, last, {**deleted}, known, {**due}, back, needs
            )  # fmt: skip
            read = {target.version.id: positions[target.version.id, name] for target in group}
            runs.append(_SourceRun(turn, set_aside, group, read))
            # Before anything is computed, and with that the store perhaps open for writing.
            runs[-1].prepare(store, files)
        yield from (Came(run.stream) for run in runs if run.stream is not None)
        snapshots = _Snapshots(store, runs, copies, clock)
        for run in runs:
            progress(f"reading {run.name}")
            yield from map(snapshots.note, run.events(copies))
        for target in targets:
            if target.feature.sources:
                progress(f"reading {target.feature.source_name}")
                yield from map(snapshots.note, _joined(target, {run.name: run for run in runs}, copies))


def _joined(target: Target, runs: Mapping[str, _SourceRun], copies: dict[str, Offer]) -> Iterator[Event]:
    """A target that is made of several sources."""
    chosen = [runs[source.name] for source in target.feature.sources]
    turn = chosen[0].turn
    try:
        found = [run.find(copies) for run in chosen]
    except FeatureStoreError as exc:
        yield Failed(target, problem_of(exc, turn.project, target))
        return
    if any(run.stream is not None and run.stream.empty for run in chosen):
        yield Empty(target)
        return
    if all(run.is_current(target, each.fingerprint) for run, each in zip(chosen, found, strict=True)):
        yield chosen[0].unchanged(target, [each for run in chosen if (each := run.position(target)) is not None])
        return
    from featurestore.workflows.ingest.several import OneSource, several  # it loads Polars

    parts = [
        OneSource(run.turn, each.opened, each.offer, each.pins, run.position(target))
        for run, each in zip(chosen, found, strict=True)
    ]
    yield from several(target, parts)


@frozen
class _Found:
    """What there is to read of a source, and the fingerprint of a position behind it."""

    opened: OpenSource
    offer: Offer
    pins: Mapping[str, Scalar]
    fingerprint: str


def _due(store: OfflineStore, target: Target, clock: int) -> pl.DataFrame:
    """The entities of which a coming step, or the instant of the one after them, fell due."""
    return store.coming(target.version, due=clock).select(target.feature.entity_type.key_names).unique()


def _latest(clock: int, taken: Sequence[Taken]) -> int:
    """The clock, or the latest one of what was taken."""
    return max([clock, *(each.clock for each in taken if each.clock is not None)])


def _past(stream: Stream) -> dict[str, int]:
    """The batches that went past the retention, with their latest event times (µs); of those without rows the first."""
    return {each.content: -(1 << 62) if each.high is None else each.high for each in stream.dropped}


def _all_taken(positions: Sequence[Position]) -> list[Taken]:
    """What the versions that have read a source have taken of it, that of the last committed run last."""
    return [taken for position in positions if (taken := read_taken(position.cursor)) is not None]


def _with_marks(deleted: Mapping[str, pl.DataFrame], stream: Stream) -> dict[str, pl.DataFrame]:
    """The marks of deleted entities with those that come with this run: they count as if they had been there."""
    import polars as pl

    found = dict(deleted)
    for entity_type, marks in stream.deleted.items():
        if marks.height:
            held = found[entity_type.name]
            new = marks.with_columns(run_seq=pl.lit(THIS_RUN), author=pl.lit("user"))
            found[entity_type.name] = pl.concat([held, new.select(held.columns).cast(held.schema)])
    return found


class _Snapshots:
    """Finds out who is gone from the snapshots of a run, and who is back, as soon as each was read.

    Whom the versions answer for is read before anything is computed, and with that the store perhaps open for writing.
    """

    def __init__(self, store: OfflineStore, runs: Sequence[_SourceRun], copies: dict[str, Offer], clock: int) -> None:
        self._runs, self._clock = runs, clock
        self._alive: dict[VersionId, pl.DataFrame] = {}
        snapshots = [run for run in runs if run.is_snapshot]
        if any(run.is_new(copies) for run in snapshots):  # one may make others look again
            from featurestore.workflows.ingest.snapshots import alive

            with store.reading():
                for version in {each.version for run in snapshots for each in run.readers}:
                    self._alive[version.id] = alive(store, version, runs[0].turn.project.memory)

    def note(self, event: Event) -> Event:
        if not isinstance(event, Present):
            return event
        from featurestore.workflows.ingest.snapshots import find_moves, with_moves

        name = event.entity_type.name
        marks = self._runs[0].turn.deleted[name]
        answering = [self._alive[version.id] for version in event.versions]
        found = find_moves(event, answering, marks, self._clock)
        for run in self._runs:
            run.turn.deleted[name] = with_moves(run.turn.deleted[name], found, THIS_RUN)
            run.look_again(found)
        return found


class _SourceRun:
    """One source's part of a run."""

    def __init__(
        self,
        turn: Turn,
        set_aside: Mapping[VersionId, SetAside],
        targets: Sequence[Target],
        positions: Mapping[VersionId, Position | None],
    ) -> None:
        self.turn, self._set_aside = turn, set_aside
        self._project, self._source, self._options = turn.project, turn.source, turn.options
        self.readers, self._positions = targets, positions
        self._targets = [target for target in targets if not target.feature.sources]
        self.stream: Stream | None = None
        self._refused: FeatureStoreError | None = None
        self._found: _Found | None = None

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def is_snapshot(self) -> bool:
        return self._source.snapshot is not None and self._options.input is None

    def is_new(self, copies: dict[str, Offer]) -> bool:
        """Whether what the source holds may be read in this run."""
        try:
            found = self.find(copies)
        except FeatureStoreError:
            return True  # it is told with the events
        return not all(self.is_current(target, found.fingerprint) for target in self.readers)

    def look_again(self, present: Present) -> None:
        """At the windows of those who are gone, of whom rows may count that are ahead of the clock."""
        import polars as pl

        assert present.moves is not None, "found just now"
        for target in self.readers:
            if target.version.steps and target.feature.entity_type == present.entity_type and present.moves.gone.height:
                due = self.turn.due[target.version.id]
                self.turn.due[target.version.id] = pl.concat([due, present.moves.gone.select(due.columns)]).unique()

    def prepare(self, store: OfflineStore, stack: ExitStack) -> None:
        """Fetches what is new of a source that can't be read again. What is refused is told with the events."""
        try:
            opened = open_stream(self._project, self._source, self._options.input)
            if opened is None:
                return
            self.turn.progress(f"fetching {self.name}")
            folder = fetching_folder(self._project, stack)
            stream = fetch(
                store, self._source, opened, folder, restart=self.name in self._options.restart,
                full=self._options.full, limit=self._options.limit, progress=self.turn.progress, clock=self.turn.now,
                entity_types=list(dict.fromkeys(target.feature.entity_type for target in self.readers)),
            )  # fmt: skip
            self.turn = replace(self.turn, past=_past(stream))
            if stream.deleted:
                self.turn = replace(self.turn, deleted=_with_marks(self.turn.deleted, stream))
            pins = read_pins(self._project, self._source)
            print_ = fingerprint(self._source, stream.offer, pins)
            # What reads other sources too may need these rows for what is new there.
            needed = any(each.feature.sources or not self.is_current(each, print_) for each in self.readers)
            if needed and not stream.empty:
                stream = lay_out(self._project, store, stream, folder, self.turn.keys, pins, self.turn.progress)
            self.stream = stream
        except (CancelledError, StoreError):
            raise
        except FeatureStoreError as exc:
            self._refused = exc

    def events(self, copies: dict[str, Offer]) -> Iterator[Event]:
        if not self._targets:
            return  # what reads it reads others too
        try:
            found = self.find(copies)
        except FeatureStoreError as exc:
            yield from (Failed(target, problem_of(exc, self._project, target)) for target in self._targets)
            return
        opened, offer, pins, print_ = found.opened, found.offer, found.pins, found.fingerprint
        if self.stream is not None and self.stream.empty:
            yield from map(Empty, self._targets)
            return
        due: list[Target] = []
        for target in self._targets:
            position = self._positions[target.version.id]
            if position is not None and self.is_current(target, print_):
                yield self.unchanged(target, [position])
                continue
            scope = declared_scope(target.feature)
            if self._options.input is not None and scope is not None and scope.kind != "row":
                yield Failed(target, slice_problem(target, scope))
                continue
            due.append(target)
        if not due:
            yield Noticed(tuple(offer.warnings))
            return
        known = {target.version.id: self._positions[target.version.id] for target in due}
        yield from self._compute(due, known, opened, offer, pins)

    def find(self, copies: dict[str, Offer]) -> _Found:
        """What there is to read; asked of the source once in a run. Raises FeatureStoreError."""
        if self._refused is not None:
            raise self._refused
        if self._found is None:
            opened, offer = self._opened(copies)
            pins = read_pins(self._project, self._source)
            if offer.once:
                copies[self.name] = offer
            self._found = _Found(opened, offer, pins, fingerprint(self._source, offer, pins))
        return self._found

    def _opened(self, copies: dict[str, Offer]) -> tuple[OpenSource, Offer]:
        if self.stream is not None:
            return self.stream.opened, self.stream.offer
        opened = open_source(self._project, self._source, self._options.input)
        return opened, copies.get(self._source.name) or opened.offer()

    def _compute(
        self,
        due: Sequence[Target],
        positions: Mapping[VersionId, Position | None],
        opened: OpenSource,
        offer: Offer,
        pins: Mapping[str, Scalar],
    ) -> Iterator[Event]:
        # They load Polars, which an unchanged source does not need.
        from featurestore.workflows.ingest.at_once import at_once
        from featurestore.workflows.ingest.by_contents import by_contents
        from featurestore.workflows.ingest.calling import Caller, Ready

        turn = self.turn
        caller = Caller(turn.project, turn.progress, latest=turn.latest, strict=turn.options.strict)
        ready: list[Ready] = []
        for target in due:
            loaded = caller.load(target, first=positions[target.version.id] is None)
            if isinstance(loaded, Problem):
                yield Failed(target, loaded)
            elif turn.options.input is not None and loaded.scope.kind != "row":
                yield Failed(target, slice_problem(target, loaded.scope))
            elif turn.options.step is None or turn.options.step.last or loaded.scope.kind != "source":
                ready.append(loaded)  # scope source takes one step, the last
        if not ready:
            return
        whole = offer.contents is None or turn.source.event_time is None
        if whole and turn.options.step is not None:
            yield from (Failed(one.target, backfill_problem(one.target)) for one in ready)
            return
        yield from (at_once if whole else by_contents)(turn, ready, positions, opened, offer, pins, caller)

    def position(self, target: Target) -> Position | None:
        return self._positions[target.version.id]

    def is_current(self, target: Target, print_: str) -> bool:
        """Whether a position is that of these rows, none of which has become due since, and nobody was deleted."""
        position = self._positions[target.version.id]
        if position is None or self._missed_something(position):
            return False
        taken, _, due = position.fingerprint.partition(DUE)
        latest = self.turn.latest
        if latest is not None and self._options.step is not None:
            latest += FUTURE_TOLERANCE  # which the clock of a step is without
        is_due = bool(due) and (latest is None or int(due) <= latest)
        if deleted_since(self.turn.deleted[target.feature.entity_type.name], position):
            return False
        if target.version.steps and self.turn.due[target.version.id].height:
            return False
        return taken == print_ and not is_due and not self._options.full

    def _missed_something(self, position: Position) -> bool:
        """Whether other versions took a file that came and vanished since a position was committed."""
        own, last = read_taken(position.cursor), self.turn.last
        if own is None or own.restate or last is None:
            return False
        return bool((last.parts | last.missed.keys()) - own.parts - own.missed.keys())

    def unchanged(self, target: Target, positions: Sequence[Position]) -> Unchanged | Failed:
        held = self._set_aside.get(target.version.id)
        if held is not None and self._options.strict:
            error = strict_error(held.source, held.count, next(iter(held.rows), None))
            return Failed(target, problem_of(error, self._project, target))
        return Unchanged(target, positions, held)
