"""How far apart two samples are, by their counts over the same bins.

Every function takes the counts of the reference, those of the current sample, and the bins' centers. The last axis of
the counts is the bins, so one call measures one pair or a thousand shuffled ones. The first three are the numbers of
their methods. The others only grow with the number of the method that they are named after, which is enough to compare
a pair with its shuffles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from featurestore.drift.bins import Counts, Floats


def jensen_shannon(before: Counts, now: Counts, centers: Floats | None = None) -> Floats:
    """Jensen-Shannon distance with the natural logarithm, 0 to 0.83."""
    p, q = _shares(before), _shares(now)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def psi(before: Counts, now: Counts, centers: Floats) -> Floats:
    """Population stability index, without an upper end."""
    p, q = _filled(_shares(before)), _filled(_shares(now))
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def kl_divergence(before: Counts, now: Counts, centers: Floats) -> Floats:
    """Kullback-Leibler divergence of the reference from the current sample, without an upper end."""
    p, q = _filled(_shares(before)), _filled(_shares(now))
    return _relative_entropy(p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True))


def hellinger(before: Counts, now: Counts, centers: Floats) -> Floats:
    """Hellinger distance, 0 to 1."""
    overlap = np.sqrt(_shares(before) * _shares(now)).sum(axis=-1)
    return np.asarray(np.sqrt(1.0 - np.clip(overlap, 0.0, 1.0)))


def total_variation(before: Counts, now: Counts, centers: Floats) -> Floats:
    return np.asarray(np.abs(_shares(before) - _shares(now)).sum(axis=-1) / 2)


def pearson(before: Counts, now: Counts, centers: Floats) -> Floats:
    """Chi-square of homogeneity, without a factor that is the same for every shuffle."""
    return np.asarray(((_shares(before) - _shares(now)) ** 2 / (before + now)).sum(axis=-1))


def first_share(before: Counts, now: Counts, centers: Floats) -> Floats:
    """How far the share of the first bin has moved."""
    return np.asarray(np.abs(_shares(before)[..., 0] - _shares(now)[..., 0]))


def kolmogorov(before: Counts, now: Counts, centers: Floats) -> Floats:
    return np.asarray(np.abs(_steps(before, now)).max(axis=-1))


def transport(before: Counts, now: Counts, centers: Floats) -> Floats:
    """Wasserstein distance between the bins' centers."""
    return np.asarray((np.abs(_steps(before, now)[..., :-1]) * np.diff(centers)).sum(axis=-1))


def energy(before: Counts, now: Counts, centers: Floats) -> Floats:
    return np.asarray((_steps(before, now)[..., :-1] ** 2 * np.diff(centers)).sum(axis=-1))


def cramer(before: Counts, now: Counts, centers: Floats) -> Floats:
    return np.asarray((_steps(before, now) ** 2 * (before + now)).sum(axis=-1))


def anderson(before: Counts, now: Counts, centers: Floats) -> Floats:
    both = (before + now)[..., :-1]
    under = np.cumsum(before + now, axis=-1)
    under, total = under[..., :-1], under[..., -1:]
    return np.asarray((_steps(before, now)[..., :-1] ** 2 * both / (under * (total - under))).sum(axis=-1))


def ranks(before: Counts, now: Counts, centers: Floats) -> Floats:
    """How much higher the current sample ranks than the reference."""
    both = before + now
    middle = np.cumsum(both, axis=-1) - both / 2
    return np.asarray(((_shares(now) - _shares(before)) * middle).sum(axis=-1))


def means(before: Counts, now: Counts, centers: Floats) -> Floats:
    """How far apart the means are."""
    return np.asarray(np.abs(((_shares(now) - _shares(before)) * centers).sum(axis=-1)))


def _shares(counts: Counts) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _steps(before: Counts, now: Counts) -> Floats:
    """The difference of the two distribution functions after each bin."""
    return np.asarray(np.cumsum(_shares(before) - _shares(now), axis=-1))


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return np.asarray((p * np.log(ratio)).sum(axis=-1))


def _filled(shares: Floats) -> Floats:
    """The shares with zeros replaced by a small share, since the logarithm of zero is infinite."""
    least = np.where(shares > 0, shares, np.inf).min(axis=-1, keepdims=True)
    return np.where(shares > 0, shares, np.where(least <= 1e-4, least / 1e6, 1e-4))
