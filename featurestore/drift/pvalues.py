"""Evidently's numbers that are not distances of counts: its tests' p-values, and three distances of values.

SciPy is imported when a test needs it, which takes longer than all the rest. A sample that a test can't
take raises `NotComparableError`.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from featurestore.drift.bins import NotComparableError

if TYPE_CHECKING:
    from featurestore.drift.bins import Counts, Floats, Pair

TVD_SHUFFLES = 1000


def wasserstein(pair: Pair) -> float:
    """Wasserstein distance over the reference's standard deviation."""
    distance = float((np.abs(_gaps(pair)[0]) * _gaps(pair)[1]).sum())
    return distance / max(float(np.std(pair.reference)), 0.001)


def energy_distance(pair: Pair) -> float:
    steps, widths = _gaps(pair)
    return math.sqrt(2.0) * math.sqrt(float((steps**2 * widths).sum()))


def hellinger(pair: Pair) -> float:
    """Hellinger distance, by Evidently's own steps: its root makes 1e-8 of the last bit of the overlap."""
    shares = pair.before / pair.before.sum(), pair.now / pair.now.sum()
    width = 1.0
    if len(pair.reference):
        edges = np.histogram_bin_edges(np.unique(np.concatenate([pair.reference, pair.current])), bins="sturges")
        with np.errstate(over="ignore"):
            shares = pair.before / np.diff(edges) / pair.before.sum(), pair.now / np.diff(edges) / pair.now.sum()
        width = float(edges[-1] - edges[0]) / (len(edges) - 1)
    overlap = sum(math.sqrt(p * q) * width for p, q in zip(*(share.tolist() for share in shares), strict=True))
    return math.sqrt(1 - min(max(overlap, 0.0), 1.0))


def _gaps(pair: Pair) -> tuple[Floats, Floats]:
    """The difference of the two distribution functions between neighbouring values, and the values' distance."""
    both = np.sort(np.concatenate([pair.reference, pair.current]))
    under = [
        np.searchsorted(values, both[:-1], side="right") / len(values) for values in (pair.reference, pair.current)
    ]
    return under[0] - under[1], np.diff(both)


def ks(pair: Pair) -> float:
    from scipy.stats import ks_2samp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the exact p-value gave way to the asymptotic one
        return float(ks_2samp(pair.reference, pair.current).pvalue)


def anderson(pair: Pair) -> float:
    from scipy.stats import anderson_ksamp

    if pair.reference[0] == pair.reference[-1] == pair.current[0] == pair.current[-1]:
        raise NotComparableError("anderson needs two different values")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the p-value is capped to 0.001 … 0.25, as Evidently's is
        return float(anderson_ksamp([pair.reference, pair.current]).pvalue)


def cramer_von_mises(pair: Pair) -> float:
    from scipy.stats import cramervonmises_2samp

    return float(cramervonmises_2samp(pair.reference, pair.current).pvalue)


def epps_singleton(pair: Pair) -> float:
    from scipy.stats import epps_singleton_2samp, iqr

    if iqr(np.concatenate([pair.reference, pair.current])) == 0:
        raise NotComparableError("es needs values of which the middle half differ")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a covariance that is nearly singular says so
        try:
            return float(epps_singleton_2samp(pair.reference, pair.current).pvalue)
        except np.linalg.LinAlgError:
            return math.nan


def mann_whitney(pair: Pair) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(pair.reference, pair.current, alternative="less").pvalue)


def t_test(pair: Pair) -> float:
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a constant sample loses precision, and says so
        return float(ttest_ind(pair.reference, pair.current).pvalue)


def chi_square(pair: Pair) -> float:
    """Against the reference's shares as if they were known for certain."""
    expected = pair.before * (pair.now.sum() / pair.before.sum())
    with np.errstate(divide="ignore"):
        statistic = float(((pair.now - expected) ** 2 / expected).sum())
    return _chi_square_tail(statistic, len(pair.now) - 1)


def g_test(pair: Pair) -> float:
    """The same by likelihood ratio. Evidently refuses samples of two sizes; here the reference is scaled."""
    expected = pair.before * (pair.now.sum() / pair.before.sum())
    seen = pair.now > 0
    with np.errstate(divide="ignore"):
        statistic = float(2 * (pair.now[seen] * np.log(pair.now[seen] / expected[seen])).sum())
    return _chi_square_tail(statistic, len(pair.now) - 1)


def _chi_square_tail(statistic: float, freedom: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(freedom, statistic)) if freedom else math.nan


def z_test(pair: Pair) -> float:
    """Two shares of everything but the first value."""
    sizes = float(pair.before.sum()), float(pair.now.sum())
    if len(pair.now) == 1:
        return 1.0
    shares = 1 - pair.before[0] / sizes[0], 1 - pair.now[0] / sizes[1]
    both = (shares[0] * sizes[0] + shares[1] * sizes[1]) / sum(sizes)
    deviation = math.sqrt(both * (1 - both) * (1 / sizes[0] + 1 / sizes[1]))
    return math.erfc(abs(shares[0] - shares[1]) / deviation / math.sqrt(2)) if deviation else math.nan


def fisher(pair: Pair) -> float:
    """Evidently refuses samples of two sizes; the test does not need them equal."""
    from scipy.stats import fisher_exact

    if len(pair.now) > 2:
        raise NotComparableError(f"fisher_exact needs two values, not {len(pair.now)}")
    if len(pair.now) == 1:
        return 1.0
    return float(fisher_exact(np.array([pair.now, pair.before])).pvalue)


def total_variation(pair: Pair) -> float:
    """The share of a thousand shuffles that lie as far apart; the shuffles are those of Evidently's seed.

    Of two values only: of more, Evidently loses ties to rounding, and which ones changes with the order of a
    Python set from one process to the next, so there is no number to agree with.
    """
    if len(pair.now) > 2:
        raise NotComparableError(f"TVD needs two values, not {len(pair.now)}")
    random = np.random.RandomState(0)
    size, bins = int(pair.before.sum()), len(pair.before)
    both = np.concatenate([np.repeat(np.arange(bins), counts) for counts in (pair.before, pair.now)])
    observed = _apart(pair.before, pair.now)
    reached = 0
    for _ in range(TVD_SHUFFLES):
        taken = np.bincount(both[random.permutation(len(both))[:size]], minlength=bins)
        reached += observed <= _apart(taken, pair.before + pair.now - taken)
    return reached / TVD_SHUFFLES


def _apart(before: Counts, now: Counts) -> int:
    return int(np.abs(before * now.sum() - now * before.sum()).sum())
