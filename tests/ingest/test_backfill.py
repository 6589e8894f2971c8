"""A backfill is ordinary runs in a row: the same values as one run, and it goes on where it was broken off."""

from __future__ import annotations

from typing import Any

import pytest

from featurestore import FeatureStore, times
from featurestore.config import load_project
from featurestore.errors import CancelledError, UsageError
from featurestore.offline.open import open_offline
from featurestore.progress import Progress
from featurestore.workflows.ingest.backfill import backfill
from featurestore.workflows.ingest.ingest import IngestRequest
from tests.conftest import Folder

HEAD = "patient_id,visit_at,age,chol\n"
ROWS = "".join(f"00{day % 3},2024-01-{day:02}T00:00:00Z,{day},\n" for day in range(1, 29))
CODE = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="int", lookback="7d")
def week(visits: pl.DataFrame) -> pl.DataFrame:
    summed = pl.col("age").rolling_sum_by("visit_at", "7d", closed="both").over("patient_id")
    return visits.select("patient_id", value=summed, computed_at="visit_at")


@feature(entity_type="patient", data_type="int", scope="entity")
def so_far(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("patient_id", value=pl.col("age").cum_sum().over("patient_id"), computed_at="visit_at")


@feature(entity_type="patient", data_type="int")
def rank(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("patient_id", value=pl.col("age").rank().cast(int), computed_at="visit_at")
"""
NAMES = ("age_share", "rank", "so_far", "week")
SINCE, UNTIL = "2024-01-05T00:00:00Z", "2024-01-21T00:00:00Z"


@pytest.fixture
def past(project: Folder) -> Folder:
    project.write({"features/cardiac.py": CODE, "visits.csv": HEAD + ROWS})
    return project


def values(project: Folder, names: tuple[str, ...] = NAMES) -> dict[str, list[tuple[str, str, Any]]]:
    return {
        name: [
            (entity, item["computed_at"], item["value"])
            for entity in ("000", "001", "002")
            for item in project.json("history", name, entity)["values"]
        ]
        for name in names
    }


def test_steps_give_the_values_of_one_run(past: Folder) -> None:
    steps = past.json("ingest", "--since", SINCE, "--until", UNTIL, "--step", "3d")["steps"]
    assert [step["until"][:10] for step in steps] == [f"2024-01-{day:02}" for day in (8, 11, 14, 17, 20, 21)]
    assert [step["since"] for step in steps] == [SINCE, *(step["until"] for step in steps[:-1])]
    assert {step["status"] for step in steps} == {"ok"}
    assert {item["name"] for item in steps[0]["features"]} == {"age_share", "so_far", "week"}  # scope source: the last
    stepped = values(past)
    assert all(SINCE <= at < UNTIL for found in stepped.values() for _, at, _ in found)
    past.write({"features/cardiac.py": CODE.replace("def ", "def x_")})
    past.run("ingest", "--since", SINCE, "--until", UNTIL)
    once = values(past, tuple(f"x_{name}" for name in NAMES))
    assert {f"x_{name}": found for name, found in stepped.items()} == once


def test_the_next_run_takes_what_comes_after_it_and_full_writes_nothing(past: Folder) -> None:
    past.run("ingest", *NAMES[:1], "so_far", "week", "--since", SINCE, "--until", UNTIL, "--step", "5d")
    written = {name: item["rows_written"] for name, item in past.features("age_share", "so_far", "week").items()}
    assert written == {"age_share": 8, "so_far": 8, "week": 8}
    full = past.features("age_share", "so_far", "week", "--full")
    assert all(item["rows_written"] == item["rows_corrected"] == item["rows_withdrawn"] == 0 for item in full.values())


def test_one_that_was_broken_off_goes_on(past: Folder) -> None:
    project = load_project(past.root)
    bounds = times.parse_instant(SINCE)[0], times.parse_instant(UNTIL)[0]
    reported: list[str] = []

    def too_far() -> bool:
        return any(line.startswith("from 2024-01-14") for line in reported)

    with pytest.raises(CancelledError):
        backfill(
            project, open_offline(project), IngestRequest(names=("week",)), bounds, times.parse_duration("3d"),
            Progress(reported.append, too_far),
        )  # fmt: skip
    steps = past.json("ingest", "week", "--since", SINCE, "--until", UNTIL, "--step", "3d")["steps"]
    assert [step["since"][:10] for step in steps] == ["2024-01-14", "2024-01-17", "2024-01-20"]
    again = past.run("ingest", "week", "--since", SINCE, "--until", UNTIL, "--step", "3d")
    assert "nothing to do" in again.out
    past.write({"features/more.py": CODE.replace("def ", "def x_")})
    past.run("ingest", "x_week", "--since", SINCE, "--until", UNTIL)
    assert values(past, ("week",))["week"] == values(past, ("x_week",))["x_week"]


def test_a_dry_run_counts_and_keeps_nothing(past: Folder) -> None:
    (step,) = past.json("ingest", "week", "--since", SINCE, "--until", UNTIL, "--step", "3d", "--dry-run")["steps"]
    assert step["features"][0]["rows_written"] == 16
    assert past.json("runs")["runs"] == []


def test_a_version_that_has_values_is_refused_and_full_takes_the_bound(past: Folder) -> None:
    past.run("ingest", "week", "--since", UNTIL)
    before = past.json("runs")["runs"]
    for since in (SINCE, "2024-01-22T00:00:00Z"):
        refused = past.run("ingest", "week", "--since", since, code=2)
        assert "version 1 of week has values already" in refused.err
        assert "--full --since" in refused.err
    assert past.json("runs")["runs"] == before
    assert past.features("week", "--full", "--since", SINCE)["week"]["rows_written"] == 16
    assert past.features("week", "--full")["week"]["rows_written"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--until", UNTIL), "need --since"),
        (("--step", "3d"), "need --since"),
        (("--since", UNTIL, "--until", SINCE), "is not after"),
        (("--since", SINCE, "--full", "--step", "3d"), "--full computes all at once"),
        (("--since", SINCE, "--allow-future"), "neither --input nor --allow-future"),
        (("--since", "yesterday"), "is not a time"),
    ],
)
def test_what_makes_no_sense_is_refused(past: Folder, options: tuple[str, ...], said: str) -> None:
    assert said in past.run("ingest", "week", *options, code=2).err
    assert past.json("runs")["runs"] == []


def test_a_source_without_times_has_no_backfill(past: Folder) -> None:
    past.edit("featurestore.toml", 'event_time = "visit_at"\n', "")
    assert "has no event_time" in past.run("ingest", "age_share", "--since", SINCE, code=2).err


def test_a_new_version_says_how_far_back_it_reaches(past: Folder) -> None:
    past.run("ingest", "age_share")
    past.edit("features/cardiac.py", 'pl.col("age") / 100', 'pl.col("age") / 101')
    note = past.features("age_share", "--full", "--dry-run")["age_share"]["note"]
    assert note == "version 2 reaches back to 2024-01-01T00:00:00Z, version 1 to 2024-01-01T00:00:00Z"
    note = past.json("ingest", "age_share", "--since", SINCE)["features"][0]["note"]
    assert note == "version 2 reaches back to 2024-01-05T00:00:00Z, version 1 to 2024-01-01T00:00:00Z"


def test_it_is_a_call_in_python_too(past: Folder) -> None:
    store = FeatureStore(past.root)
    made = store.ingest("week", since=SINCE, until=UNTIL, step="8d")
    assert [(step.until[:10], step.status) for step in made.steps] == [("2024-01-13", "ok"), ("2024-01-21", "ok")]
    with pytest.raises(UsageError, match="need --since"):
        store.ingest("week", until=UNTIL)
