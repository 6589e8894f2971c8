"""Assessing a run: statistics, a sample and a verdict for any rows, and never an exception."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest

from featurestore.config import DriftSettings
from featurestore.drift.assess import ReferenceRuns, assess
from featurestore.drift.row_values import RowValues
from featurestore.drift.sample import unpack_sample
from featurestore.drift_methods import DRIFT_METHODS
from featurestore.model import DataType
from tests.drift.conftest import Values

SETTINGS = DriftSettings()
PolarsType = pl.DataType | type[pl.DataType] | None


@dataclass(frozen=True)
class Assessed:
    """An assessment; the sample is empty where there is none."""

    verdict: dict[str, Any]
    statistics: dict[str, Any]
    sample: bytes


def rows(values: Values, dtype: PolarsType = None) -> pl.DataFrame:
    column = pl.Series("value", values, dtype=dtype)
    return pl.DataFrame(
        {
            "id": [str(number).zfill(7) for number in range(len(column))],
            "computed_at": pl.Series([dt.datetime(2024, 1, 1)] * len(column), dtype=pl.Datetime("us")),
            "value": column,
        }
    )


def run(
    values: Values,
    data_type: str = "float",
    *,
    reference: ReferenceRuns | None = None,
    settings: DriftSettings = SETTINGS,
    dtype: PolarsType = None,
) -> Assessed:
    found = assess(
        RowValues(["id"], rows(values, dtype)),
        DataType.parse(data_type),
        settings,
        reference=reference,
        seed=7,
        learned_at=0,
    )
    return Assessed(dict(found.verdict), dict(found.statistics), found.sample or b"")


def test_a_first_run_is_the_reference_of_the_second() -> None:
    before = run(np.random.default_rng(1).normal(size=303))
    now = run(np.random.default_rng(2).normal(size=303) + 1, reference=ReferenceRuns("r1", (before.sample,)))
    assert before.verdict["score"] == 0.0
    assert before.verdict["reference_run"] is None
    assert now.verdict["reference_run"] == "r1"
    assert now.verdict["reasons"][0] == "score"


def test_histograms_of_later_runs_have_the_edges_of_the_reference() -> None:
    before = run(np.random.default_rng(1).normal(size=303))
    now = run(np.random.default_rng(2).normal(size=303) * 9, reference=ReferenceRuns("r1", (before.sample,)))
    assert now.statistics["histogram"]["edges"] == before.statistics["histogram"]["edges"]


def test_the_method_is_the_reference_s_and_a_threshold_for_another_method_is_ignored() -> None:
    before = run(np.random.default_rng(1).normal(size=303))
    now = run(
        np.random.default_rng(2).normal(size=303),
        reference=ReferenceRuns("r1", (before.sample,)),
        settings=DriftSettings("psi", 0.7),
    )
    assert (now.verdict["method"], now.verdict["threshold"]) == ("jensenshannon", 0.1)
    assert unpack_sample(now.sample).facts.method == "jensenshannon"


ODD: dict[str, tuple[Values, str, PolarsType]] = {
    "all null": ([None] * 300, "float", pl.Float64),
    "empty": ([], "float", pl.Float64),
    "one row": ([1.0], "float", None),
    "constant": ([1.0] * 300, "float", None),
    "infinite": ([float("inf")] * 300, "float", None),
    "not a number": ([float("nan")] * 300, "float", None),
    "mixed": ([float("nan"), float("inf"), None, 1.0] * 100, "float", pl.Float64),
    "huge": ([1.7e308, -1.7e308] * 200 + list(range(40)), "float", pl.Float64),
    "5,000 categories": ([f"c{number}" for number in range(5_000)], "string", None),
    "empty text": ([], "string", pl.String),
    "lists": ([[1.0, 2.0]] * 300, "list[float, 2]", None),
    "dates": ([dt.date(2024, 1, 1)] * 300, "date", None),
    "datetimes": ([dt.datetime(2024, 1, 1)] * 300, "datetime", pl.Datetime("us")),
    "booleans": ([True, False, None] * 100, "bool", None),
    "integers": (list(range(300)), "int", None),
    "untyped nulls": ([None] * 300, "string", pl.Null),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_have_a_status(name: str) -> None:
    values, data_type, dtype = ODD[name]
    before = run(values, data_type, dtype=dtype)
    now = run(values, data_type, dtype=dtype, reference=ReferenceRuns("r1", (before.sample,)))
    for assessment in (before, now):
        status = assessment.verdict["status"]
        assert status in ("ok", "drifted") or status.startswith("skipped: "), status
        json.dumps([assessment.verdict, assessment.statistics], allow_nan=False)
        assert assessment.sample


def test_a_damaged_reference_is_an_error_in_the_verdict_not_an_exception() -> None:
    now = run(np.arange(300.0), reference=ReferenceRuns("r1", (b"rubbish",)))
    assert now.verdict["status"].startswith("error: ")
    assert now.verdict["detected"] is False
    assert now.verdict["reference_run"] == "r1"


NUMBERS: list[Values] = [
    np.random.default_rng(1).normal(size=300),
    [5.0] * 300,
    [1.7e308, -1.7e308] * 200 + list(range(40)),
    [5e-324] * 100 + [1e-323] * 50,
    [1.0, float(np.nextafter(1, 2))] * 50,
    list(range(30)),
    [float("nan"), float("inf"), None, 1.0] * 100,
    [None] * 300,
]


@pytest.mark.parametrize("method", DRIFT_METHODS)
def test_no_method_fails_on_odd_numbers(method: str) -> None:
    settings = DriftSettings(method)
    references = [run(values, settings=settings, dtype=pl.Float64).sample for values in NUMBERS]
    for sample in references:
        for values in NUMBERS:
            found = run(values, settings=settings, reference=ReferenceRuns("r1", (sample,)), dtype=pl.Float64).verdict
            assert not found["status"].startswith("error"), found["status"]
            assert found["score"] is None or 0 <= found["score"] <= 1
