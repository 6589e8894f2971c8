"""Scope ``row`` of several expressions at once: one that looks at other rows is found, whichever stand beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.evaluation.evaluate import SortedRows, call_short, pad, sort_rows
from featurestore.evaluation.row_check import RowCheck
from featurestore.evaluation.scope_check import SampleSize
from featurestore.evaluation.scope_sample import Sampling
from featurestore.model import EntityType, Key, Source
from tests.often import examples

USERS = EntityType("user", (Key("user", "string"),))
SOURCE = Source("sales", "csv", event_time="at")
AMOUNT, ITEMS = pl.col("amount"), pl.col("items")
OF_A_ROW = {
    "a column": AMOUNT,
    "a share": AMOUNT / 100,
    "of two columns": AMOUNT * ITEMS + 0.1,
    "a case": pl.when(ITEMS > 5).then(AMOUNT).otherwise(None),
    "a text": pl.col("word").str.to_uppercase(),
    "a constant": pl.lit(1.5),
}
NOT_OF_A_ROW = {
    "shift": AMOUNT.shift(1),
    "shift within the entity": AMOUNT.shift(1).over("user"),
    "rank": AMOUNT.rank(),
    "a mean": AMOUNT / AMOUNT.mean(),
    "a clip at a high quantile": AMOUNT.clip(upper_bound=AMOUNT.quantile(0.999)),
    "the number of rows": pl.len().cast(pl.Float64),
    "how often a word is there": pl.len().over("word").cast(pl.Float64),
    "filled from the row before": AMOUNT.forward_fill(),
    "the greatest of the items": ITEMS.max() == ITEMS,
}
COLUMNS = ("amount", "items", "word")


def sales(users: int = 60, days: int = 60) -> SortedRows:
    lines = [
        (f"u{user:03}", datetime(2024, 1, 1) + timedelta(days=day), None if (user + day) % 17 == 0 else
         float(user * 31 % 23 + day), (user * day) % 11, "rare" if (user, day) == (7, 7) else "usual")
        for user in range(users) for day in range(days)
    ]  # fmt: skip
    lines[len(lines) // 2] = (*lines[len(lines) // 2][:2], 1e6, 3, "usual")
    frame = pl.DataFrame(lines, schema=["user", "at", *COLUMNS], orient="row")
    return sort_rows(frame.with_columns(pl.col("at").cast(pl.Datetime("us"))), USERS, SOURCE)


SALES = sales()


def holding(
    expressions: Mapping[str, pl.Expr], rows: SortedRows = SALES, seed: int = 7, columns: Sequence[str] = COLUMNS
) -> list[str]:
    """Those of which the check says that they look at their own row alone."""
    check = RowCheck(
        expressions, dict.fromkeys(expressions, columns), rows, seed=seed, size=SampleSize(rows=600),
        sampling=Sampling(rows),
    )  # fmt: skip
    values = call_short(expressions, pad(rows, "row"))
    return [name for name in expressions if check.holds(name, values[name]["value"], lambda given: given, None)]


def test_those_that_look_at_their_own_row_hold_together() -> None:
    assert holding(OF_A_ROW) == [*OF_A_ROW]


@pytest.mark.parametrize("name", NOT_OF_A_ROW)
def test_one_that_looks_at_others_is_found_beside_those_that_hold(name: str) -> None:
    assert holding({**OF_A_ROW, name: NOT_OF_A_ROW[name]}) == [*OF_A_ROW]


@settings(deadline=None, max_examples=examples(10))
@given(st.lists(st.sampled_from([*OF_A_ROW, *NOT_OF_A_ROW]), min_size=1, unique=True), st.integers(0, 2**32))
def test_whichever_are_together_and_whatever_the_seed(names: list[str], seed: int) -> None:
    both = OF_A_ROW | NOT_OF_A_ROW
    assert holding({name: both[name] for name in names}, seed=seed) == [name for name in names if name in OF_A_ROW]


def test_each_has_the_rows_that_tell_most_of_its_own_columns() -> None:
    one, other = AMOUNT.clip(upper_bound=AMOUNT.quantile(0.999)), ITEMS + 1
    check = RowCheck(
        {"one": one, "other": other}, {"one": ["amount"], "other": ["items"]}, SALES, seed=1,
        size=SampleSize(rows=20, alone=4), sampling=Sampling(SALES),
    )  # fmt: skip
    values = call_short({"one": one, "other": other}, SALES)
    assert [check.holds(name, values[name]["value"], lambda given: given, None) for name in values] == [False, True]


def test_a_sample_of_most_rows_tells_nothing() -> None:
    assert holding(OF_A_ROW, sales(20, 30)) == []


def test_one_that_raises_ends_the_check() -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        holding({**OF_A_ROW, "no such column": pl.col("amounts")})
