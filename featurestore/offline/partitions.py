"""Spans of entities: a part of a history at a time, so that it need not fit into memory nor be read before it is used.

Entities are in the order of their keys, strings byte by byte, as every store sorts them. So several versions of one
entity type are read in step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The entities after one and up to another, each given by its keys as they are declared; None is no end."""

    after: Keys | None = None
    up_to: Keys | None = None


EVERYTHING = Span()


def cut(samples: Iterable[Keys], weight: int, first: int, most: int) -> list[Span]:
    """Spans that follow one another and together are everything.

    Each sample stands for ``weight`` rows. The first span has about ``first`` rows, each next one twice as many as the
    one before, but no more than ``most``; an entity is never divided.
    """
    ends: list[Keys] = []
    before: Keys = ()
    rows, size = 0, first
    for keys, count in sorted(Counter(samples).items()):
        if rows >= size:
            ends.append(before)
            rows, size = 0, min(2 * size, most)
        before, rows = keys, rows + weight * count
    return [Span(after, up_to) for after, up_to in pairwise([None, *ends, None])]
