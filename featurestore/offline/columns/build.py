"""Brings a version's sorted columns up to date with its store: made anew, or with later runs merged in.

Works through `OfflineStore.mark`, `batches` and `scan` alone, so it serves every store. Rows come in no
order and are sorted here: a store's own sort costs twice the time and memory. What is more than the memory
allowed goes by way of the disk: rows are dealt out by their entity, then each hand is sorted into a part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from featurestore.model import StoredVersion
from featurestore.offline.columns.files import (
    Columns,
    ColumnsLostError,
    Generation,
    Part,
    folder_of,
    new_generation,
    read_columns,
)
from featurestore.offline.columns.sort import merge_rows, sort_rows
from featurestore.offline.contract import Mark, OfflineStore
from featurestore.tables.temporary import temporary_table

# Sorting takes about three times the bytes that a part has on disk; the store and the process take the rest.
SHARE_OF_MEMORY = 5
SMALL = 1 << 14  # bytes that are never too many

_PART = "\0part"


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
    batches, keys = chain([first], batches), version.entity_type.key_names
    if count == 1:
        generation.add(*sort_rows(_exactly(mark.rows, batches), keys, rows=mark.rows, last_run=mark.run_seq))
        return
    with ExitStack() as open_:
        hands = [open_.enter_context(temporary_table(generation.folder)) for _ in range(count)]
        for batch in _exactly(mark.rows, batches):
            for number, rows in _dealt(batch, keys, count):
                hands[number].write(rows)
        for hand in hands:
            if hand.rows:
                generation.add(*sort_rows(hand.frames(), keys, rows=hand.rows, last_run=mark.run_seq))


def _dealt(rows: pl.DataFrame, keys: Sequence[str], count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows by the hand that each goes to: all of one entity to one.

    Which hand that is holds for one deal only: the hash is not the same for every release of Polars, nor need it be.
    """
    hands = rows.with_columns((rows.select(keys).hash_rows() % count).alias(_PART))
    for (number,), some in hands.partition_by(_PART, as_dict=True, include_key=False).items():
        yield int(number), some


def _exactly(rows: int, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The frames, if they have so many rows in all."""
    for frame in frames:
        rows -= len(frame)
        if rows < 0:
            raise _StoreMovedOnError
        yield frame
    if rows:
        raise _StoreMovedOnError


def _row_bytes(version: StoredVersion, rows: pl.DataFrame, last_run: int) -> float:
    """What a row takes on disk, with its share of its entity, going by these."""
    keys = rows.select(version.entity_type.key_names)
    entity = keys.estimated_size() / len(rows) + np.dtype(np.int64).itemsize  # the offset
    row = rows.select("computed_at", "value").estimated_size() / len(rows) + np.min_scalar_type(last_run).itemsize
    return row + entity * keys.n_unique() / len(rows)


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
        _merge_into(generation, held.parts[0], frame, mark.run_seq)
        return
    numbers = _part_of_each(held.parts, frame.select(version.entity_type.key_names))
    for number, part in enumerate(held.parts):
        rows = frame.filter(numbers == number)
        if len(rows):
            _merge_into(generation, part, rows, mark.run_seq)
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


def _merge_into(generation: Generation, part: Part, rows: pl.DataFrame, last_run: int) -> None:
    generation.add(*merge_rows(part.history(), part.values(), rows, last_run=last_run))
