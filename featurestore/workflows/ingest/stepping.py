"""The steps of windows: at which instants a window's value is looked at, what it is there, and what comes next.

A value changes only where a row enters or leaves, or the entity is deleted. Of an entity with changed rows the run
looks at every such instant from the first to the next enter after the last of them, and of each entity that it looks
at, at all since the horizon of the run before. Whatever is ahead of the clock becomes the entity's coming steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.evaluation.windows import Groups, Slices, Window, WindowRows
from featurestore.frozen import frozen
from featurestore.model import Feature
from featurestore.offline.contract import TOMBSTONE, UNTIL, VALUE
from featurestore.offline.partitions import ALL_KEYS, KeyRange
from featurestore.tables.searching import Integers
from featurestore.tables.temporary import SpilledFrame, SpilledFrames
from featurestore.tables.types import INSTANT, key_types, value_type
from featurestore.times import MAX_INSTANT
from featurestore.workflows.ingest.pairs import AT, FIRST, HIGH, LAST, LOW

WRITTEN, OWN = "featurestore written", "featurestore own"
_NUMBER = "featurestore entity"

Evaluate = Callable[[Slices], pl.Series]
"""The value of each slice of the rows that were given. May raise what a user's code raises."""


@frozen
class Reach:
    """From when to when a run looks at windows (µs).

    Values are known up to ``before`` by the last run (`FIRST`: by none), and to be known up to ``horizon``; what is
    dated before ``start`` stays as it is.
    """

    before: int
    horizon: int
    start: int = FIRST


@frozen
class Steps:
    """What windows are, as a run found them: frames of keys, `AT`, op and value.

    ``points`` are the value at some instants up to the horizon, sorted; `WRITTEN` are those that the history must have,
    and `OWN` those at which a row entered that the run brought. Of each entity of ``spans`` the history is compared
    from `LOW` to `HIGH`, and since the last run; of everybody in ``key_range`` where there are none. ``ahead`` are the
    coming steps. Together ``laid_out`` rows are in the windows.
    """

    points: pl.DataFrame
    ahead: pl.DataFrame
    spans: pl.DataFrame | None
    reach: Reach
    laid_out: int = 0
    key_range: KeyRange = ALL_KEYS

    @property
    def values(self) -> pl.DataFrame:
        """Keys, `AT` and value where there is one."""
        wanted = self.points.filter(pl.col(WRITTEN), pl.col("op") == VALUE)
        return wanted.drop(WRITTEN, OWN, "op")

    @property
    def height(self) -> int:
        """How many values it has."""
        return self.points.filter(pl.col(WRITTEN), pl.col("op") == VALUE).height

    def read(self) -> Steps:
        return self

    def spilled(self, frames: SpilledFrames) -> SpilledSteps:
        """The same, on disk."""
        rest = replace(self, points=self.points.clear(), ahead=self.ahead.clear())
        return SpilledSteps(frames.write(self.points), frames.write(self.ahead), self.height, rest)


@frozen
class SpilledSteps:
    """`Steps` of which points and coming steps lie in a temporary file; ``rest`` has all else."""

    points: SpilledFrame
    ahead: SpilledFrame
    height: int
    rest: Steps

    @property
    def reach(self) -> Reach:
        return self.rest.reach

    def read(self) -> Steps:
        return replace(self.rest, points=self.points.read(), ahead=self.ahead.read())


class StepsPart(Protocol):
    """The steps of some entities: those of others are in other parts."""

    @property
    def reach(self) -> Reach: ...

    @property
    def height(self) -> int: ...

    def read(self) -> Steps: ...


@frozen
class Entities:
    """The entities of a run by their numbers, with their rows, and the stretches in which something changed (µs)."""

    keys: pl.DataFrame
    rows: WindowRows
    first: Integers
    last: Integers

    @property
    def count(self) -> int:
        return self.keys.height


class TooManyRowsError(Exception):
    """Windows hold more rows together than are allowed: so many."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


def changed_spans(feature: Feature, changed: Sequence[pl.DataFrame], due: pl.DataFrame) -> pl.DataFrame:
    """From when to when rows count that changed (keys and `AT`, their event times), by entity: `LOW` and `HIGH` (µs).

    Of an entity of which something is only ``due`` nothing has changed.
    """
    names, window = list(key_types(feature.entity_type)), Window.of(feature)
    times = pl.concat(changed)
    instants = times[AT].to_physical().to_numpy()
    stretches = times.select(*names, pl.Series(LOW, window.enters(instants)), pl.Series(HIGH, window.leaves(instants)))
    waiting = due.select(*names, pl.lit(LAST, pl.Int64).alias(LOW), pl.lit(FIRST, pl.Int64).alias(HIGH))
    return pl.concat([stretches, waiting]).group_by(names).agg(pl.col(LOW).min(), pl.col(HIGH).max())


def number_entities(
    feature: Feature, rows: pl.DataFrame, time: str, deleted: pl.DataFrame | None, spans: pl.DataFrame | None
) -> Entities:
    """``rows`` are sorted by entity and event time; ``spans`` have the stretches of entities, some without rows.

    Without spans everything of everybody has changed.
    """
    types = key_types(feature.entity_type)
    names = list(types)
    mine = rows.select(pl.col(name).cast(kind) for name, kind in types.items())
    keys = mine.unique(maintain_order=True)
    if spans is not None:
        keys = pl.concat([keys, spans.select(names).join(keys, on=names, how="anti")])
    numbered = keys.with_row_index(_NUMBER)

    def numbers(frame: pl.DataFrame) -> tuple[Integers, pl.DataFrame]:
        found = frame.join(numbered, on=names, how="inner", maintain_order="left")
        return found[_NUMBER].to_numpy().astype(np.int64), found

    starts = np.bincount(numbers(mine)[0], minlength=keys.height).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(starts)]).astype(np.int64)
    times = Groups(offsets, rows[time].to_physical().to_numpy().astype(np.int64))
    marks = mine.clear().with_columns(deleted_at=pl.lit(0).cast(INSTANT)) if deleted is None else deleted
    whose, marks = numbers(marks)
    deletions = Groups.of(whose, marks["deleted_at"].to_physical().to_numpy().astype(np.int64), keys.height)
    if spans is None:
        first = np.full(keys.height, FIRST, dtype=np.int64)
        last = np.full(keys.height, LAST, dtype=np.int64)
    else:
        first, last = (keys.join(spans, on=names, how="left", maintain_order="left")[name].to_numpy()
                       for name in (LOW, HIGH))  # fmt: skip
    return Entities(keys, WindowRows(Window.of(feature), times, deletions), first, last)


def make_steps(
    feature: Feature,
    entities: Entities,
    brought: pl.DataFrame | None,
    reach: Reach,
    evaluate: Evaluate,
    *,
    kept: int,
    most_rows: int,
) -> Steps:
    """``brought`` are the keys and event times (`AT`) of the rows that the run brought; None: of all rows.

    ``kept`` is how many coming steps an entity has. Raises TooManyRowsError where more than ``most_rows`` rows would
    be laid out.
    """
    instants = _instants(entities)
    points = _points(entities, instants, reach)
    slices = entities.rows.slices(_numbers(points), _times(points))
    if slices.rows > most_rows:
        raise TooManyRowsError(slices.rows)
    valued = _valued(points, slices, evaluate(slices), feature)
    ahead = _ahead(feature, entities, instants, reach.horizon, evaluate, kept)
    everybody = bool((entities.first == FIRST).all()) and brought is None
    return Steps(
        points=_with_keys(entities, valued.with_columns(pl.Series(OWN, _own(entities, valued, brought)))),
        ahead=_with_keys(entities, ahead),
        spans=None if everybody else _spans(entities, reach),
        reach=reach,
        laid_out=slices.rows,
    )


def _numbers(points: pl.DataFrame) -> Integers:
    return points[_NUMBER].to_numpy()


def _times(points: pl.DataFrame) -> Integers:
    return points[AT].to_numpy()


def _instants(entities: Entities) -> pl.DataFrame:
    """All instants at which a value may change: of each entity, sorted, each once."""
    rows = entities.rows
    window, times = rows.window, rows.times
    enters = Groups(times.offsets, window.enters(times.instants))
    leaves = Groups(times.offsets, window.leaves(times.instants))
    found = Groups.merged(Groups.merged(enters, leaves), rows.deleted).unique()
    return pl.DataFrame({_NUMBER: found.entities, AT: found.instants})


def _limits(entities: Entities) -> Integers:
    """The first enter after the last change of each entity, which may have become its first event."""
    times = entities.rows.times
    enters = Groups(times.offsets, entities.rows.window.enters(times.instants))
    everyone = np.arange(entities.count)
    found = enters.last(everyone, entities.last)
    after = np.where(found < 0, times.offsets[:-1], found + 1)
    none = after >= times.offsets[1:]
    if not len(enters.instants):
        return np.full(entities.count, LAST, dtype=np.int64)
    return np.where(none, LAST, enters.instants[np.minimum(after, len(enters.instants) - 1)])


def _points(entities: Entities, instants: pl.DataFrame, reach: Reach) -> pl.DataFrame:
    """The instants up to the horizon to look at: those that the history must have, and what they stand on."""
    lower, limit = np.maximum(entities.first, reach.start), _limits(entities)
    numbers, at = _numbers(instants), _times(instants)
    changed = (at >= lower[numbers]) & (at <= limit[numbers])
    wanted = (at >= reach.start) & (at <= reach.horizon) & (changed | (at > reach.before))
    everyone = np.arange(entities.count)
    begins = everyone[(lower > FIRST) & (lower <= reach.horizon)]
    bases = sorted({reach.before, reach.horizon} - {FIRST})
    steps = Groups(np.searchsorted(numbers, np.arange(entities.count + 1)), at).only(wanted)
    steps = Groups.merged(steps, Groups.of(begins, lower[begins], entities.count)).unique()
    stood_on = Groups.of(np.repeat(everyone, len(bases)), np.tile(bases, entities.count), entities.count)
    points = Groups.merged(steps, stood_on).unique()
    who, when = points.entities, points.instants
    return pl.DataFrame({_NUMBER: who, AT: when, WRITTEN: steps.has(who, when)})


def _valued(points: pl.DataFrame, slices: Slices, values: pl.Series, feature: Feature) -> pl.DataFrame:
    missing = pl.Series(slices.missing)
    nothing = pl.lit(None, value_type(feature.data_type))
    return points.with_columns(
        pl.when(missing).then(TOMBSTONE).otherwise(VALUE).cast(pl.Int8).alias("op"),
        pl.when(missing).then(nothing).otherwise(values).alias("value"),
    )


def changes() -> pl.Expr:
    """Whether op or value is not that of the row before."""
    return pl.col("op").ne_missing(pl.col("op").shift()) | pl.col("value").ne_missing(pl.col("value").shift())


def _ahead(
    feature: Feature, entities: Entities, instants: pl.DataFrame, horizon: int, evaluate: Evaluate, kept: int
) -> pl.DataFrame:
    """The next steps of each entity after the horizon, and the instant of the one after them."""
    ahead = instants.filter(pl.col(AT) > horizon)
    ahead = ahead.with_columns(pl.int_range(pl.len()).over(_NUMBER).alias("rank"))
    base = pl.DataFrame({_NUMBER: np.arange(entities.count), AT: np.full(entities.count, horizon)}).with_columns(
        pl.lit(-1, pl.Int64).alias("rank")
    )
    depth, done = 2 * kept + 2, []
    while ahead.height:  # mostly once: a value that changes seldom is looked at further and further
        some = ahead.filter(pl.col("rank") < depth)
        some = pl.concat([base.join(some, on=_NUMBER, how="semi"), some]).sort(_NUMBER, "rank")
        slices = entities.rows.slices(_numbers(some), _times(some))
        valued = _valued(some, slices, evaluate(slices), feature)
        changed = valued.filter(changes() & (pl.col("rank") >= 0))
        enough = changed.group_by(_NUMBER).len().filter(pl.col("len") > kept).select(_NUMBER)
        further = ahead.filter(pl.col("rank") >= depth).select(_NUMBER).unique().join(enough, on=_NUMBER, how="anti")
        done.append(changed.join(further, on=_NUMBER, how="anti", maintain_order="left"))
        ahead = ahead.join(further, on=_NUMBER, how="semi", maintain_order="left")
        depth *= 4
    if not done:
        return _valued(base.clear(), Slices(*(np.zeros(0, dtype=np.int64),) * 2, np.zeros(0, dtype=np.bool_)),
                       pl.Series([], dtype=value_type(feature.data_type)), feature).drop("rank")  # fmt: skip
    steps = pl.concat(done).with_columns(pl.int_range(pl.len()).over(_NUMBER).alias("rank"))
    next_ones = steps.filter(pl.col("rank") == kept).select(_NUMBER, AT)
    marks = steps.select(_NUMBER).unique().join(next_ones, on=_NUMBER, how="left")
    marks = marks.with_columns(
        pl.col(AT).fill_null(MAX_INSTANT),
        pl.lit(UNTIL, pl.Int8).alias("op"),
        pl.lit(None, value_type(feature.data_type)).alias("value"),
    )
    return pl.concat([steps.filter(pl.col("rank") < kept).drop("rank"), marks]).sort(_NUMBER, AT)


def _with_keys(entities: Entities, frame: pl.DataFrame) -> pl.DataFrame:
    """The entities' keys in place of their numbers, and instants as histories have them."""
    keys = entities.keys[frame[_NUMBER]] if frame.height else entities.keys.clear()
    return pl.concat([keys, frame.drop(_NUMBER).with_columns(pl.col(AT).cast(INSTANT))], how="horizontal")


def _own(entities: Entities, points: pl.DataFrame, brought: pl.DataFrame | None) -> NDArray[np.bool_]:
    """At which points a row entered that this run brought."""
    window, times = entities.rows.window, entities.rows.times
    if brought is None:
        entered = Groups(times.offsets, window.enters(times.instants))
    else:
        names = entities.keys.columns
        found = brought.join(entities.keys.with_row_index(_NUMBER), on=names, how="inner")
        numbers = found[_NUMBER].to_numpy().astype(np.int64)
        entered = Groups.of(numbers, window.enters(found[AT].to_physical().to_numpy()), entities.count)
    return entered.has(_numbers(points), _times(points))


def _spans(entities: Entities, reach: Reach) -> pl.DataFrame:
    lower, limit = np.maximum(entities.first, reach.start), _limits(entities)
    return entities.keys.with_columns(
        pl.Series(LOW, lower).cast(INSTANT), pl.Series(HIGH, np.minimum(limit, LAST)).cast(INSTANT)
    )
