"""A source whose contents can be read again, one by one: what is new is parsed, and what depends on it is evaluated."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from featurestore.errors import CancelledError, ConfigError, FeatureError, FeatureStoreError, StoreError, from_os_error
from featurestore.evaluation.events import THERE, by_known, moving
from featurestore.frozen import frozen
from featurestore.locking import prepare_state
from featurestore.model import EntityType, Problem, RejectedRow, Scalar, VersionId
from featurestore.offline.contract import Position
from featurestore.parsed.rows import DamagedRowsError, KeptRows
from featurestore.sources.contract import Offer, OpenSource
from featurestore.sources.offers import fingerprint
from featurestore.sources.types import is_stream
from featurestore.tables.batch import MAX_REJECTED
from featurestore.workflows.ingest.calling import Caller, Ready
from featurestore.workflows.ingest.contents import SetAsideRows, SourceContents
from featurestore.workflows.ingest.divided import Divided
from featurestore.workflows.ingest.evaluating import Evaluated, WindowSettings
from featurestore.workflows.ingest.events import Computed, Event, Failed, Frozen, Noticed, Read
from featurestore.workflows.ingest.needs import Needs
from featurestore.workflows.ingest.news import Looking
from featurestore.workflows.ingest.pairs import first_due
from featurestore.workflows.ingest.plans import Circumstances, Plan, make_plan, make_slice_plan
from featurestore.workflows.ingest.problems import (
    ahead_problem,
    all_set_aside,
    forgotten_problem,
    problem_of,
    shrunk_problem,
    strict_error,
    without_columns,
)
from featurestore.workflows.ingest.snapshots import find_present
from featurestore.workflows.ingest.taken import Taken, missed, read_taken, written_over
from featurestore.workflows.ingest.turn import Turn, deleted_since, mark_due


def by_contents(
    turn: Turn,
    ready: Sequence[Ready],
    positions: Mapping[VersionId, Position | None],
    opened: OpenSource,
    offer: Offer,
    pins: Mapping[str, Scalar],
    caller: Caller,
) -> Iterator[Event]:
    """Evaluates each target over what is new for it."""
    with ExitStack() as stack:
        kept, contents = open_contents(turn, opened, offer, pins, stack)
        waiting, told = list(ready), False
        while waiting:
            run = _Run(ContentsTurn(turn, waiting, positions, offer, pins, contents), caller)
            try:
                for event in run.events():
                    if isinstance(event, Read):
                        if not told:
                            yield event
                        told = True
                        continue
                    if isinstance(event, Computed | Failed):
                        waiting = [one for one in waiting if one.target is not event.target]
                    yield event
                waiting = []
            except DamagedRowsError:
                contents.forget_damaged()  # ends: what is parsed again is sound
            finally:
                kept.save_quietly()


def open_contents(
    turn: Turn, opened: OpenSource, offer: Offer, pins: Mapping[str, Scalar], stack: ExitStack
) -> tuple[KeptRows, SourceContents]:
    """The contents of a source, and where their rows are kept. Raises StoreError."""
    kept, needs = KeptRows(_folder(turn, stack), turn.source, turn.project.memory), _needs(turn, offer)
    contents = SourceContents(
        turn.source, opened, offer, turn.keys, pins, kept, turn.progress, needs,
        complete=needs is None or needs.complete,
    )  # fmt: skip
    return kept, contents


def _needs(turn: Turn, offer: Offer) -> Needs | None:
    """Which columns are read; None for all: of what can't be read again, by a feature that comes later."""
    again = turn.options.input is None and not offer.once and not is_stream(turn.source)
    return turn.needs if again and turn.needs is not None and not turn.needs.everything else None


def _folder(turn: Turn, stack: ExitStack) -> Path:
    """Where the source's rows are kept; until the end of the run where they are not to be."""
    try:
        state = prepare_state(turn.project)
        if turn.keeping is not None:
            return state / "rows" / turn.source.name
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rows-", dir=state)))
    except OSError as exc:
        raise from_os_error(exc) from exc


@frozen
class Planned:
    """What is to be computed of a source's contents, and with what: see `ContentsTurn.plan`.

    ``named`` are the columns that each target's code names, ``views`` those that it sees (None: that may be all), and
    ``asides`` what is set aside for it; ``total`` counts the rows of all that is there, and ``fingerprint`` is that of
    a position behind them.
    """

    plans: Sequence[Plan]
    named: Mapping[VersionId, frozenset[str]]
    views: Mapping[VersionId, frozenset[str] | None]
    asides: Mapping[VersionId, SetAsideRows]
    total: int
    fingerprint: str


@frozen
class ContentsTurn:
    """The contents of one source, and the targets that read them."""

    turn: Turn
    ready: Sequence[Ready]
    positions: Mapping[VersionId, Position | None]
    offer: Offer
    pins: Mapping[str, Scalar]
    contents: SourceContents

    def plan(self) -> Generator[Event, None, Planned | None]:
        """Parses what is new, and gives what is to be computed; what can't be computed is among the events.

        Raises CancelledError, ConfigError, StoreError, DamagedRowsError.
        """
        turn, contents = self.turn, self.contents
        taken = {one.target.version.id: self._taken(one) for one in self.ready}
        try:
            before = [each for each in (*taken.values(), turn.last) if each is not None]
            contents.remember(before)
            contents.parse(before)
            contents.require(self._needed())
            named = self._named()
            contents.check(turn.last, frozenset().union(*named.values()))
            aside = contents.set_aside(turn.latest, turn.moment)
        except (CancelledError, ConfigError, StoreError):  # no feature's failure: a setting, or a disk that is full
            raise
        except FeatureStoreError as exc:
            yield from (Failed(one.target, problem_of(exc, turn.project, one.target)) for one in self.ready)
            return None
        if turn.keeping is not None and not turn.source.keep_parsed:
            contents.warnings.append(
                f"rows of {turn.source.name} are kept although keep_parsed is false: {turn.keeping}"
            )
        asides = {version: self._add_misfits(aside, columns) for version, columns in named.items()}
        yield Read(
            turn.source, self._all_set_aside(asides), tuple(contents.warnings), contents.inferred, contents.widened,
            tuple(contents.lacking), tuple(contents.names),
        )  # fmt: skip
        total = contents.total()
        ready: list[Ready] = []
        for one in self.ready:
            aside = asides[one.target.version.id]
            error = self._refusal(aside, total)
            if error is None:
                ready.append(one)
            else:
                yield Failed(one.target, problem_of(error, turn.project, one.target), total, aside.count)
        if turn.source.snapshot is not None and turn.options.input is None:
            yield from self._present()
        pins = {**self.pins, **contents.inferred, **contents.widened}
        views = self._views()
        plans = yield from self._plans(ready, taken, pins, views)
        # Of a dry run the types are not pinned, and the next run is to read again.
        print_ = fingerprint(turn.source, self.offer, self.pins if turn.options.dry_run else pins)
        return Planned(plans, named, views, asides, total, print_)

    def _named(self) -> dict[VersionId, frozenset[str]]:
        """The columns that each target's code names."""
        columns = self.contents.names
        return {one.target.version.id: frozenset(one.target.names_among(columns)) for one in self.ready}

    def _views(self) -> dict[VersionId, frozenset[str] | None]:
        """The columns that each target sees: what any of them needs, where all kept rows have that, else its own."""
        contents, needs = self.contents, self.turn.needs
        names = contents.names
        if needs is None or needs.everything or contents.of_stream:
            return {one.target.version.id: None for one in self.ready}
        own = {one.target.version.id: needs.of(one.target, names) for one in self.ready}
        together = frozenset().union(*own.values())
        return dict.fromkeys(own, together) if contents.holds(together) else {**own}

    def _add_misfits(self, aside: SetAsideRows, columns: frozenset[str]) -> SetAsideRows:
        """What is set aside for a feature that names these columns."""
        misfits, count = self.contents.misfits(columns)
        return SetAsideRows([*aside.rows, *misfits], aside.count + count, aside.due)

    def _all_set_aside(self, asides: Mapping[VersionId, SetAsideRows]) -> tuple[RejectedRow, ...]:
        """The rows that are set aside for any of the features, each once."""
        found = {(row.place, row.column): row for aside in asides.values() for row in aside.rows}
        return tuple(found.values())[:MAX_REJECTED]

    def _refusal(self, aside: SetAsideRows, total: int) -> FeatureStoreError | None:
        """Why a feature can't be computed for the rows that are set aside."""
        if aside.count and self.turn.options.strict:
            return strict_error(self.turn.source.name, aside.count, aside.rows[0])
        if aside.count and aside.count == total:
            return all_set_aside(self.turn.source.name, aside.count, aside.rows[0])
        return None

    def _taken(self, ready: Ready) -> Taken | None:
        position = self.positions[ready.target.version.id]
        return None if position is None else read_taken(position.cursor)

    def _needed(self) -> list[str]:
        """The short form takes the entity's keys from the source; the long form may make them itself."""
        short = [one.target.feature for one in self.ready if one.target.feature.short]
        if self.turn.source.snapshot is not None:
            short = [one.target.feature for one in self.ready if not one.target.feature.sources]
        return list(dict.fromkeys(name for feature in short for name in feature.entity_type.key_names))

    def _present(self) -> Iterator[Event]:
        """Who is in the snapshot, of each entity type."""
        newest = self.turn.source.snapshot == "newest"
        names = [max(self.contents.files)] if newest else list(self.contents.files)
        chosen = list(dict.fromkeys(self.contents.files[name] for name in names))
        rejected, count = self.contents.rejected(chosen)
        for entity_type in dict.fromkeys(one.target.feature.entity_type for one in self.ready):
            if not all(name in self.contents.schema for name in entity_type.key_names):
                continue  # of several sources each may be about something else
            versions = [one.target.version for one in self.ready if one.target.feature.entity_type == entity_type]
            rows = self.contents.rows(dict.fromkeys(chosen, THERE), None)
            yield find_present(self.turn.source, entity_type, rows, rejected, count, versions)

    def _plans(
        self,
        ready: Sequence[Ready],
        taken: Mapping[VersionId, Taken | None],
        pins: Mapping[str, Scalar],
        views: Mapping[VersionId, frozenset[str] | None],
    ) -> Generator[Event, None, list[Plan]]:
        turn, contents, last = self.turn, self.contents, self.turn.last
        # A batch of a stream is replaced by others with its rows; it does not vanish.
        vanished = {} if contents.of_stream else missed(last, contents.there, contents.files, turn.moment)
        vanished = {one: when for one, when in vanished.items() if not contents.continues(one, last)}
        around = Circumstances(
            replaced=self._replaced(),
            contents=contents, vanished=vanished, dropped=contents.dropped, clock=turn.latest, mark=turn.clock,
            number=turn.moment, since=turn.options.since,
            full=turn.options.full, allow_shrunk=turn.options.allow_shrunk, pins=pins,
            deleted=turn.deleted, last=last, past=turn.past,
        )  # fmt: skip
        plans: list[Plan] = []
        for one in ready:
            before = taken[one.target.version.id]
            seeing = replace(around, contents=contents.seen(views[one.target.version.id]))
            position = self.positions[one.target.version.id]
            marks = turn.deleted[one.target.feature.entity_type.name]
            deleted = position is not None and deleted_since(marks, position)
            if before is None:
                yield from self._note_unread(one, seeing)
            try:
                if turn.options.input is None:
                    plans.append(make_plan(one, before, seeing, deleted=deleted))
                else:
                    plans.append(make_slice_plan(one, before, last, seeing, deleted=deleted))
            except FeatureError:
                yield Failed(one.target, self._shrunk(one, before))
        return plans

    def _shrunk(self, ready: Ready, before: Taken | None) -> Problem:
        source = self.turn.source.name
        if ready.scope.kind != "source":
            return forgotten_problem(ready.target, source)
        gone = [] if before is None else sorted(name for name in before.files if name not in self.contents.files)
        return shrunk_problem(ready.target, source, gone or ["a file"])

    def _replaced(self) -> Mapping[str, int]:
        """The contents of files that were written over, where rows may be known at another place later."""
        turn, contents, last = self.turn, self.contents, self.turn.last
        fixed = {*turn.keys, turn.source.event_time} - {None} <= set(turn.source.id)
        if turn.source.known_at is None or not turn.source.id or fixed or contents.of_stream:
            return {}
        if turn.options.input is not None:
            return {} if last is None else last.replaced
        found = written_over(last, contents.files, turn.moment)
        return {
            one: when for one, when in found.items() if not contents.is_empty(one) and not contents.continues(one, last)
        }

    def _note_unread(self, ready: Ready, around: Circumstances) -> Iterator[Event]:
        """Says that rows of vanished files don't count for a new version, since its columns were not kept."""
        lacking = {name: around.contents.lacks(name) for name in around.vanished}
        lacking = {name: columns for name, columns in lacking.items() if columns}
        if lacking:
            columns = sorted(set().union(*lacking.values()))
            source, feature = self.turn.source.name, ready.target.feature.name
            yield Noticed((without_columns(source, feature, len(lacking), columns),))


@frozen
class _Run:
    """One attempt."""

    of: ContentsTurn
    caller: Caller

    def events(self) -> Iterator[Event]:
        planned = yield from self.of.plan()
        if planned is not None:
            yield from self._evaluate(planned)

    def _evaluate(self, planned: Planned) -> Iterator[Event]:
        turn, contents, asides, total = self.of.turn, self.of.contents, planned.asides, planned.total
        windows = WindowSettings(turn.now, turn.due, turn.project.coming_steps, turn.project.window_rows, total)
        groups: dict[tuple[EntityType, str | None, frozenset[str], frozenset[str] | None], list[Plan]] = {}
        for plan in planned.plans:
            version = plan.ready.target.version.id
            misfitting = contents.misfit_columns & planned.named[version]
            groups.setdefault((*self._seen(plan), misfitting, planned.views[version]), []).append(plan)
        for (entity_type, known, misfitting, view), group in groups.items():
            source = turn.source if known is None else by_known(entity_type, turn.source)
            fitting = contents.seen(view).fitting(misfitting)
            identity = () if known is None else moving(entity_type, turn.source)
            looking = Looking(fitting, entity_type, source, known, identity)
            project = turn.project
            divided = Divided(looking, fitting, self.caller, project.memory, project.state, windows)
            for outcome in divided.run(group):
                if isinstance(outcome, Evaluated):
                    aside = asides[outcome.plan.ready.target.version.id]
                    yield self._computed(outcome, aside, planned.fingerprint, total)
                else:
                    plan, problem = outcome
                    yield Failed(plan.ready.target, problem, total, asides[plan.ready.target.version.id].count)
            yield Noticed(tuple(divided.notes))

    def _seen(self, plan: Plan) -> tuple[EntityType, str | None]:
        """What decides which rows a target sees: its entity type, and whether its values have known times."""
        known = self.of.turn.source.known_at if plan.ready.scope.kind == "row" else None
        return plan.ready.target.feature.entity_type, known

    def _computed(self, found: Evaluated, aside: SetAsideRows, print_: str, total: int) -> Computed | Failed:
        plan, values = found.plan, found.values
        target, turn = plan.ready.target, self.of.turn
        given = values.frame.height or sum(part.frame.height for part in found.parts)
        if values.future and turn.options.step is None and not given and plan.before is None:
            return Failed(target, ahead_problem(target, values.future), total, aside.count)
        horizon = found.steps[0].reach.horizon if found.steps else None
        taken = replace(plan.taken, due=found.due, horizon=horizon)
        due = first_due(found.due, [] if aside.due is None else [aside.due])
        if turn.options.step is not None:  # what the next step takes is not set aside
            values = replace(values, future=0)
        return Computed(
            target, values, total, aside.count + values.future, mark_due(print_, due), taken.to_json(),
            scope=plan.ready.scope, rows_computed=found.rows_computed, reason=found.reason, rows_older=found.older,
            comparison=found.comparison, parts=found.parts, steps=found.steps,
            frozen=Frozen(plan.frozen, found.late) if plan.frozen is not None and found.late else None,
        )  # fmt: skip
