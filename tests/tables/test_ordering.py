"""Rows sorted by numbers are in the order in which Polars sorts them."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from featurestore.tables import ordering
from featurestore.tables.ordering import sort_rows_by

START = datetime(2024, 1, 1)
TEXTS = ["", "a", "A", "ä", "a\0", "aa", "zz" * 20, "𝒳", "7", "07", "-1"]
COLUMNS: dict[str, pl.DataType] = {
    "text": pl.String(), "whole": pl.Int64(), "small": pl.Int32(), "day": pl.Date(), "at": pl.Datetime("us"),
    "zoned": pl.Datetime("us", "UTC"), "number": pl.Float64(),
}  # fmt: skip


def make_rows(seed: int, count: int = 400) -> pl.DataFrame:
    rng = random.Random(seed)
    whole = rng.choice([range(3), range(-(2**62), 2**62, 2**40)])
    rows = [
        (
            rng.choice(TEXTS), rng.choice(whole), rng.randrange(-5, 5), date(2024, 1, 1 + rng.randrange(9)),
            START + timedelta(microseconds=rng.randrange(50)),
            START.replace(tzinfo=UTC) + timedelta(hours=rng.randrange(99)), rng.random(),
        )
        for _ in range(count)
    ]  # fmt: skip
    return pl.DataFrame(rows, COLUMNS, orient="row").with_row_index("row")


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_order_of_polars(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_WORTH_IT", 10)
    rng = random.Random(seed)
    by = rng.sample(list(COLUMNS), rng.randint(1, 4))
    rows = make_rows(seed)
    if seed % 10 == 0:
        rows = rows.with_columns(pl.when(pl.col("row") == 7).then(None).otherwise(pl.col(by[0])).alias(by[0]))
    if seed % 3 == 0:
        rows = pl.concat([rows.slice(0, 100), rows.slice(100)], rechunk=False)
    found = sort_rows_by(rows, by)
    assert found.select(by).equals(rows.select(by).sort(by))
    assert found.columns == rows.columns
    assert found.schema == rows.schema
    assert found.sort("row").equals(rows)  # each row is as it was


def test_rows_that_are_nothing_but_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_WORTH_IT", 10)
    rows = make_rows(1).select("text", other=pl.col("text").reverse())
    assert sort_rows_by(rows, ["text", "other"]).equals(rows.sort("text", "other"))


def test_texts_that_hardly_repeat_and_rows_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_WORTH_IT", 10)
    rows = pl.DataFrame({"text": [f"{number % 997:05}" for number in range(0, 997 * 7, 7)]}).with_row_index("row")
    assert sort_rows_by(rows, ["text"]).equals(rows.sort("text"))
    assert sort_rows_by(rows.sort("text"), ["text"]).equals(rows.sort("text"))


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(["b", "a", "b", "c"])
    assert ordering.distinct(texts, pl.Series([7, 7, 7, 8], dtype=pl.UInt64)) is None
    found = ordering.distinct(texts, pl.Series([7, 9, 7, 8], dtype=pl.UInt64))
    assert found is not None
    assert [each.to_list() for each in found] == [["a", "b", "c"], [1, 0, 1, 2]]
    monkeypatch.setattr(ordering, "_WORTH_IT", 10)
    monkeypatch.setattr(ordering, "distinct", lambda _texts, _hashes: None)
    rows = make_rows(2)
    assert sort_rows_by(rows, ["text", "at"]).select("text", "at").equals(rows.select("text", "at").sort("text", "at"))
