"""Pairs of entity and instant: of results, due, compared and withdrawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from featurestore.evaluation.results import KNOWN, FeatureValues
from featurestore.frozen import frozen
from featurestore.tables.types import INSTANT
from featurestore.workflows.ingest.taken import MOST_DUE

LOW, HIGH = "featurestore low", "featurestore high"
AT, DELETED = "computed_at", "deleted_at"
_ROW = "featurestore row"
FIRST, LAST = -(1 << 62), 1 << 62

Due = tuple[tuple[Any, ...], ...] | None
"""The keys and the instant (µs) of results that are ahead of the clock; None: too many to name."""


def pairs_of(values: FeatureValues) -> pl.DataFrame:
    """Of all results, those that are ahead of the clock among them."""
    pairs = values.frame.drop("value")
    if KNOWN in pairs.columns:
        pairs = pairs.drop(KNOWN).unique(maintain_order=True)
    return pairs if values.ahead is None else pl.concat([pairs, values.ahead.select(pairs.columns)])


def only(values: FeatureValues, pairs: pl.DataFrame) -> FeatureValues:
    """The results at these pairs."""

    def at(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.join(pairs, on=pairs.columns, how="semi", maintain_order="left")

    return _each(values, at)


def within(values: FeatureValues, spans: pl.DataFrame) -> FeatureValues:
    """The results of the entities of ``spans`` that are dated from `LOW` to `HIGH`."""
    return _each(values, lambda frame: spanned(frame, spans))


def spanned(pairs: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``pairs`` that lie in a span of their entity."""
    keys = [name for name in spans.columns if name not in (LOW, HIGH)]
    joined = pairs.join(spans, on=keys, how="inner", maintain_order="left")
    return joined.filter(pl.col(AT).is_between(pl.col(LOW), pl.col(HIGH))).select(pairs.columns)


def above(values: FeatureValues, floor: int | None) -> FeatureValues:
    """The results that are dated after ``floor`` (µs)."""
    if floor is None:
        return values
    return replace(values, frame=values.frame.filter(pl.col(AT).to_physical() > floor))


@frozen
class Start:
    """From when on the results of a delayed feature are stored, before the delay and after it (µs).

    What is dated before it counts at it: the last result of each entity that has none there, unless the entity was
    deleted since. ``marks`` are the deletions: keys and ``deleted_at``.
    """

    at: int
    used: int
    marks: pl.DataFrame

    def of(self, values: FeatureValues) -> FeatureValues:
        """All results of some entities as they are stored."""
        names = [name for name in values.frame.columns if name not in (AT, "value")]
        instants, deleted = pl.col(AT).to_physical(), pl.col(DELETED).to_physical()
        early = values.frame.filter(instants < self.at).sort(*names, AT).unique(names, keep="last", maintain_order=True)
        stored = values.frame.filter(instants >= self.at)
        if not early.height:
            return replace(values, frame=stored)
        gone = early.join(self.marks, on=names, how="inner").filter(deleted >= instants, deleted <= self.used)
        early = early.with_columns(pl.lit(self.at, pl.Int64).cast(INSTANT).alias(AT))
        first = early.join(gone, on=names, how="anti").join(stored, on=[*names, AT], how="anti")
        return replace(values, frame=pl.concat([first, stored]).sort(*names, AT))

    def of_pairs(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Where the results of some pairs are stored."""
        at = pl.lit(self.at, pl.Int64).cast(INSTANT)
        return pairs.with_columns(pl.max_horizontal(pl.col(AT), at)).unique(maintain_order=True)


def between_deletions(
    rows: pl.DataFrame, deleted: pl.DataFrame | None, time: str
) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows as the deletions of their entities divide them: how many of these lie at a row's time or after it.

    Those after which there is none come first; of all rows there are none of the others but for deleted entities.
    """
    number = None if deleted is None else _deletions_from(rows, deleted, time)
    if number is None:
        yield 0, rows
        return
    yield 0, rows.filter(number == 0)
    for each in sorted(number.filter(number > 0).unique().to_list()):
        yield each, rows.filter(number == each)


def dated_between(values: FeatureValues, deleted: pl.DataFrame | None, number: int) -> FeatureValues:
    """The results of rows that `between_deletions` gave under that number, without those dated in another part.

    What is dated when its entity was deleted is in none: the deletion stands there.
    """
    if deleted is None:
        return values

    def here(frame: pl.DataFrame) -> pl.DataFrame:
        found = _deletions_from(frame, deleted, AT)
        if found is None:
            return frame if number == 0 else frame.clear()
        keys = [name for name in deleted.columns if name != DELETED]
        marks = deleted.select(*keys, pl.col(DELETED).alias(AT))
        return frame.filter(found == number).join(marks, on=[*keys, AT], how="anti", maintain_order="left")

    return _each(values, here)


def _deletions_from(rows: pl.DataFrame, deleted: pl.DataFrame, time: str) -> pl.Series | None:
    """How many deletions of its entity lie at each row's time or after it; None where there are none of anybody."""
    keys = [name for name in deleted.columns if name != DELETED]
    numbered = rows.select(*keys, pl.col(time).to_physical().alias(AT)).with_row_index(_ROW)
    met = numbered.join(deleted.unique(), on=keys, how="inner").filter(pl.col(AT) <= pl.col(DELETED).to_physical())
    if not met.height:
        return None
    counts = met.group_by(_ROW).len("len")
    return numbered.join(counts, on=_ROW, how="left", maintain_order="left")["len"].fill_null(0)


def joined(parts: Sequence[FeatureValues]) -> FeatureValues:
    """The results of all parts, sorted as each of them is; no two have one at the same pair."""
    first = parts[0]
    if len(parts) == 1:
        return first
    frames = [part.frame for part in parts]
    keys = [name for name in first.frame.columns if name != "value"]
    ahead = [part.ahead for part in parts if part.ahead is not None]
    return replace(
        first,
        frame=pl.concat(frames).sort(keys),
        future=sum(part.future for part in parts),
        due=min((part.due for part in parts if part.due is not None), default=None),
        ahead=pl.concat(ahead) if ahead else None,
    )


def without(pairs: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """The pairs that are not among those of another frame."""
    return pairs.join(given, on=pairs.columns, how="anti", maintain_order="left")


def earlier(time: pl.Expr, by: int) -> pl.Expr:
    return time - pl.duration(microseconds=by)


def later(time: pl.Expr, by: int) -> pl.Expr:
    return time + pl.duration(microseconds=by)


def always(spans: pl.DataFrame) -> pl.DataFrame:
    """Spans that hold every instant."""
    return spans.with_columns(
        pl.lit(FIRST, pl.Int64).cast(INSTANT).alias(LOW), pl.lit(LAST, pl.Int64).cast(INSTANT).alias(HIGH)
    )


def join_due(left: Due, ahead: pl.DataFrame | None) -> Due:
    """What was due already, with results that turned out to be ahead of the clock."""
    if left is None or (ahead is not None and ahead.height > MOST_DUE):
        return None
    found = dict.fromkeys(left)
    if ahead is not None:
        found |= dict.fromkeys(ahead.with_columns(pl.col(AT).to_physical()).iter_rows())
    return tuple(found) if len(found) <= MOST_DUE else None


def due_without(due: Due, compared: pl.DataFrame) -> Due:
    if due is None:
        return None
    done = set(compared.with_columns(pl.col(AT).to_physical()).iter_rows())
    return tuple(pair for pair in due if pair not in done)


def first_due(due: Due, default: Sequence[int] = ()) -> int | None:
    """The first instant that is due (µs)."""
    return min([*(pair[-1] for pair in due or ()), *default], default=None)


def _each(values: FeatureValues, choose: Any) -> FeatureValues:
    ahead = None if values.ahead is None else choose(values.ahead)
    return replace(values, frame=choose(values.frame), ahead=ahead, future=0 if ahead is None else ahead.height)
