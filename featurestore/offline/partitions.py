"""Partitions of a history by ranges of keys, so that it need not fit into memory nor be read whole before it is used.

Entities are in the order of their keys, strings byte by byte, as every store sorts them. So several versions of one
entity type can be read in step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from featurestore.frozen import frozen

Keys = tuple[str | int, ...]


@frozen
class KeyRange:
    """The entities after one and up to another, each given by its keys as declared; None is open."""

    after: Keys | None = None
    up_to: Keys | None = None


ALL_KEYS = KeyRange()


def joined(ranges: Sequence[KeyRange]) -> KeyRange:
    """Consecutive ranges as one."""
    return KeyRange(ranges[0].after, ranges[-1].up_to)


def cut_key_ranges(samples: Iterable[Keys], weight: int, first: int, most: int) -> list[KeyRange]:
    """Consecutive ranges that together are all keys. An entity is never divided.

    Each sample stands for ``weight`` rows. The first range has about ``first`` rows, each next one four times as many
    as the one before, but no more than ``most``.
    """
    ends: list[Keys] = []
    before: Keys = ()
    rows, size = 0, first
    for keys, count in sorted(Counter(samples).items()):
        if rows >= size:
            ends.append(before)
            rows, size = 0, min(4 * size, most)
        before, rows = keys, rows + weight * count
    return [KeyRange(after, up_to) for after, up_to in pairwise([None, *ends, None])]
