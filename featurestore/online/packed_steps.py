"""Packing values with their coming steps by column (see `online.format`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

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
    """The packed value of each row, as Binary, with what is coming.

    ``frame`` has computed_at, run_seq, op and value, and where anything is coming also `UNTIL`, `STEPS_AT` and `STEPS`.
    Raises StoreError for a time or a run_seq outside the format's range.
    """
    if STEPS_AT not in frame.columns:
        return pack_column(version, frame)
    packed, has_list = _pack_lists(version, frame), frame[STEPS_AT].is_not_null()
    return packed if has_list.all() else packed.zip_with(has_list, pack_column(version, frame))


def _pack_lists(version: StoredVersion, frame: pl.DataFrame) -> pl.Series:
    """The rows, as if each had a list, which may be empty."""
    counts = frame[STEPS_AT].list.len().fill_null(0).to_numpy().astype(np.int64)
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
    # By Arrow, which copies nothing: to explode the lists would.
    steps_at, steps = (pl.Series(name, frame[name].to_arrow().flatten()) for name in (STEPS_AT, STEPS))
    is_step = np.ones(height, np.bool_)
    is_step[own] = False
    order = np.empty(height, np.int64)
    order[own] = np.arange(frame.height)
    order[is_step] = frame.height + np.arange(steps.len())
    values = pl.concat([frame["value"], steps.rename("value").cast(frame["value"].dtype)]).gather(order)
    at = np.empty(height, np.int64)
    at[own], at[is_step] = frame["computed_at"].to_physical().to_numpy(), steps_at.to_physical().to_numpy()
    op = np.zeros(height, np.uint32)
    op[own] = ops_of(frame)
    missing = values.is_null().to_numpy() & (op == layout.VALUE)
    op[missing] = layout.NULL
    return values, at, op


def steps_of(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Coming steps, as `History.coming` gives them, as one row for each entity: keys, run_seq, `UNTIL` and its lists.

    An entity of which nothing is coming any more has no lists.
    """
    # Each entity's rows lie together, and the last of them says until when they are known.
    is_step = rows["op"] == layout.VALUE
    last = np.flatnonzero(~is_step)
    counts = np.diff(last, prepend=-1) - 1
    until = rows["computed_at"].gather(last)
    is_known = until.to_physical() < MAX_INSTANT
    nothing = ~is_known.to_numpy() & (counts == 0)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), mask=np.append(nothing, False))
    # Column by column: each expression of a frame would start a query, and partitions are many.
    columns = [rows[name].gather(last) for name in (*names, "run_seq")]
    columns.append(until.zip_with(is_known, pl.Series([None], dtype=until.dtype)).alias(UNTIL))
    for name, column in ((STEPS_AT, "computed_at"), (STEPS, "value")):
        steps = rows[column].filter(is_step).to_arrow()
        columns.append(pl.Series(name, pa.LargeListArray.from_arrays(offsets, steps)))
    return pl.DataFrame(columns)
