"""From sources to results: reads each source once and runs its features over it.

Gives a stream of events, so that the caller can store each result and release it before the next is made.
Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from featurestore.config import Project
from featurestore.errors import FeatureStoreError
from featurestore.evaluation.scope import declared_scope
from featurestore.model import Feature, Problem, Scalar, VersionId
from featurestore.offline.contract import OfflineStore, Position
from featurestore.progress import SILENT, Progress
from featurestore.sources.contract import Offer, OpenSource
from featurestore.sources.offers import fingerprint, open_source
from featurestore.sources.pinned_types import read_pins
from featurestore.workflows.ingest.events import Event, Failed, IngestOptions, Unchanged
from featurestore.workflows.ingest.problems import problem_of, slice_problem, strict_error
from featurestore.workflows.ingest.set_aside import SetAside, find_set_aside
from featurestore.workflows.ingest.taken import Taken, read_taken
from featurestore.workflows.ingest.targets import Target
from featurestore.workflows.ingest.turn import DUE, FUTURE_TOLERANCE, Turn, deleted_since

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
    *,
    clock: int,
) -> Iterator[Event]:
    """Computes all targets, source by source.

    ``declared`` are all features of the project: the keys of each that reads a source are read as keys, so that a
    row counts the same whichever features are due. ``copies`` collects the offers, by source, of what can be read
    only once, for a caller that computes again. ``clock`` (µs) is that of the run.
    """
    copies = {} if copies is None else copies
    with store.reading():  # all at once: later the caller may have the store open for writing, which keeps readers out
        positions = {item.version.id: store.position(item.version.id, item.source.name) for item in targets}
        names = dict.fromkeys(item.source.name for item in targets)
        taken = {name: _all_taken(store.positions(name)) for name in names}
        types = {item.feature.entity_type.name: item.feature.entity_type for item in targets}
        deleted = {name: store.deletions(entity_type) for name, entity_type in types.items()}
        due = {item.version.id: _due(store, item, clock) for item in targets if item.version.steps}
        set_aside = find_set_aside(store, positions.values(), with_rows=options.strict)
    for name in names:
        group = [target for target in targets if target.source.name == name]
        readers = [item for item in declared if item.source is not None and item.source.name == name]
        keys = {key.name: key.type for item in readers for key in item.entity_type.keys}
        progress(f"reading {name}")
        # A clock that is set back takes nothing back: what was not ahead once is not ahead again.
        ahead = max([clock + FUTURE_TOLERANCE, *(each.clock for each in taken[name] if each.clock is not None)])
        last = taken[name][-1] if taken[name] else None
        turn = Turn(project, project.sources[name], keys, options, progress, ahead, last, deleted, clock, due)
        yield from _SourceRun(turn, set_aside).run(group, positions, copies)


def _due(store: OfflineStore, target: Target, clock: int) -> pl.DataFrame:
    """The entities of which a coming step, or the instant of the one after them, fell due."""
    return store.coming(target.version, due=clock).select(target.feature.entity_type.key_names).unique()


def _all_taken(positions: Sequence[Position]) -> list[Taken]:
    """What the versions that have read a source have taken of it, that of the last committed run last."""
    return [taken for position in positions if (taken := read_taken(position.cursor)) is not None]


class _SourceRun:
    """One source's part of a run."""

    def __init__(self, turn: Turn, set_aside: Mapping[VersionId, SetAside]) -> None:
        self._turn, self._set_aside = turn, set_aside
        self._project, self._source, self._options = turn.project, turn.source, turn.options

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
        for target in targets:
            position = positions[target.version.id]
            if position is not None and self._is_current(target, position, print_):
                yield self._unchanged(target, position)
                continue
            scope = declared_scope(target.feature)
            if self._options.input is not None and scope is not None and scope.kind != "row":
                yield Failed(target, slice_problem(target, scope))
                continue
            due.append(target)
        if not due:
            return
        known = {target.version.id: positions[target.version.id] for target in due}
        yield from self._compute(due, known, opened, offer, pins)

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

        turn = self._turn
        caller = Caller(turn.project, turn.progress, latest=turn.latest, strict=turn.options.strict)
        ready: list[Ready] = []
        for target in due:
            loaded = caller.load(target, first=positions[target.version.id] is None)
            if isinstance(loaded, Problem):
                yield Failed(target, loaded)
            else:
                ready.append(loaded)
        if not ready:
            return
        whole = offer.contents is None or turn.options.input is not None or turn.source.event_time is None
        yield from (at_once if whole else by_contents)(turn, ready, positions, opened, offer, pins, caller)

    def _is_current(self, target: Target, position: Position, print_: str) -> bool:
        """Whether a position is that of these rows, none of which has become due since, and nobody was deleted."""
        taken, _, due = position.fingerprint.partition(DUE)
        is_due = bool(due) and (self._turn.latest is None or int(due) <= self._turn.latest)
        if deleted_since(self._turn.deleted[target.feature.entity_type.name], position):
            return False
        return taken == print_ and not is_due and not self._options.full

    def _unchanged(self, target: Target, position: Position) -> Unchanged | Failed:
        held = self._set_aside.get(target.version.id)
        if held is not None and self._options.strict:
            error = strict_error(held.source, held.count, held.first)
            return Failed(target, problem_of(error, self._project, target))
        return Unchanged(target, position, held)
