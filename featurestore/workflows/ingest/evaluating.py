"""The values of a run, from what is new: for scope ``row``, for scope ``entity``, and of everything.

What is evaluated gives the same history, in the same runs, as if everything were. Which pairs of entity and instant are
compared with the history, and which are withdrawn because nothing gives them any more, is said beside the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import polars as pl

from featurestore.errors import DeclarationError, FeatureError, plural
from featurestore.evaluation.evaluate import sort_rows
from featurestore.evaluation.events import THERE, Events, refuse_contradictions, sorted_rows
from featurestore.evaluation.moves import restate
from featurestore.evaluation.results import FeatureValues, Place
from featurestore.evaluation.windows import Window
from featurestore.frozen import frozen
from featurestore.model import EntityType, Problem, Source, VersionId
from featurestore.offline.contract import Part
from featurestore.offline.partitions import ALL_KEYS, KeyRange
from featurestore.parsed.rows import CONTENT, ROW
from featurestore.point_in_time.entities import format_entity
from featurestore.tables.types import INSTANT, key_types, value_type
from featurestore.times import format_instant
from featurestore.workflows.ingest.calling import Caller, Ready, Values
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.news import Looking, News, Side, TooMuchNewsError, find_news
from featurestore.workflows.ingest.pairs import (
    AT,
    FIRST,
    HIGH,
    LOW,
    Due,
    above,
    always,
    between_deletions,
    dated_between,
    due_without,
    earlier,
    join_due,
    joined,
    later,
    only,
    pairs_of,
    spanned,
    within,
    without,
)
from featurestore.workflows.ingest.plans import Plan
from featurestore.workflows.ingest.problems import window_rows_problem
from featurestore.workflows.ingest.stepping import (
    Reach,
    StepsPart,
    TooManyRowsError,
    changed_spans,
    make_steps,
    number_entities,
)
from featurestore.workflows.ingest.window_rows import count_near, rows_near

_PART = "featurestore part"


@frozen
class Comparison:
    """What of the history a run's values are compared with, beside their own pairs.

    ``pairs`` are withdrawn (keys and computed_at). Of each entity of ``spans``, from `LOW` to `HIGH`, what is held and
    was not given is withdrawn; with ``everything`` of every entity of ``key_range``. Of each entity of ``checks`` what
    is held from `LOW` to `HIGH` must be what ``expected`` has. What is dated up to ``floor`` (µs) is left as it is, and
    what is dated after ``ceiling``: rows ahead of the clock gave it, which were let in once and don't count now.
    ``departures`` are the pairs that rows left, with the known time; the values are then all that is known of their
    pairs.
    """

    pairs: pl.DataFrame | None = None
    departures: pl.DataFrame | None = None
    spans: pl.DataFrame | None = None
    everything: bool = False
    key_range: KeyRange = ALL_KEYS
    checks: pl.DataFrame | None = None
    expected: pl.DataFrame | None = None
    floor: int | None = None
    ceiling: int | None = None


@frozen
class ValuesPart:
    """Some of a target's values, on disk, and what they are compared with. No other part has one of their pairs.

    ``outermost`` are those of the first and last times among them, where they are known.
    """

    frame: Part
    comparison: Comparison
    outermost: pl.DataFrame | None = None


@frozen
class Evaluated:
    """A target's values, what they are compared with, and what it took: rows that were evaluated, and why these.

    Where there are ``parts``, all values and comparisons are in these, in order. ``late`` rows lie in frozen time.
    """

    plan: Plan
    values: FeatureValues
    comparison: Comparison
    rows_computed: int
    reason: str
    older: int = 0
    due: Due = ()
    parts: tuple[ValuesPart, ...] = ()
    steps: tuple[StepsPart, ...] = ()
    late: int = 0


@dataclass(slots=True)
class GoneRows:
    """Rows of earlier runs that are gone from files that are still there: how many, and the first."""

    entity_type: EntityType
    source: Source
    count: int = 0
    first: str = ""

    def add(self, rows: pl.DataFrame) -> None:
        if rows.height and not self.count:
            row = rows.row(0, named=True)
            entity = format_entity(self.entity_type, {name: row[name] for name in self.entity_type.key_names})
            at = format_instant(int(rows[str(self.source.event_time)].to_physical()[0]))
            self.first = f"{self.entity_type.name} {entity} at {at}"
        self.count += rows.height

    def __str__(self) -> str:
        return (
            f"{self.source.name}: files that are still there lack {plural(self.count, 'row')} of earlier runs, such as "
            f"that of {self.first}; what was made of them stays. With id in the source a row that moves takes its "
            f"values along; featurestore delete {self.entity_type.name} ID --at TIME takes values back"
        )


Finish = Callable[[Plan, FeatureValues, int], "Evaluated"]
Outcome = Evaluated | tuple[Plan, Problem]


@dataclass(slots=True)
class Evaluation:
    """Evaluates the targets of one source and one entity type, over all rows or over one of ``share`` parts of them."""

    looking: Looking
    caller: Caller
    windows: WindowSettings
    gone: dict[object, GoneRows] = field(default_factory=dict)
    share: int = 1
    _news: dict[tuple[object, ...], News] = field(default_factory=dict)

    def run(self, plans: Sequence[Plan]) -> Iterator[Outcome]:
        if not self.looking.keyed:
            for plan in plans:
                yield self._keyless(plan)
            return
        whole: dict[object, list[Plan]] = {}
        rows: dict[object, list[Plan]] = {}
        for plan in map(self._if_anything, plans):
            kind = plan.ready.scope.kind
            if plan.ready.target.feature.window is not None:
                yield self._window(plan)
            elif plan.whole is not None:
                whole.setdefault(side_key(plan.now), []).append(plan)
            elif kind == "row":
                rows.setdefault((side_key(plan.then), side_key(plan.now)), []).append(plan)
            elif kind == "source":
                yield self._nothing(plan)
            else:
                yield self._entities(plan)
        for group in whole.values():
            yield from self._whole(group)
        for group in rows.values():
            yield from self._rows(group)

    # Everything

    def _if_anything(self, plan: Plan) -> Plan:
        """A target that looks at all rows is computed as a whole where any of them is another one."""
        plan = self.widened(plan)
        if plan.whole is not None or plan.ready.scope.kind != "source":
            return plan
        if self.find_news(plan).empty and not self._due_pairs(plan).height:
            return plan
        return replace(plan, whole=plan.ready.scope.reason)

    def widened(self, plan: Plan) -> Plan:
        """A target of which what is dated before its start counts there is computed as a whole where that changed."""
        if plan.whole is not None or plan.start is None:
            return plan
        news, time = self.find_news(plan), pl.col(str(self.looking.source.event_time)).to_physical()
        near = time <= plan.start.at + (plan.lookback or 0)
        if not any(rows.filter(near).height for rows in (news.old, news.new)):
            return plan
        return replace(plan, whole="rows changed that lie before the --since of its backfill, or near it")

    def _stored(self, plan: Plan, values: FeatureValues) -> FeatureValues:
        """Of all values of some entities those that are stored."""
        return above(values, plan.floor) if plan.start is None else plan.start.of(values)

    def _whole(self, plans: Sequence[Plan]) -> Iterator[Outcome]:
        rows = self.looking.contents.rows(plans[0].now.ranks, plans[0].now.clock)
        if self.looking.identity:
            for plan in plans:
                events = self._events(pl.concat([rows, self._gone_rows(plan)]))
                yield from self._evaluate([plan], events, partial(self._finish_whole, older=events.older))
            return
        events = self.looking.count(rows)
        del rows
        yield from self._evaluate(plans, events, partial(self._finish_whole, older=events.older))

    def _finish_whole(self, plan: Plan, values: FeatureValues, height: int, *, older: int) -> Evaluated:
        comparison = Comparison(everything=True, floor=plan.floor, ceiling=plan.now.clock)
        values = values if plan.start is None else plan.start.of(values)
        if plan.ready.scope.kind == "row":
            news = None if plan.then is None else self.find_news(plan)
            older = older if news is None else news.older
            values, comparison = self._withdrawn(plan, values, news)
        reason = f"whole source: {plan.whole}"
        due = join_due((), values.ahead)
        return Evaluated(
            plan, above(values, plan.floor), comparison, height, reason, older, due, late=self._count_late(plan)
        )

    def _keyless(self, plan: Plan) -> Outcome:
        """Where the source does not say which entity a row is about, only the function knows: it sees everything."""
        looking = self.looking
        ranks = dict.fromkeys(looking.contents.there, THERE) if plan.is_slice else plan.now.ranks
        rows = looking.contents.rows(ranks, plan.now.clock)
        place = self._place(rows.select(CONTENT, ROW))
        sorted_ = sort_rows(rows.select(looking.columns), looking.entity_type, looking.source)
        sorted_ = replace(sorted_, known=looking.known, unread=tuple(looking.unread))
        ((_, values),) = self.caller.call([plan.ready], sorted_, place, share=self.share)
        if isinstance(values, Problem):
            return plan, values
        reason = plan.whole or f"it has no column {looking.entity_type.key_names[0]}"
        reason = plan.changed if plan.is_slice else f"whole source: {reason}"
        everything = plan.ready.scope.kind != "row"
        comparison = Comparison(everything=everything, floor=plan.floor, ceiling=plan.now.clock)
        due = join_due((), values.ahead)
        return Evaluated(plan, self._stored(plan, values), comparison, rows.height, reason, due=due)

    # Scope row

    def _rows(self, plans: Sequence[Plan]) -> Iterator[Outcome]:
        """The rows that are new, or others than before, and those that may have a say at their pairs."""
        news = self.find_news(plans[0])
        self._note_gone(plans[0], news)
        simple = [plan for plan in plans if self._is_simple(plan)]
        if simple and not news.new.height:
            yield from (self._nothing(plan, news) for plan in simple)
        elif simple:
            yield from self._evaluate(simple, self._events(news.new), self._finish_simple)
        for plan in plans:
            if plan not in simple:
                yield self._row(plan, news)

    def _note_gone(self, plan: Plan, news: News) -> None:
        """What scope ``row`` made of a row stays where the row is gone from a file that is still there: it is said."""
        lost = news.old.join(news.replaced, on=self.looking.key, how="anti", maintain_order="left")
        if self.looking.known is not None:  # what was known before goes where it is known otherwise
            same = self.looking.identity or self.looking.place
            if news.left is not None:
                written_over = self.looking.contents.is_in(plan.taken.replaced)
                lost = pl.concat([lost, news.left.filter(written_over)])
            lost = lost.join(news.new, on=same, how="anti", maintain_order="left")
        sides = side_key(plan.then), side_key(plan.now)
        gone = self.gone.setdefault(sides, GoneRows(self.looking.entity_type, self.looking.source))
        gone.add(lost)

    def _is_simple(self, plan: Plan) -> bool:
        """Whether each row gives one value, at its own place, where no other row has one."""
        return plan.ready.target.feature.short and self.looking.at_places and not plan.taken.due

    def _finish_simple(self, plan: Plan, values: FeatureValues, height: int) -> Evaluated:
        news = self.find_news(plan)
        return Evaluated(
            plan, above(values, plan.floor), Comparison(floor=plan.floor), height, plan.changed, news.older,
            late=self._count_late(plan),
        )  # fmt: skip

    def _row(self, plan: Plan, news: News) -> Outcome:
        """A row that was replaced takes its pairs with it; one that is no more leaves them."""
        ready, due, gone = plan.ready, self._due_pairs(plan), self._gone_rows(plan)
        come = self._of_ids(plan, news, gone) if self.looking.identity else news.new
        fresh = self._call(ready, self._events(come))
        lost = self._call(ready, self._events(news.old))
        for values in (fresh, lost):
            if isinstance(values, Problem):
                return plan, values
        assert isinstance(fresh, FeatureValues)
        assert isinstance(lost, FeatureValues)
        pairs = pl.concat([pairs_of(fresh), pairs_of(lost), due]).unique()
        if not pairs.height:
            return replace(self._nothing(plan, news), late=self._count_late(plan))
        events = self._others(plan, replace(news, new=come), fresh, lost, due)
        if gone.height:
            events = self._events(pl.concat([events.rows, gone]))
        values = self._call(ready, events)
        if isinstance(values, Problem):
            return plan, values
        values, comparison = self._withdrawn(plan, values, news)
        values = only(values, pairs)
        if comparison.departures is not None:
            departures = comparison.departures.join(pairs, on=pairs.columns, how="semi", maintain_order="left")
            comparison = replace(comparison, departures=departures)
        due_now = join_due(due_without(plan.taken.due, pairs), values.ahead)
        reason = "due" if news.empty else plan.changed
        return Evaluated(
            plan, above(values, plan.floor), comparison, events.rows.height, reason, news.older, due_now,
            late=self._count_late(plan),
        )  # fmt: skip

    def _withdrawn(self, plan: Plan, values: FeatureValues, news: News | None) -> tuple[FeatureValues, Comparison]:
        """The values, and what is withdrawn: pairs that a replaced row gave, or that a row has left as is known."""
        floor = plan.floor
        if not self.looking.identity:
            replaced = None if news is None else self._pairs(plan.ready, news.replaced)
            if replaced is not None:
                replaced = without(replaced if plan.start is None else plan.start.of_pairs(replaced), values.frame)
            return values, Comparison(pairs=replaced, floor=floor)
        replaced = None
        if news is not None and news.replaced.height:
            before = self._call(plan.ready, self._events(news.replaced))
            replaced = None if isinstance(before, Problem) else before.frame.drop("value")
        values, departures = restate(values, replaced)
        return values, Comparison(departures=departures, floor=floor)

    def _gone_rows(self, plan: Plan) -> pl.DataFrame:
        """Rows of the position that are no more, where rows may be known elsewhere later: they were known."""
        if not self.looking.identity or plan.then is None:
            return self.looking.contents.rows({}, None)
        news = self.find_news(plan)
        return news.old.join(news.new, on=self.looking.key, how="anti", maintain_order="left")

    def _of_ids(self, plan: Plan, news: News, gone: pl.DataFrame) -> pl.DataFrame:
        """All rows of the ids that have news: where a row was before, it is no more from when it is known elsewhere."""
        ids = pl.concat([rows.select(self.looking.identity) for rows in (news.old, news.new)]).unique()
        rows = self.looking.contents.rows(plan.now.ranks, plan.now.clock, matching=ids)
        return pl.concat([rows, gone])

    def _others(self, plan: Plan, news: News, fresh: FeatureValues, lost: FeatureValues, due: pl.DataFrame) -> Events:
        """All rows that may give a value at the pairs of these results, the new ones among them."""
        looking, keys = self.looking, list(self.looking.entity_type.key_names)
        changed = pl.concat([news.old.select(looking.place), news.new.select(looking.place)]).unique()
        if not due.height and self._at_own_places(news.new, fresh) and self._at_own_places(news.old, lost):
            times = changed[str(looking.source.event_time)].to_physical()
            between = int(times.min()), int(times.max())  # type: ignore[arg-type]  # of integers integers
            return looking.counting(plan.now, changed, between)
        entities = [frame.select(keys) for frame in (changed, pairs_of(fresh), pairs_of(lost), due)]
        return looking.counting(plan.now, pl.concat(entities).unique())

    def _at_own_places(self, rows: pl.DataFrame, values: FeatureValues) -> bool:
        """Whether results are dated at their rows' own event times, one a row, as far as their pairs show."""
        if values.future:
            return False
        places = self._places(rows).unique().sort(pl.all())
        return places.equals(pairs_of(values).select(places.columns).sort(pl.all()))

    # Scope entity

    def _entities(self, plan: Plan) -> Outcome:
        """The entities of the rows that changed, as they were and as they are, and as far around them as it reaches."""
        news, due = self.find_news(plan), self._due_pairs(plan)
        changed = [self._places(rows) for rows in (news.old, news.new)]
        keys = list(self.looking.entity_type.key_names)
        spans = pl.concat([*changed, due]).group_by(keys).agg(pl.col(AT).min().alias(LOW), pl.col(AT).max().alias(HIGH))
        if not spans.height:
            return self._nothing(plan, news)
        events = self._around(plan, spans)
        values = self._call(plan.ready, events, plan.deleted)
        if isinstance(values, Problem):
            return plan, values
        reach, checks, expected = plan.lookback, None, None
        compared = always(spans) if reach is None else spans.with_columns(later(pl.col(HIGH), reach))
        if reach:
            checks = spans.with_columns(earlier(pl.col(LOW), reach), earlier(pl.col(LOW), 1).alias(HIGH))
            expected = above(within(values, checks), plan.floor).frame
        values = within(values, compared)
        due_now = join_due(due_without(plan.taken.due, spanned(due, compared)), values.ahead)
        comparison = Comparison(
            spans=compared, checks=checks, expected=expected, floor=plan.floor, ceiling=plan.now.clock
        )
        reason = "due" if news.empty else plan.changed
        stored = above(values, plan.floor) if reach is not None else self._stored(plan, values)
        return Evaluated(
            plan, stored, comparison, events.rows.height, reason, news.older, due_now,
            late=self._count_late(plan),
        )  # fmt: skip

    def _count_late(self, plan: Plan) -> int:
        """The rows that came and lie where values depend on rows that are not kept any more: these values stay."""
        if plan.frozen is None or plan.then is None:
            return 0
        time = pl.col(str(self.looking.source.event_time)).to_physical()
        late = self.find_news(plan).new.filter(time <= plan.frozen)
        every = self.looking.source.duplicates == "keep"  # each is a row of its own
        return late.height if every else late.select(self.looking.key).n_unique()

    def count_around(self, plan: Plan) -> int:
        """About how many rows of the entities that have news a target of scope ``entity`` looks at."""
        contents, news = self.looking.contents, self.find_news(plan)
        assert isinstance(contents, SourceContents), "asked before anything is divided"
        keys = list(self.looking.entity_type.key_names)
        changed = pl.concat([news.old.select(keys), news.new.select(keys)]).unique()
        if not changed.height:
            return 0
        low: int | None = None
        high: int | None = None
        if plan.lookback is not None:
            event_time = str(self.looking.source.event_time)
            times = pl.concat([rows[event_time].to_physical() for rows in (news.old, news.new)])
            low = int(times.min()) - 2 * plan.lookback  # type: ignore[arg-type]  # of integers integers
            high = int(times.max()) + plan.lookback  # type: ignore[arg-type]
        frames = contents.stream(plan.now.ranks, keys, between=(low, high))
        return sum(frame.join(changed, on=keys, how="semi").height for frame in frames)

    def _around(self, plan: Plan, spans: pl.DataFrame) -> Events:
        """The rows of the spans' entities that the compared results depend on."""
        looking, keys, reach = self.looking, list(self.looking.entity_type.key_names), plan.lookback
        entities = spans.select(keys)
        if reach is None:
            return looking.counting(plan.now, entities)
        reads = spans.with_columns(earlier(pl.col(LOW), 2 * reach), later(pl.col(HIGH), reach))
        between = int(reads[LOW].to_physical().min()), int(reads[HIGH].to_physical().max())  # type: ignore[arg-type]
        events = looking.counting(plan.now, entities, between)
        time = pl.col(str(looking.source.event_time)).dt.replace_time_zone(None)
        rows = events.rows.join(reads, on=keys, how="inner", maintain_order="left")
        return replace(events, rows=rows.filter(time.is_between(pl.col(LOW), pl.col(HIGH))).drop(LOW, HIGH))

    # Windows

    def _window(self, plan: Plan) -> Outcome:
        """The entities with changed rows, and those of which something fell due; everybody where all is computed."""
        return self.window_of(plan, None if plan.whole is not None else self._window_spans(plan))

    def _window_spans(self, plan: Plan) -> pl.DataFrame:
        news, feature = self.find_news(plan), plan.ready.target.feature
        changed = [self._places(rows) for rows in (news.old, news.new)]
        return changed_spans(feature, changed, self.windows.due_of(plan))

    def window_spans(self, plan: Plan, most: int) -> list[pl.DataFrame]:
        """What a window that is not computed as a whole looks at, in parts that each depend on about ``most`` rows.

        An entity is in one of them.
        """
        contents, spans = self.looking.contents, self._window_spans(plan)
        assert isinstance(contents, SourceContents), "asked before anything is divided"
        if not spans.height or contents.count(plan.now.ranks) <= most:
            return [spans]
        window, reach = Window.of(plan.ready.target.feature), self.windows.reach_of(plan)
        counts = count_near(contents, self.looking, plan.now, window, spans, reach)
        part = pl.Series(_PART, (counts.cum_sum() - counts) // most)
        return spans.with_columns(part).partition_by(_PART, maintain_order=True, include_key=False)

    def window_of(self, plan: Plan, spans: pl.DataFrame | None) -> Outcome:
        """A window of the entities of ``spans``, or of everybody."""
        looking, ready = self.looking, plan.ready
        feature, time = ready.target.feature, str(looking.source.event_time)
        reach = self.windows.reach_of(plan)
        news = None if spans is None else self.find_news(plan)
        brought = None if news is None else self._places(news.new)
        if spans is None:
            events = looking.count(looking.contents.rows(plan.now.ranks, plan.now.clock))
        else:
            events = rows_near(looking, plan.now, Window.of(feature), spans, reach)
        if events.contradictions.height:
            problem = self.contradiction(ready, events)
            if problem is not None:
                return plan, problem
        entities = number_entities(feature, events.rows, time, plan.deleted, spans)
        rows = events.rows.select(looking.columns)
        try:
            steps = make_steps(
                feature, entities, brought, reach,
                lambda slices: self.caller.over_slices(ready, rows, slices),
                kept=self.windows.kept, most_rows=self.windows.most_rows - self.windows.laid_out_of(plan),
            )  # fmt: skip
        except TooManyRowsError as exc:
            held = self.windows.laid_out_of(plan) + exc.rows
            return plan, window_rows_problem(
                ready.target, held, self.windows.rows, self.windows.each, in_part=self.share > 1
            )
        except (FeatureError, DeclarationError) as exc:
            return plan, Problem(exc.code, exc.message, exc.where or ready.target.place, exc.hint)
        nothing = self._nothing(plan, news)
        reason = f"whole source: {plan.whole}" if plan.whole is not None else plan.changed
        if news is not None and news.empty:
            reason = "due"
        late = self._count_late(plan)
        return replace(nothing, rows_computed=events.rows.height, reason=reason, steps=(steps,), due=(), late=late)

    # What all four share

    def _nothing(self, plan: Plan, news: News | None = None) -> Evaluated:
        feature = plan.ready.target.feature
        types = {**key_types(feature.entity_type), AT: INSTANT, "value": value_type(feature.data_type)}
        values = FeatureValues(pl.DataFrame(schema=types), timed=True)
        older = 0 if news is None else news.older
        return Evaluated(plan, values, Comparison(floor=plan.floor), 0, plan.changed, older, plan.taken.due)

    def finds_news(self, plan: Plan, most: int) -> bool:
        """Whether what is new for a target can be found among so many rows."""
        try:
            self._find_news(plan, most)
        except TooMuchNewsError:
            return False
        return True

    def find_news(self, plan: Plan) -> News:
        """What is new for a target of which not everything is computed."""
        return self._find_news(plan, None)

    def _find_news(self, plan: Plan, most: int | None) -> News:
        assert plan.then is not None, "known, unless everything is computed"
        key = side_key(plan.then), side_key(plan.now)
        if key not in self._news:
            self._news.clear()  # one at a time: they may be large
            self._news[key] = find_news(self.looking, plan.then, plan.now, most)
        return self._news[key]

    def _events(self, rows: pl.DataFrame) -> Events:
        return self.looking.count(rows)

    def _evaluate(self, plans: Sequence[Plan], events: Events, finish: Finish) -> Iterator[Outcome]:
        """All of them over the same rows, in one pass where nothing contradicts anything."""
        divided = [plan for plan in plans if plan.deleted is not None]
        if divided and len(divided) < len(plans):
            yield from self._evaluate([plan for plan in plans if plan.deleted is None], events, finish)
            plans = divided
        groups = [(events.rows, list(plans))]
        if events.contradictions.height:
            problems = {id(plan): self.contradiction(plan.ready, events) for plan in plans}
            yield from ((plan, problem) for plan in plans if (problem := problems[id(plan)]) is not None)
            sound = [plan for plan in plans if problems[id(plan)] is None]
            lenient = events.with_contradictions(self.looking.key, self.looking.place)
            groups = [
                (lenient, [plan for plan in sound if plan.ready.scope.kind == "row"]),
                (events.rows, [plan for plan in sound if plan.ready.scope.kind != "row"]),
            ]
        for rows, chosen in groups:
            by_ready = {id(plan.ready): plan for plan in chosen}
            marks = divided[0].deleted if divided else None
            for ready, values in self._between_deletions([plan.ready for plan in chosen], rows, marks):
                plan = by_ready[id(ready)]
                yield (plan, values) if isinstance(values, Problem) else finish(plan, values, rows.height)

    def contradiction(self, ready: Ready, events: Events) -> Problem | None:
        """Why rows that contradict each other fail a target; None where it names none of the columns.

        Of scope ``row`` rows of one place may differ, as long as they give the same value.
        """
        named = () if ready.scope.kind == "row" else ready.target.names_among(self.looking.columns)
        try:
            looking = self.looking
            refuse_contradictions(
                events, named, looking.entity_type, looking.source, looking.contents.locate, looking.unread
            )
        except FeatureError as exc:
            return Problem(exc.code, exc.message, ready.target.place, exc.hint)
        return None

    def _call(self, ready: Ready, events: Events, deleted: pl.DataFrame | None = None) -> Values:
        rows = events.rows
        if events.contradictions.height:
            problem = self.contradiction(ready, events)
            if problem is not None:
                return problem
            if ready.scope.kind == "row":
                rows = events.with_contradictions(self.looking.key, self.looking.place)
        ((_, values),) = self._between_deletions([ready], rows, deleted)
        return values

    def _between_deletions(
        self, ready: Sequence[Ready], rows: pl.DataFrame, deleted: pl.DataFrame | None
    ) -> Iterator[tuple[Ready, Values]]:
        """Each target's values, those of entities that were deleted made of what lies between two deletions."""
        if deleted is None:
            yield from self._calls(ready, rows)
            return
        time = str(self.looking.source.event_time)
        found: dict[int, list[FeatureValues]] = {id(one): [] for one in ready}
        left = list(ready)
        for number, some in between_deletions(rows, deleted, time):
            for one, values in self._calls(left, some):
                if isinstance(values, Problem):
                    yield one, values
                    left = [each for each in left if each is not one]
                else:
                    found[id(one)].append(dated_between(values, deleted, number))
        yield from ((one, joined(found[id(one)])) for one in left)

    def _calls(self, ready: Sequence[Ready], rows: pl.DataFrame) -> Iterator[tuple[Ready, Values]]:
        if not ready:
            return
        numbers = rows.select(CONTENT, ROW)
        looking = self.looking
        sorted_ = sorted_rows(
            rows, looking.columns, looking.entity_type, looking.source, known=looking.known, unread=looking.unread,
            identity=looking.identity,
        )  # fmt: skip
        del rows
        yield from self.caller.call(ready, sorted_, self._place(numbers), share=self.share)

    def _place(self, numbers: pl.DataFrame) -> Place:
        return lambda index: self.looking.contents.locate(numbers.row(index, named=True))

    def _places(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The entity and the event time of rows, as pairs."""
        types = key_types(self.looking.entity_type)
        time = pl.col(str(self.looking.source.event_time)).dt.replace_time_zone(None).alias(AT)
        return rows.select(*(pl.col(name).cast(kind) for name, kind in types.items()), time)

    def _pairs(self, ready: Ready, rows: pl.DataFrame) -> pl.DataFrame:
        """The pairs that rows of scope ``row`` gave, each by itself."""
        if ready.target.feature.short:
            return self._places(rows).unique()
        values = self._call(ready, self._events(rows))
        return self._places(rows).clear() if isinstance(values, Problem) else pairs_of(values)

    def _due_pairs(self, plan: Plan) -> pl.DataFrame:
        """The pairs of results that were ahead of the clock and are not any more."""
        names = list(self.looking.entity_type.key_names)
        schema = {**key_types(self.looking.entity_type), AT: pl.Int64()}
        rows = [pair for pair in plan.taken.due or () if plan.now.clock is None or pair[-1] <= plan.now.clock]
        return pl.DataFrame(rows, schema=schema, orient="row").select(*names, pl.col(AT).cast(INSTANT))


@frozen
class WindowSettings:
    """What holds for all windows of a run: its clock (µs), the entities of each version of which something fell due,
    how many coming steps are kept, and how many rows windows may hold together for each of the source's ``rows``.
    ``laid_out`` are the rows that those of each version hold already in other parts.
    """

    now: int
    due: Mapping[VersionId, pl.DataFrame]
    kept: int
    each: int
    rows: int
    laid_out: Mapping[VersionId, int] = field(default_factory=dict)

    @property
    def most_rows(self) -> int:
        return self.each * self.rows

    def laid_out_of(self, plan: Plan) -> int:
        return self.laid_out.get(plan.ready.target.version.id, 0)

    def reach_of(self, plan: Plan) -> Reach:
        before = None if plan.before is None or plan.whole is not None else plan.before.horizon
        start = FIRST if plan.floor is None else plan.floor + 1
        return Reach(FIRST if before is None else before, self.now, start)

    def due_of(self, plan: Plan) -> pl.DataFrame:
        return self.due[plan.ready.target.version.id]


def side_key(side: Side | None) -> tuple[object, ...]:
    assert side is not None, "known, unless everything is computed"
    return tuple(sorted(side.ranks.items())), side.clock
