"""Which expressions are provably row by row, and which may look at other rows."""

from functools import reduce

import polars as pl
import pytest

from featurestore.evaluation.operations import other_entities, other_rows

A, B = pl.col("a"), pl.col("b")
ROW_BY_ROW = [
    A / 100, (A + B) * 2 - 1, A.fill_null(0), A.fill_nan(0), A.log(), A.clip(0, 1), A.round(2), A**2, A.sqrt(), A.sin(),
    A.is_in([1, 2]), A.is_between(1, 2), -A, ~A, pl.when(A > 1).then(1).otherwise(B), pl.coalesce("a", "b"),
    pl.max_horizontal("a", "b"), A.replace({1: 2}), A.replace_strict({1: 2}, default=None), A.cast(pl.Float64),
    pl.lit(1),
    pl.concat_str("a", "b"), pl.format("{}-{}", "a", "b"), A.str.contains("x"), A.str.slice(0, 2),
    A.str.to_datetime("%Y"), A.dt.year(), A.dt.truncate("1d"), (A - pl.datetime(2020, 1, 1)).dt.total_days(),
    A.dt.convert_time_zone("Europe/Paris"), pl.concat_list("a", "b"), A.list.sum(),
    pl.struct("a", "b").struct.field("a"),
]  # fmt: skip
MAY_LOOK_FURTHER = [
    A / A.mean(), A.cum_sum().over("user"), A.shift(1), A.diff(), A.rank(), A.sort(), A.reverse(), A.first(), A.max(),
    A.fill_null(strategy="forward"), A.fill_null(strategy="mean"), A.interpolate(), A.rolling_sum(2), A.is_duplicated(),
    A.is_first_distinct(), A.filter(A > 1), A.ewm_mean(com=1), A.pct_change(), A.str.join(","), A.any(), pl.len(),
    pl.int_range(pl.len()), pl.when(A.max() > 1).then(1), A.is_in(B), A.is_in(B.implode()), pl.lit(pl.Series([1])),
    A.str.to_datetime(), A.cast(pl.Categorical), A.map_batches(lambda values: values),
    A.map_elements(lambda value: value, return_dtype=pl.Int64),
]  # fmt: skip


@pytest.mark.parametrize("expression", ROW_BY_ROW, ids=str)
def test_element_wise_operations_are_row_by_row(expression: pl.Expr) -> None:
    assert other_rows(expression.alias("value")) is None


@pytest.mark.parametrize("expression", MAY_LOOK_FURTHER, ids=str)
def test_all_else_may_look_at_other_rows(expression: pl.Expr) -> None:
    assert other_rows(expression)
    assert other_rows((expression + 1).alias("value"))


def test_what_looks_further_is_named() -> None:
    assert other_rows(A / A.mean()) == "mean()"
    assert other_rows(A.str.to_datetime()) == "parsing without a format"


def test_a_tree_that_is_too_deep_to_read_is_not_proved() -> None:
    assert other_rows(reduce(lambda total, _: total + 1, range(3_000), A)) == "a tree that is too deep to be read"


OF_ONE_ENTITY = [
    A.sum().over("user"), A.cum_sum().over("user", "shop", order_by="t"),
    A.rank().over("user", mapping_strategy="join"),
    A.rolling_sum_by("t", "30d").over("user"), A.shift(1).over("user"), A / A.mean().over("user"),
    A.quantile(0.3).over("user"),
    A.filter(B > 1).std().over("user"), A.sort_by("t").first().over("user"), A.tail(2).mean().over("user"),
    pl.len().over("user"), A.fill_null(strategy="forward").over("user"), A.unique().len().over("user"),
    pl.when(A.max().over("user") < A).then(1).otherwise(A.is_duplicated().over("user").cast(int)),
]  # fmt: skip
OF_OTHERS_TOO = [
    (A.sum(), "sum()"), (A.sum().over("shop"), "over() without user"), (A.cum_sum().over("user").shift(1), "shift()"),
    (A.sum().over(pl.col("user").str.slice(0, 1)), "over() without user"), (A.rle(), "rle()"),
    (A.sum().over("user").mean(), "mean()"), (A.shuffle().over("user"), "random()"),
    (A.rank("random").over("user"), 'rank("random")'),
    (A.map_batches(lambda values: values).over("user"), "a Python function (map_batches, map_elements)"),
    (pl.lit(pl.Series([1])).sum().over("user"), "a series"),
    (A.cast(pl.Categorical).over("user"), "a cast to categories"),
    (A.sum().over("user", order_by=A.rank()), "rank()"),
    (A.cum_sum().over("user", mapping_strategy="explode"), 'over(mapping_strategy="explode")'),
]  # fmt: skip


@pytest.mark.parametrize("expression", OF_ONE_ENTITY, ids=str)
def test_what_runs_over_the_keys_sees_one_entity(expression: pl.Expr) -> None:
    assert other_entities(expression.alias("value"), ["user"]) is None
    assert other_rows(expression)


@pytest.mark.parametrize(("expression", "named"), OF_OTHERS_TOO, ids=[named for _, named in OF_OTHERS_TOO])
def test_what_may_look_at_other_entities_is_named(expression: pl.Expr, named: str) -> None:
    assert other_entities(expression + 1, ["user"]) == named


def test_over_has_to_name_every_key() -> None:
    assert other_entities(A.sum().over("shop"), ["shop", "product"]) == "over() without product"
    assert other_entities(A.sum().over("shop", "product"), ["shop", "product"]) is None
