"""A sample is bounded and seeded, and survives packing into bytes unchanged."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

import numpy as np
import pytest

from featurestore.drift.sample import LIMIT, pack_sample, pool, unpack_sample
from tests.drift.conftest import SampleOf


@pytest.mark.parametrize(
    ("values", "data_type"),
    [
        ([1.5, None, float("nan"), -0.0, float("inf")], "float"),
        ([2**63 - 1, None, -5], "int"),
        (["ä", "", None, "007"], "string"),
        ([True, None, False], "bool"),
        ([], "float"),
        ([None, None], "string"),
    ],
)
def test_an_unpacked_sample_is_equal(values: Sequence[object], data_type: str, sample_of: SampleOf) -> None:
    sample = sample_of(values, data_type)
    again = unpack_sample(pack_sample(sample))
    assert again.facts == sample.facts
    assert again.values.equals(sample.values, check_dtypes=True)


def test_a_sample_is_bounded_and_the_facts_are_about_all_rows(sample_of: SampleOf) -> None:
    values = np.random.default_rng(3).normal(size=50_000)
    sample = sample_of([*values, None, float("nan")])
    assert len(sample.values) == LIMIT
    assert (sample.facts.rows, sample.facts.nulls, sample.facts.nans) == (50_002, 1, 1)
    assert (sample.facts.low, sample.facts.high) == (values.min(), values.max())


def test_the_seed_decides_which_values_are_drawn(sample_of: SampleOf) -> None:
    values = np.random.default_rng(3).normal(size=30_000)
    assert sample_of(values, seed=5).values.equals(sample_of(values, seed=5).values)
    assert not sample_of(values, seed=5).values.equals(sample_of(values, seed=6).values)


def test_no_row_is_drawn_twice(sample_of: SampleOf) -> None:
    sample = sample_of(list(range(LIMIT + 1)), "int")
    assert sample.values.n_unique() == LIMIT


def test_samples_of_lists_and_dates_have_no_values(sample_of: SampleOf) -> None:
    for values, kind in (([[1.0], None], "list[float]"), ([dt.date(2024, 1, 1)], "date")):
        sample = sample_of(values, kind)
        assert (len(sample.values), sample.facts.kind) == (0, "none")
        assert unpack_sample(pack_sample(sample)).facts == sample.facts


def test_the_header_of_the_format_is_pinned(sample_of: SampleOf) -> None:
    """Samples that an earlier release stored must stay readable."""
    blob = pack_sample(sample_of(["a", None, "b"], "string", seed=3))
    end = 8 + int.from_bytes(blob[4:8], "little")
    assert (blob[:4], json.loads(blob[8:end])) == (
        b"FSD1",
        {
            "kind": "category", "method": "jensenshannon", "seed": 3, "rows": 3, "nulls": 1, "nans": 0, "infinities": 0,
            "distinct": 2, "low": None, "high": None, "known": ["a", "b"], "edges": [],
        },
    )  # fmt: skip


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="not a drift sample"):
        unpack_sample(b"PAR1nonsense")


def test_a_pool_has_values_in_proportion_to_each_run_s_rows(sample_of: SampleOf) -> None:
    large = sample_of(np.full(30_000, 1.0))
    small = sample_of([2.0] * 3_000 + [None] * 5)
    pooled = pool([large, small], seed=1, limit=5_500)
    assert pooled.values.to_list().count(2.0) == 500
    assert len(pooled.values) == 5_500
    assert (pooled.facts.rows, pooled.facts.nulls, pooled.facts.low, pooled.facts.high) == (33_005, 5, 1.0, 2.0)


def test_a_pool_of_small_runs_has_every_value(sample_of: SampleOf) -> None:
    pooled = pool([sample_of(["a", "b"], "string"), sample_of(["c"], "string")], seed=1)
    assert pooled.values.to_list() == ["a", "b", "c"]
    assert pooled.facts.categories == ("a", "b", "c")


def test_runs_of_two_types_can_t_be_pooled(sample_of: SampleOf) -> None:
    with pytest.raises(ValueError, match="more than one type"):
        pool([sample_of([1.0]), sample_of(["a"], "string")], seed=1)
