"""Which method and threshold apply to a feature, and where the methods are listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from featurestore.config import DriftRule, DriftSettings
from featurestore.drift.methods import COMPUTATIONS, method_for
from featurestore.drift_methods import DEFAULT_METHOD, DRIFT_METHODS, DriftMethod, Kind, Scale
from featurestore.errors import ConfigError
from tests.drift.conftest import SampleOf

SETTINGS = DriftSettings(
    "psi",
    0.2,
    features={"age": DriftRule(threshold=0.5), "sex": DriftRule("chisquare")},
    tags={"lipids": DriftRule("ks", 0.9), "cardiac": DriftRule(threshold=0.3)},
)


@pytest.mark.parametrize(
    ("feature", "tags", "method", "threshold"),
    [
        ("other", (), "psi", 0.2),
        ("age", (), "psi", 0.5),
        ("other", ("cardiac", "lipids"), "psi", 0.3),
        ("other", ("unknown", "lipids"), "ks", 0.9),
        ("age", ("lipids",), "ks", 0.5),
        ("sex", ("cardiac",), "chisquare", None),
    ],
)
def test_a_feature_s_rule_overrides_its_tag_s_and_that_the_project_s(
    feature: str, tags: tuple[str, ...], method: str, threshold: float | None
) -> None:
    found = SETTINGS.of(feature, tags)
    assert (found.method, found.threshold) == (method, threshold)


def test_every_declared_method_has_a_computation() -> None:
    assert set(DRIFT_METHODS) == set(COMPUTATIONS)


def test_the_default_replaces_a_method_that_can_t_compare_the_values(sample_of: SampleOf) -> None:
    numbers, few, text = sample_of(range(100), "int"), sample_of([0, 1] * 50, "int"), sample_of(["a"] * 50, "string")
    assert method_for("ks", numbers).name == "ks"
    assert method_for("ks", text).name == "jensenshannon"
    assert method_for("chisquare", numbers).name == "jensenshannon"
    assert method_for("chisquare", few).name == "chisquare"


def test_an_unknown_method_is_refused_with_the_nearest(sample_of: SampleOf) -> None:
    with pytest.raises(ConfigError) as caught:
        method_for("chisquared", sample_of([1.0]))
    assert caught.value.hint == "did you mean 'chisquare'?"


def test_the_page_on_drift_lists_exactly_the_methods_there_are() -> None:
    text = (Path(__file__).parents[2] / "docs" / "drift.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    takes: dict[str, tuple[Kind, ...]] = {
        "numbers": ("number",),
        "categories": ("category",),
        "both": ("number", "category"),
    }
    scales: dict[str, Scale] = {"x": "bounded", "1 - exp(-x)": "unbounded", "1 - p": "p_value"}
    listed = [
        (DriftMethod(cells[0].split("`")[1], cells[1], takes[cells[2]], scales[cells[3]], float(cells[4])), cells[5])
        for cells in rows
        if len(cells) == 6
    ]
    assert listed == [(method, f"{round(method.threshold, 3):g}") for method in DRIFT_METHODS.values()]
    assert [cells[0] for cells in rows if "(default)" in cells[0]] == [f"`{DEFAULT_METHOD}` (default)"]


def test_reading_the_configuration_imports_nothing_heavy() -> None:
    code = "import sys, featurestore.config; print(sorted({'numpy', 'scipy', 'polars', 'duckdb'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
