"""How each drift method computes its number from two samples.

`featurestore.drift_methods` declares the methods: their names, scales and limits. Three of Evidently's are left out:
``empirical_mmd`` draws without a seed and needs memory for the square of the sample, so no verdict could be computed
twice; the two text methods train a classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from featurestore.drift import distances, pvalues, value_distances
from featurestore.drift.bins import (
    Binning,
    Counts,
    Floats,
    Pair,
    by_category,
    by_value,
    has_few_values,
    quantiles,
    sturges,
    sturges_of_distinct,
)
from featurestore.drift_methods import DEFAULT_METHOD, DRIFT_METHODS, DriftMethod
from featurestore.errors import ConfigError, did_you_mean
from featurestore.frozen import frozen

if TYPE_CHECKING:
    from featurestore.drift.sample import Sample

Distance = Callable[[Counts, Counts, Floats], Floats]


@frozen
class Method:
    """A declared method with its computation.

    ``number`` gives Evidently's number. ``distance`` measures the counts of a pair and of its shuffles; it grows with
    the drift that the method looks for. ``binning`` puts numbers into bins.
    """

    declared: DriftMethod
    number: Callable[[Pair], float]
    distance: Distance
    binning: Binning

    @property
    def name(self) -> str:
        return self.declared.name

    def pair(self, reference: Sample, current: Sample) -> Pair:
        """The two samples side by side, counted over the same bins."""
        if reference.facts.kind == "category":
            return by_category(reference, current)[1]
        return self.binning(_floats(reference), _floats(current))


def method_for(name: str, reference: Sample) -> Method:
    """The named method, or the default one if it can't compare the reference's values.

    A method for categories takes numbers if the reference has at most twenty different ones.
    Raises ConfigError for a name that is not a method's.
    """
    if name not in METHODS:
        raise ConfigError(f"drift.method is not a known method: {name!r}", hint=did_you_mean(name, METHODS))
    method, kind = METHODS[name], reference.facts.kind
    if kind == "category":
        return method if "category" in method.declared.takes else METHODS[DEFAULT_METHOD]
    if "number" not in method.declared.takes and not has_few_values(_floats(reference)):
        return METHODS[DEFAULT_METHOD]
    return method


def _floats(sample: Sample) -> Floats:
    return sample.values.to_numpy().astype(np.float64)


def _of_counts(distance: Distance) -> Callable[[Pair], float]:
    """The number of a method that is a distance of counts."""
    return lambda pair: float(distance(pair.before, pair.now, pair.centers))


# number, distance, binning
COMPUTATIONS: dict[str, tuple[Callable[[Pair], float], Distance, Binning]] = {
    "jensenshannon": (_of_counts(distances.jensen_shannon), distances.jensen_shannon, sturges),
    "hellinger": (value_distances.hellinger, distances.hellinger, sturges_of_distinct),
    "psi": (_of_counts(distances.psi), distances.psi, sturges),
    "kl_div": (_of_counts(distances.kl_divergence), distances.kl_divergence, sturges),
    "wasserstein": (value_distances.wasserstein, distances.transport, quantiles),
    "ed": (value_distances.energy_distance, distances.energy, quantiles),
    "ks": (pvalues.ks, distances.kolmogorov, quantiles),
    "es": (pvalues.epps_singleton, distances.energy, quantiles),
    "mannw": (pvalues.mann_whitney, distances.ranks, quantiles),
    "t_test": (pvalues.t_test, distances.means, quantiles),
    "anderson": (pvalues.anderson, distances.anderson, quantiles),
    "cramer_von_mises": (pvalues.cramer_von_mises, distances.cramer, quantiles),
    "chisquare": (pvalues.chi_square, distances.pearson, by_value),
    "z": (pvalues.z_test, distances.first_share, by_value),
    "g_test": (pvalues.g_test, distances.pearson, by_value),
    "fisher_exact": (pvalues.fisher, distances.first_share, by_value),
    "TVD": (pvalues.total_variation, distances.total_variation, by_value),
}

METHODS = {name: Method(declared, *COMPUTATIONS[name]) for name, declared in DRIFT_METHODS.items()}
