"""The methods by their names, as Evidently has them, each with its number, its score and its threshold.

A score runs from 0 to 1 and higher is more drift, whatever the method, by these maps of its number x:

- a p-value: 1 - x
- a distance that ends at 1 or below (jensenshannon, hellinger): x
- a distance without an end (psi, kl_div, wasserstein, ed): 1 - exp(-x)

A method's default threshold is Evidently's, put through the same map. Three of its methods are left out:
``empirical_mmd`` draws without a seed and needs the square of the sample in memory, so that no verdict could
be reached twice; the two text methods train a classifier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from featurestore.drift import distances, pvalues
from featurestore.drift.bins import (
    Counts,
    Floats,
    Pair,
    by_category,
    by_value,
    few,
    ordered,
    sturges,
    sturges_of_distinct,
)
from featurestore.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from featurestore.drift.sample import Sample

DEFAULT = "jensenshannon"

Scale = Literal["p_value", "bounded", "unbounded"]
Takes = Literal["numbers", "categories", "both"]


@dataclass(frozen=True, slots=True)
class Method:
    """``number`` is Evidently's, ``limit`` the value of it at which Evidently calls drift.

    ``cut`` bins numbers. ``moved`` is measured on the counts of a pair and of its shuffles: it grows with
    the drift that the method looks for.
    """

    name: str
    takes: Takes
    scale: Scale
    limit: float
    number: Callable[[Pair], float]
    moved: Callable[[Counts, Counts, Floats], Floats]
    cut: Callable[[Floats, Floats], Pair] = by_value

    @property
    def threshold(self) -> float:
        """The default threshold, on the scale of the score."""
        return self.score(self.limit)

    def score(self, number: float) -> float:
        """The number mapped to 0 to 1."""
        if self.scale == "p_value":
            return 1.0 - number
        return number if self.scale == "bounded" else -math.expm1(-number)

    def pair(self, reference: Sample, current: Sample) -> Pair:
        """The two samples as this method takes them."""
        if reference.facts.kind == "category":
            return by_category(reference, current)[1]
        return self.cut(*(_floats(sample) for sample in (reference, current)))


def _floats(sample: Sample) -> Floats:
    return sample.values.to_numpy().astype(np.float64)


def _counted(distance: Callable[[Counts, Counts], Floats]) -> Callable[[Pair], float]:
    return lambda pair: float(distance(pair.before, pair.now))


def _distance(
    name: str, scale: Scale, distance: Callable[..., Floats], cut: Callable[[Floats, Floats], Pair]
) -> Method:
    return Method(name, "both", scale, 0.1, _counted(distance), distance, cut)


METHODS = {
    method.name: method
    for method in (
        _distance("jensenshannon", "bounded", distances.jensen_shannon, sturges),
        _distance("psi", "unbounded", distances.psi, sturges),
        _distance("kl_div", "unbounded", distances.kl_divergence, sturges),
        Method("hellinger", "both", "bounded", 0.1, pvalues.hellinger, distances.hellinger, sturges_of_distinct),
        Method("wasserstein", "numbers", "unbounded", 0.1, pvalues.wasserstein, distances.transport, ordered),
        Method("ed", "numbers", "unbounded", 0.1, pvalues.energy_distance, distances.energy, ordered),
        Method("ks", "numbers", "p_value", 0.05, pvalues.ks, distances.kolmogorov, ordered),
        Method("anderson", "numbers", "p_value", 0.1, pvalues.anderson, distances.anderson, ordered),
        Method("cramer_von_mises", "numbers", "p_value", 0.1, pvalues.cramer_von_mises, distances.cramer, ordered),
        Method("es", "numbers", "p_value", 0.05, pvalues.epps_singleton, distances.energy, ordered),
        Method("mannw", "numbers", "p_value", 0.05, pvalues.mann_whitney, distances.ranks, ordered),
        Method("t_test", "numbers", "p_value", 0.05, pvalues.t_test, distances.means, ordered),
        Method("chisquare", "categories", "p_value", 0.05, pvalues.chi_square, distances.pearson),
        Method("g_test", "categories", "p_value", 0.1, pvalues.g_test, distances.pearson),
        Method("z", "categories", "p_value", 0.05, pvalues.z_test, distances.first_share),
        Method("fisher_exact", "categories", "p_value", 0.1, pvalues.fisher, distances.first_share),
        Method("TVD", "categories", "p_value", 0.1, pvalues.total_variation, distances.total_variation),
    )
}


def method_for(name: str, reference: Sample) -> Method:
    """The method of that name for what the reference holds; the default where it can't compare such values.

    A method for categories takes numbers where the reference has at most twenty different ones.
    Raises ConfigError for a name that is not a method's.
    """
    if name not in METHODS:
        raise ConfigError(f"drift.method is not a known method: {name!r}", hint=did_you_mean(name, METHODS))
    method = METHODS[name]
    if reference.facts.kind == "category":
        return method if method.takes != "numbers" else METHODS[DEFAULT]
    if method.takes == "categories" and not few(_floats(reference)):
        return METHODS[DEFAULT]
    return method
