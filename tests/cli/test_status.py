"""The morning's page: what failed, is too old or has drifted, worst first, with an exit code for alerting."""

from __future__ import annotations

from typing import Any

import pytest

from featurestore.config import load_project
from featurestore.offline.open import open_offline
from featurestore.workflows.status import ProjectState, project_state
from tests.conftest import AGE, Folder

HOUR = 3_600_000_000
OTHER = AGE.replace("age_share", "chol_share").replace('"age"', '"chol"')
LATE = "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n004,2024-03-02T00:00:00Z,400,2\n"


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in document["features"]}


def state_of(folder: Folder, *, max_age: int | None = None, later: int = 0) -> ProjectState:
    """The state as it will be some hours after the last run."""
    project = load_project(folder.root)
    store = open_offline(project)
    return project_state(project, store, max_age=max_age, now=store.runs(last=1)[0].finished_at + later)


def test_all_is_well(ingested: Folder) -> None:
    ingested.run("sync")
    document = ingested.json("status", "--max-age", "26h")
    (feature,) = document["features"]
    assert document["problems"] == 0
    assert (feature["name"], feature["version"], feature["last_status"]) == ("age_share", 1, "ok")
    assert 0 <= feature["freshness_s"] < 3600
    assert (feature["online_lag_runs"], feature["problems"]) == (0, [])
    assert ingested.run("-q", "status").err == ""


def test_a_run_that_found_nothing_new_is_fresh_and_an_old_one_is_not(project: Folder) -> None:
    project.run("ingest")
    first = open_offline(load_project(project.root)).runs()[-1].finished_at
    project.run("ingest")
    (feature,) = state_of(project, max_age=26 * HOUR, later=25 * HOUR).features
    assert feature.last_status == "unchanged"
    assert feature.age == 25 * HOUR
    (old,) = state_of(project, max_age=26 * HOUR, later=27 * HOUR).features
    assert len(old.problems) == 1
    assert "longer ago than 26h" in old.problems[0] or "longer ago than 1d2h" in old.problems[0]
    assert open_offline(load_project(project.root)).runs()[0].finished_at > first


def test_a_failure_says_since_when_how_often_why_and_what_to_do(project: Folder) -> None:
    project.write({"features/other.py": OTHER})
    project.run("ingest")
    project.edit("features/other.py", '"chol"', '"gone"')
    project.run("ingest", code=3)
    failed = project.json("runs", "--last", "1")["runs"][0]["started_at"]
    project.run("ingest", code=3)
    document = project.json("status", code=1)
    assert [item["name"] for item in document["features"]] == ["chol_share", "age_share"]
    (problem,) = by_name(document)["chol_share"]["problems"]
    assert problem.startswith(f"has failed since {failed[:19]}")
    assert ", 2 runs: " in problem
    assert "'gone'" in problem
    assert by_name(document)["chol_share"]["last_status"] == "failed"
    assert by_name(document)["age_share"]["problems"] == []
    shown = project.run("-q", "status", code=1)
    assert shown.out == ""
    assert shown.err.startswith("error: chol_share has failed since ")


def test_a_feature_that_never_ran_and_a_broken_declaration_are_problems(ingested: Folder) -> None:
    ingested.write({"features/other.py": OTHER, "features/broken.py": AGE.replace('"float"', '"flaot"')})
    document = ingested.json("status", code=1)
    assert by_name(document)["chol_share"]["problems"] == [
        "has never been ingested; run featurestore ingest chol_share"
    ]
    assert by_name(document)["chol_share"]["freshness_s"] is None
    assert len(document["project_problems"]) == 1
    assert "flaot" in document["project_problems"][0]
    assert document["problems"] == 2


def test_drift_is_a_problem(project: Folder) -> None:
    ages = "patient_id,visit_at,age,chol\n" + "".join(
        f"{row:03d},2024-01-01T00:00:00Z,{20 + row % 40},1\n" for row in range(200)
    )
    project.write({"visits.csv": ages})
    project.run("ingest")
    project.write({"visits2.csv": ages.replace("2024-01", "2024-02").replace(",2", ",8").replace("8024-", "2024-")})
    project.run("ingest")
    (feature,) = project.json("status", code=1)["features"]
    assert feature["drift"]["detected"] is True
    (problem,) = feature["problems"]
    assert problem.startswith("has drifted (score 0.")
    assert problem.endswith("run featurestore drift age_share")


def test_rows_set_aside_and_an_online_store_that_is_behind_are_shown_and_are_no_problem(ingested: Folder) -> None:
    ingested.run("sync")
    ingested.write({"visits-late.csv": LATE})
    ingested.run("ingest", code=3)
    document = ingested.json("status")
    (feature,) = document["features"]
    assert (feature["rows_rejected"], feature["online_lag_runs"]) == (1, 1)
    assert "1 run behind" in ingested.run("status").out
    ingested.run("sync")
    assert ingested.json("status")["features"][0]["online_lag_runs"] == 0


def test_an_online_store_that_does_not_answer_is_a_problem_and_hides_nothing(
    ingested: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_ONLINE_URL", "redis://127.0.0.1:1/0")
    document = ingested.json("status", code=1)
    assert by_name(document)["age_share"]["online_lag_runs"] is None
    assert len(document["project_problems"]) == 1
    assert "does not answer" in document["project_problems"][0]


def test_an_empty_project_and_a_bad_age(folder: Folder) -> None:
    folder.run("init", str(folder.root), "--name", "new")
    assert folder.json("status") == {"features": [], "problems": 0, "project_problems": []}
    refused = folder.json("status", "--max-age", "soon", code=2)
    assert "'soon' is not a duration" in refused["error"]["message"]


def test_rows_that_are_still_set_aside_are_counted_after_a_run_without_news(project: Folder) -> None:
    (project.root / "visits.csv").write_text(
        "patient_id,visit_at,age,chol\n001,2024-01-01T00:00:00Z,50,1\n002,oops,1,1\n"
    )
    project.run("ingest", code=3)
    project.run("ingest")
    (feature,) = project.json("status")["features"]
    assert (feature["last_status"], feature["rows_rejected"]) == ("unchanged", 1)
    project.edit("visits.csv", "oops", "2024-01-02T00:00:00Z")
    project.run("ingest")
    assert project.json("status")["features"][0]["rows_rejected"] == 0
