"""How likely chance alone gives what was observed: the guard between a score and an alarm.

If nothing has moved, it is a matter of chance which of the two samples a value is in. So the samples are shuffled with
a seed and measured again, many times; a real change scores higher than all but one in a thousand shuffles. The shuffles
are drawn from the counts of the bins, which takes milliseconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from featurestore.drift.bins import Counts, Floats, Pair
    from featurestore.drift.methods import Distance

LEVEL = 0.001
FEW_BINS, MANY_BINS = 32, 200
GLANCE = 200  # so many shuffles show that a score is plainly chance


def chance(pair: Pair, distance: Distance, seed: int) -> float:
    """The share of shuffles of two samples that are at least as far apart as the samples.

    At most `LEVEL` means above the 99.9th percentile. If a tenth of the first `GLANCE` shuffles reach the samples'
    distance, no more are drawn.
    """
    random = np.random.RandomState(seed % 2**32)  # NumPy never changes its stream; that of a Generator may change
    totals = pair.before + pair.now
    filled = totals > 0
    before, now, centers, totals = pair.before[filled], pair.now[filled], pair.centers[filled], totals[filled]
    observed, size = float(distance(before, now, centers)), int(before.sum())
    if len(totals) > MANY_BINS:
        return _chance_among_many(totals, size, centers, observed, distance, random)
    reached = shuffles = 0
    for more in (GLANCE, (2000 if len(totals) <= FEW_BINS else 1000) - GLANCE):
        drawn = _shuffled(totals, size, more, random)
        reached += int(np.count_nonzero(distance(drawn, totals - drawn, centers) >= observed))
        shuffles += more
        if reached * 10 >= shuffles:
            break
    # The samples are one of the possible shuffles themselves, so the chance is never zero.
    return (reached + 1) / (shuffles + 1)


def _chance_among_many(
    totals: Counts, size: int, centers: Floats, observed: float, distance: Distance, random: np.random.RandomState
) -> float:
    # A sum over so many bins is nearly normal: a few shuffles give its mean and deviation well enough.
    items = np.repeat(np.arange(len(totals)), totals)
    distances: list[float] = []
    for glance in (GLANCE // 10, GLANCE):
        while len(distances) < glance:
            taken = np.bincount(random.permutation(items)[:size], minlength=len(totals))
            distances.append(float(distance(taken, totals - taken, centers)))
        mean, deviation = float(np.mean(distances)), float(np.std(distances, ddof=1))
        if observed <= mean + deviation:
            break
    if deviation == 0:
        return 1.0 if observed <= mean else 0.0
    return math.erfc((observed - mean) / deviation / math.sqrt(2)) / 2


def _shuffled(totals: Counts, size: int, rounds: int, random: np.random.RandomState) -> Counts:
    """Counts of ``rounds`` samples of ``size`` values that are drawn from the bins."""
    taken = np.zeros((rounds, len(totals)), dtype=np.int64)
    left, rest = np.full(rounds, size), int(totals.sum())
    for column, total in enumerate(totals.tolist()):
        rest -= total
        if rest == 0:
            taken[:, column] = left
        else:
            # NumPy refuses to draw no values.
            drawn = random.hypergeometric(total, rest, np.maximum(left, 1))
            taken[:, column] = np.where(left > 0, drawn, 0)
        left = left - taken[:, column]
    return taken


def share_by_chance(before: int, before_rows: int, now: int, now_rows: int) -> float:
    """The probability that chance alone moves a count as far as from ``before`` to ``now``.

    Twice the hypergeometric tail.
    """
    marked, rows = before + now, before_rows + now_rows
    if marked in (0, rows):
        return 1.0
    up = now * rows >= marked * now_rows
    step = 1 if up else -1
    term = total = math.exp(_choose(marked, now) + _choose(rows - marked, now_rows - now) - _choose(rows, now_rows))
    at = now
    # Smaller terms would not change the sum any more.
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
    """The probability that chance alone puts ``count`` values into one sample of ``rows`` and none into the other."""
    if count > rows:
        return 0.0
    return math.exp(_choose(rows, count) - _choose(rows + other_rows, count))


def _choose(total: int, taken: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(taken + 1) - math.lgamma(total - taken + 1)
