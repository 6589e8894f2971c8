"""Packing values with their coming steps by column (see `online.format`)."""

from __future__ import annotations

import numpy as np
import polars as pl

from featurestore.model import StoredVersion
from featurestore.online import format as layout
from featurestore.online.packing import binary, fill_headers, joined, matrix, ops_of, pack_column, payloads
from featurestore.times import MAX_INSTANT

# The columns of coming steps, beside those of a row of history: what comes next of its entity, and until when (null:
# for ever) that is known. Entities without coming steps have no list.
UNTIL, STEPS_AT, STEPS = "until", "steps_at", "steps"
_FIXED = [
    ("high", ">u8"), ("middle", ">u2"), ("low", "u1"), ("sha", "V6"), ("until", ">i8"), ("count", ">u2"),
]  # fmt: skip
_HEAD = [("at", ">i8"), ("end", ">u4")]


def pack_rows(version: StoredVersion, frame: pl.DataFrame) -> pl.Series:
    """The packed value of each row, as Binary; of a version with steps with those that are coming.

    ``frame`` has computed_at, run_seq, op and value, and of a version with steps also `UNTIL`, `STEPS_AT` and `STEPS`.
    Raises StoreError for a time or a run_seq outside the format's range.
    """
    if not version.steps:
        return pack_column(version, frame)
    has_list = frame[STEPS_AT].is_not_null()
    listed = _pack_lists(version, frame.filter(has_list))
    if len(listed) == frame.height:
        return listed
    plain = pack_column(version, frame.filter(~has_list))
    places = np.argsort(np.concatenate([np.flatnonzero(~has_list), np.flatnonzero(has_list)]))
    return pl.concat([plain, listed]).gather(places)


def _pack_lists(version: StoredVersion, frame: pl.DataFrame) -> pl.Series:
    """Rows that all have a list, which may be empty."""
    counts = frame[STEPS_AT].list.len().to_numpy().astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts + 1)])  # of each row's heads among those of all
    own = starts[:-1]
    values, at, op = _entries(version, frame, own, starts[-1])
    places, data = payloads(values, version.data_type.kind, op != layout.VALUE)
    heads = np.empty(starts[-1], _HEAD)
    heads["at"] = at
    ends = places[1:] - np.repeat(places[own], counts + 1)
    heads["end"] = ends.astype(np.uint32) << np.uint32(2) | op
    rows = np.empty(frame.height, _FIXED)
    fill_headers(rows, version, frame, np.full(frame.height, layout.STEPS, np.uint32))
    until = frame[UNTIL].to_physical()
    rows["until"] = until.fill_null(layout.FOR_EVER).to_numpy()
    rows["count"] = counts
    fixed = binary(np.arange(frame.height + 1) * rows.dtype.itemsize, matrix(rows))
    return joined(fixed, binary(starts * heads.dtype.itemsize, matrix(heads)), binary(places[starts], data))


def _entries(
    version: StoredVersion, frame: pl.DataFrame, own: np.ndarray, height: int
) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """Each row's value and then its steps, all in one column, with their instants and ops."""
    steps = frame.select(STEPS_AT, STEPS).explode(STEPS_AT, STEPS, keep_nulls=False, empty_as_null=False)
    is_step = np.ones(height, np.bool_)
    is_step[own] = False
    order = np.empty(height, np.int64)
    order[own] = np.arange(frame.height)
    order[is_step] = frame.height + np.arange(steps.height)
    values = pl.concat([frame["value"], steps[STEPS].rename("value")]).gather(order)
    at = np.empty(height, np.int64)
    at[own], at[is_step] = frame["computed_at"].to_physical().to_numpy(), steps[STEPS_AT].to_physical().to_numpy()
    op = np.zeros(height, np.uint32)
    op[own] = ops_of(frame)
    missing = values.is_null().to_numpy() & (op == layout.VALUE)
    op[missing] = layout.NULL
    return values, at, op


def steps_of(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Coming steps, as `History.coming` gives them, as one row for each entity: keys, run_seq, `UNTIL` and its lists.

    An entity of which nothing is coming any more has no lists.
    """
    steps = pl.col("op") == layout.VALUE
    until = pl.col("computed_at").filter(~steps).first()
    found = rows.group_by(names, maintain_order=True).agg(
        pl.col("run_seq").first(),
        pl.when(until.to_physical() < MAX_INSTANT).then(until).alias(UNTIL),
        pl.col("computed_at").filter(steps).alias(STEPS_AT),
        pl.col("value").filter(steps).alias(STEPS),
    )
    nothing = pl.col(UNTIL).is_null() & (pl.col(STEPS_AT).list.len() == 0)
    return found.with_columns(pl.when(~nothing).then(pl.col(name)).alias(name) for name in (STEPS_AT, STEPS))
