"""The hash of a table's content: the same for the same values, another for others."""

import math
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.tables.content import ContentHash

VALUES: dict[str, tuple[pl.DataType | type[pl.DataType], st.SearchStrategy[Any]]] = {
    "int": (pl.Int64, st.integers(-3, 3)), "float": (pl.Float64, st.floats()),
    "bool": (pl.Boolean, st.booleans()),
    "text": (pl.String, st.text(max_size=2)),
    "list": (pl.List(pl.Float64), st.lists(st.none() | st.floats(), max_size=2)),
    "bytes": (pl.Binary, st.binary(max_size=2)), "date": (pl.Date, st.dates()),
    "struct": (pl.Struct({"a": pl.Int64}), st.fixed_dictionaries({"a": st.none() | st.integers(0, 1)})),
}  # fmt: skip
WIDE = pl.DataFrame(
    {
        "i": [1, None, 3], "f": [0.0, math.nan, None], "s": ["x", None, ""], "l": [[1.0, None], None, []],
        "b": [True, None, False], "d": [date(2024, 1, 1), None, None], "t": [time(1), None, time(2)],
        "e": [timedelta(1), None, None], "m": [Decimal("1.50"), None, Decimal(2)], "n": [None, None, None],
    }
)  # fmt: skip


def content_hash(frame: pl.DataFrame, batch_rows: int = 1_000, **options: int) -> str:
    """The hash of a table that is taken in batches."""
    content = ContentHash(**options)
    for batch in list(frame.iter_slices(batch_rows)) or [frame]:
        content.update(batch)
    return content.hexdigest()


def test_the_recipe_is_pinned() -> None:
    """Stores have these hashes, so every later release must compute the same."""
    assert content_hash(WIDE) == "b33eb8a105d4364802ac1fa2a0f39a50d26447134652610c69d4bbdac84b2f7e"


@given(st.data())
def test_equal_hashes_are_equal_values(data: st.DataObject) -> None:
    kind, values = VALUES[data.draw(st.sampled_from(sorted(VALUES)))]
    pair = [pl.Series("v", data.draw(st.lists(st.none() | values, max_size=3)), dtype=kind) for _ in range(2)]
    first, second = (column.to_frame() for column in pair)
    assert (content_hash(first) == content_hash(second)) == first.equals(second)


@pytest.mark.parametrize("height", [1, 2, 7, 100])
def test_how_rows_are_batched_does_not_matter(height: int) -> None:
    frame = pl.concat([WIDE] * 5)
    assert content_hash(frame, height, block_rows=4) == content_hash(frame, block_rows=4)


def test_width_and_dictionaries_are_not_content() -> None:
    frame = pl.DataFrame({"i": [1, 2], "s": ["a", "b"], "f": [0.5, -0.0]})
    other = frame.cast({"i": pl.Int8, "s": pl.Categorical, "f": pl.Float32}).with_columns(pl.col("f").abs())
    assert content_hash(frame) == content_hash(other)


def test_names_types_and_order_are_content() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [1, 2]})
    others = [
        frame.rename({"a": "c"}),
        frame.select("b", "a"),
        frame.reverse(),
        frame.cast({"a": pl.Float64}),
        frame.head(1),
    ]
    assert len({content_hash(item) for item in [frame, *others]}) == len(others) + 1
