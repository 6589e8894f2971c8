"""The value of an expression over a window of rows, at any instants.

A row enters at its event time plus the delay and leaves a window's width later, both moved up to the grid. Of one
entity both rise with the event time, so the rows in the window at any instant are a slice of its rows in their order.
From a deletion at T on, rows with event times up to T are in no window.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.errors import DeclarationError
from featurestore.evaluation.declared_type import cast_value
from featurestore.frozen import frozen
from featurestore.model import Feature
from featurestore.tables.searching import NONE, Integers, last_at_or_before
from featurestore.tables.types import value_type

LAID_OUT = 500_000  # rows that are laid out at once
_KEY = "featurestore window"


@frozen
class Window:
    """A feature's window: its width, delay and grid (µs)."""

    width: int
    delay: int
    every: int

    @classmethod
    def of(cls, feature: Feature) -> Window:
        assert feature.window is not None, "only of a feature with a window"
        return cls(feature.window, feature.delay or 0, feature.every or 1)

    def enters(self, times: Integers) -> Integers:
        """When rows with these event times begin to count."""
        return self._grid(times + self.delay)

    def leaves(self, times: Integers) -> Integers:
        """When rows with these event times count no more."""
        return self._grid(times + (self.delay + self.width))

    def before(self, instants: Integers) -> Integers:
        """The event times up to which rows have left by these instants."""
        return instants - (self.delay + self.width + self.every)

    def _grid(self, instants: Integers) -> Integers:
        return -(-instants // self.every) * self.every


@frozen
class Groups:
    """Instants of entities, entity by entity, sorted within each: those of entity i from ``offsets[i]`` on."""

    offsets: Integers
    instants: Integers

    @classmethod
    def of(cls, numbers: Integers, instants: Integers, count: int) -> Groups:
        """``numbers`` are those of the entities, 0 to ``count`` - 1, in any order."""
        order = np.lexsort((instants, numbers))
        sizes = np.bincount(numbers, minlength=count) if len(numbers) else np.zeros(count, dtype=np.int64)
        return cls(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), instants[order])

    @classmethod
    def merged(cls, one: Groups, other: Groups) -> Groups:
        """The instants of both. To merge what is sorted takes a fraction of the time of sorting it."""
        if not (len(one.instants) and len(other.instants)):
            return one if len(one.instants) else other
        offsets = one.offsets + other.offsets
        instants = np.empty(offsets[-1], dtype=np.int64)
        before = other.counted(one.entities, one.instants - 1)
        instants[np.arange(len(one.instants)) + before] = one.instants
        instants[np.arange(len(other.instants)) + one.counted(other.entities, other.instants)] = other.instants
        return cls(offsets, instants)

    @property
    def entities(self) -> Integers:
        """The number of each instant's entity."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def only(self, chosen: NDArray[np.bool_]) -> Groups:
        """Some of the instants."""
        kept = np.concatenate([[0], np.cumsum(chosen)]).astype(np.int64)
        return Groups(kept[self.offsets], self.instants[chosen])

    def unique(self) -> Groups:
        """Each instant of an entity once."""
        is_new = np.ones(len(self.instants), dtype=np.bool_)
        is_new[1:] = np.diff(self.instants) != 0
        is_new[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        return self.only(is_new)

    def has(self, entities: Integers, instants: Integers) -> NDArray[np.bool_]:
        """Whether an entity has an instant, for many pairs of both."""
        if not len(self.instants):
            return np.zeros(len(entities), dtype=np.bool_)
        found = self.last(entities, instants)
        is_there: NDArray[np.bool_] = (found != NONE) & (self.instants[found] == instants)
        return is_there

    def counted(self, entities: Integers, instants: Integers) -> Integers:
        """How many instants of each entity lie up to an instant, with all those of the entities before it."""
        found = self.last(entities, instants)
        return np.where(found == NONE, self.offsets[entities], found + 1)

    def last(self, entities: Integers, instants: Integers) -> Integers:
        """The position of each entity's last instant up to an instant; `NONE` where it has none."""
        starts = self.offsets[entities]
        return last_at_or_before(self.instants, starts, self.offsets[entities + 1] - starts, instants)


@frozen
class Slices:
    """What is in the window at some points: rows from ``low`` up to ``high``, which is not among them.

    ``missing`` are the points at which no row of the entity has entered since it began or was deleted.
    """

    low: Integers
    high: Integers
    missing: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """How many rows they have together, those of equal neighbours counted once."""
        return int((self.high - self.low)[_distinct(self)].sum())


@frozen
class WindowRows:
    """The accepted rows of entities with a window over them.

    ``times`` are the rows' event times, entity by entity, sorted; ``deleted`` are the entities' deletions.
    """

    window: Window
    times: Groups
    deleted: Groups

    def slices(self, entities: Integers, instants: Integers) -> Slices:
        """What is in the window of an entity at an instant, for many pairs of both."""
        times, start = self.times, self.times.offsets[entities]
        size = times.offsets[entities + 1] - start

        def after(moments: Integers, instants: Integers) -> Integers:
            found = last_at_or_before(moments, start, size, instants)
            return np.where(found == NONE, start, found + 1)

        high = after(self.window.enters(times.instants), instants)
        low = after(self.window.leaves(times.instants), instants)
        alive = start
        if len(self.deleted.instants):
            deletion = self.deleted.last(entities, instants)
            alive = np.where(deletion == NONE, start, after(times.instants, self.deleted.instants[deletion]))
        return Slices(np.minimum(np.maximum(low, alive), high), high, high <= alive)


def _distinct(slices: Slices) -> NDArray[np.bool_]:
    """The points whose slice is not that of the point before."""
    if not len(slices.low):
        return np.zeros(0, dtype=np.bool_)
    differs = (np.diff(slices.low) != 0) | (np.diff(slices.high) != 0)
    return np.concatenate([[True], differs])


def evaluate(feature: Feature, expression: pl.Expr, rows: pl.DataFrame, slices: Slices) -> pl.Series:
    """The value of an expression over each slice of some rows, in the type that the feature declares.

    Raises FeatureError, and DeclarationError for an expression that gives more than one value.
    """
    names = list(dict.fromkeys(expression.meta.root_names()))
    frame = rows.select(names) if names and not expression.meta.has_multiple_outputs() else rows
    distinct = np.flatnonzero(_distinct(slices))
    low, high = slices.low[distinct], slices.high[distinct]
    filled = np.flatnonzero(high > low)
    parts = [_one(feature, expression, frame)]
    parts += _of_slices(feature, expression, frame, low[filled], high[filled])
    values = pl.concat([cast_value(part, feature.data_type) for part in parts])
    place = np.zeros(len(distinct), dtype=np.int64)  # the first value is that of no rows
    place[filled] = np.arange(1, len(filled) + 1)
    ordinal = np.cumsum(_distinct(slices)) - 1
    return values.gather(pl.Series(place[ordinal], dtype=pl.Int64))


def _one(feature: Feature, expression: pl.Expr, frame: pl.DataFrame) -> pl.Series:
    """The value over no rows. Raises DeclarationError for an expression that gives a value for each row."""
    nothing = frame.clear().select(expression.alias("value"))["value"]
    several = frame.head(3).select(expression.alias("value"))["value"] if frame.height > 1 else nothing
    if len(several) > 1 or len(nothing) > 1:
        raise _not_aggregated(feature)
    if not len(nothing):
        return pl.Series("value", [None], value_type(feature.data_type))
    return nothing


def _not_aggregated(feature: Feature) -> DeclarationError:
    return DeclarationError(
        f"{feature.function}() gives a value for each row, and a window has one for all of its rows",
        where=feature.place,
        hint='aggregate, as pl.col("amount").sum(), or leave out window=',
    )


def _of_slices(
    feature: Feature, expression: pl.Expr, frame: pl.DataFrame, low: Integers, high: Integers
) -> Iterator[pl.Series]:
    """The values over slices that have rows, some slices at a time: so many rows are laid out together."""
    ends = np.cumsum(high - low)
    begin = 0
    while begin < len(low):
        done = int(ends[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(ends, done + LAID_OUT, side="right")), begin + 1)
        yield _laid_out(feature, expression, frame, low[begin:end], high[begin:end])
        begin = end


def _laid_out(feature: Feature, expression: pl.Expr, frame: pl.DataFrame, low: Integers, high: Integers) -> pl.Series:
    """The values over a few slices, whose rows are laid out one after another.

    Polars gives other bits for one group than for several, and for a key that it does not know to be sorted.
    """
    count = len(low)
    if count == 1:  # two padding rows make another group
        low, high = np.append(low, low), np.append(high, low + 1)
    sizes = high - low
    firsts = np.repeat(low - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    index = firsts + np.arange(len(firsts), dtype=np.int64)
    keys = np.repeat(np.arange(len(low), dtype=np.uint32), sizes)
    if count == 1:
        index, keys = np.append(index, index[-1]), np.append(keys, keys[-1])
    laid_out = frame[pl.Series(index, dtype=pl.Int64)] if frame.width else pl.DataFrame()
    laid_out = laid_out.with_columns(pl.Series(_KEY, keys).set_sorted())
    grouped = laid_out.group_by(_KEY, maintain_order=True).agg(expression.alias("value"))
    values = grouped["value"]
    if isinstance(values.dtype, pl.List) and feature.data_type.kind != "list[float]":
        raise _not_aggregated(feature)
    return values.head(count)
