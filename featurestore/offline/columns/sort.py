"""Turns rows into sorted columns: sorts them from scratch, or merges them into columns that are sorted already.

Rows have the columns of `History.scan`, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.point_in_time.kernel import Flat, Integers, SortedHistory, Values, flatten, ops
from featurestore.tables.searching import key_changes

_PLACE = "\0place"
_BLOCK = 1_000_000


def sort_rows(
    frames: Iterable[pl.DataFrame], keys: Sequence[str], *, rows: int, last_run: int
) -> tuple[SortedHistory, Values]:
    """Sorts frames by entity, time, known time and run: so many ``rows`` in all, of runs up to ``last_run``."""
    code = np.empty(rows, dtype=np.uint32)
    computed_at = np.empty(rows, dtype=np.int64)
    run_seq = np.empty(rows, dtype=np.min_scalar_type(last_run))
    op = np.empty(rows, dtype=np.int8)
    known_at: Integers | None = None
    pieces: list[pl.Series] = []
    entities: pl.DataFrame | None = None
    filled = 0
    for frame in frames:
        end = filled + len(frame)
        entities, code[filled:end] = _encode(entities, frame.select(keys))
        computed_at[filled:end] = frame["computed_at"].to_physical()
        run_seq[filled:end] = frame["run_seq"]
        op[filled:end] = frame["op"]
        if "known_at" in frame.columns:
            known_at = np.empty(rows, dtype=np.int64) if known_at is None else known_at
            known_at[filled:end] = frame["known_at"].to_physical()
        pieces.append(frame["value"])
        filled = end
    assert entities is not None, "an empty history has no columns"
    # Entities by key, so that features of one source get the same layout, whatever the order of their rows.
    entities = entities.sort(keys)
    rank = np.empty(len(entities), dtype=np.uint32)
    rank[entities[_PLACE].to_numpy()] = np.arange(len(entities), dtype=np.uint32)
    code = rank[code]
    order = _order(code, computed_at, run_seq, known_at)
    offsets = np.append(np.int64(0), np.cumsum(np.bincount(code, minlength=len(entities)))).astype(np.int64)
    # What is as long as the history is freed as soon as it is used.
    del code
    values = pl.concat(pieces, rechunk=True)
    pieces.clear()
    computed_at, run_seq = computed_at[order], run_seq[order]
    known_at = None if known_at is None else known_at[order]
    history = SortedHistory(entities.drop(_PLACE), offsets, computed_at, run_seq, known_at=known_at, **ops(op[order]))
    return history, _take(values, order)


def merge_rows(
    old: SortedHistory, values: Values, frame: pl.DataFrame, *, last_run: int
) -> tuple[SortedHistory, Values]:
    """Merges rows of later runs, up to ``last_run``, into sorted ones. New entities come last."""
    entities, code = _encode(old.entities.with_row_index(_PLACE), frame.select(old.entities.columns))
    computed_at = frame["computed_at"].to_physical().to_numpy()
    run_seq = frame["run_seq"].to_numpy().astype(np.min_scalar_type(last_run))
    known_at = None if old.known_at is None else frame["known_at"].to_physical().to_numpy()
    order = _order(code, computed_at, run_seq, known_at)
    code, computed_at = code[order], computed_at[order]
    known_at = None if known_at is None else known_at[order]
    sizes = np.bincount(code, minlength=len(entities))
    sizes[: len(old.entities)] += np.diff(old.offsets)
    offsets = np.append(np.int64(0), np.cumsum(sizes)).astype(np.int64)
    new = _places(old, code, computed_at, known_at) + np.arange(len(frame))
    is_new = np.zeros(len(old) + len(frame), dtype=np.bool_)
    is_new[new] = True
    op = frame["op"].to_numpy()[order]
    old_op = np.zeros(len(old), dtype=np.int8) if old.op is None else old.op
    history = SortedHistory(
        entities=entities.drop(_PLACE),
        offsets=offsets,
        computed_at=_merge(is_new, old.computed_at, computed_at),
        run_seq=_merge(is_new, old.run_seq, run_seq[order]),
        known_at=None if old.known_at is None or known_at is None else _merge(is_new, old.known_at, known_at),
        **ops(_merge(is_new, old_op, op)),
    )
    return history, _merge_values(is_new, values, _take(frame["value"], order))


def _encode(known: pl.DataFrame | None, rows: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.uint32]]:
    """Each row's place among the entities seen so far, and these with the new ones added.

    Stores write a run in the order of its keys, so rows of one entity mostly follow each other: one is looked up.
    """
    starts = np.flatnonzero(key_changes(rows))
    keys = rows[starts]
    distinct = keys.unique(maintain_order=True)
    if known is None:
        known = distinct.with_row_index(_PLACE)
    else:
        new = distinct.join(known, on=keys.columns, how="anti", maintain_order="left")
        known = pl.concat([known, new.with_row_index(_PLACE, offset=len(known))], rechunk=True)
    places = keys.join(known, on=keys.columns, how="left", maintain_order="left")[_PLACE]
    return known, np.repeat(places.to_numpy(), np.diff(starts, append=len(rows)))


def _order(
    code: NDArray[np.uint32], computed_at: Integers, run_seq: NDArray[Any], known_at: Integers | None
) -> Integers:
    """The rows' numbers in order of (entity, computed_at, known_at, run_seq)."""
    first = int(computed_at.min())
    span = int(computed_at.max()) - first + 1
    # One number for entity and time sorts faster than three columns, but may not fit into 64 bits.
    if (int(code.max()) + 1) * span >= 2**63:
        known = {} if known_at is None else {"known": known_at}
        columns = pl.DataFrame({"code": code, "at": computed_at, **known, "run": run_seq})
        return columns.select(pl.arg_sort_by(columns.columns).cast(pl.Int64)).to_series().to_numpy()
    merged = code.astype(np.int64)
    merged *= span
    merged += computed_at
    merged -= first
    # Timsort, because each run's rows are in order already: it merges them in a quarter of the time of a quicksort.
    # Rows with the same number come in any order, and are put in the order of their runs below.
    order = np.argsort(merged, kind="stable")
    tied = np.zeros(len(order), dtype=np.bool_)
    for begin in range(0, len(order), _BLOCK):  # in blocks, which saves a second copy of all rows
        part = merged[order[begin : begin + _BLOCK + 1]]
        tied[begin + 1 : begin + len(part)] = part[1:] == part[:-1]
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    if len(places):
        among = order[places]
        learned: list[NDArray[Any]] = [run_seq] if known_at is None else [run_seq, known_at]
        order[places] = among[np.lexsort([each[among] for each in (*learned, merged)])]
    return order


def _places(old: SortedHistory, code: NDArray[np.uint32], computed_at: Integers, known_at: Integers | None) -> Integers:
    """The old row before which each new row goes: after all rows of its entity that are not later, nor known later."""
    seen = code < len(old.entities)
    place = np.full(len(code), len(old), dtype=np.int64)
    low, high = old.offsets[code[seen]], old.offsets[code[seen].astype(np.int64) + 1]
    at = computed_at[seen]
    known = None if known_at is None else known_at[seen]
    while (open_ := low < high).any():
        # A search that has ended may be one past the last row.
        middle = np.minimum((low + high) >> 1, len(old) - 1)
        before = old.computed_at[middle] <= at
        if old.known_at is not None and known is not None:
            before &= (old.computed_at[middle] < at) | (old.known_at[middle] <= known)
        low = np.where(open_ & before, middle + 1, low)
        high = np.where(open_ & ~before, middle, high)
    place[seen] = low
    return place


def _merge(is_new: NDArray[np.bool_], old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    merged = np.empty(len(is_new), dtype=np.promote_types(old.dtype, new.dtype))
    merged[is_new] = new
    merged[~is_new] = old
    return merged


def _merge_values(is_new: NDArray[np.bool_], old: Values, new: Values) -> Values:
    if isinstance(old, Flat) and isinstance(new, Flat):
        return Flat(_merge(is_new, old.items, new.items), old.type)
    first, second = _series(old), _series(new)
    places = np.empty(len(is_new), dtype=np.int64)
    places[is_new] = np.arange(len(first), len(is_new))
    places[~is_new] = np.arange(len(first))
    return pl.concat([first, second], rechunk=True).gather(pl.Series(places))


def _series(values: Values) -> pl.Series:
    return pl.Series("value", values.items).cast(values.type) if isinstance(values, Flat) else values


def _take(values: pl.Series, order: Integers) -> Values:
    flat = flatten(values)
    if isinstance(flat, Flat):
        return Flat(flat.items[order], flat.type)
    return flat.gather(pl.Series(order))
