"""The drift methods: what the configuration, the measuring and the documentation agree on.

A leaf without imports of weight: reading ``featurestore.toml`` must not load NumPy. How a method computes its number
is in `featurestore.drift.methods`.
"""

from __future__ import annotations

import math
from typing import Literal

from featurestore.frozen import frozen

Kind = Literal["number", "category"]
Scale = Literal["p_value", "bounded", "unbounded"]

DEFAULT_METHOD = "jensenshannon"


@frozen
class DriftMethod:
    """One method, under Evidently's name for it.

    ``takes`` are the kinds of values that it compares. ``scale`` is that of its number: a p-value, a distance that
    ends at 1 or below, or a distance without an end. ``limit`` is the number at which Evidently reports drift.
    """

    name: str
    title: str
    takes: tuple[Kind, ...]
    scale: Scale
    limit: float

    @property
    def has_p_value(self) -> bool:
        return self.scale == "p_value"

    @property
    def threshold(self) -> float:
        """The default threshold, on the scale of the score."""
        return self.score(self.limit)

    def score(self, number: float) -> float:
        """The number mapped to a score from 0 to 1; higher is more drift."""
        if self.scale == "p_value":
            return 1.0 - number
        return number if self.scale == "bounded" else -math.expm1(-number)


_BOTH: tuple[Kind, ...] = ("number", "category")

DRIFT_METHODS = {
    method.name: method
    for method in (
        DriftMethod("jensenshannon", "Jensen-Shannon distance", _BOTH, "bounded", 0.1),
        DriftMethod("hellinger", "Hellinger distance", _BOTH, "bounded", 0.1),
        DriftMethod("psi", "population stability index", _BOTH, "unbounded", 0.1),
        DriftMethod("kl_div", "Kullback-Leibler divergence", _BOTH, "unbounded", 0.1),
        DriftMethod("wasserstein", "Wasserstein distance", ("number",), "unbounded", 0.1),
        DriftMethod("ed", "energy distance", ("number",), "unbounded", 0.1),
        DriftMethod("ks", "Kolmogorov-Smirnov test", ("number",), "p_value", 0.05),
        DriftMethod("es", "Epps-Singleton test", ("number",), "p_value", 0.05),
        DriftMethod("mannw", "Mann-Whitney U test", ("number",), "p_value", 0.05),
        DriftMethod("t_test", "Student's t-test", ("number",), "p_value", 0.05),
        DriftMethod("anderson", "Anderson-Darling test", ("number",), "p_value", 0.1),
        DriftMethod("cramer_von_mises", "Cramér-von Mises test", ("number",), "p_value", 0.1),
        DriftMethod("chisquare", "chi-square test", ("category",), "p_value", 0.05),
        DriftMethod("z", "z-test of proportions", ("category",), "p_value", 0.05),
        DriftMethod("g_test", "G-test", ("category",), "p_value", 0.1),
        DriftMethod("fisher_exact", "Fisher's exact test", ("category",), "p_value", 0.1),
        DriftMethod("TVD", "total variation distance, by permutation", ("category",), "p_value", 0.1),
    )
}
