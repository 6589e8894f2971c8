"""A verdict: noise is no alarm, a shift is detected, and every reason has a name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from featurestore.drift.measure import first_verdict, measure
from featurestore.drift.methods import METHODS
from featurestore.drift.sample import Sample
from tests.drift.conftest import Normal, SampleOf

SIZES = [(30, 30), (50, 50), (303, 303), (2_000, 2_000), (2_000, 100)]


def alarms_at_noise(before: int, now: int, normal: Normal, pairs: int) -> int:
    drawn = ((normal(2 * turn, before), normal(2 * turn + 1, now)) for turn in range(pairs))
    return sum(measure(*pair).detected for pair in drawn)


@pytest.mark.parametrize(("before", "now"), SIZES)
def test_of_two_hundred_pairs_of_noise_at_most_one_is_an_alarm(before: int, now: int, normal: Normal) -> None:
    assert alarms_at_noise(before, now, normal, 200) <= 1


@pytest.mark.nightly
@pytest.mark.parametrize(("before", "now"), SIZES)
def test_of_a_thousand_pairs_of_noise_at_most_five_are_alarms(before: int, now: int, normal: Normal) -> None:
    assert alarms_at_noise(before, now, normal, 1_000) <= 5


@pytest.mark.parametrize(("size", "least"), [(303, 85), (2_000, 100)])
def test_half_a_deviation_is_detected(size: int, least: int, normal: Normal) -> None:
    pairs = ((normal(2 * turn, size), normal(2 * turn + 1, size, shift=0.5)) for turn in range(100))
    assert sum("score" in measure(*pair).reasons for pair in pairs) >= least


def test_the_first_run_has_no_drift(normal: Normal) -> None:
    verdict = first_verdict(normal(1, 303))
    assert (verdict.status, verdict.score, verdict.detected, verdict.reference_run) == ("ok", 0.0, False, None)


def test_equal_values_score_zero(normal: Normal) -> None:
    verdict = measure(normal(1, 303), normal(1, 303), reference_run="r1")
    assert (verdict.status, verdict.score, verdict.n, verdict.reference_run) == ("ok", 0.0, 303, "r1")


def test_under_thirty_values_there_is_no_score(normal: Normal) -> None:
    verdict = measure(normal(1, 303), normal(2, 29, shift=9.0))
    assert (verdict.status, verdict.score, verdict.detected) == ("skipped: too few (29 of 30 values)", None, False)
    assert measure(normal(1, 29), normal(2, 303)).status == "skipped: too few in the reference (29 of 30 values)"


def test_nulls_that_appear_are_a_reason_though_the_values_stay(sample_of: SampleOf) -> None:
    values = list(np.random.default_rng(1).normal(size=400))
    half = [value if number % 2 else None for number, value in enumerate(values)]
    verdict = measure(sample_of(values), sample_of(half))
    assert verdict.reasons == ("null_share",)
    assert (verdict.reference_null_share, verdict.null_share) == (0.0, 0.5)


def test_a_column_that_became_all_null_has_drifted_without_a_score(sample_of: SampleOf, normal: Normal) -> None:
    verdict = measure(normal(1, 303), sample_of([None] * 303))
    assert (verdict.status, verdict.score, verdict.reasons) == ("drifted", None, ("null_share",))


@pytest.mark.parametrize(("odd", "reason"), [(float("nan"), "nan_share"), (float("inf"), "infinite_share")])
def test_nan_and_infinities_are_separate_reasons(odd: float, reason: str, sample_of: SampleOf) -> None:
    values = list(np.random.default_rng(1).normal(size=400))
    assert measure(sample_of(values), sample_of(values[:300] + [odd] * 100)).reasons == (reason,)


def test_new_categories_are_named(sample_of: SampleOf) -> None:
    before = sample_of(["a", "b"] * 150, "string")
    now = sample_of(["a", "b"] * 140 + ["z"] * 20, "string")
    verdict = measure(before, now)
    assert "new_categories" in verdict.reasons
    assert verdict.new_categories == ("z",)


def test_one_rare_new_category_is_chance(sample_of: SampleOf) -> None:
    before = sample_of(["a", "b"] * 150, "string")
    assert measure(before, sample_of(["a", "b"] * 150 + ["z"], "string")).status == "ok"


def test_a_rare_category_that_the_sample_missed_is_not_new(sample_of: SampleOf) -> None:
    before = sample_of(["a"] * 40_000 + ["z"] * 2, "string")
    now = sample_of(["a"] * 1_000 + ["z"] * 100, "string")
    assert "new_categories" not in measure(before, now).reasons


def test_values_beyond_the_range_of_the_reference_are_a_reason(sample_of: SampleOf) -> None:
    values = np.random.default_rng(1).uniform(0, 100, size=2_000)
    outside = values.copy()
    outside[:40] = 999.0
    assert "range" in measure(sample_of(values), sample_of(outside)).reasons


def test_row_count_and_distinct_are_reported_but_not_a_reason(normal: Normal) -> None:
    verdict = measure(normal(1, 2_000), normal(2, 200))
    assert (verdict.rows, verdict.reference_rows, verdict.distinct, verdict.detected) == (200, 2_000, 200, False)


def test_booleans_and_few_integers_are_compared_by_value(sample_of: SampleOf) -> None:
    assert measure(sample_of([True, False] * 200, "bool"), sample_of([True] * 400, "bool")).detected
    assert measure(sample_of([0, 1] * 200, "int"), sample_of([0] * 390 + [1] * 10, "int")).detected


def test_many_categories_of_noise_are_no_alarm_and_a_shift_among_them_is_detected(sample_of: SampleOf) -> None:
    names = [f"c{number}" for number in range(5_000)]
    random = np.random.default_rng(8)
    before, same = (sample_of(list(random.choice(names, 10_000)), "string") for _ in range(2))
    other = sample_of(list(random.choice(names[:3_000], 10_000)), "string")
    assert not measure(before, same).detected
    assert measure(before, other).detected


@pytest.mark.parametrize("values", [[1e308, -1e308] * 200 + list(range(40)), [5.0] * 300, list(range(300))])
def test_odd_numbers_give_a_verdict(values: Sequence[object], sample_of: SampleOf) -> None:
    assert measure(sample_of(values), sample_of(values)).status == "ok"


def test_a_constant_that_changed_is_detected(sample_of: SampleOf) -> None:
    assert measure(sample_of([5.0] * 300), sample_of([6.0] * 300)).score == pytest.approx(np.sqrt(np.log(2)))


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if name != "TVD"])
def test_no_method_alarms_at_noise_and_each_detects_a_shift(sample_of: SampleOf, method: str) -> None:
    numbers = "number" in METHODS[method].declared.takes

    def sample(seed: int, size: int, shift: float = 0.0) -> Sample:
        random = np.random.default_rng(seed)
        if numbers:
            return sample_of(random.normal(size=size) + shift, method=method)
        return sample_of(random.choice(["F", "M"], size, p=[0.5 + shift / 4, 0.5 - shift / 4]), "string", method=method)

    assert sum(measure(sample(turn, 100), sample(turn + 1_000, 60)).detected for turn in range(40)) <= 1
    verdict = measure(sample(1, 400), sample(2, 400, shift=1.0))
    assert (verdict.method, verdict.reasons[0]) == (method, "score")
    assert verdict.score is not None
    assert verdict.threshold < verdict.score <= 1
