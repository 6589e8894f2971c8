"""Statistics of a column: equal to NumPy's, valid as JSON, independent of the order of rows."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.drift import statistics
from featurestore.drift.row_values import RowsOnce, RowValues, describe_rows
from featurestore.drift.statistics import EXACT_ROWS
from featurestore.model import DataType
from tests.drift.conftest import Values

FLOAT, INT, TEXT, BOOL = (DataType(kind) for kind in ("float", "int", "string", "bool"))
INFINITY = float("inf")
PolarsType = pl.DataType | type[pl.DataType] | None


def column(values: Values, dtype: PolarsType = None) -> pl.Series:
    return pl.Series("value", values, dtype=dtype)


def describe(values: pl.Series, data_type: DataType, edges: Sequence[float] | None = None) -> dict[str, Any]:
    return statistics.describe(values, data_type, edges=edges)


def test_numbers_have_the_moments_and_percentiles_of_numpy() -> None:
    values = np.random.default_rng(7).normal(size=303)
    found = describe(column(values), FLOAT)
    assert found["count"] == 303
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert found["std"] == pytest.approx(values.std(ddof=1), rel=1e-12)
    for name, share in (("p01", 1), ("p05", 5), ("p25", 25), ("p50", 50), ("p75", 75), ("p95", 95), ("p99", 99)):
        assert found[name] == pytest.approx(np.percentile(values, share), rel=1e-12)


@given(st.lists(st.floats(), max_size=40))
def test_extremes_and_percentiles_are_those_of_numpy_s_order(values: list[float]) -> None:
    found, finite = describe(column(values, pl.Float64), FLOAT), np.sort([each for each in values if np.isfinite(each)])
    assert found["nan_count"] == sum(map(math.isnan, values))
    assert found["distinct"] == len({each for each in values if not math.isnan(each)}) + (found["nan_count"] > 0)
    if len(finite):
        assert [found["min"], found["max"]] == [finite[0], finite[-1]]
        lower, higher = (np.quantile(finite, 0.25, method=method) for method in ("lower", "higher"))
        assert lower <= found["p25"] <= higher


def test_nulls_nan_and_infinities_are_counted_and_left_out_of_the_moments() -> None:
    found = describe(column([None, 1.0, float("nan"), INFINITY, -INFINITY, 3.0], pl.Float64), FLOAT)
    assert (found["count"], found["null_count"], found["nan_count"], found["infinite_count"]) == (5, 1, 1, 2)
    assert (found["mean"], found["min"], found["max"], found["distinct"]) == (2.0, 1.0, 3.0, 5)


@pytest.mark.parametrize("values", [[], [None, None], [float("nan")], [INFINITY]])
def test_without_a_finite_value_moments_are_null(values: Sequence[object]) -> None:
    found = describe(column(values, pl.Float64), FLOAT)
    assert found["mean"] is None
    assert found["p50"] is None
    assert found["histogram"] == {"edges": [], "counts": [], "below": 0, "above": 0}


def test_one_value_has_no_deviation() -> None:
    found = describe(column([5.0]), FLOAT)
    assert (found["mean"], found["std"], found["p99"]) == (5.0, None, 5.0)
    assert found["histogram"]["counts"] == [1]


def test_integers_have_exact_extremes() -> None:
    found = describe(column([2**63 - 1, -(2**63), None], pl.Int64), INT)
    assert (found["min"], found["max"]) == (-(2**63), 2**63 - 1)


def test_a_few_integers_have_a_bin_each() -> None:
    found = describe(column([1, 2, 2, 4]), INT)
    assert found["histogram"]["edges"] == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert found["histogram"]["counts"] == [1, 2, 0, 1]


def test_given_edges_are_used_and_values_outside_them_are_counted() -> None:
    found = describe(column([-1.0, 0.0, 0.5, 1.0, 7.0, 8.0]), FLOAT, edges=[0.0, 0.5, 1.0])
    assert found["histogram"] == {"edges": [0.0, 0.5, 1.0], "counts": [1, 2], "below": 1, "above": 2}


def test_text_and_booleans_have_their_most_frequent_values() -> None:
    assert describe(column(["b", "a", None, "a", "c"]), TEXT) == {
        "count": 4, "null_count": 1, "distinct": 3,
        "top": [{"value": "a", "count": 2}, {"value": "b", "count": 1}, {"value": "c", "count": 1}],
    }  # fmt: skip
    assert describe(column([True, False, True]), BOOL)["top"] == [
        {"value": True, "count": 2}, {"value": False, "count": 1}
    ]  # fmt: skip


def test_a_large_column_of_many_texts_is_marked_approximate_and_its_counts_are_exact() -> None:
    rare = [f"id{number}" for number in range(EXACT_ROWS)]
    found = describe(column(rare + ["often"] * 5_000), TEXT)
    assert found["distinct_approximate"] is True
    assert found["distinct"] == pytest.approx(EXACT_ROWS + 1, rel=0.05)
    assert found["top"][0] == {"value": "often", "count": 5_000}


def test_a_long_text_is_cut_where_it_is_shown() -> None:
    assert len(describe(column(["x" * 5_000]), TEXT)["top"][0]["value"]) == 121


def test_dates_and_datetimes_have_a_range() -> None:
    found = describe(column([dt.date(2024, 2, 1), dt.date(2023, 5, 4), None]), DataType("date"))
    assert (found["min"], found["max"], found["distinct"]) == ("2023-05-04", "2024-02-01", 2)
    found = describe(column([dt.datetime(2024, 2, 1, 3)]), DataType("datetime"))
    assert (found["min"], found["max"]) == ("2024-02-01T03:00:00Z", "2024-02-01T03:00:00Z")


@pytest.mark.parametrize("dtype", [pl.List(pl.Float64), pl.Array(pl.Float64, 2)])
def test_lists_have_lengths(dtype: pl.DataType) -> None:
    found = describe(column([[1.0, 2.0], None], dtype), DataType("list[float]", 2))
    assert found == {"count": 1, "null_count": 1, "length": {"min": 2, "max": 2}}


def test_rows_add_entities_event_times_and_freshness() -> None:
    rows = pl.DataFrame(
        {
            "store": ["a", "a", "b", "b"],
            "product": [1, 1, 1, 2],
            "computed_at": [dt.datetime(2024, 1, day) for day in (3, 4, 1, 2)],
            "value": [1.0, 2.0, 3.0, 4.0],
        }
    )
    learned = int(dt.datetime(2024, 1, 5, tzinfo=dt.UTC).timestamp()) * 1_000_000
    found = describe_rows(RowValues(["store", "product"], rows), FLOAT, learned_at=learned)
    assert found["entities"] == 3
    assert found["event_time"] == {"min": "2024-01-01T00:00:00Z", "max": "2024-01-04T00:00:00Z"}
    assert found["freshness_s"] == 86_400.0


def test_without_rows_there_are_no_entities() -> None:
    rows = pl.DataFrame(schema={"id": pl.String, "computed_at": pl.Datetime("us"), "value": pl.Float64})
    found = describe_rows(RowValues(["id"], rows), FLOAT, learned_at=0)
    assert found["entities"] == 0
    assert "event_time" not in found


numbers = st.lists(st.none() | st.floats(width=64), max_size=40)


@given(numbers)
def test_any_numbers_give_valid_json_that_adds_up(values: list[float | None]) -> None:
    found = describe(column(values, pl.Float64), FLOAT)
    json.dumps(found, allow_nan=False)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    histogram = found["histogram"]
    assert sum(histogram["counts"]) + histogram["below"] + histogram["above"] == len(finite)
    assert found["count"] + found["null_count"] == len(values)
    assert found["count"] == len(finite) + found["nan_count"] + found["infinite_count"]
    if finite:
        assert found["min"] <= found["p01"] <= found["p50"] <= found["p99"] <= found["max"]


@given(numbers, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(values: list[float | None], random: random.Random) -> None:
    shuffled = random.sample(values, len(values))
    assert describe(column(values, pl.Float64), FLOAT) == describe(column(shuffled, pl.Float64), FLOAT)


@given(st.lists(st.tuples(st.sampled_from("aabbcd"), st.integers(0, 9)), min_size=1, max_size=12), st.integers(0, 11))
def test_rows_that_are_looked_at_once_are_those_of_each_feature(rows: list[tuple[str, int]], cut: int) -> None:
    frame = pl.DataFrame(sorted(rows), schema={"id": pl.String, "computed_at": pl.Int64}, orient="row")
    frame = frame.with_columns(pl.col("computed_at").cast(pl.Datetime("us")), value=pl.lit(1.5))
    once = RowsOnce()
    for each in (frame, frame.with_columns(pl.col("value") * 2), frame.slice(cut), frame.head(cut), frame):
        alone, shared = RowValues(["id"], each), RowValues(["id"], each, once=once)
        assert describe_rows(shared, FLOAT, learned_at=0) == describe_rows(alone, FLOAT, learned_at=0)
        assert shared.entities == each["id"].n_unique()


@pytest.mark.parametrize("size", [2, 65_536, 65_537, 200_000])
def test_the_deviation_of_many_values_is_that_of_all_of_them(size: int) -> None:
    values = np.random.default_rng(size).normal(1e6, 3, size)
    for each in (values, values.astype(np.int64)):
        found = describe(column(each.tolist()), FLOAT if each.dtype.kind == "f" else INT)
        assert found["std"] == pytest.approx(each.std(ddof=1), rel=1e-12)
