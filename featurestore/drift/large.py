"""Statistics of a column that does not fit into memory: the keys of `describe`, by several passes over a copy on disk.

Everything is exact, as in memory, but that mean and standard deviation may differ in the last bits, and that the most
frequent texts are counted and not drawn.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from featurestore.drift.statistics import (
    PERCENTILES,
    TOP_VALUES,
    Numbers,
    bin_edges,
    describe,
    format_step,
    histogram,
    interpolate,
    shown_value,
)
from featurestore.tables.temporary import TemporaryTable, partitioner, temporary_table

if TYPE_CHECKING:
    from featurestore.model import DataType, Json

SHARE_OF_MEMORY = 16  # of which the values may take one at a time: sorting copies them
MOST_BUCKETS = 200


def describe_all(
    parts: Iterable[pl.Series], data_type: DataType, memory: int | None, *, edges: Sequence[float] | None = None
) -> dict[str, Json]:
    """What `describe` says of all parts of a column together, within about so many bytes (None: without a bound)."""
    if memory is None:
        return describe(pl.concat(parts), data_type, edges=edges)
    held: list[pl.Series] = []
    size: float = 0
    rest = iter(parts)
    for part in rest:
        held.append(part)
        size += part.estimated_size()
        if size > memory // SHARE_OF_MEMORY:
            break
    else:
        return describe(pl.concat(held), data_type, edges=edges)
    with temporary_table() as table:
        for part in chain(held, rest):
            table.write(part.alias("key").to_frame())
            size += part.estimated_size()
        buckets = min(math.ceil(size * SHARE_OF_MEMORY / memory) + 1, MOST_BUCKETS)
        nulls = sum(frame["key"].null_count() for frame in table.frames())
        counted: dict[str, Json] = {"count": table.rows - nulls, "null_count": nulls}
        if data_type.numeric:
            return counted | _numbers(table, buckets, edges)
        if data_type.kind in ("string", "bool"):
            return counted | _categories(table, buckets)
        if data_type.kind in ("date", "datetime"):
            return counted | _instants(table, buckets, data_type)
        return counted | _lists(table)


def _numbers(table: TemporaryTable, buckets: int, edges: Sequence[float] | None) -> dict[str, Json]:
    nans = infinities = count = 0
    infinite: set[float] = set()
    low, high, sums, whole = math.inf, -math.inf, [], True
    for values in _values(table):
        whole = whole and values.dtype.kind == "i"
        finite = values[np.isfinite(values)]
        nans += int(np.isnan(values).sum())
        infinities += int(np.isinf(values).sum())
        infinite |= set(np.unique(values[np.isinf(values)]).tolist())
        count += len(finite)
        if len(finite):
            low, high = min(low, finite.min().item()), max(high, finite.max().item())
            sums.append(float(finite.mean(dtype=np.float64)) * len(finite))
    statistics: dict[str, Json] = {
        "nan_count": nans, "infinite_count": infinities, "distinct": 0,
        "mean": None, "std": None, "min": None, **dict.fromkeys(PERCENTILES), "max": None,
        "histogram": histogram(np.empty(0), edges),
    }  # fmt: skip
    others = len(infinite) + (1 if nans else 0)
    if not count:
        return {**statistics, "distinct": others}
    mean = math.fsum(sums) / count
    edges = edges or bin_edges(np.array([low, high], np.int64) if whole else np.array([low, high], np.float64))
    counts, squares, below, above = np.zeros(max(len(edges) - 1, 1), np.int64), [], 0, 0
    for values in _values(table):
        finite = values[np.isfinite(values)].astype(np.float64)
        counts += np.histogram(finite, edges)[0]
        below += int(np.count_nonzero(finite < edges[0]))
        above += int(np.count_nonzero(finite > edges[-1]))
        squares.append(float(((finite - mean) ** 2).sum()))
    distinct, ranked = _ordered(table, buckets, count, list(PERCENTILES.values()))
    percentiles = {name: interpolate(*ranked[share]) for name, share in PERCENTILES.items()}
    return statistics | {
        "distinct": distinct + others, "mean": mean,
        "std": math.sqrt(math.fsum(squares) / (count - 1)) if count > 1 else None,
        "min": low, "max": high, **percentiles,
        "histogram": {"edges": list(edges), "counts": counts.tolist(), "below": below, "above": above},
    }  # fmt: skip


def _ordered(
    table: TemporaryTable, buckets: int, count: int, shares: list[float]
) -> tuple[int, dict[float, tuple[float, float, float]]]:
    """The number of distinct finite values, and for each share its two closest ranks' values and the second's weight.

    Values go to buckets by their size, so that each bucket can be sorted by itself.
    """
    cuts = _cuts(table, buckets)
    wanted = {int(share * (count - 1)) + step: 0.0 for share in shares for step in (0, 1)}
    places = sorted(wanted)
    distinct = begin = 0
    with ExitStack() as stack:
        files = [stack.enter_context(temporary_table()) for _ in range(len(cuts) + 1)]
        for values in _values(table):
            finite = values[np.isfinite(values)]
            number = np.searchsorted(cuts, finite, side="right")
            for at, file in enumerate(files):
                file.write(pl.DataFrame({"key": finite[number == at]}))
        for file in files:
            frames = list(file.frames())
            values = np.sort(pl.concat(frames)["key"].to_numpy()) if frames else np.empty(0)
            distinct += 1 + int(np.count_nonzero(values[1:] != values[:-1])) if len(values) else 0
            for place in places[bisect_left(places, begin) : bisect_left(places, begin + len(values))]:
                wanted[place] = float(values[place - begin])
            begin += len(values)
    ranked = {}
    for share in shares:
        rank = share * (count - 1)
        below = int(rank)
        ranked[share] = (wanted[below], wanted[min(below + 1, count - 1)], rank - below)
    return distinct, ranked


def _cuts(table: TemporaryTable, buckets: int) -> Numbers:
    """Values that divide the others into buckets of about one size, from an even sample."""
    step = max(table.rows // (buckets * 1_000), 1)
    # Copies, since a view would keep its whole batch in memory.
    sample = np.concatenate([values[::step].copy() for values in _values(table)])
    sample = np.sort(sample[np.isfinite(sample)])
    return np.unique(sample[len(sample) * np.arange(1, buckets) // buckets]) if len(sample) else sample


def _values(table: TemporaryTable) -> Iterator[Numbers]:
    for frame in table.frames():
        present = frame["key"].drop_nulls()
        yield present.cast(pl.Float64 if present.dtype.is_float() else pl.Int64).to_numpy()


def _categories(table: TemporaryTable, buckets: int) -> dict[str, Json]:
    distinct, top = 0, pl.DataFrame()
    with partitioner(buckets) as (partitions, others):
        first = [partitions.split(frame.drop_nulls()) for frame in table.frames()]
        for frames in (first, *(other.frames() for other in others)):
            parts = list(frames)
            if not parts:
                continue
            counts = pl.concat(parts)["key"].value_counts(name="count")
            distinct += counts.height
            best = counts.sort("count", "key", descending=[True, False]).head(TOP_VALUES)
            top = pl.concat([top, best], how="diagonal_relaxed")
    ranked = top.sort("count", "key", descending=[True, False]).head(TOP_VALUES) if distinct else top
    return {
        "distinct": distinct,
        "top": [{"value": shown_value(value), "count": count} for value, count in ranked.iter_rows()],
    }


def _instants(table: TemporaryTable, buckets: int, data_type: DataType) -> dict[str, Json]:
    extremes = [(int(values.min()), int(values.max())) for values in _values(table) if len(values)]
    if not extremes:
        return {"distinct": 0, "min": None, "max": None}
    distinct, _ = _ordered(table, buckets, table.rows, [])
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    return {"distinct": distinct, "min": format_step(low, data_type), "max": format_step(high, data_type)}


def _lists(table: TemporaryTable) -> dict[str, Json]:
    lengths = [describe_lengths(frame["key"].drop_nulls()) for frame in table.frames()]
    found = [pair for pair in lengths if pair is not None]
    if not found:
        return {"length": None}
    return {"length": {"min": min(low for low, _ in found), "max": max(high for _, high in found)}}


def describe_lengths(present: pl.Series) -> tuple[int, int] | None:
    """The shortest and the longest list."""
    lengths = (present.list.len() if isinstance(present.dtype, pl.List) else present.arr.len()).to_numpy()
    return (int(lengths.min()), int(lengths.max())) if len(lengths) else None
