"""Two samples side by side, and the bins in which they are counted.

The bins are Evidently's, since its number must come out: Sturges' bins over both samples for numbers,
one bin a value where the reference has at most twenty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from featurestore.drift.sample import Sample

FEW = 20
PLACES = 64

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class NotComparableError(ValueError):
    """A method has no number for two samples; the message says why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Counts of two samples over the same bins, in order; ``places`` says where on the line each bin lies.

    ``reference`` and ``current`` are the sorted values themselves; empty for categories.
    """

    before: Counts
    now: Counts
    places: Floats
    reference: Floats
    current: Floats


def sturges(reference: Floats, current: Floats) -> Pair:
    """Bins of equal width, or one a value where the reference has few."""
    if few(reference):
        return by_value(reference, current)
    return _between(np.concatenate([reference, current]), reference, current)


def sturges_of_distinct(reference: Floats, current: Floats) -> Pair:
    """Bins of equal width, as many as the distinct values ask for."""
    return _between(np.unique(np.concatenate([reference, current])), reference, current)


def by_value(reference: Floats, current: Floats) -> Pair:
    """One bin for each value."""
    values, codes = np.unique(np.concatenate([reference, current]), return_inverse=True)
    return _counted(codes, values, reference, current)


def ordered(reference: Floats, current: Floats) -> Pair:
    """At most `PLACES` bins of about as many values each: fine enough to shuffle what looks at order and place."""
    both = np.sort(np.concatenate([reference, current]))
    if np.count_nonzero(np.diff(both)) < PLACES:
        return by_value(reference, current)
    edges = np.unique(both[np.linspace(0, len(both) - 1, PLACES + 1).astype(np.int64)[1:-1]])
    codes = np.searchsorted(edges, np.concatenate([reference, current]), side="left")
    held = np.maximum(np.bincount(codes, minlength=len(edges) + 1), 1)
    places = np.bincount(codes, weights=np.concatenate([reference, current]), minlength=len(edges) + 1) / held
    return _counted(codes, places, reference, current)


def by_category(reference: Sample, current: Sample) -> tuple[list[str | bool], Pair]:
    """The categories of either sample in order, and how often each of the samples has them."""
    counted = [
        sample.values.value_counts(name=name).lazy() for sample, name in ((reference, "before"), (current, "now"))
    ]
    both = counted[0].join(counted[1], on="value", how="full", coalesce=True).sort("value").collect()
    before, now = (both[name].fill_null(0).cast(pl.Int64).to_numpy() for name in ("before", "now"))
    nothing = np.empty(0)
    return both["value"].to_list(), Pair(before, now, np.arange(len(now), dtype=np.float64), nothing, nothing)


def few(reference: Floats) -> bool:
    """Whether a sorted sample takes so few values that each is a bin of its own."""
    return int(np.count_nonzero(np.diff(reference))) < FEW


def _between(spread: Floats, reference: Floats, current: Floats) -> Pair:
    try:
        edges = np.histogram_bin_edges(spread, bins="sturges")
    except ValueError:
        raise NotComparableError("the values lie too close together for bins") from None
    before, now = (np.histogram(values, edges)[0].astype(np.int64) for values in (reference, current))
    return Pair(before, now, (edges[:-1] + edges[1:]) / 2, reference, current)


def _counted(codes: NDArray[np.intp], places: Floats, reference: Floats, current: Floats) -> Pair:
    size, cut = len(places), len(reference)
    before, now = np.bincount(codes[:cut], minlength=size), np.bincount(codes[cut:], minlength=size)
    return Pair(before, now, places, reference, current)
