"""The columns of a table, and how many of them fit: what can be spared goes first, then the flexible ones shrink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.cells import cell_len
from rich.text import Text

from featurestore.frozen import frozen

Item = TypeVar("Item")
GAP = 2
MEASURED = 2_000
"""How many items are measured; the width of a column does not change while one scrolls."""


@dataclass(frozen=True)  # no slots: a generic that is made as Column[…](…) needs its dictionary
class Column(Generic[Item]):
    """One column: what it shows of an item, what it is sorted by (None last), and how it gives way.

    ``least`` is the width that it may shrink to (None: never), ``spare`` the order in which columns are left out where
    there is no room (0: never). Where it can
    keep its ``comfort`` (by default ``least``) at the cost of others, they shrink or are left out first.
    ``cut_middle`` shows both ends of what is too long, for names that begin alike.
    """

    title: str
    show: Callable[[Item], Text]
    sort: Callable[[Item], Any] | None = None
    right: bool = False
    least: int | None = None
    comfort: int | None = None
    spare: int = 0
    grow: bool = False
    cut_middle: bool = False


@frozen
class Fitted(Generic[Item]):
    """The columns that are shown, each with its width; ``at`` are their places among all columns."""

    columns: tuple[Column[Item], ...]
    widths: tuple[int, ...]
    at: tuple[int, ...]


@dataclass(frozen=True)  # no slots, as above
class Measured(Generic[Item]):
    """Items, and how wide each column would like to be for them."""

    items: Sequence[Item]
    natural: list[int]

    def following(self, before: Measured[Item], skip: int) -> Measured[Item]:
        """These behind the first ``skip`` of others."""
        widest = [max(pair) for pair in zip(before.natural, self.natural, strict=True)]
        return Measured([*before.items[:skip], *self.items], widest)


def natural_widths(columns: Sequence[Column[Item]], items: Sequence[Item]) -> list[int]:
    """How wide each column would like to be."""
    step = max(1, len(items) // MEASURED)
    looked_at = items[::step]
    return [max([cell_len(column.title), *(column.show(item).cell_len for item in looked_at)]) for column in columns]


def fit(columns: Sequence[Column[Item]], natural: Sequence[int], room: int) -> Fitted[Item]:
    """The columns for a width of so many cells."""
    shown = list(range(len(columns)))

    def least(at: int) -> int:
        smallest = columns[at].least
        return natural[at] if smallest is None else min(natural[at], smallest)

    def taken(widths: Sequence[int]) -> int:
        return sum(widths) + GAP * (len(widths) - 1)

    def comfort(at: int) -> int:
        return max(least(at), min(natural[at], columns[at].comfort or 0))

    while len(shown) > 1 and taken([comfort(at) for at in shown]) > room:
        most = max(columns[at].spare for at in shown)
        if not most:
            break
        shown = [at for at in shown if columns[at].spare != most]
    widths = {at: natural[at] for at in shown}
    excess = taken(list(widths.values())) - room
    # Where not all can have their comfort, none is favoured.
    floor = comfort if taken([comfort(at) for at in shown]) <= room else least
    excess = _shrink(widths, {at: floor(at) for at in shown}, excess)
    growing = [at for at in shown if columns[at].grow]
    if excess < 0 and growing:
        widths[growing[-1]] -= excess
    return Fitted(tuple(columns[at] for at in shown), tuple(widths[at] for at in shown), tuple(shown))


def _shrink(widths: dict[int, int], floors: dict[int, int], excess: int) -> int:
    """Takes the excess from the columns that have most to give; returns what is left of it."""
    while excess > 0:
        widest = max(widths, key=lambda at: widths[at] - floors[at])
        give = min(excess, widths[widest] - floors[widest])
        if give <= 0:
            break
        # In steps, so that two long columns give way alike.
        step = max(1, give // 4)
        widths[widest] -= step
        excess -= step
    return excess
