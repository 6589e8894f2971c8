"""Brings a version's sorted columns up to date with its store: made anew, or with later runs merged in.

Works through `OfflineStore.mark`, `batches` and `scan` alone, so it serves every store. Rows come in no
order and are sorted here: a store's own sort costs twice the time and memory. What is more than the memory
allowed goes by way of the disk: rows are dealt out to parts by their entity, then each part is sorted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.frames.kernel import Flat, Integers, SortedHistory, Values, flatten
from featurestore.model import StoredVersion
from featurestore.offline.columns import (
    Columns,
    ColumnsLostError,
    Generation,
    Part,
    folder_of,
    new_generation,
    read_columns,
)
from featurestore.offline.deal import deal
from featurestore.offline.store import TOMBSTONE, Mark, OfflineStore

# Sorting takes about three times the bytes that a part has on disk; the store and the process take the rest.
SHARE_OF_MEMORY = 5
SMALL = 1 << 14  # bytes that are never too many

_PLACE = "\0place"
_PART = "\0part"
_BLOCK = 1_000_000


class _StoreMovedOnError(Exception):
    """The store no longer holds what the mark says."""


def find_columns(state: Path, version: StoredVersion, mark: Mark, memory: int) -> Columns | None:
    """The columns that hold exactly what the mark says, if they are there, in parts that fit into so many bytes."""
    for found in read_columns(folder_of(state, version), version):
        if found.mark == mark and _fits(found, memory):
            return found
    return None


def refresh_columns(state: Path, store: OfflineStore, version: StoredVersion, mark: Mark, memory: int) -> bool:
    """Makes or extends the columns to hold what the mark says, in about so many bytes of memory.

    False where the store has moved on meanwhile, or where they can't be written: a join needs them only to be fast.
    """
    folder = folder_of(state, version)
    for found in read_columns(folder, version):
        if _can_extend(store, version, found, mark, memory):
            with suppress(OSError, ColumnsLostError, _StoreMovedOnError):
                with new_generation(
                    folder, version, mark, memory=found.memory, made_rows=found.made_rows
                ) as generation:
                    _extend(store, version, found, mark, generation)
                return True
    try:
        with new_generation(folder, version, mark, memory=memory, made_rows=mark.rows) as generation:
            _build(store, version, mark, generation, memory)
    except (OSError, _StoreMovedOnError):
        return False
    return True


def _fits(columns: Columns, memory: int) -> bool:
    """Whether each part is about as small as it would be made now; it may have grown by a run or two."""
    return columns.memory <= memory or all(part.bytes <= 2 * _room(memory) for part in columns.parts)


def _room(memory: int) -> int:
    """How many bytes may be sorted or merged at a time."""
    return memory // SHARE_OF_MEMORY + SMALL


def _build(store: OfflineStore, version: StoredVersion, mark: Mark, generation: Generation, memory: int) -> None:
    batches = store.batches(version, up_to_run=mark.run_seq)
    first = next(batches, None)
    if first is None or not len(first):
        raise _StoreMovedOnError
    count = math.ceil(mark.rows * _row_bytes(version, first, mark.run_seq) * SHARE_OF_MEMORY / memory)
    batches = chain([first], batches)
    if count == 1:
        generation.add(*_sort(version, batches, mark.rows, mark.run_seq))
        return
    with deal(batches, version.entity_type.key_names, count, generation.folder / "dealt") as hands:
        if sum(hand.rows for hand in hands) != mark.rows:
            raise _StoreMovedOnError
        for hand in hands:
            if hand.rows:
                generation.add(*_sort(version, hand.batches(), hand.rows, mark.run_seq))


def _row_bytes(version: StoredVersion, rows: pl.DataFrame, last_run: int) -> float:
    """What a row takes on disk, with its share of its entity, going by these."""
    keys = rows.select(version.entity_type.key_names)
    entity = keys.estimated_size() / len(rows) + np.dtype(np.int64).itemsize  # the offset
    row = rows.select("computed_at", "value").estimated_size() / len(rows) + np.min_scalar_type(last_run).itemsize
    return row + entity * keys.n_unique() / len(rows)


def _sort(
    version: StoredVersion, batches: Iterable[pl.DataFrame], rows: int, last_run: int
) -> tuple[SortedHistory, Values]:
    names = version.entity_type.key_names
    code = np.empty(rows, dtype=np.uint32)
    computed_at = np.empty(rows, dtype=np.int64)
    run_seq = np.empty(rows, dtype=np.min_scalar_type(last_run))
    op = np.empty(rows, dtype=np.int8)
    pieces: list[pl.Series] = []
    entities: pl.DataFrame | None = None
    filled = 0
    for batch in batches:
        end = filled + len(batch)
        if end > rows:
            raise _StoreMovedOnError
        entities, code[filled:end] = _encode(entities, batch.select(names))
        computed_at[filled:end] = batch["computed_at"].to_physical()
        run_seq[filled:end] = batch["run_seq"]
        op[filled:end] = batch["op"]
        pieces.append(batch["value"])
        filled = end
    if filled != rows or entities is None:
        raise _StoreMovedOnError
    # Entities by key, so that features of one source come to one layout, in whatever order their rows came.
    entities = entities.sort(names)
    rank = np.empty(len(entities), dtype=np.uint32)
    rank[entities[_PLACE].to_numpy()] = np.arange(len(entities), dtype=np.uint32)
    code = rank[code]
    order = _order(code, computed_at, run_seq)
    offsets = np.append(np.int64(0), np.cumsum(np.bincount(code, minlength=len(entities)))).astype(np.int64)
    del code
    values = pl.concat(pieces, rechunk=True)
    pieces.clear()
    computed_at, run_seq = computed_at[order], run_seq[order]
    history = SortedHistory(entities.drop(_PLACE), offsets, computed_at, run_seq, _tombstones(op[order]))
    return history, _take(values, order)


def _can_extend(store: OfflineStore, version: StoredVersion, held: Columns, mark: Mark, memory: int) -> bool:
    """Whether the held rows are still the store's, and the new ones few enough to be merged in memory."""
    known = held.mark
    new = mark.rows - known.rows
    return (
        known.run_seq < mark.run_seq
        and known.store_id == mark.store_id
        and mark.rows <= 2 * held.made_rows
        and new * (held.bytes // known.rows) <= _room(memory)
        and _fits(held, memory)
        and store.mark(version, up_to_run=known.run_seq) == known
    )


def _extend(store: OfflineStore, version: StoredVersion, held: Columns, mark: Mark, generation: Generation) -> None:
    """Merges what was learned since into the parts that it belongs to."""
    frame = store.scan(version, after_run=held.mark.run_seq, up_to_run=mark.run_seq).rechunk()
    if len(frame) != mark.rows - held.mark.rows:
        raise _StoreMovedOnError
    if len(held.parts) == 1:
        generation.add(*_merged(version, held.parts[0], frame, mark.run_seq))
        return
    numbers = _part_of_each(held.parts, frame.select(version.entity_type.key_names))
    for number, part in enumerate(held.parts):
        rows = frame.filter(numbers == number)
        if len(rows):
            generation.add(*_merged(version, part, rows, mark.run_seq))
        else:
            generation.keep(part)


def _part_of_each(parts: Iterable[Part], keys: pl.DataFrame) -> pl.Series:
    """The number of the part that each key belongs to; new ones are dealt out evenly."""
    parts = list(parts)
    distinct = keys.unique()
    known = pl.concat(
        [
            part.entities().join(distinct, on=keys.columns, how="semi").with_columns(pl.lit(number).alias(_PART))
            for number, part in enumerate(parts)
        ]
    )
    found = keys.join(known, on=keys.columns, how="left", maintain_order="left")[_PART]
    return found.fill_null((keys.hash_rows() % len(parts)).cast(found.dtype))


def _merged(version: StoredVersion, part: Part, frame: pl.DataFrame, last_run: int) -> tuple[SortedHistory, Values]:
    old = part.history()
    entities, code = _encode(old.entities.with_row_index(_PLACE), frame.select(version.entity_type.key_names))
    computed_at = frame["computed_at"].to_physical().to_numpy()
    run_seq = frame["run_seq"].to_numpy().astype(np.min_scalar_type(last_run))
    order = _order(code, computed_at, run_seq)
    code, computed_at = code[order], computed_at[order]
    sizes = np.bincount(code, minlength=len(entities))
    sizes[: len(old.entities)] += np.diff(old.offsets)
    offsets = np.append(np.int64(0), np.cumsum(sizes)).astype(np.int64)
    new = _places(old, code, computed_at) + np.arange(len(frame))
    is_new = np.zeros(len(old) + len(frame), dtype=np.bool_)
    is_new[new] = True
    op = frame["op"].to_numpy()[order]
    old_op = np.zeros(len(old), dtype=np.int8) if old.op is None else old.op
    history = SortedHistory(
        entities=entities.drop(_PLACE),
        offsets=offsets,
        computed_at=_merge(is_new, old.computed_at, computed_at),
        run_seq=_merge(is_new, old.run_seq, run_seq[order]),
        op=_tombstones(_merge(is_new, old_op, op)),
    )
    return history, _merge_values(is_new, part.values(), _take(frame["value"], order))


def _encode(known: pl.DataFrame | None, keys: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.uint32]]:
    """Each row's place among the known entities, which grow by those not met before."""
    distinct = keys.unique(maintain_order=True)
    if known is None:
        known = distinct.with_row_index(_PLACE)
    else:
        new = distinct.join(known, on=keys.columns, how="anti", maintain_order="left")
        known = pl.concat([known, new.with_row_index(_PLACE, offset=len(known))], rechunk=True)
    places = keys.join(known, on=keys.columns, how="left", maintain_order="left")[_PLACE]
    return known, places.to_numpy()


def _order(code: NDArray[np.uint32], computed_at: Integers, run_seq: NDArray[Any]) -> Integers:
    """The rows' numbers in order of (entity, computed_at, run_seq)."""
    first = int(computed_at.min())
    span = int(computed_at.max()) - first + 1
    if (int(code.max()) + 1) * span >= 2**63:
        columns = pl.DataFrame({"code": code, "at": computed_at, "run": run_seq})
        return columns.select(pl.arg_sort_by("code", "at", "run").cast(pl.Int64)).to_series().to_numpy()
    merged = code.astype(np.int64)
    merged *= span
    merged += computed_at
    merged -= first
    order = np.argsort(merged)
    tied = np.zeros(len(order), dtype=np.bool_)
    for begin in range(0, len(order), _BLOCK):  # no second copy of everything
        part = merged[order[begin : begin + _BLOCK + 1]]
        tied[begin + 1 : begin + len(part)] = part[1:] == part[:-1]
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    if len(places):
        among = order[places]
        order[places] = among[np.lexsort((run_seq[among], merged[among]))]
    return order


def _places(old: SortedHistory, code: NDArray[np.uint32], computed_at: Integers) -> Integers:
    """Before which old row each new row goes: behind all of its entity that are not younger."""
    seen = code < len(old.entities)
    place = np.full(len(code), len(old), dtype=np.int64)
    low, high = old.offsets[code[seen]], old.offsets[code[seen].astype(np.int64) + 1]
    at = computed_at[seen]
    while (open_ := low < high).any():
        middle = np.minimum((low + high) >> 1, len(old) - 1)
        before = old.computed_at[middle] <= at
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
    kept, added = _series(old), _series(new)
    places = np.empty(len(is_new), dtype=np.int64)
    places[is_new] = np.arange(len(kept), len(is_new))
    places[~is_new] = np.arange(len(kept))
    return pl.concat([kept, added], rechunk=True).gather(pl.Series(places))


def _series(values: Values) -> pl.Series:
    return pl.Series("value", values.items).cast(values.type) if isinstance(values, Flat) else values


def _take(values: pl.Series, order: Integers) -> Values:
    flat = flatten(values)
    if isinstance(flat, Flat):
        return Flat(flat.items[order], flat.type)
    return flat.gather(pl.Series(order))


def _tombstones(op: NDArray[np.int8]) -> NDArray[np.int8] | None:
    return op if (op == TOMBSTONE).any() else None
