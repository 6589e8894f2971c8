"""Rows in parts of whole entities, or of stretches of one: each row is in the part in which its place lies."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from featurestore.workflows.ingest.division import Division, divide

KEYS = st.sampled_from("abcdefg")
ROWS = st.lists(st.tuples(KEYS, st.integers(0, 9)), min_size=1, max_size=60)
COMPOSITE = st.lists(st.tuples(KEYS, st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=60)


def numbers(rows: list[tuple[Any, ...]], ends: list[Any]) -> list[int]:
    types = {"key": pl.String(), **({"other": pl.Int64()} if len(rows[0]) == 3 else {}), "at": pl.Int64()}
    frame = pl.DataFrame(rows, schema=types, orient="row").with_columns(pl.col("at").cast(pl.Datetime("us")))
    return Division(frame.columns, ends).number(frame).to_list()


def wanted(rows: list[tuple[Any, ...]], ends: list[Any]) -> list[int]:
    """A part goes up to its end; one without a time has the whole entity."""
    last = 1 << 62
    places = [(*end[:-1], last if end[-1] is None else end[-1]) for end in ends]
    return [bisect_left(places, row) for row in rows]


@given(ROWS, st.integers(1, 20))
def test_a_row_is_in_the_part_of_its_place(rows: list[tuple[Any, ...]], most: int) -> None:
    ends = divide(rows, 1, most)
    assert numbers(rows, ends) == wanted(rows, ends)


@given(COMPOSITE, st.integers(1, 20))
def test_of_several_keys_too(rows: list[tuple[Any, ...]], most: int) -> None:
    ends = divide(rows, 1, most)
    assert numbers(rows, ends) == wanted(rows, ends)
