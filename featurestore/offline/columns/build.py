"""Brings a version's sorted columns up to date with its store: made anew, or with later runs merged in.

Works through `History.mark`, `batches` and `scan` alone, so it serves every store. Rows come in any order and are
sorted here, because a store's own sort takes twice the time and memory. What exceeds the memory allowed goes by way of
the disk: rows are partitioned by the hash of their entity, then each partition is sorted by itself.
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
    ColumnsLostError,
    Generation,
    Partition,
    SortedColumns,
    folder_of,
    new_generation,
    read_columns,
)
from featurestore.offline.columns.sort import merge_rows, sort_rows
from featurestore.offline.contract import History, HistoryMark
from featurestore.tables.temporary import temporary_table

# Sorting takes about three times the bytes that a partition has on disk; the store and the process take the rest.
SHARE_OF_MEMORY = 5
SMALL = 1 << 14  # bytes that are never too many

_NUMBER = "\0partition"


class _HistoryChangedError(Exception):
    """The store no longer holds what the mark says."""


def find_columns(state: Path, version: StoredVersion, mark: HistoryMark, memory: int) -> SortedColumns | None:
    """The columns that hold exactly what the mark says, if they exist in partitions that fit into so many bytes."""
    for columns in read_columns(folder_of(state, version), version):
        if columns.mark == mark and _fits(columns, memory):
            return columns
    return None


def refresh_columns(state: Path, store: History, version: StoredVersion, mark: HistoryMark, memory: int) -> bool:
    """Makes or extends the columns to hold what the mark says, in about so many bytes of memory.

    False where the store has changed meanwhile, or where they can't be written: a join needs them only to be fast.
    """
    folder = folder_of(state, version)
    for old in read_columns(folder, version):
        if _can_extend(store, version, old, mark, memory):
            with suppress(OSError, ColumnsLostError, _HistoryChangedError):
                with new_generation(folder, version, mark, memory=old.memory, made_rows=old.made_rows) as generation:
                    _extend(store, version, old, mark, generation)
                return True
    try:
        with new_generation(folder, version, mark, memory=memory, made_rows=mark.rows) as generation:
            _build(store, version, mark, generation, memory)
    except (OSError, _HistoryChangedError):
        return False
    return True


def _fits(columns: SortedColumns, memory: int) -> bool:
    """Whether each partition is about as small as it would be made now; it may have grown by a run or two."""
    return columns.memory <= memory or all(each.bytes <= 2 * _room(memory) for each in columns.partitions)


def _room(memory: int) -> int:
    """How many bytes may be sorted or merged at a time."""
    return memory // SHARE_OF_MEMORY + SMALL


def _build(store: History, version: StoredVersion, mark: HistoryMark, generation: Generation, memory: int) -> None:
    batches = store.batches(version, up_to_run=mark.run_seq)
    first = next(batches, None)
    if first is None or not len(first):
        raise _HistoryChangedError
    count = math.ceil(mark.rows * _row_bytes(version, first, mark.run_seq) * SHARE_OF_MEMORY / memory)
    batches, keys = _exactly(mark.rows, chain([first], batches)), version.entity_type.key_names
    if count == 1:
        generation.add(*sort_rows(batches, keys, rows=mark.rows, last_run=mark.run_seq))
        return
    with ExitStack() as stack:
        tables = [stack.enter_context(temporary_table(generation.folder)) for _ in range(count)]
        for batch in batches:
            for number, rows in _partitioned(batch, keys, count):
                tables[number].write(rows)
        for each in tables:
            if each.rows:
                generation.add(*sort_rows(each.frames(), keys, rows=each.rows, last_run=mark.run_seq))


def _partitioned(rows: pl.DataFrame, keys: Sequence[str], count: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows by the number of their partition: all of one entity in one.

    The number holds within one build only: the hash is not the same for every release of Polars, nor need it be.
    """
    numbered = rows.with_columns((rows.select(keys).hash_rows() % count).alias(_NUMBER))
    for (number,), some in numbered.partition_by(_NUMBER, as_dict=True, include_key=False).items():
        yield int(number), some


def _exactly(rows: int, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The frames, if they have so many rows in all."""
    for frame in frames:
        rows -= len(frame)
        if rows < 0:
            raise _HistoryChangedError
        yield frame
    if rows:
        raise _HistoryChangedError


def _row_bytes(version: StoredVersion, rows: pl.DataFrame, last_run: int) -> float:
    """What a row takes on disk, with its share of its entity, estimated from these rows."""
    keys = rows.select(version.entity_type.key_names)
    entity = keys.estimated_size() / len(rows) + np.dtype(np.int64).itemsize  # the offset
    columns = [name for name in ("computed_at", "known_at", "value") if name in rows.columns]
    row = rows.select(columns).estimated_size() / len(rows) + np.min_scalar_type(last_run).itemsize
    return row + entity * keys.n_unique() / len(rows)


def _can_extend(store: History, version: StoredVersion, old: SortedColumns, mark: HistoryMark, memory: int) -> bool:
    """Whether the store still has the rows of the old columns, and few enough new ones to be merged in memory."""
    new_rows = mark.rows - old.mark.rows
    return (
        old.mark.run_seq < mark.run_seq
        and old.mark.store_id == mark.store_id
        and mark.rows <= 2 * old.made_rows
        and new_rows * (old.bytes // old.mark.rows) <= _room(memory)
        and _fits(old, memory)
        # Last, because the store has to count rows for it.
        and store.mark(version, up_to_run=old.mark.run_seq) == old.mark
    )


def _extend(
    store: History, version: StoredVersion, old: SortedColumns, mark: HistoryMark, generation: Generation
) -> None:
    """Merges what was learned since into the partitions that it belongs to."""
    frame = store.scan(version, after_run=old.mark.run_seq, up_to_run=mark.run_seq).rechunk()
    if len(frame) != mark.rows - old.mark.rows:
        raise _HistoryChangedError
    if len(old.partitions) == 1:
        _merge_into(generation, old.partitions[0], frame, mark.run_seq)
        return
    numbers = _partition_of_each(old.partitions, frame.select(version.entity_type.key_names))
    for number, partition in enumerate(old.partitions):
        rows = frame.filter(numbers == number)
        if len(rows):
            _merge_into(generation, partition, rows, mark.run_seq)
        else:
            generation.keep(partition)


def _partition_of_each(partitions: Sequence[Partition], keys: pl.DataFrame) -> pl.Series:
    """The number of the partition that each key belongs to; new keys are distributed evenly."""
    distinct = keys.unique()
    # By where they are and not by their hash, which another release of Polars may compute in another way.
    numbered = pl.concat(
        [
            each.entities().join(distinct, on=keys.columns, how="semi").with_columns(pl.lit(number).alias(_NUMBER))
            for number, each in enumerate(partitions)
        ]
    )
    numbers = keys.join(numbered, on=keys.columns, how="left", maintain_order="left")[_NUMBER]
    return numbers.fill_null((keys.hash_rows() % len(partitions)).cast(numbers.dtype))


def _merge_into(generation: Generation, partition: Partition, rows: pl.DataFrame, last_run: int) -> None:
    generation.add(*merge_rows(partition.history(), partition.values(), rows, last_run=last_run))
