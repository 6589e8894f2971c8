"""Every method's number equals Evidently's on the same sample."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featurestore.drift.bins import NotComparableError
from featurestore.drift.measure import measure
from featurestore.drift.methods import METHODS
from featurestore.drift.sample import Sample
from tests.drift.conftest import SampleOf, Values

os.environ["DO_NOT_TRACK"] = "1"
if find_spec("evidently") is None:
    pytest.skip("the extra `report` is not installed", allow_module_level=True)

Draw = Callable[[np.random.Generator, int], NDArray[Any]]

NUMBERS: dict[str, Draw] = {
    "normal": lambda random, size: random.normal(size=size),
    "shifted": lambda random, size: random.normal(loc=size / 1_000, size=size),
    "skewed": lambda random, size: random.lognormal(sigma=2, size=size),
    "constant": lambda random, size: np.full(size, 5.0),
    "tied": lambda random, size: random.integers(0, 30, size).astype(float),
    "few": lambda random, size: random.integers(0, 4, size).astype(float),
    "null-heavy": lambda random, size: np.where(random.random(size) < 0.6, np.nan, random.normal(size=size)),
    "infinite": lambda random, size: np.where(random.random(size) < 0.1, np.inf, random.normal(size=size)),
}
CATEGORIES: dict[str, Draw] = {
    "two": lambda random, size: random.choice(["F", "M"], size),
    "one": lambda random, size: np.full(size, "F"),
    "five": lambda random, size: random.choice(list("abcde"), size, p=[0.5, 0.2, 0.15, 0.1, 0.05]),
    "new": lambda random, size: random.choice(list("abcdefgh")[: 3 + size % 5], size),
    "many": lambda random, size: np.array([f"c{code}" for code in random.zipf(1.5, size) % 900]),
}
SIZES = [(2, 2), (40, 40), (303, 120), (1_200, 1_500)]


@pytest.fixture(autouse=True, scope="module")
def _evidently() -> None:
    """Imports it for these tests only, since that takes seconds, and without what it has to say of others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("evidently")


def judge(method: str, reference: Sample, current: Sample, *, number: bool) -> float | None:
    """Evidently's number for two samples; None where it refuses them."""
    import pandas as pd
    from evidently.legacy.calculations.stattests.registry import get_registered_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Numerical if number else ColumnType.Categorical
    before, now = (pd.Series(sample.values.to_numpy()) for sample in (reference, current))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return float(get_registered_stattest(method, kind)(before, now, kind, None).drift_score)
        except (ValueError, TypeError, ZeroDivisionError, IndexError):
            return None


def report(method: str, before: Values, now: Values, *, number: bool) -> float:
    """Evidently's number by its public way: a report over raw columns."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    definition = DataDefinition(**{"numerical_columns" if number else "categorical_columns": ["x"]})
    sets = (Dataset.from_pandas(pd.DataFrame({"x": values}), data_definition=definition) for values in (now, before))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        (metric,) = Report([ValueDrift(column="x", method=method)]).run(*sets).dict()["metrics"]
    return float(metric["value"])


def ours(method: str, reference: Sample, current: Sample) -> float | None:
    chosen = METHODS[method]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return chosen.number(chosen.pair(reference, current))
        except (NotComparableError, ValueError):
            return None


def check(method: str, reference: Sample, current: Sample, *, number: bool) -> None:
    theirs = judge(method, reference, current, number=number)
    if theirs is None:
        return
    mine = ours(method, reference, current)
    values = len(set(reference.values) | set(current.values))
    if method in ("fisher_exact", "TVD") and values > 2:
        assert mine is None, "Evidently's own number changes here with the order of a set"
        return
    if mine is None:
        assert math.isnan(theirs)
        return
    assert (math.isnan(mine) and math.isnan(theirs)) or abs(mine - theirs) <= 1e-9 * max(1.0, abs(theirs))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("data", NUMBERS)
@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if "number" in method.declared.takes])
def test_numbers(sample_of: SampleOf, method: str, data: str, sizes: tuple[int, int]) -> None:
    random = np.random.default_rng([*sizes, list(NUMBERS).index(data)])
    before, now = (sample_of(NUMBERS[data](random, size)) for size in sizes)
    if not len(before.values) or not len(now.values):
        return
    check(method, before, now, number=True)


@pytest.mark.parametrize(
    ("method", "data", "sizes"),
    [
        (method, data, sizes)
        for method in METHODS
        if "category" in METHODS[method].declared.takes
        for data in CATEGORIES
        for sizes in SIZES
        if method != "TVD" or (data in ("two", "five") and sizes == SIZES[1])  # Evidently's takes seconds
    ],
    ids=str,
)
def test_categories(sample_of: SampleOf, method: str, data: str, sizes: tuple[int, int]) -> None:
    random = np.random.default_rng([*sizes, list(CATEGORIES).index(data)])
    before, now = (sample_of(CATEGORIES[data](random, size), "string") for size in sizes)
    check(method, before, now, number=False)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if "category" in method.declared.takes])
def test_booleans_are_categories(sample_of: SampleOf, method: str) -> None:
    random = np.random.default_rng(4)
    before, now = (sample_of(random.random(200) < share, "bool") for share in (0.5, 0.65))
    check(method, before, now, number=False)


@pytest.mark.parametrize("method", METHODS)
def test_a_report_over_the_raw_columns_has_the_verdict_s_number_and_threshold(sample_of: SampleOf, method: str) -> None:
    from evidently.legacy.calculations.stattests.registry import _registered_stat_tests

    number, random = "number" in METHODS[method].declared.takes, np.random.default_rng(5)
    if number:
        raw = [random.normal(loc=loc, size=300) for loc in (0, 1)]
        for values in raw:
            values[::7], values[::31] = np.nan, np.inf
    else:
        raw = [random.choice(["F", "M"], 300, p=p) for p in ([0.5, 0.5], [0.8, 0.2])]
    before, now = (sample_of(values, "float" if number else "string", method=method) for values in raw)
    verdict = measure(before, now)
    assert verdict.method == method
    assert verdict.statistic == pytest.approx(report(method, *raw, number=number), rel=1e-9, abs=1e-9)
    limit = next(iter(_registered_stat_tests[method].values())).default_threshold
    assert verdict.threshold == METHODS[method].declared.score(limit)
    assert verdict.detected
