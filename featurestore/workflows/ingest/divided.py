"""Evaluates the targets of one source and one entity type within the memory that a run may use.

Where the rows that they depend on fit, all at once; where they don't, by parts of the entities, and of the time of an
entity that has too many rows. What looks at all rows is refused, with the figures, before it is tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from featurestore.evaluation.results import FeatureValues
from featurestore.model import Problem, VersionId
from featurestore.offline.instants import outermost_rows
from featurestore.point_in_time.entities import format_entity
from featurestore.tables.temporary import SpilledFrames
from featurestore.tables.types import INSTANT, key_types
from featurestore.workflows.ingest.calling import Caller
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.division import DividedRows, PartContents, Place, Unit, part_rows
from featurestore.workflows.ingest.evaluating import (
    Comparison,
    Evaluated,
    Evaluation,
    GoneRows,
    Outcome,
    ValuesPart,
    WindowSettings,
    side_key,
)
from featurestore.workflows.ingest.news import Looking
from featurestore.workflows.ingest.pairs import AT, FIRST, HIGH, LAST, LOW, Due, within
from featurestore.workflows.ingest.plans import Plan
from featurestore.workflows.ingest.problems import repeated_ids_problem, too_large_problem
from featurestore.workflows.ingest.repeats import Repeats, find_repeats
from featurestore.workflows.ingest.stepping import StepsPart
from featurestore.workflows.ingest.taken import MOST_DUE

_Way = Literal["at once", "near", "large", "repeated"]
SHARE_OF_IDS = 8  # of the memory, that the hashes of ids may take
_HASH_BYTES = 8
STEPS_OF_A_ROW = 2  # of a window: it enters and it leaves
AT_ONCE = 3  # times the size of its rows is what an evaluation takes


@dataclass
class Divided:
    """``memory`` is in bytes; ``folder`` is for temporary files."""

    looking: Looking
    contents: SourceContents
    caller: Caller
    memory: int
    folder: Path
    windows: WindowSettings
    gone: dict[object, GoneRows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._row_bytes: int | None = None
        self._once: dict[frozenset[str], bool] = {}

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys(str(each) for each in self.gone.values() if each.count))

    def run(self, plans: Sequence[Plan]) -> Iterator[Outcome]:
        evaluation = Evaluation(self.looking, self.caller, self.windows, self.gone)
        ways: dict[_Way, list[Plan]] = {"at once": [], "near": [], "large": [], "repeated": []}
        for plan in plans:
            problem = self._refusal(plan)
            if problem is not None:
                yield plan, problem
            else:
                looked_at = self._widened(plan, evaluation)
                ways[self._way(looked_at, evaluation)].append(looked_at)
        at_once, near, large, repeated = ways.values()
        if at_once:
            yield from evaluation.run(at_once)
        for plan in near:
            yield self._near(plan, evaluation)
        del evaluation
        if large:
            yield from self._by_parts(large)
        sides: dict[object, list[Plan]] = {}
        for plan in repeated:
            sides.setdefault(side_key(plan.now), []).append(plan)
        for group in sides.values():
            yield from self._with_repeats(group)

    def _widened(self, plan: Plan, evaluation: Evaluation) -> Plan:
        if plan.start is None or plan.then is None or not evaluation.finds_news(plan, self._most()):
            return plan  # by parts each of them sees what it has
        return evaluation.widened(plan)

    def _way(self, plan: Plan, evaluation: Evaluation) -> _Way:
        """How a target is evaluated."""
        if not self._is_large(plan, evaluation):
            return "at once"
        if self._is_near(plan, evaluation):
            return "near"
        if plan.ready.scope.kind == "source" or not self.looking.keyed:
            return "at once"  # it fits, or has no news
        if self._divides(plan):
            return "large"
        return "at once" if self._fits(plan) else "repeated"

    def _fits(self, plan: Plan) -> bool:
        """Whether all rows may be evaluated at once."""
        return AT_ONCE * self._bytes(self.contents.count(plan.now.ranks)) <= self.memory

    def _with_repeats(self, plans: Sequence[Plan]) -> Iterator[Outcome]:
        """By parts although rows of one event may lie in two of them: which of them count is decided before."""
        rows = self.contents.count(plans[0].now.ranks)
        found = find_repeats(self.looking, self.contents, plans[0].now, self.memory // AT_ONCE // self._bytes(1))
        evaluation = Evaluation(self.looking, self.caller, self.windows, self.gone)
        going: list[Plan] = []
        news: dict[int, Evaluated] = {}
        for plan in plans:
            if isinstance(found, int) or not self._may_be_whole(plan) or not self._finds_replaced(plan, evaluation):
                yield plan, repeated_ids_problem(plan.ready.target, rows, AT_ONCE * self._bytes(rows), self.memory)
                continue
            problem = None
            if plan.ready.scope.kind != "row":
                problem = (
                    evaluation.contradiction(plan.ready, found.events) if found.events.contradictions.height else None
                )
            elif plan.then is not None:
                (outcome,) = evaluation.run([replace(plan, whole=None)])
                if isinstance(outcome, Evaluated):
                    news[id(plan.ready)] = outcome
                else:
                    problem = outcome[1]
            if problem is None:
                going.append(replace(plan, then=None, whole=plan.whole or "too much is new to be looked up by id"))
            else:
                yield plan, problem
        del evaluation
        if going and isinstance(found, Repeats):
            for outcome in self._by_parts(going, found):
                brought = news.get(id(outcome.plan.ready)) if isinstance(outcome, Evaluated) else None
                yield outcome if brought is None else self._with_withdrawn(outcome, brought)

    def _with_withdrawn(self, whole: Outcome, news: Evaluated) -> Outcome:
        """All values, and what is withdrawn for what is new: whatever gives a value at these pairs was looked at."""
        assert isinstance(whole, Evaluated), "it has what is new"
        nothing = SpilledFrames(self.folder).write(whole.values.frame)
        withdrawn = ValuesPart(nothing, replace(news.comparison, everything=False))
        return replace(whole, parts=(*whole.parts, withdrawn), older=news.older)

    def _may_be_whole(self, plan: Plan) -> bool:
        """Whether all rows may be looked at without those that were there before.

        Not where values have known times, which say when a row left its place for another part's, nor where some are
        frozen, since rows that came late are counted among all of their id. Of scope ``row`` what is new alone says
        which rows were replaced.
        """
        if self.looking.known is not None or plan.frozen is not None:
            return False
        return plan.then is None or plan.ready.scope.kind == "entity" or plan.whole is not None

    def _finds_replaced(self, plan: Plan, evaluation: Evaluation) -> bool:
        """Whether what was replaced, which scope ``row`` has to know, can be found within the memory."""
        return plan.then is None or plan.ready.scope.kind != "row" or evaluation.finds_news(plan, self._most())

    # How much it is

    def _bytes(self, rows: int) -> int:
        """The memory that so many rows take."""
        if self._row_bytes is None:
            self._row_bytes = self.contents.row_bytes()
        return rows * self._row_bytes

    def _most(self) -> int:
        """The rows of a part."""
        return part_rows(self.memory, self._bytes(1))

    def _most_of(self, plans: Iterable[Plan]) -> int:
        """The rows of a part in which these targets are evaluated."""
        windows = any(plan.ready.target.feature.window is not None for plan in plans)
        return max(self._most() // (STEPS_OF_A_ROW if windows else 1), 1)

    def _refusal(self, plan: Plan) -> Problem | None:
        """Why a target that looks at all rows can't be computed within the memory."""
        if plan.ready.scope.kind != "source" and self.looking.keyed:
            return None
        if plan.whole is None and plan.changed == "nothing new":
            return None
        rows = self.contents.count(plan.now.ranks)
        if rows <= self._most() or AT_ONCE * self._bytes(rows) <= self.memory:
            return None
        return too_large_problem(plan.ready.target, rows, AT_ONCE * self._bytes(rows), self.memory)

    def _divides(self, plan: Plan) -> bool:
        """Whether a target can be evaluated by parts: not where two rows of one event may lie in two of them."""
        return set(self.looking.place) <= set(self.looking.key) or self._has_each_id_once(_names_of([plan]))

    def _has_each_id_once(self, names: Collection[str]) -> bool:
        """Whether no id is that of two rows of some contents. By hashes of 64 bits: two ids that share one are taken
        for one, and the rows are looked at together."""
        found = frozenset(names)
        if found not in self._once:
            self._once[found] = not self._repeats_an_id(found)
        return self._once[found]

    def _repeats_an_id(self, names: frozenset[str]) -> bool:
        """The hashes are looked at in as many turns as the memory asks for: sorted they need no table beside them."""
        ids = list(self.looking.identity or self.looking.source.id)
        turns = self.contents.count(names) * _HASH_BYTES * SHARE_OF_IDS // self.memory + 1
        for turn in range(turns):
            hashes = (frame.select(ids).hash_rows().to_numpy() for frame in self.contents.stream(names, ids))
            mine = [each if turns == 1 else each[each % turns == turn] for each in hashes]
            values = np.concatenate(mine) if mine else np.zeros(0, dtype=np.uint64)
            del mine
            values.sort()
            if bool((values[1:] == values[:-1]).any()):
                return True
        return False

    def _is_large(self, plan: Plan, evaluation: Evaluation) -> bool:
        """Whether the rows that a target depends on are too many to be looked at together."""
        rows = self.contents.count(plan.now.ranks)
        if rows <= self._most():
            return False
        if plan.whole is not None or plan.then is None:
            return True
        if not evaluation.finds_news(plan, self._most()):
            return True
        if plan.ready.scope.kind == "row":
            return False
        if plan.ready.target.feature.window is not None:
            return len(evaluation.window_spans(plan, self._most())) > 1
        return evaluation.count_around(plan) > self._most()

    # Windows, near what is new

    def _is_near(self, plan: Plan, evaluation: Evaluation) -> bool:
        """Whether what a window looks at is found by what is new or due, and not by reading everything."""
        if plan.ready.target.feature.window is None or plan.whole is not None or plan.then is None:
            return False
        return evaluation.finds_news(plan, self._most())

    def _near(self, plan: Plan, evaluation: Evaluation) -> Outcome:
        """Some entities after others."""
        collected = _Collected(plan, SpilledFrames(self.folder))
        parts = evaluation.window_spans(plan, self._most_of([plan]))
        for spans in parts:
            windows = replace(self.windows, laid_out=collected.laid_out)
            part = replace(evaluation, windows=windows, share=len(parts))
            outcome = part.window_of(plan, spans)
            if not isinstance(outcome, Evaluated):
                return outcome
            collected.add(outcome)
        return collected.together()

    # By parts

    def _by_parts(self, plans: Sequence[Plan], repeats: Repeats | None = None) -> Iterator[Outcome]:
        divided = DividedRows(self.contents, self.looking.place, self._most_of(plans), _names_of(plans))
        divided.spill(self.folder)
        entities, rows, stretches = divided.division.units(whole_entities=True), [], []
        if len(entities) < len(divided.division):  # an entity is divided
            divisible = [plan for plan in plans if plan.start is None]  # else the first value is one of all rows before
            rows = [plan for plan in divisible if plan.ready.scope.kind == "row" and plan.ready.target.feature.short]
            stretches = [plan for plan in divisible if plan.whole is not None and plan.lookback and plan not in rows]
        others = [plan for plan in plans if plan not in rows and plan not in stretches]
        parts = divided.division.units(whole_entities=False)
        for group, units in ((rows, parts), (others, entities)):
            if group:
                yield from self._group(group, units, divided, repeats, reach=None)
        for plan in stretches:
            yield from self._group([plan], parts, divided, repeats, reach=plan.lookback)

    def _group(
        self,
        plans: Sequence[Plan],
        units: Sequence[Unit],
        divided: DividedRows,
        repeats: Repeats | None,
        *,
        reach: int | None,
    ) -> Iterator[Outcome]:
        """Targets of which each unit gives the values by itself; ``reach`` (µs) is how far before it rows are read."""
        spilled = SpilledFrames(self.folder)
        collected = {id(plan.ready): _Collected(plan, spilled) for plan in plans}
        for unit in units:
            own = divided.part(unit, None if repeats is None else repeats.beaten)
            part = self._with_reach(divided, unit, own, reach)
            problem = self._too_large(part)
            if problem is not None:
                for plan in [each.plan for each in collected.values()]:
                    yield (
                        plan,
                        too_large_problem(plan.ready.target, problem[0], problem[1], self.memory, entity=problem[2]),
                    )
                return
            yield from self._unit(unit, divided, (own, part), collected, len(units), reach)
            spilled.forget()
        for each in collected.values():
            if repeats is not None:
                each.older += repeats.events.older
            yield each.together()

    def _unit(
        self,
        unit: Unit,
        divided: DividedRows,
        parts: tuple[PartContents, PartContents],
        collected: dict[int, _Collected],
        share: int,
        reach: int | None,
    ) -> Iterator[Outcome]:
        """Adds what a unit gives to ``collected``, and yields what failed; ``parts`` are without and with its reach.

        Nothing of it stays in memory beside the next unit.
        """
        own, part = parts
        looking = replace(self.looking, contents=part)
        windows = self._windows_in(unit, divided, collected.values())
        evaluation = Evaluation(looking, self.caller, windows, self.gone, share=share)
        here = [_in_unit(each.plan, unit, divided) for each in collected.values()]
        for outcome in evaluation.run(here):
            if not isinstance(outcome, Evaluated):
                plan, failure = outcome
                yield collected.pop(id(plan.ready)).plan, failure
                continue
            found = self._cut(outcome, unit, reach)
            if part is not own:  # the rows before it were counted with the unit that they belong to
                rows = own.rows(outcome.plan.now.ranks, outcome.plan.now.clock)
                counted = replace(looking, contents=own).count(rows)
                found = replace(found, rows_computed=counted.rows.height, older=counted.older)
            collected[id(outcome.plan.ready)].add(found)

    def _windows_in(self, unit: Unit, divided: DividedRows, collected: Iterable[_Collected]) -> WindowSettings:
        """The settings of windows for the entities of a unit, after other units."""
        laid_out = {version: rows for each in collected for version, rows in each.laid_out.items()}
        due = {version: divided.in_unit(entities, unit) for version, entities in self.windows.due.items()}
        return replace(self.windows, due=due, laid_out=laid_out)

    def _with_reach(self, divided: DividedRows, unit: Unit, own: PartContents, reach: int | None) -> PartContents:
        begin, _ = unit.instants
        if reach is None or begin is None:
            return own
        return replace(own, spilled=[*divided.before(unit, begin - reach), *own.spilled])

    def _too_large(self, part: PartContents) -> tuple[int, int, str] | None:
        """The rows of one entity that don't fit, their bytes and the entity."""
        rows = sum(frame.height for frame in part.spilled)
        size = AT_ONCE * self._bytes(rows)
        if size <= self.memory:
            return None
        entity_type = self.looking.entity_type
        last = part.spilled[-1].read().row(-1, named=True)
        entity = format_entity(entity_type, {name: last[name] for name in entity_type.key_names})
        return rows, size, f"{entity_type.name} {entity}"

    def _cut(self, found: Evaluated, unit: Unit, reach: int | None) -> Evaluated:
        """The values that are the unit's own, and what they are compared with."""
        comparison = found.comparison
        found = replace(found, steps=tuple(replace(each.read(), key_range=unit.key_range) for each in found.steps))
        if reach is None:
            if comparison.everything:
                comparison = replace(comparison, key_range=unit.key_range)
            return replace(found, comparison=comparison)
        after, up_to = unit.instants
        if after is None and up_to is None:
            return replace(found, comparison=replace(comparison, key_range=unit.key_range))
        end = unit.up_to if unit.up_to is not None else unit.after
        assert end is not None, "a unit within an entity's time begins or ends there"
        span = self._span(end, FIRST if after is None else after + 1, LAST if up_to is None else up_to)
        values = within(found.values, span)
        comparison = Comparison(spans=span, floor=comparison.floor, ceiling=comparison.ceiling)
        return replace(found, values=values, comparison=comparison)

    def _span(self, place: Place, low: int, high: int) -> pl.DataFrame:
        types = key_types(self.looking.entity_type)
        keys = [pl.Series(name, [key], kind) for (name, kind), key in zip(types.items(), place, strict=False)]
        bounds = [pl.Series(name, [at], pl.Int64).cast(INSTANT) for name, at in ((LOW, low), (HIGH, high))]
        return pl.DataFrame([*keys, *bounds])


def _names_of(plans: Sequence[Plan]) -> set[str]:
    """The contents that plans look at, then and now."""
    return {name for plan in plans for side in (plan.now, plan.then) if side for name in side.ranks}


def _in_unit(plan: Plan, unit: Unit, divided: DividedRows) -> Plan:
    """The target with the results that were ahead of the clock in this unit alone."""
    due = plan.taken.due
    if not due:
        return plan
    place = divided.place
    types = {name: divided.schema[name] for name in place[:-1]} | {place[-1]: pl.Int64()}
    rows = pl.DataFrame(due, schema=types, orient="row")
    numbers = divided.division.number(rows)
    here = tuple(pair for pair, number in zip(due, numbers, strict=True) if number in unit.parts)
    return replace(plan, taken=replace(plan.taken, due=here))


@dataclass
class _Collected:
    """What the parts gave of one target; their rows lie on disk."""

    plan: Plan
    spilled: SpilledFrames
    parts: list[ValuesPart] = field(default_factory=list)
    nothing: pl.DataFrame | None = None
    reason: str = ""
    rows: int = 0
    older: int = 0
    late: int = 0
    future: int = 0
    first_ahead: int | None = None
    due: Due = ()
    steps: list[StepsPart] = field(default_factory=list)
    laid_out: dict[VersionId, int] = field(default_factory=dict)

    def add(self, found: Evaluated) -> None:
        values, version = found.values, self.plan.ready.target.version.id
        if self.nothing is None or (found.rows_computed and not self.rows):
            self.nothing, self.reason = values.frame.clear(), found.reason
        if not found.steps:
            keys = self.plan.ready.target.feature.entity_type.key_names
            written = self.spilled.write(values.frame, shared=[*keys, AT])
            self.parts.append(ValuesPart(written, found.comparison, outermost_rows(values.frame)))
        for part in found.steps:
            steps = part.read()
            self.steps.append(steps.spilled(self.spilled))
            self.laid_out[version] = self.laid_out.get(version, 0) + steps.laid_out
        self.rows, self.older = self.rows + found.rows_computed, self.older + found.older
        self.late += found.late
        self.future += values.future
        self.first_ahead = min((at for at in (self.first_ahead, values.due) if at is not None), default=None)
        self.due = None if self.due is None or found.due is None else (*self.due, *found.due)
        if self.due is not None and len(self.due) > MOST_DUE:
            self.due = None

    def together(self) -> Evaluated:
        assert self.nothing is not None, "there is a part"
        values = FeatureValues(self.nothing, timed=True, future=self.future, due=self.first_ahead)
        return Evaluated(
            self.plan, values, Comparison(), self.rows, self.reason, self.older, self.due, tuple(self.parts),
            tuple(self.steps), late=self.late,
        )  # fmt: skip
