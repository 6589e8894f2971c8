"""The p-values of statistical tests, as Evidently computes them.

SciPy is imported by the test that needs it, because the import takes longer than everything else here. Samples that a
test can't compare raise `NotComparableError`.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from featurestore.drift.bins import NotComparableError

if TYPE_CHECKING:
    from featurestore.drift.bins import Counts, Pair

TVD_SHUFFLES = 1000


def ks(pair: Pair) -> float:
    from scipy.stats import ks_2samp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it falls back to the asymptotic p-value
        return float(ks_2samp(pair.reference, pair.current).pvalue)


def anderson(pair: Pair) -> float:
    from scipy.stats import anderson_ksamp

    if pair.reference[0] == pair.reference[-1] == pair.current[0] == pair.current[-1]:
        raise NotComparableError("anderson needs two different values")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the p-value is capped to 0.001 … 0.25, as in Evidently
        return float(anderson_ksamp([pair.reference, pair.current]).pvalue)


def cramer_von_mises(pair: Pair) -> float:
    from scipy.stats import cramervonmises_2samp

    return float(cramervonmises_2samp(pair.reference, pair.current).pvalue)


def epps_singleton(pair: Pair) -> float:
    from scipy.stats import epps_singleton_2samp, iqr

    if iqr(np.concatenate([pair.reference, pair.current])) == 0:
        raise NotComparableError("es needs values of which the middle half differ")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the covariance may be nearly singular
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
        warnings.simplefilter("ignore", RuntimeWarning)  # a constant sample loses precision
        return float(ttest_ind(pair.reference, pair.current).pvalue)


def chi_square(pair: Pair) -> float:
    """Goodness of fit to the reference's shares, which are taken as exact."""
    expected = pair.before * (pair.now.sum() / pair.before.sum())
    with np.errstate(divide="ignore"):
        statistic = float(((pair.now - expected) ** 2 / expected).sum())
    return _chi_square_tail(statistic, len(pair.now) - 1)


def g_test(pair: Pair) -> float:
    """The same by likelihood ratio. Evidently refuses samples of different sizes; here the reference is scaled."""
    expected = pair.before * (pair.now.sum() / pair.before.sum())
    seen = pair.now > 0
    with np.errstate(divide="ignore"):
        statistic = float(2 * (pair.now[seen] * np.log(pair.now[seen] / expected[seen])).sum())
    return _chi_square_tail(statistic, len(pair.now) - 1)


def _chi_square_tail(statistic: float, freedom: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(freedom, statistic)) if freedom else math.nan


def z_test(pair: Pair) -> float:
    """Compares the two samples' shares of everything except the first value."""
    sizes = float(pair.before.sum()), float(pair.now.sum())
    if len(pair.now) == 1:
        return 1.0
    shares = 1 - pair.before[0] / sizes[0], 1 - pair.now[0] / sizes[1]
    both = (shares[0] * sizes[0] + shares[1] * sizes[1]) / sum(sizes)
    deviation = math.sqrt(both * (1 - both) * (1 / sizes[0] + 1 / sizes[1]))
    return math.erfc(abs(shares[0] - shares[1]) / deviation / math.sqrt(2)) if deviation else math.nan


def fisher(pair: Pair) -> float:
    """Evidently refuses samples of different sizes, but the test does not need equal ones."""
    from scipy.stats import fisher_exact

    if len(pair.now) > 2:
        raise NotComparableError(f"fisher_exact needs two values, not {len(pair.now)}")
    if len(pair.now) == 1:
        return 1.0
    return float(fisher_exact(np.array([pair.now, pair.before])).pvalue)


def total_variation(pair: Pair) -> float:
    """The share of a thousand shuffles that are at least as far apart, shuffled with Evidently's seed.

    For two values only. With more, Evidently loses ties to rounding, and which ones depends on the order of a Python
    set, which changes from one process to the next: there is no number to agree with.
    """
    if len(pair.now) > 2:
        raise NotComparableError(f"TVD needs two values, not {len(pair.now)}")
    random = np.random.RandomState(0)
    size, bins = int(pair.before.sum()), len(pair.before)
    both = np.concatenate([np.repeat(np.arange(bins), counts) for counts in (pair.before, pair.now)])
    observed = _distance(pair.before, pair.now)
    reached = 0
    for _ in range(TVD_SHUFFLES):
        taken = np.bincount(both[random.permutation(len(both))[:size]], minlength=bins)
        reached += observed <= _distance(taken, pair.before + pair.now - taken)
    return reached / TVD_SHUFFLES


def _distance(before: Counts, now: Counts) -> int:
    return int(np.abs(before * now.sum() - now * before.sum()).sum())
