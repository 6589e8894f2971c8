"""Two samples side by side, counted over the same bins.

The bins are Evidently's, so that the numbers equal its own: Sturges' bins over both samples for numbers, or one bin
per value if the reference has at most twenty different ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.frozen import frozen

if TYPE_CHECKING:
    from featurestore.drift.sample import Sample

FEW_VALUES = 20
QUANTILES = 64

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class NotComparableError(ValueError):
    """A method has no number for these two samples. The message says why; it is stored with the verdict."""


@frozen
class Pair:
    """Two samples: their counts over the same bins, in the bins' order, and their values.

    ``before`` are the counts of the reference, ``now`` those of the current sample. ``centers`` are the bins' positions
    among the numbers. ``reference`` and ``current`` are the sorted values; empty for categories.
    """

    before: Counts
    now: Counts
    centers: Floats
    reference: Floats
    current: Floats


Binning = Callable[[Floats, Floats], Pair]


def sturges(reference: Floats, current: Floats) -> Pair:
    """Bins of equal width, or one per value if the reference has few."""
    if has_few_values(reference):
        return by_value(reference, current)
    return _between(np.concatenate([reference, current]), reference, current)


def sturges_of_distinct(reference: Floats, current: Floats) -> Pair:
    """Bins of equal width; Sturges' rule counts each distinct value once."""
    return _between(np.unique(np.concatenate([reference, current])), reference, current)


def by_value(reference: Floats, current: Floats) -> Pair:
    """One bin per value."""
    values, codes = np.unique(np.concatenate([reference, current]), return_inverse=True)
    return _counted(codes, values, reference, current)


def quantiles(reference: Floats, current: Floats) -> Pair:
    """At most `QUANTILES` bins of about as many values each.

    Fine enough for shuffles of the methods that look at order and position.
    """
    both = np.sort(np.concatenate([reference, current]))
    if np.count_nonzero(np.diff(both)) < QUANTILES:
        return by_value(reference, current)
    edges = np.unique(both[np.linspace(0, len(both) - 1, QUANTILES + 1).astype(np.int64)[1:-1]])
    codes = np.searchsorted(edges, np.concatenate([reference, current]), side="left")
    totals = np.maximum(np.bincount(codes, minlength=len(edges) + 1), 1)
    centers = np.bincount(codes, weights=np.concatenate([reference, current]), minlength=len(edges) + 1) / totals
    return _counted(codes, centers, reference, current)


def by_category(reference: Sample, current: Sample) -> tuple[list[str | bool], Pair]:
    """The categories of both samples, sorted, and how often each sample has them."""
    counted = [
        sample.values.value_counts(name=name).lazy() for sample, name in ((reference, "before"), (current, "now"))
    ]
    both = counted[0].join(counted[1], on="value", how="full", coalesce=True).sort("value").collect()
    before, now = (both[name].fill_null(0).cast(pl.Int64).to_numpy() for name in ("before", "now"))
    nothing = np.empty(0)
    return both["value"].to_list(), Pair(before, now, np.arange(len(now), dtype=np.float64), nothing, nothing)


def has_few_values(reference: Floats) -> bool:
    """Whether a sorted sample has so few distinct values that each gets its own bin."""
    return int(np.count_nonzero(np.diff(reference))) < FEW_VALUES


def _between(spread: Floats, reference: Floats, current: Floats) -> Pair:
    try:
        edges = np.histogram_bin_edges(spread, bins="sturges")
    except ValueError:
        raise NotComparableError("the values lie too close together for bins") from None
    before, now = (np.histogram(values, edges)[0].astype(np.int64) for values in (reference, current))
    return Pair(before, now, (edges[:-1] + edges[1:]) / 2, reference, current)


def _counted(codes: NDArray[np.intp], centers: Floats, reference: Floats, current: Floats) -> Pair:
    size, cut = len(centers), len(reference)
    before, now = np.bincount(codes[:cut], minlength=size), np.bincount(codes[cut:], minlength=size)
    return Pair(before, now, centers, reference, current)
