"""A scope that was found in an expression holds: equal bits wherever the rows are divided as the scope allows."""

from __future__ import annotations

import operator
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.evaluation.evaluate import SortedRows, call_short, pad, sort_rows
from featurestore.evaluation.scope import scope_of
from featurestore.model import EntityType, Key, ScopeKind, Source
from tests.often import examples
from tests.versioning.conftest import feature

USERS = EntityType("user", (Key("user", "string"),))
SOURCE = Source("sales", "csv", event_time="at")
SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "user": pl.String, "at": pl.Datetime("us"), "x": pl.Float64, "y": pl.Float64, "n": pl.Int64, "s": pl.String,
    "d": pl.Date,
}  # fmt: skip
DECLARED = feature(entity_type=USERS, source=SOURCE)
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
START = datetime(2024, 1, 1)

floats = st.none() | st.sampled_from([0.0, -0.0, 70.0, 0.35, 1e300, 0.1]) | st.floats(width=64) | st.just(float("nan"))
days = st.integers(0, 60).map(lambda day: START + timedelta(days=day))
rows = st.lists(
    st.tuples(
        st.sampled_from("abc"), days, floats, floats, st.none() | st.integers(-3, 3),
        st.none() | st.sampled_from(["", "é", "7", "high 5"]), st.none() | days.map(lambda day: day.date()),
    ),
    min_size=1, max_size=24,
)  # fmt: skip


def numbers(inner: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
    """Larger expressions of numbers, of one row each."""
    constants = st.sampled_from([0.5, 3.0, 100.0]).map(pl.lit)
    return st.one_of(
        st.tuples(inner, inner | constants, st.sampled_from(list(OPERATORS))).map(
            lambda made: OPERATORS[made[2]](made[0], made[1])
        ),
        inner.map(lambda made: made.exp()),
        inner.map(lambda made: made.log()),
        inner.map(lambda made: made.abs().sqrt()),
        inner.map(lambda made: made.clip(-1, 50).round(1)),
        inner.map(lambda made: made.fill_null(7).fill_nan(None)),
        st.tuples(inner, inner).map(lambda made: pl.when(made[0] > made[1]).then(made[0]).otherwise(made[1])),
        st.tuples(inner, inner).map(lambda made: pl.max_horizontal(*made)),
        st.tuples(inner, inner).map(lambda made: pl.coalesce(*made)),
    )  # fmt: skip


leaves = st.sampled_from(
    [
        pl.col("x"), pl.col("y"), pl.col("n").cast(pl.Float64), pl.col("s").str.len_chars().cast(pl.Float64),
        pl.col("s").str.contains("i").cast(pl.Float64), pl.col("s").cast(pl.Float64, strict=False),
        pl.col("d").dt.ordinal_day().cast(pl.Float64), (pl.col("at") - pl.col("d")).dt.total_days().cast(pl.Float64),
        pl.col("n").is_in([1, 2]).cast(pl.Float64), pl.col("s").replace_strict({"7": 0.7}, default=None),
        pl.col("at").dt.truncate("1w").dt.day().cast(pl.Float64),
    ]
)  # fmt: skip
row_wise = st.recursive(leaves, numbers, max_leaves=6)
GROUPED = [
    lambda made: made.sum(), lambda made: made.mean(), lambda made: made.max(), lambda made: made.std(),
    lambda made: made.median(), lambda made: made.n_unique().cast(pl.Float64), lambda made: made.first(),
    lambda made: made.last(), lambda made: made.cum_sum(), lambda made: made.cum_max(), lambda made: made.shift(1),
    lambda made: made.diff(), lambda made: made.rank(), lambda made: made.rolling_sum(3, min_samples=1),
    lambda made: made.rolling_mean_by("at", "30d"), lambda made: made.fill_null(strategy="forward"),
    lambda made: made.count().cast(pl.Float64), lambda made: made.quantile(0.3), lambda made: made.ewm_mean(com=1),
    lambda made: made.sort().first(), lambda made: made.filter(made > 1).sum(), lambda made: made.tail(2).mean(),
    lambda made: made.is_duplicated().cast(pl.Float64), lambda made: made.drop_nulls().last(), lambda made: made.var(),
]  # fmt: skip
of_entity = st.recursive(
    st.tuples(row_wise, st.sampled_from(GROUPED)).map(lambda made: made[1](made[0]).over("user")) | leaves,
    numbers,
    max_leaves=4,
)


def framed(given_rows: list[tuple[object, ...]]) -> SortedRows:
    return sort_rows(pl.DataFrame(given_rows, schema=SCHEMA, orient="row"), USERS, SOURCE)


def evaluate(expression: pl.Expr, sorted_rows: SortedRows, kind: ScopeKind) -> pl.Series:
    """The bits of the values, with 0.0 for −0.0 and one NaN."""
    values = call_short({"value": expression}, pad(sorted_rows, kind))["value"]["value"].cast(pl.Float64).to_list()
    assert len(values) == sorted_rows.frame.height
    return pl.Series([None if value is None else (value + 0.0).hex() for value in values], dtype=pl.String)


def part(sorted_rows: SortedRows, of: pl.Series) -> SortedRows:
    return SortedRows(sorted_rows.frame.filter(of), sorted_rows.origin.filter(of), USERS, SOURCE)


@settings(max_examples=examples(20))
@given(row_wise, rows, st.data())
def test_a_row_has_the_same_bits_alone_and_in_any_slice(
    expression: pl.Expr, given_rows: list[tuple[object, ...]], data: st.DataObject
) -> None:
    assert scope_of(DECLARED, expression).kind == "row"
    whole = framed(given_rows)
    values = evaluate(expression, whole, "row")
    cut = data.draw(st.integers(0, len(values)))
    index = pl.int_range(len(values), eager=True)
    slices = [index < cut, index >= cut, *(index == at for at in range(len(values)))]
    for chosen in slices:
        if chosen.any():
            assert evaluate(expression, part(whole, chosen), "row").to_list() == values.filter(chosen).to_list()


@settings(max_examples=examples(20))
@given(of_entity, rows)
def test_an_entity_has_the_same_bits_alone_and_among_any_others(
    expression: pl.Expr, given_rows: list[tuple[object, ...]]
) -> None:
    kind = scope_of(DECLARED, expression).kind
    assert kind in ("row", "entity")
    whole = framed(given_rows)
    values = evaluate(expression, whole, "entity")
    users = whole.frame["user"]
    for chosen in ["a", "b", "c", "ab", "bc"]:
        mask = users.is_in(list(chosen))
        if mask.any():
            assert evaluate(expression, part(whole, mask), "entity").to_list() == values.filter(mask).to_list(), chosen


@pytest.mark.parametrize("expression", [pl.col("n") / 100, pl.col("x").exp(), pl.col("x") * 1.1 / 3], ids=str)
def test_one_row_has_the_bits_that_it_has_among_others(expression: pl.Expr) -> None:
    many = framed([("a", START + timedelta(days=day), day / 7, 0.0, 70 + day, None, None) for day in range(9)])
    values = evaluate(expression, many, "row")
    index = pl.int_range(9, eager=True)
    assert [evaluate(expression, part(many, index == at), "row")[0] for at in range(9)] == values.to_list()


def test_one_entity_has_the_bits_that_it_has_among_others() -> None:
    expression = pl.col("x").mean().over("user")
    made = [(user, START + timedelta(days=day), 0.35, 0.0, 0, None, None) for user in "ab" for day in range(7)]
    many = framed([*made, ("c", START, 0.1, 0.0, 0, None, None)])
    values = evaluate(expression, many, "entity")
    assert evaluate(expression, part(many, many.frame["user"] == "a"), "entity").to_list() == values[:7].to_list()
