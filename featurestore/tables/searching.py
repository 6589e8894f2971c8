"""Searches in rows that are sorted group by group: for many positions at once, and for where groups begin."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Integers = NDArray[np.int64]
NONE = -1


def last_at_or_before(times: Integers, start: Integers, size: Integers, instants: Integers) -> Integers:
    """For each i the last p in [start[i], start[i] + size[i]) with ``times[p] <= instants[i]``, else `NONE`."""
    if not len(times) or not len(instants):
        return np.full(len(instants), NONE, dtype=np.int64)
    low, left = np.minimum(start, len(times) - 1), size.copy()
    longest = int(left.max())
    # Every instant takes as many steps as the largest group needs: one that is done does not move any more.
    while longest > 1:
        half = left >> 1
        middle = low + half
        np.copyto(low, middle, where=times[middle] <= instants)
        left -= half
        longest -= longest >> 1
    return np.where((left > 0) & (times[low] <= instants), low, NONE)


def key_changes(keys: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each row has another key than the row before it; the first has."""
    changes = np.zeros(len(keys), dtype=np.bool_)
    changes[:1] = True
    for column in keys.get_columns():
        changes[1:] |= column.slice(1).ne_missing(column.slice(0, max(len(column) - 1, 0))).to_numpy()
    return changes
