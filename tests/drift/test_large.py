"""Statistics in little memory are those of the whole column."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from featurestore.drift.large import describe_all
from featurestore.drift.statistics import describe
from featurestore.drift.version_changes import combine, compare_entities
from featurestore.model import DataType

RANDOM = np.random.default_rng(7)
NORMAL = RANDOM.normal(size=5_000).tolist()
CASES: dict[str, tuple[str, list[Any]]] = {
    "floats": ("float", [*NORMAL, None, math.nan, math.inf, -math.inf, 0.0, -0.0]),
    "few floats": ("float", [1.5, 1.5, 2.5] * 900),
    "one value": ("float", [7.25] * 3_000),
    "nothing finite": ("float", [math.nan, math.inf, None] * 1_000),
    "integers": ("int", [int(value) for value in RANDOM.integers(-1_000, 1_000, 5_000)] + [None]),
    "large integers": ("int", [2**62 + number for number in range(3_000)]),
    "dates": ("date", [date(2024, 1, 1) + timedelta(days=number % 400) for number in range(3_000)] + [None]),
    "instants": ("datetime", [datetime(2024, 1, 1) + timedelta(seconds=number % 1_000) for number in range(3_000)]),
    "texts": ("string", [f"text {number % 700}" for number in range(5_000)] + [None, "", "x" * 300]),
    "booleans": ("bool", [True, False, None, True] * 1_000),
    "lists": ("list[float]", [[1.0] * (number % 7) for number in range(3_000)] + [None]),
}
TYPES: dict[str, Any] = {
    "float": pl.Float64, "int": pl.Int64, "date": pl.Date, "datetime": pl.Datetime("us"), "string": pl.String,
    "bool": pl.Boolean, "list[float]": pl.List(pl.Float64),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("memory", [1_000, 30_000, 100_000_000])
def test_they_are_those_of_the_whole_column(name: str, memory: int) -> None:
    kind, values = CASES[name]
    column = pl.Series("value", values, TYPES[kind])
    whole = describe(column, DataType.parse(kind))
    parts = [column.slice(start, 700) for start in range(0, len(column), 700)]
    found = describe_all(iter(parts), DataType.parse(kind), memory)
    assert found.keys() == whole.keys()
    for key, value in whole.items():
        if key in ("mean", "std") and value is not None:
            assert found[key] == pytest.approx(value, rel=1e-12)
        else:
            assert found[key] == value, key


@pytest.mark.parametrize("kind", ["float", "string"])
def test_comparisons_of_some_entities_add_up(kind: str) -> None:
    def frame(shift: int, start: int, stop: int) -> pl.DataFrame:
        numbers = range(start, stop)
        values = [(n * 37 % 101) * (1.0 if n % 3 else 1.0 + shift) if n % 11 else None for n in numbers]
        column = pl.Series("value", values, pl.Float64)
        return pl.DataFrame(
            {"id": [f"p{n:03d}" for n in numbers], "value": column if kind == "float" else column.cast(pl.String)}
        )

    def inside(low: int, high: int) -> pl.Expr:
        return pl.col("id").is_between(pl.lit(f"p{low:03d}"), pl.lit(f"p{high:03d}"), closed="left")

    data_type = DataType.parse(kind)
    whole = compare_entities(frame(0, 0, 300), frame(1, 20, 320), ("id",), data_type, 0.0)
    cuts = [0, 50, 100, 200, 320]
    parts = [
        compare_entities(
            frame(0, 0, 300).filter(inside(low, high)),
            frame(1, 20, 320).filter(inside(low, high)),
            ("id",), data_type, 0.0,
        )
        for low, high in pairwise(cuts)
    ]  # fmt: skip
    assert combine(parts) == whole
