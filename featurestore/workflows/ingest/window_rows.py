"""The rows that windows need of entities with news: those near it, however long the history is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from featurestore.evaluation.events import Events
from featurestore.evaluation.windows import Window
from featurestore.workflows.ingest.contents import SourceContents
from featurestore.workflows.ingest.news import SINCE, Looking, Side
from featurestore.workflows.ingest.pairs import LOW
from featurestore.workflows.ingest.stepping import Reach

_FIRST = "featurestore first"
SHARES = (16, 4, 1)  # of all time that came before, in which an entity's last row is looked for


def count_near(
    contents: SourceContents, looking: Looking, side: Side, window: Window, spans: pl.DataFrame, reach: Reach
) -> pl.Series:
    """About how many rows `rows_near` reads of each entity of ``spans``."""
    keys, time = list(looking.entity_type.key_names), str(looking.source.event_time)
    bounds = _bounds(looking, window, spans, reach).drop(_FIRST)
    low = int(bounds[SINCE].min())  # type: ignore[arg-type]  # of integers an integer
    counts = [bounds.select(*keys, pl.lit(0, pl.UInt32).alias("len"))]
    for frame in contents.stream(side.ranks, [*keys, time], between=(low, None)):
        near = frame.join(bounds, on=keys, how="inner").filter(pl.col(time).to_physical() > pl.col(SINCE))
        counts = [
            pl.concat([*counts, near.group_by(keys).len()]).group_by(keys, maintain_order=True).agg(pl.col("len").sum())
        ]
    return bounds.join(counts[0], on=keys, how="left", maintain_order="left")["len"].cast(pl.Int64)


def _bounds(looking: Looking, window: Window, spans: pl.DataFrame, reach: Reach) -> pl.DataFrame:
    """Of each entity the first instant that is looked at, and up to which event time rows have left by then (µs)."""
    first = np.minimum(np.maximum(spans[LOW].to_numpy(), reach.start), reach.before)
    keys = looking.entity_type.key_names
    return spans.select(*keys, pl.Series(SINCE, window.before(first)), pl.Series(_FIRST, first))


def rows_near(looking: Looking, side: Side, window: Window, spans: pl.DataFrame, reach: Reach) -> Events:
    """The rows that count of the entities of ``spans``, as far back as a window reaches that the run looks at.

    Where none of them has entered by the first instant that is looked at, the last row before them is among them: it
    tells an empty window from an entity that has not begun.
    """
    keys = looking.entity_type.key_names
    bounds = _bounds(looking, window, spans, reach)
    near = looking.counting_since(side, bounds.drop(_FIRST))
    time = str(looking.source.event_time)
    enters = window.enters(near.rows[time].to_physical().to_numpy().astype(np.int64))
    placed = near.rows.select(*keys, pl.Series(_FIRST, enters))
    begun = placed.join(bounds, on=keys, how="inner", suffix=" looked at")
    begun = begun.filter(pl.col(_FIRST) <= pl.col(f"{_FIRST} looked at")).select(keys).unique()
    unsure = bounds.join(begun, on=keys, how="anti")
    if not unsure.height:
        return near
    found, contradictions = [near.rows], near.contradictions
    for low, high in _backwards(looking, side, int(unsure[SINCE].max())):  # type: ignore[arg-type]  # of integers
        older = looking.counting(side, unsure.select(keys), (low, high))
        rows = older.rows.join(unsure, on=keys, how="inner", maintain_order="left")
        rows = rows.filter(pl.col(time).to_physical().is_between(low, pl.min_horizontal(pl.col(SINCE), high)))
        last = rows.select(near.rows.columns).unique(keys, keep="last", maintain_order=True)
        found.append(last)
        contradictions = contradictions if contradictions.height else older.contradictions
        unsure = unsure.join(last, on=keys, how="anti")
        if not unsure.height:
            break
    rows = pl.concat(reversed(found)).sort(keys, maintain_order=True)
    return replace(near, rows=rows, contradictions=contradictions)


def _backwards(looking: Looking, side: Side, last: int) -> Iterator[tuple[int, int]]:
    """Stretches of time (µs, both included) up to an instant, the latest first: most of what is looked for is near."""
    lowest, high = looking.contents.lowest(side.ranks), last
    if lowest is None or lowest > last:
        return
    for share in SHARES:
        low = last - (last - lowest) // share
        if low <= high:
            yield low, high
        high = low - 1
