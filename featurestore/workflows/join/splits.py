"""Splits: each label is given to one of several parts of a training set, by its time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.point_in_time.kernel import Integers

SPLIT_COLUMN = "split"


@frozen
class Splits:
    """The names of the parts in the order of time, and the instants (µs) before which all but the last end.

    ``column`` is the result's column that names each label's part.
    """

    names: tuple[str, ...]
    ends: tuple[int, ...]
    column: str = SPLIT_COLUMN


def make_splits(parts: tuple[tuple[str, int | None], ...], column: str = SPLIT_COLUMN) -> Splits:
    """Splits from their names and ends, in the order of time; the last has no end. Raises UsageError."""
    names = tuple(name for name, _ in parts)
    ends = tuple(end for _, end in parts[:-1] if end is not None)
    example = "for example --split train=2024-01-01,validation=2024-07-01,test"
    if len(parts) < 2 or parts[-1][1] is not None or len(ends) < len(parts) - 1 or not all(names):
        raise UsageError("every part of --split but the last ends at a time, and there are at least two", hint=example)
    if len(set(names)) < len(names):
        raise UsageError("two parts of --split have the same name", hint=example)
    if any(one >= other for one, other in pairwise(ends)):
        raise UsageError("the parts of --split must end one after the other", hint=example)
    if not column:
        raise UsageError("--split-column needs a name", hint="for example --split-column fold")
    return Splits(names, ends, column)


def split_labels(splits: Splits, instants: Integers) -> pl.Series:
    """The name of the part of each label."""
    place = np.searchsorted(np.array(splits.ends, dtype=np.int64), instants, side="right")
    return pl.Series(splits.names, dtype=pl.String).gather(pl.Series(place)).alias(splits.column)
