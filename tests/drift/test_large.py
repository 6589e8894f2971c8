"""Statistics in little memory are those of the whole column."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from featurestore.config import DriftSettings
from featurestore.drift.assess import assess
from featurestore.drift.large import describe_all
from featurestore.drift.row_values import RowValues
from featurestore.drift.sample import unpack_sample
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


@pytest.mark.parametrize("memory", [1_000, 30_000])
def test_they_are_compared_in_the_reference_s_bins(memory: int) -> None:
    column = pl.Series("value", CASES["floats"][1], pl.Float64)
    edges = [-1.0, -0.25, 0.0, 0.5, 1.0]
    whole = describe(column, DataType.parse("float"), edges=edges)
    parts = [column.slice(start, 700) for start in range(0, len(column), 700)]
    found = describe_all(iter(parts), DataType.parse("float"), memory, edges=edges)
    assert found["histogram"] == whole["histogram"]
    assert isinstance(whole["histogram"], dict)
    assert min(whole["histogram"]["below"], whole["histogram"]["above"]) > 0


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("limit", [100, 10_000])
def test_a_run_that_does_not_fit_into_memory_is_measured_as_any_other(name: str, limit: int) -> None:
    kind, values = CASES[name]
    data_type = DataType.parse(kind)
    size = len(values)
    rows = pl.DataFrame(
        {
            "id": pl.Series([f"{number // 3:06d}" for number in range(size)]),
            "computed_at": pl.Series(range(size), dtype=pl.Int64).cast(pl.Datetime("us")),
            "value": pl.Series(values, dtype=TYPES[kind]),
        }
    )
    settings = replace(DriftSettings(), sample=limit)
    whole, little = RowValues(["id"], rows), RowValues(["id"], memory=16_000)
    for start in range(0, size, 333):
        little.add(rows.slice(start, 333))
    one, other = (assess(each, data_type, settings, reference=None, seed=5) for each in (whole, little))
    assert one.sample is not None
    assert unpack_sample(one.sample).values.equals(unpack_sample(other.sample or b"").values)
    assert one.verdict == other.verdict
    facts, others = (asdict(unpack_sample(each.sample or b"").facts) for each in (one, other))
    assert facts == others
    for key, value in one.statistics.items():
        close = key in ("mean", "std") and value is not None
        assert other.statistics[key] == (pytest.approx(value, rel=1e-12) if close else value), key


def test_its_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """In a process of its own, of which the system knows the peak."""
    script = """
import resource, sys
import numpy as np, polars as pl
from featurestore.config import DriftSettings
from featurestore.drift.assess import assess
from featurestore.drift.row_values import RowValues
from featurestore.model import DataType

def measured(parts):
    rows, random = RowValues(["id"], memory=16_000_000), np.random.default_rng(1)
    ids, times = pl.Series("id", ["a"] * 100_000), pl.Series("computed_at", range(100_000))
    for _ in range(parts):
        rows.add(pl.DataFrame([ids, times, pl.Series("value", random.normal(size=100_000))]))
    found = assess(rows, DataType.parse("float"), DriftSettings(), reference=None, seed=1)
    assert found.statistics["count"] == parts * 100_000, found.verdict

measured(10)
few = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
measured(120)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - few) * 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert int(done.stdout) < 48_000_000, "12,000,000 values take 96 MB by themselves"


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
