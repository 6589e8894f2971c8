"""What chance alone would do: the guard between a score and an alarm.

If nothing has moved, which of the two samples a value is in is a matter of chance. So the samples are
shuffled, seeded, and measured again and again; a real change scores higher than all but one in a
thousand of those. The shuffle is drawn on the counts of the bins, which costs milliseconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from featurestore.drift.bins import Counts, Floats, Pair

    Measure = Callable[[Counts, Counts, Floats], Floats]

LEVEL = 0.001
FEW_BINS, MANY_BINS = 32, 200
GLANCE = 200  # shuffles that tell a score which is plainly chance


def chance(pair: Pair, moved: Measure, seed: int) -> float:
    """How often shuffles of two samples lie at least as far apart, by ``moved``, as the samples do.

    At most `LEVEL` means: above the 99.9th percentile. Where a tenth of the first `GLANCE` shuffles do, no
    closer look is taken.
    """
    random = np.random.RandomState(seed % 2**32)  # its stream is frozen for good, which a Generator's is not
    held = pair.before + pair.now
    filled = held > 0
    before, now, places, held = pair.before[filled], pair.now[filled], pair.places[filled], held[filled]
    observed, size = float(moved(before, now, places)), int(before.sum())
    if len(held) > MANY_BINS:
        return _chance_among_many(held, size, places, observed, moved, random)
    reached, shuffles = 0, 0
    for more in (GLANCE, (2000 if len(held) <= FEW_BINS else 1000) - GLANCE):
        taken = _shuffled(held, size, more, random)
        reached += int(np.count_nonzero(moved(taken, held - taken, places) >= observed))
        shuffles += more
        if reached * 10 >= shuffles:
            break
    return (reached + 1) / (shuffles + 1)


def _chance_among_many(
    held: Counts, size: int, places: Floats, observed: float, moved: Measure, random: np.random.RandomState
) -> float:
    # A sum over so many bins is close to normal: few shuffles give its mean and deviation well enough.
    items = np.repeat(np.arange(len(held)), held)
    found: list[float] = []
    for glance in (GLANCE // 10, GLANCE):
        while len(found) < glance:
            taken = np.bincount(random.permutation(items)[:size], minlength=len(held))
            found.append(float(moved(taken, held - taken, places)))
        mean, deviation = float(np.mean(found)), float(np.std(found, ddof=1))
        if observed <= mean + deviation:
            break
    if deviation == 0:
        return 1.0 if observed <= mean else 0.0
    return math.erfc((observed - mean) / deviation / math.sqrt(2)) / 2


def _shuffled(bins: Counts, size: int, rounds: int, random: np.random.RandomState) -> Counts:
    taken = np.zeros((rounds, len(bins)), dtype=np.int64)
    left, rest = np.full(rounds, size), int(bins.sum())
    for column, held in enumerate(bins.tolist()):
        rest -= held
        if rest == 0:
            taken[:, column] = left
        else:
            drawn = random.hypergeometric(held, rest, np.maximum(left, 1))
            taken[:, column] = np.where(left > 0, drawn, 0)
        left = left - taken[:, column]
    return taken


def share_by_chance(before: int, before_rows: int, now: int, now_rows: int) -> float:
    """How likely chance alone moves a count as far as from ``before`` to ``now``: twice the hypergeometric tail."""
    marked, rows = before + now, before_rows + now_rows
    if marked in (0, rows):
        return 1.0
    up = now * rows >= marked * now_rows
    step = 1 if up else -1
    term = total = math.exp(_choose(marked, now) + _choose(rows - marked, now_rows - now) - _choose(rows, now_rows))
    at = now
    while term > total * 1e-17:
        if up:
            over, under = (marked - at) * (now_rows - at), (at + 1) * (rows - marked - now_rows + at + 1)
        else:
            over, under = at * (rows - marked - now_rows + at), (marked - at + 1) * (now_rows - at + 1)
        if over <= 0 or under <= 0:
            break
        term *= over / under
        total += term
        at += step
    return min(1.0, 2 * total)


def all_in_one(count: int, rows: int, other_rows: int) -> float:
    """How likely chance alone puts ``count`` values into the ``rows`` of one sample and none into the other's."""
    if count > rows:
        return 0.0
    return math.exp(_choose(rows, count) - _choose(rows + other_rows, count))


def _choose(total: int, taken: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(taken + 1) - math.lgamma(total - taken + 1)
