"""A feature of several sources: a frame for each, in the declared order, and a position in each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Folder

TOML = """
[project]
name = "clinic"
[entity_types.patient]
keys = { patient_id = "string" }
[sources.visits]
type = "csv"
path = "visits*.csv"
event_time = "visit_at"
[sources.labs]
type = "csv"
path = "labs*.csv"
event_time = "taken_at"
[sources.labs.columns]
glucose = { type = "float", min = 0 }
"""
CODE = """import polars as pl
from featurestore import feature

@feature(entity_type="patient", data_type="float", sources=["visits", "labs"])
def glucose_by_age(visits: pl.DataFrame, labs: pl.DataFrame) -> pl.DataFrame:
    joined = labs.sort("taken_at").join_asof(
        visits.sort("visit_at"), left_on="taken_at", right_on="visit_at", by="patient_id", check_sortedness=False
    )
    return joined.select(
        pl.col("patient_id").alias("entity_id"), (pl.col("glucose") / pl.col("age")).alias("value"),
        pl.col("taken_at").alias("computed_at"),
    )
"""
ALONE = """
@feature(entity_type="patient", data_type="float", source="labs")
def glucose():
    return pl.col("glucose")
"""
VISITS = "patient_id,visit_at,age\n001,2024-01-01T00:00:00Z,50\n002,2024-01-01T00:00:00Z,40\n"
LABS = "patient_id,taken_at,glucose\n001,2024-01-02T00:00:00Z,5\n002,2024-01-03T00:00:00Z,8\n"


@pytest.fixture
def clinic(folder: Folder) -> Folder:
    files = {"featurestore.toml": TOML, "features/labs.py": CODE, "visits.csv": VISITS, "labs.csv": LABS}
    folder.write(files)
    return folder


def history(folder: Folder, entity: str) -> list[tuple[str, Any]]:
    found = folder.json("history", "glucose_by_age", entity)["values"]
    return [(each["computed_at"][:10], each["value"]) for each in found]


def test_the_function_gets_a_frame_for_each_in_their_order(clinic: Folder) -> None:
    (run,) = clinic.json("ingest")["features"]
    assert (run["source"], run["scope"], run["rows_read"], run["rows_written"]) == ("visits, labs", "source", 4, 2)
    assert run["reason"] == "whole source: it is made of several"
    assert history(clinic, "001") == [("2024-01-02", 0.1)]
    assert history(clinic, "002") == [("2024-01-03", 0.2)]


def test_nothing_is_computed_where_no_source_has_anything_new(clinic: Folder) -> None:
    clinic.run("ingest")
    (run,) = clinic.json("ingest")["features"]
    assert (run["status"], run["rows_computed"]) == ("unchanged", 0)


@pytest.mark.parametrize(
    ("file", "row", "expected"),
    [
        ("labs_2.csv", "patient_id,taken_at,glucose\n001,2024-02-01T00:00:00Z,6\n", [0.1, 0.12]),
        ("visits_2.csv", "patient_id,visit_at,age\n001,2024-01-01T12:00:00Z,25\n", [0.1, 0.2]),
    ],
)
def test_what_is_new_in_any_of_them_is_taken(clinic: Folder, file: str, row: str, expected: list[float]) -> None:
    clinic.run("ingest")
    clinic.write({file: row})
    (run,) = clinic.json("ingest")["features"]
    assert run["rows_written"] + run["rows_corrected"] == 1
    assert [value for _, value in history(clinic, "001")] == expected
    assert clinic.json("ingest", "--full")["features"][0]["rows_computed"] == 5
    assert [value for _, value in history(clinic, "001")] == expected


def test_one_at_a_time_gives_what_all_at_once_gives(clinic: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    late = {"visits_2.csv": "patient_id,visit_at,age\n001,2024-01-01T12:00:00Z,25\n"}
    clinic.run("ingest")
    clinic.write({**late, "labs_2.csv": "patient_id,taken_at,glucose\n002,2024-02-01T00:00:00Z,2\n"})
    clinic.run("ingest")
    by_parts = [history(clinic, each)[-1] for each in ("001", "002")]
    clinic.run("ingest", "--full")
    assert (
        [history(clinic, each)[-1] for each in ("001", "002")]
        == by_parts
        == [("2024-01-02", 0.2), ("2024-02-01", 0.05)]
    )


def test_a_dry_run_writes_nothing(clinic: Folder) -> None:
    found = clinic.json("ingest", "--dry-run")
    assert found["features"][0]["rows_written"] == 2
    assert "values" not in clinic.json("history", "glucose_by_age", "001", code=2)
    assert clinic.json("ingest")["features"][0]["rows_written"] == 2


def test_rows_of_each_are_set_aside_and_said_once(clinic: Folder) -> None:
    clinic.write({"labs.csv": LABS + "001,2024-03-01T00:00:00Z,-1\n"})
    clinic.write({"features/labs.py": CODE + ALONE})
    found = clinic.json("ingest", code=3)
    assert {run["name"]: run["rows_rejected"] for run in found["features"]} == {"glucose": 1, "glucose_by_age": 1}
    rejected = clinic.json("runs", found["run_id"], "--rejected")
    assert len(rejected["rejected"]) == 1
    (line,) = clinic.json("ingest")["warnings"]
    assert line.startswith("1 row of labs is still set aside")


def test_only_the_failed_feature_fails(clinic: Folder) -> None:
    clinic.write({"features/labs.py": CODE + ALONE})
    clinic.edit("features/labs.py", '(pl.col("glucose") / pl.col("age"))', 'pl.col("nope")')
    found = {run["name"]: run for run in clinic.json("ingest", code=3)["features"]}
    assert found["glucose"]["status"] == "ok"
    assert found["glucose_by_age"]["status"] == "failed"
    assert "nope" in found["glucose_by_age"]["error"]["message"]


def test_a_source_that_is_gone_fails_it_and_names_the_source(clinic: Folder) -> None:
    clinic.run("ingest")
    (clinic.root / "labs.csv").unlink()
    clinic.write({"labs_2.csv": "patient_id,taken_at,glucose\n001,2024-02-01T00:00:00Z,6\n"})
    (run,) = clinic.json("ingest", code=4)["features"]
    assert run["error"]["code"] == "source_shrunk"
    assert "labs.csv of the source 'labs'" in run["error"]["message"]
    assert "scope=" not in run["error"]["hint"]
    (run,) = clinic.json("ingest", "--allow-shrunk")["features"]
    assert run["status"] == "ok"


def test_rows_ahead_of_the_clock_are_taken_when_their_time_comes(clinic: Folder) -> None:
    clinic.write({"labs.csv": LABS + "001,2999-01-01T00:00:00Z,7\n"})
    (run,) = clinic.json("ingest", code=3)["features"]
    assert (run["rows_written"], run["rows_rejected"]) == (2, 1)
    (run,) = clinic.json("ingest", "--allow-future")["features"]
    assert run["rows_written"] == 1


def test_a_value_without_a_time_is_an_error(clinic: Folder) -> None:
    clinic.edit("features/labs.py", 'pl.col("taken_at").alias("computed_at"),', "")
    (run,) = clinic.json("ingest", code=4)["features"]
    assert "of several sources no row has a time of its own" in run["error"]["message"]
    assert "return computed_at from glucose_by_age()" in run["error"]["hint"]


def test_without_event_times_values_are_those_of_the_run(clinic: Folder) -> None:
    clinic.edit("featurestore.toml", 'event_time = "visit_at"', "")
    clinic.edit("featurestore.toml", 'event_time = "taken_at"', "")
    clinic.write({
        "features/labs.py": CODE.partition("    joined")[0]
        + '    joined = visits.join(labs, on="patient_id")\n'
        + '    return joined.select(pl.col("patient_id").alias("entity_id"), pl.col("glucose").alias("value"))\n'
    })  # fmt: skip
    (run,) = clinic.json("ingest")["features"]
    assert run["rows_written"] == 2
    (run,) = clinic.json("ingest")["features"]
    assert run["status"] == "unchanged"


def test_lazy_frames_and_params(clinic: Folder) -> None:
    code = CODE.replace("pl.DataFrame, labs: pl.DataFrame)", "pl.LazyFrame, labs: pl.LazyFrame, by: int)")
    code = code.replace(
        'sources=["visits", "labs"]', 'name="glucose_{by}", params={"by": [1, 2]}, sources=["visits", "labs"]'
    )
    clinic.write({"features/labs.py": code.replace('pl.col("glucose") /', 'by * pl.col("glucose") /')})
    clinic.run("ingest")
    assert clinic.json("history", "glucose_2", "001")["values"][0]["value"] == pytest.approx(0.2)


def test_which_sources_and_their_order_and_types_are_a_version(clinic: Folder) -> None:
    clinic.run("ingest")
    (before,) = clinic.json("plan")["features"]
    assert before["change"] == "none"
    for old, new in (
        ('glucose = { type = "float", min = 0 }', 'glucose = { type = "float", min = -5 }'),
        ('path = "labs*.csv"', 'path = "./labs*.csv"'),
    ):
        clinic.edit("featurestore.toml", old, new)
        assert clinic.json("plan")["features"][0]["change"] == "none"
    clinic.edit("featurestore.toml", 'glucose = { type = "float"', 'glucose = { type = "int"')
    assert clinic.json("plan")["features"][0]["reasons"] == ["source 2 column glucose float → int"]
    clinic.edit("featurestore.toml", 'glucose = { type = "int"', 'glucose = { type = "float"')
    clinic.edit("featurestore.toml", 'event_time = "taken_at"', 'event_time = "taken_at"\ntimezone = "Europe/Berlin"')
    assert "source 2 timezone" in clinic.json("plan")["features"][0]["reasons"][0]


def test_the_version_file_runs_by_itself_and_goes_on_being_fed(clinic: Folder) -> None:
    clinic.run("ingest")
    clinic.run("check")
    clinic.run("promote", "glucose_by_age", "1")
    clinic.edit("features/labs.py", 'pl.col("glucose") /', '2 * pl.col("glucose") /')
    clinic.write({"labs_2.csv": "patient_id,taken_at,glucose\n001,2024-02-01T00:00:00Z,6\n"})
    found = clinic.json("ingest")["features"]
    assert [(run["version"], run["rows_written"]) for run in found] == [(2, 3), (1, 1)]
    assert history(clinic, "001") == [("2024-01-02", 0.1), ("2024-02-01", 0.12)]
    shown = clinic.run("plan", "--stats").out
    assert "glucose_by_age" in shown


def test_show_list_and_lineage_name_all_sources(clinic: Folder) -> None:
    clinic.run("ingest")
    assert clinic.json("list", "--source", "labs")["features"][0]["sources"] == ["visits", "labs"]
    assert [each["name"] for each in clinic.json("lineage", "glucose_by_age")["sources"]] == ["visits", "labs"]
    assert clinic.json("lineage", "glucose_by_age")["columns"] == ["visits.age", "labs.glucose"]
    for command in ("show", "lineage"):
        shown = clinic.run(command, "glucose_by_age").out
        assert "visits" in shown
        assert "labs" in shown
    assert [run["name"] for run in clinic.json("ingest", "--source", "labs")["features"]] == ["glucose_by_age"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["visits", "labs"]', '["visits", "lab"]', "there is no source 'lab'"),
        ('["visits", "labs"]', '["visits"]', "sources= names one source"),
        ('["visits", "labs"]', '["visits", "visits"]', "sources= names visits twice"),
        ('["visits", "labs"]', '"visits"', "sources= must be a list of names"),
        ('sources=["visits", "labs"]', 'source="visits", sources=["visits", "labs"]', "leave out source="),
        (
            'sources=["visits", "labs"]',
            'sources=["visits", "labs"], scope="entity"',
            "scope='entity' is about the rows",
        ),
        ('sources=["visits", "labs"]', 'sources=["visits", "labs"], lookback="7d"', "lookback= is about the rows"),
        (
            "(visits: pl.DataFrame, labs: pl.DataFrame)",
            "(visits)",
            "names 2 sources, and glucose_by_age() takes 1 frame",
        ),
        ("(visits: pl.DataFrame, labs: pl.DataFrame)", "()", "takes no frame"),
        ("labs: pl.DataFrame)", "labs: pl.LazyFrame)", "takes some frames as LazyFrame, and others not"),
    ],
)
def test_what_does_not_go_with_several_sources_is_refused(clinic: Folder, old: str, new: str, message: str) -> None:
    clinic.edit("features/labs.py", old, new)
    (found,) = clinic.json("plan")["problems"]
    assert message in f"{found['message']}: {found['hint']}"
    assert clinic.json("ingest", code=4)["features"][0]["error"]["code"] == "declaration"


def test_a_backfill_and_a_slice_are_refused_with_the_way_out(clinic: Folder) -> None:
    found = clinic.json("ingest", "--since", "2024-01-01", "--step", "30d", code=2)
    assert "it is made of several sources, visits, labs" in found["error"]["message"]
    found = clinic.json("ingest", "--input", str(clinic.root / "labs.csv"), code=2)
    assert "these features read several" in found["error"]["message"]
