"""Distances between the values of two samples, as Evidently computes them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from featurestore.drift.bins import Floats, Pair


def wasserstein(pair: Pair) -> float:
    """Wasserstein distance divided by the reference's standard deviation."""
    steps, widths = _steps(pair)
    distance = float((np.abs(steps) * widths).sum())
    return distance / max(float(np.std(pair.reference)), 0.001)


def energy_distance(pair: Pair) -> float:
    steps, widths = _steps(pair)
    return math.sqrt(2.0) * math.sqrt(float((steps**2 * widths).sum()))


def hellinger(pair: Pair) -> float:
    """Hellinger distance.

    By Evidently's own operations: the square root turns the last bit of the overlap into 1e-8.
    """
    shares = pair.before / pair.before.sum(), pair.now / pair.now.sum()
    width = 1.0
    if len(pair.reference):
        edges = np.histogram_bin_edges(np.unique(np.concatenate([pair.reference, pair.current])), bins="sturges")
        with np.errstate(over="ignore"):
            shares = pair.before / np.diff(edges) / pair.before.sum(), pair.now / np.diff(edges) / pair.now.sum()
        width = float(edges[-1] - edges[0]) / (len(edges) - 1)
    overlap = sum(math.sqrt(p * q) * width for p, q in zip(*(share.tolist() for share in shares), strict=True))
    return math.sqrt(1 - min(max(overlap, 0.0), 1.0))


def _steps(pair: Pair) -> tuple[Floats, Floats]:
    """Between neighbouring values: the difference of the two distribution functions, and the values' distance."""
    both = np.sort(np.concatenate([pair.reference, pair.current]))
    before, now = (
        np.searchsorted(values, both[:-1], side="right") / len(values) for values in (pair.reference, pair.current)
    )
    return before - now, np.diff(both)
