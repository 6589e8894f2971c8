"""What is known of a place after rows have left it: of rows with an ``id`` that are known elsewhere later.

At each known time a row counts where it was known last. So what a pair of entity and instant holds changes where a row
arrives, which is a value of its own, and where one leaves: then the row that was known last of those that are still
there answers again, and where none is there the pair is withdrawn.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from featurestore.evaluation.results import IDENTITY, KNOWN, FeatureValues
from featurestore.evaluation.superseded import UPDATED

_UNTIL, _PAIR, _ROW = "known until", "pair", "row"


def restate(values: FeatureValues, replaced: pl.DataFrame | None) -> tuple[FeatureValues, pl.DataFrame | None]:
    """The values with those that answer again, and the pairs that are withdrawn, each with its known time: all that is
    known of their pairs. None for the latter where rows can't move.

    ``values`` are of all rows of each id that has one at a pair in question. ``replaced`` are pairs with the known
    times at which a row stood there that is another one now.
    """
    every = values.every
    if every is None:
        return values, None
    pair = [name for name in every.columns if name not in (IDENTITY, KNOWN, UPDATED, "value")]
    every = _with_ends(every)
    instants = _departures(every, pair)
    if replaced is not None:
        instants = pl.concat([instants, replaced.select(instants.columns)])
    instants = instants.unique().join(every, on=[*pair, KNOWN], how="anti")
    if values.ahead is not None:  # said when its time has come
        instants = instants.join(values.ahead, on=pair, how="anti")
    instants = instants.sort(*pair, KNOWN)
    answering = pl.Series(_ROW, list(_answers(every, instants, pair)), pl.Int64)
    again = instants.with_columns(answering).drop_nulls(_ROW)
    again = again.with_columns(every["value"].gather(again[_ROW])).select(values.frame.columns)
    frame = pl.concat([values.frame, again]).sort(*pair, KNOWN) if again.height else values.frame
    return replace(values, frame=frame), instants.filter(answering.is_null())


def _with_ends(every: pl.DataFrame) -> pl.DataFrame:
    """Each row with the time at which its id is known again: until then it counts."""
    known = every.select(IDENTITY, KNOWN).unique().sort(IDENTITY, KNOWN)
    known = known.with_columns(pl.col(KNOWN).shift(-1).over(IDENTITY).alias(_UNTIL))
    return every.join(known, on=[IDENTITY, KNOWN], how="left", maintain_order="left")


def _departures(every: pl.DataFrame, pair: list[str]) -> pl.DataFrame:
    """Where and when a row is known elsewhere."""
    there = every.select(IDENTITY, *pair, pl.col(KNOWN).alias(_UNTIL))
    left = every.filter(pl.col(_UNTIL).is_not_null()).join(there, on=there.columns, how="anti")
    return left.select(*pair, pl.col(_UNTIL).alias(KNOWN))


def _answers(every: pl.DataFrame, instants: pl.DataFrame, pair: list[str]) -> Iterator[int | None]:
    """For each of the instants, sorted, the number of the row that answers there: the last known that still counts."""
    pairs = instants.select(pair).unique(maintain_order=True).with_row_index(_PAIR)
    asked = instants.join(pairs, on=pair, how="left", maintain_order="left").select(_PAIR, pl.col(KNOWN).to_physical())
    order = [KNOWN, *([UPDATED] if UPDATED in every.columns else [])]
    rows = every.with_row_index(_ROW).join(pairs, on=pair).sort(_PAIR, *order, maintain_order=True)
    arrivals = rows.select(_PAIR, pl.col(KNOWN).to_physical(), pl.col(_UNTIL).to_physical(), _ROW).iter_rows()
    arrival = next(arrivals, None)
    here, standing = -1, list[tuple[int, int | None, int]]()
    number = 0
    for place, instant in asked.iter_rows():
        if place != here:
            here, standing = place, []
        while arrival is not None and arrival[:2] <= (place, instant):
            if arrival[0] == place:
                number -= 1  # the last known first
                heapq.heappush(standing, (number, arrival[2], arrival[3]))
            arrival = next(arrivals, None)
        while standing and (until := standing[0][1]) is not None and until <= instant:
            heapq.heappop(standing)
        yield standing[0][2] if standing else None
