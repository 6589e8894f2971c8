"""How far apart two samples are, on their counts over the same bins.

Every function takes arrays whose last axis is the bins, so that one call measures a pair or a thousand
shuffled ones. The first four are the numbers of methods themselves; the others grow with the number of
the method they are named for, which is all that comparing with shuffles takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from featurestore.drift.bins import Counts, Floats


def jensen_shannon(before: Counts, now: Counts, places: Floats | None = None) -> Floats:
    """Jensen-Shannon distance with the natural logarithm: 0 to 0.83."""
    p, q = _shares(before), _shares(now)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def psi(before: Counts, now: Counts, places: Floats | None = None) -> Floats:
    """Population stability index, no upper end."""
    p, q = _filled(_shares(before)), _filled(_shares(now))
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def kl_divergence(before: Counts, now: Counts, places: Floats | None = None) -> Floats:
    """Kullback-Leibler divergence of the reference from the current sample, no upper end."""
    p, q = _filled(_shares(before)), _filled(_shares(now))
    return _relative_entropy(p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True))


def hellinger(before: Counts, now: Counts, places: Floats | None = None) -> Floats:
    """Hellinger distance, 0 to 1."""
    overlap = np.sqrt(_shares(before) * _shares(now)).sum(axis=-1)
    return np.asarray(np.sqrt(1.0 - np.clip(overlap, 0.0, 1.0)))


def total_variation(before: Counts, now: Counts, places: Floats | None = None) -> Floats:
    return np.asarray(np.abs(_shares(before) - _shares(now)).sum(axis=-1) / 2)


def pearson(before: Counts, now: Counts, places: Floats | None = None) -> Floats:
    """Chi-square of homogeneity, but for a factor that shuffling leaves alone."""
    return np.asarray(((_shares(before) - _shares(now)) ** 2 / (before + now)).sum(axis=-1))


def first_share(before: Counts, now: Counts, places: Floats | None = None) -> Floats:
    """How far the share of the first bin moved."""
    return np.asarray(np.abs(_shares(before)[..., 0] - _shares(now)[..., 0]))


def kolmogorov(before: Counts, now: Counts, places: Floats) -> Floats:
    return np.asarray(np.abs(_steps(before, now)).max(axis=-1))


def transport(before: Counts, now: Counts, places: Floats) -> Floats:
    """Wasserstein's distance between the bins' places."""
    return np.asarray((np.abs(_steps(before, now)[..., :-1]) * np.diff(places)).sum(axis=-1))


def energy(before: Counts, now: Counts, places: Floats) -> Floats:
    return np.asarray((_steps(before, now)[..., :-1] ** 2 * np.diff(places)).sum(axis=-1))


def cramer(before: Counts, now: Counts, places: Floats) -> Floats:
    return np.asarray((_steps(before, now) ** 2 * (before + now)).sum(axis=-1))


def anderson(before: Counts, now: Counts, places: Floats) -> Floats:
    both = (before + now)[..., :-1]
    under = np.cumsum(before + now, axis=-1)
    under, total = under[..., :-1], under[..., -1:]
    return np.asarray((_steps(before, now)[..., :-1] ** 2 * both / (under * (total - under))).sum(axis=-1))


def ranks(before: Counts, now: Counts, places: Floats) -> Floats:
    """How much higher the current sample ranks than the reference."""
    both = before + now
    middle = np.cumsum(both, axis=-1) - both / 2
    return np.asarray(((_shares(now) - _shares(before)) * middle).sum(axis=-1))


def means(before: Counts, now: Counts, places: Floats) -> Floats:
    """How far apart the means are."""
    return np.asarray(np.abs(((_shares(now) - _shares(before)) * places).sum(axis=-1)))


def _shares(counts: Counts) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _steps(before: Counts, now: Counts) -> Floats:
    """The difference of the two distribution functions after each bin."""
    return np.asarray(np.cumsum(_shares(before) - _shares(now), axis=-1))


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.asarray((p * np.log(ratio)).sum(axis=-1))


def _filled(shares: Floats) -> Floats:
    """Shares with a small one in place of none, or a logarithm would be infinite."""
    least = np.where(shares > 0, shares, np.inf).min(axis=-1, keepdims=True)
    return np.where(shares > 0, shares, np.where(least <= 1e-4, least / 1e6, 1e-4))
