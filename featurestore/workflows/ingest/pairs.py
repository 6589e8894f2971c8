"""Pairs of entity and instant: of results, due, compared and withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from featurestore.evaluation.results import KNOWN, FeatureValues
from featurestore.tables.types import INSTANT
from featurestore.workflows.ingest.taken import MOST_DUE

LOW, HIGH = "featurestore low", "featurestore high"
AT = "computed_at"
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


def undeleted(rows: pl.DataFrame, deleted: pl.DataFrame | None, time: str = AT) -> pl.DataFrame:
    """The rows that are not dated up to the deletion of their entity."""
    if deleted is None:
        return rows
    keys = [name for name in deleted.columns if name != "deleted_at"]
    joined = rows.join(deleted, on=keys, how="left", maintain_order="left")
    at, until = pl.col(time).to_physical(), pl.col("deleted_at").to_physical()
    return joined.filter(until.is_null() | (at > until)).drop("deleted_at")


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
