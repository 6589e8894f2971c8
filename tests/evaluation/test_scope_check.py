"""A scope that does not hold is found, and the error shows the row; one that holds is never refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import FeatureError, ScopeError
from featurestore.evaluation.evaluate import SortedRows, build_expression, call_long, call_short, pad, sort_rows
from featurestore.evaluation.results import check_frame
from featurestore.evaluation.scope import scope_of
from featurestore.evaluation.scope_check import SampleSize, ScopeCheck
from featurestore.model import DataType, EntityType, Feature, Key, Scope, Source
from tests.often import examples
from tests.versioning.conftest import feature

USERS = EntityType("user", (Key("user", "string"),))
SOURCE = Source("sales", "csv", event_time="at")
START = datetime(2024, 1, 1)
DAY = 86_400_000_000
# Without the copies of rows that keep the bits the same: a function that looks further would see them.
ALONE = "source"


def sales(users: int = 40, days: int = 30) -> SortedRows:
    """A sale a day of each user: amounts from arithmetic, some null, one far above the others."""
    lines = [
        (f"u{user:03}", START + timedelta(days=day), None if (user + day) % 17 == 0 else float(user * 31 % 23 + day),
         "rare" if (user, day) == (7, 7) else "usual")
        for user in range(users) for day in range(days)
    ]  # fmt: skip
    lines[len(lines) // 2] = (*lines[len(lines) // 2][:2], 1e6, "usual")
    frame = pl.DataFrame(lines, schema=["user", "at", "amount", "word"], orient="row")
    return sort_rows(frame.with_columns(pl.col("at").cast(pl.Datetime("us"))), USERS, SOURCE)


def evaluate(declared: Feature, function: Callable[..., Any], kind: Any, rows: SortedRows) -> pl.DataFrame:
    padded = pad(rows, kind)
    try:
        if declared.short:
            raw = call_short({"value": build_expression(declared, function)}, padded)["value"]
            return check_frame(declared, raw, rows, str, latest=None).frame
        return check_frame(declared, call_long(declared, function, padded), padded, str, latest=None).frame
    except (pl.exceptions.PolarsError, TypeError) as exc:
        raise FeatureError(str(exc)) from exc


def alone_in(declared: Feature, function: Callable[..., Any], parts: Sequence[SortedRows]) -> pl.DataFrame:
    return pl.concat([evaluate(declared, function, ALONE, rows) for rows in parts])


def check(
    function: Callable[..., Any], rows: SortedRows, *, short: bool = False, size: SampleSize | None = None, **facts: Any
) -> None:
    declared = feature(entity_type=USERS, source=SOURCE, short=short, **{"data_type": DataType("float"), **facts})
    scope = scope_of(declared, function() if short else None)
    values = evaluate(declared, function, scope.kind, rows)
    again = partial(alone_in, declared, function)
    ScopeCheck(declared, scope, rows, values, again, named=["amount", "word"], seed=7, size=size).run()


def long(value: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def function(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select("user", value=value, computed_at="at")

    return function


def pivoted(frame: pl.DataFrame) -> pl.DataFrame:
    """As many columns as there are words: what a value is depends on which words there are."""
    wide = frame.pivot("word", index=["user", "at"], values="amount", aggregate_function="sum")
    return wide.select("user", value=pl.lit(wide.width, dtype=pl.Float64), computed_at="at")


def guessed(frame: pl.DataFrame) -> pl.DataFrame:
    """A type that is guessed from the values: there is none to guess from where all of them are null."""
    amounts = pl.Series("value", frame["amount"].to_list())
    texts = amounts.cast(pl.Float64) if amounts.dtype == pl.Float64 else pl.Series("value", [0.0] * len(amounts))
    return frame.select("user", texts, computed_at="at")


AMOUNT = pl.col("amount")
NOT_OF_A_ROW: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "shift": long(AMOUNT.shift(1)),
    "shift within the entity": long(AMOUNT.shift(1).over("user")),
    "rank": long(AMOUNT.rank()),
    "a mean": long(AMOUNT / AMOUNT.mean()),
    "a clip at a high quantile": long(AMOUNT.clip(upper_bound=AMOUNT.quantile(0.999))),
    "quantile bins": long((AMOUNT.quantile(0.5) < AMOUNT).cast(pl.Float64)),
    "a filter by a mean": lambda frame: long(AMOUNT)(frame.filter(AMOUNT.mean() < AMOUNT)),
    "a pivot": pivoted,
    "a type from an all-null slice": guessed,
    "the number of rows": long(pl.len().cast(pl.Float64)),
    "how often a word is there": long(pl.len().over("word").cast(pl.Float64)),
    "another time": lambda frame: frame.select("user", value="amount", computed_at=pl.col("at").dt.offset_by("1h")),
}
OF_A_ROW = {
    "a share": long(AMOUNT / 100),
    "a filter": lambda frame: long(AMOUNT)(frame.filter(AMOUNT > 10)),
    "no row": lambda frame: long(AMOUNT)(frame.head(0)),
}


@pytest.mark.parametrize("name", NOT_OF_A_ROW)
def test_what_looks_at_other_rows_is_not_of_scope_row(name: str) -> None:
    with pytest.raises(ScopeError, match='scope="row" does not hold') as refused:
        check(NOT_OF_A_ROW[name], sales(), scope="row")
    assert "would hold" in str(refused.value.hint)


@pytest.mark.parametrize("name", OF_A_ROW)
def test_what_looks_at_its_own_row_is(name: str) -> None:
    check(OF_A_ROW[name], sales(), scope="row")


def test_the_error_names_the_row_both_values_and_the_scope_that_would_hold() -> None:
    frame = pl.DataFrame({"user": ["a", "a"], "at": [START, START + timedelta(days=1)], "amount": [3.0, 4.0]})
    with pytest.raises(ScopeError) as refused:
        check(long(AMOUNT.max().over("user")), sort_rows(frame, USERS, SOURCE), lookback=0)
    assert refused.value.message == (
        'scope="row" does not hold: for user=a at 2024-01-01T00:00:00Z the value is 4.0 among all rows and 3.0 from '
        "its own row alone"
    )
    assert refused.value.hint == 'scope="entity" would hold'


NOT_OF_AN_ENTITY = {
    "rank": long(AMOUNT.rank()),
    "a shift that crosses entities": long(AMOUNT.shift(1)),
    "a mean": long(AMOUNT - AMOUNT.mean()),
    "the entities before it": long(pl.col("user").rle_id().cast(pl.Float64)),
    "a pivot": pivoted,
}
OF_AN_ENTITY = {
    "shift": long(AMOUNT.shift(1).over("user")),
    "a mean": long(AMOUNT.mean().over("user")),
    "a sum a day": lambda frame: frame.group_by("user", pl.col("at").dt.truncate("7d")).agg(value=AMOUNT.sum()).rename(
        {"at": "computed_at"}
    ),
    "a running sum": long(AMOUNT.cum_sum().over("user")),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_OF_AN_ENTITY)
def test_what_looks_at_other_entities_is_not_of_scope_entity(name: str) -> None:
    with pytest.raises(ScopeError, match='scope="entity" does not hold') as refused:
        check(NOT_OF_AN_ENTITY[name], sales(users=100), scope="entity")
    assert refused.value.hint == 'scope="source" would hold'


@pytest.mark.parametrize("name", OF_AN_ENTITY)
def test_what_looks_at_its_entity_is(name: str) -> None:
    check(OF_AN_ENTITY[name], sales(users=100), scope="entity")


def rolling(window: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return long(AMOUNT.fill_null(0.1).rolling_sum_by("at", window, closed="both").over("user"))


def test_a_lookback_that_is_a_second_too_short_is_found() -> None:
    check(rolling("7d"), sales(), lookback=7 * DAY)
    with pytest.raises(ScopeError, match='with lookback="6d23h59m59s" does not hold') as refused:
        check(rolling("7d"), sales(), lookback=7 * DAY - 1_000_000)
    assert refused.value.hint == 'scope="entity" with a longer lookback=, or without, would hold'


def test_a_second_too_short_is_found_where_a_single_row_shows_it() -> None:
    rows = sales(users=300)
    theirs = (pl.col("user") == "u123") & (pl.col("at") == START)
    one = rows.frame.with_columns(pl.when(theirs).then(pl.col("at").dt.offset_by("-1s")).otherwise("at").alias("at"))
    rows = sort_rows(one.filter((pl.col("at") <= START) | (pl.col("at") >= START + timedelta(days=8))), USERS, SOURCE)
    with pytest.raises(ScopeError, match="user=u123"):
        check(rolling("691201s"), rows, lookback=8 * DAY)


def test_a_lookback_over_everybody_is_checked_at_some_instants() -> None:
    def everybody(window: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
        def function(frame: pl.DataFrame) -> pl.DataFrame:
            daily = frame.group_by("at").agg(AMOUNT.sum()).sort("at")
            summed = daily.select("at", value=AMOUNT.rolling_sum_by("at", window, closed="both"))
            return frame.join(summed, on="at").select("user", "value", computed_at="at")

        return function

    check(everybody("7d"), sales(), scope="source", lookback=7 * DAY)
    with pytest.raises(ScopeError, match='scope="source" with lookback="6d" does not hold') as refused:
        check(everybody("7d"), sales(), scope="source", lookback=6 * DAY)
    assert refused.value.hint == 'scope="source" without lookback= would hold'


def test_rounding_is_not_another_value() -> None:
    check(rolling("20d"), sales(), lookback=20 * DAY)
    check(rolling("20d"), sales(), scope="entity")


def test_an_expression_whose_found_scope_would_not_hold_is_a_defect_of_ours() -> None:
    declared = feature(entity_type=USERS, source=SOURCE, short=True)
    rows, found = sales(), Scope("row", 0, "every operation takes one row at a time", declared=False)
    again = partial(alone_in, declared, lambda: AMOUNT.shift(1))
    with pytest.raises(ScopeError) as refused:
        ScopeCheck(declared, found, rows, again([rows]), again, named=["amount"], seed=1).run()
    assert "please report it" in str(refused.value.hint)


# A judge that takes every row and every entity by itself

amounts = st.none() | st.integers(0, 4).map(float)
few_rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 9), amounts),
    min_size=1,
    max_size=14,
    unique_by=lambda row: row[:2],
)
FUNCTIONS = [
    AMOUNT / 100, AMOUNT.shift(1), AMOUNT.shift(1).over("user"), AMOUNT.rank(), AMOUNT.max().over("user"),
    AMOUNT - AMOUNT.max(), AMOUNT.fill_null(strategy="forward"), AMOUNT.fill_null(strategy="forward").over("user"),
    AMOUNT.fill_null(AMOUNT.mean()), AMOUNT.rolling_sum_by("at", "2d", closed="both").over("user"),
    AMOUNT.rolling_max_by("at", "3d", closed="both").over("user"),
    pl.len().over("at").cast(pl.Float64), AMOUNT.cum_sum().over("user"),
]  # fmt: skip


def judged(function: Callable[..., Any], rows: SortedRows, scope: Scope, declared: Feature) -> bool:
    """Whether every value is the same from only the rows that the scope allows."""
    again = partial(alone_in, declared, function)
    whole = evaluate(declared, function, scope.kind, rows)
    if scope.kind == "entity" and scope.lookback is None:
        parts: Sequence[tuple[pl.Series, pl.Expr]] = [
            (rows.frame["user"] == user, pl.col("user") == user) for user in rows.frame["user"].unique()
        ]
    else:
        reach = timedelta(microseconds=scope.lookback or 0)
        parts = [
            (
                rows.frame.select(pl.col("user").eq(user) & pl.col("at").is_between(at - reach, at)).to_series(),
                (pl.col("user") == user) & (pl.col("computed_at") == at),
            )
            for user, at in rows.frame.select("user", "at").iter_rows()
        ]
    for mask, mine in parts:
        alone = again([SortedRows(rows.frame.filter(mask), rows.origin.filter(mask), USERS, SOURCE)])
        if not alone.filter(mine).equals(whole.filter(mine)):
            return False
    return True


@settings(max_examples=examples(20))
@given(few_rows, st.sampled_from(FUNCTIONS), st.sampled_from([("row", 0), ("entity", None), ("entity", 2 * DAY)]))
def test_what_the_check_says_is_what_every_row_says(
    lines: list[tuple[str, int, float | None]], value: pl.Expr, given_scope: tuple[Any, int | None]
) -> None:
    frame = pl.DataFrame(
        [(user, START + timedelta(days=day), amount) for user, day, amount in lines],
        schema={"user": pl.String, "at": pl.Datetime("us"), "amount": pl.Float64}, orient="row",
    )  # fmt: skip
    rows = sort_rows(frame, USERS, SOURCE)
    kind, lookback = given_scope
    declared = feature(entity_type=USERS, source=SOURCE, short=False, scope=kind, lookback=lookback)
    scope, function = scope_of(declared), long(value)
    values, again = evaluate(declared, function, kind, rows), partial(alone_in, declared, function)
    try:
        ScopeCheck(declared, scope, rows, values, again, named=["amount"], seed=3).run()
        held = True
    except ScopeError:
        held = False
    assert held == judged(function, rows, scope, declared)
