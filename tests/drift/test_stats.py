"""``stats``: the statistics of a run, and how they moved."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from featurestore.errors import UsageError
from featurestore.render.charts import bar, columns, spark
from featurestore.render.json.stats import stats_document
from featurestore.render.markdown.stats import stats_page as stats_markdown
from featurestore.render.text.stats import stats_page
from featurestore.workflows.drift.timeline import points_of
from featurestore.workflows.stats import StatsResult, stats
from tests.drift.conftest import Ledger


def values(seed: int, shift: float = 0.0, size: int = 303) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=size) + shift


@pytest.fixture
def three_runs(ledger: Ledger) -> Ledger:
    for number in range(3):
        ledger.ingest(f"run-{number}", values(number, shift=number))
    return ledger


def drawn(result: StatsResult, width: int = 120) -> str:
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(stats_page(result))
    return file.getvalue()


def test_the_last_run_is_shown_unless_one_is_named(three_runs: Ledger) -> None:
    last = stats(three_runs.project, three_runs.store, "score")
    assert (last.shown.run_id, len(last.points)) == ("run-2", 3)
    assert last.shown.statistics["mean"] == pytest.approx(values(2, shift=2).mean())
    assert stats(three_runs.project, three_runs.store, "score", run="run-0").shown.run_id == "run-0"
    assert stats(three_runs.project, three_runs.store, "score", run="1").shown.run_id == "run-0"


def test_last_shortens_the_timeline_to_its_newest_points(three_runs: Ledger) -> None:
    found = stats(three_runs.project, three_runs.store, "score", last=2)
    assert [point.run_id for point in found.points] == ["run-1", "run-2"]


def test_an_unknown_or_ambiguous_run_is_refused(three_runs: Ledger) -> None:
    with pytest.raises(UsageError, match="no run 'nothing'"):
        stats(three_runs.project, three_runs.store, "score", run="nothing")
    with pytest.raises(UsageError, match="3 runs begin"):
        stats(three_runs.project, three_runs.store, "score", run="run-")


def test_a_version_without_history_has_a_hint_to_ingest_it(ledger: Ledger) -> None:
    with pytest.raises(UsageError) as caught:
        points_of(ledger.store, ledger.version)
    assert caught.value.hint == "run featurestore ingest score"


def test_json_has_the_keys_of_the_contract(three_runs: Ledger) -> None:
    found: dict[str, Any] = stats_document(stats(three_runs.project, three_runs.store, "score"))
    assert (found["feature"], found["version"], found["run_id"]) == ("score", 1, "run-2")
    wanted = {"count", "null_count", "distinct", "mean", "std", "min", "p01", "p05", "p25", "p50", "p75", "p95", "p99"}
    assert wanted | {"max", "histogram"} <= set(found["statistics"])
    assert [point["detected"] for point in found["drift"]] == [False, True, True]
    assert {"run_id", "started_at", "score", "detected"} <= set(found["drift"][0])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_drawing_has_a_histogram_and_a_sparkline(three_runs: Ledger, width: int) -> None:
    text = drawn(stats(three_runs.project, three_runs.store, "score"), width)
    assert "█" in text
    assert "mean over the runs" in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_markdown_has_the_table_of_runs(three_runs: Ledger) -> None:
    text = stats_markdown(stats(three_runs.project, three_runs.store, "score"))
    assert "| `run-2` |" in text
    assert "drifted: score" in text


def test_a_bar_is_as_long_as_its_share_and_never_empty() -> None:
    assert bar(10, 10, 4) == "████"
    assert bar(0.001, 10, 4) == "▏"
    assert bar(0, 10, 4) == ""


def test_a_sparkline_runs_from_the_least_to_the_greatest_with_gaps() -> None:
    assert spark([0.0, None, 1.0]) == "▁ █"
    assert spark([2.0, 2.0]) == "▄▄"
    assert spark([]) == ""


def test_columns_have_a_line_across_where_there_is_room() -> None:
    assert columns([0.0, 0.5, 1.0], top=1.0, line=0.6, height=2) == ["┄┄█", "▁██"]


def test_what_is_held_now_is_told_apart_from_what_the_last_run_brought(three_runs: Ledger) -> None:
    result = stats(three_runs.project, three_runs.store, "score")
    assert result.held is not None
    held = three_runs.store.current(result.version)["value"]
    assert (result.held["count"], result.shown.statistics["count"]) == (len(held), 303)
    assert result.held["mean"] == pytest.approx(float(held.mean()))  # type: ignore[arg-type]
    page = drawn(result)
    assert page.index("held now") < page.index("what run run-2 brought")
    assert f"Held now: {len(held):,} values of" in stats_markdown(result)
