"""Values that don't fit what a column was: set aside for whoever names the column, widened, or said."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from tests.conftest import PROJECT, Folder, Once

CODE = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="float")
def pulse_share() -> pl.Expr:
    return pl.col("pulse") / 100


@feature(entity_type="patient", data_type="int", scope="row")
def passed_on(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("patient_id", value=pl.Series([len(row) for row in visits.rows()]), computed_at="visit_at")
"""
NAMING = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="int")
def hashed() -> pl.Expr:
    return pl.col("row_hash")
"""
HEAD = "patient_id,visit_at,age,pulse\n"
PINS = "features/.versions/visits.columns.toml"


def make_pinned(project: Folder) -> None:
    project.write(PROJECT)
    project.edit("featurestore.toml", 'chol = { type = "float" }\n', "")
    project.write({"features/cardiac.py": CODE, "visits.csv": HEAD + "001,2024-01-01T00:00:00Z,50,70\n"})
    project.run("ingest")
    assert 'pulse = "int"' in (project.root / PINS).read_text()


@pytest.fixture
def pinned(folder: Folder, once: Once) -> Folder:
    """A project in which `pulse` is an undeclared column of integers."""
    return once(make_pinned, folder)


def row(day: int, pulse: str) -> str:
    return f"001,2024-02-0{day}T00:00:00Z,51,{pulse}\n"


def counts(found: dict[str, dict[str, int]]) -> dict[str, tuple[int, int]]:
    return {name: (item["rows_written"], item["rows_rejected"]) for name, item in found.items()}


@pytest.mark.parametrize("together", [True, False])
def test_a_misfit_is_set_aside_for_the_features_that_name_the_column(pinned: Folder, together: bool) -> None:
    pinned.write({"visits2.csv": HEAD + row(1, "high") + row(2, "71")})
    expected = {"age_share": (2, 0), "pulse_share": (1, 1), "passed_on": (1, 1)}
    if together:
        assert counts(pinned.features(code=3)) == expected
    else:
        for name, found in expected.items():  # whoever else is due
            assert counts(pinned.features(name, code=3 if found[1] else 0)) == {name: found}
    assert all(
        item["rows_written"] == item["rows_corrected"] == 0 for item in pinned.features("--full", code=3).values()
    )


def test_a_misfit_names_the_file_of_the_pin_and_the_fix(pinned: Folder) -> None:
    pinned.write({"visits2.csv": HEAD + row(1, "high")})
    said = pinned.run("ingest", "pulse_share", code=3).err
    assert "visits2.csv row 1" in said
    flat = " ".join(said.split())
    assert "'high' is not an int" in flat
    assert PINS in flat.replace(" ", "") or PINS in flat
    assert "high" not in pinned.run("ingest", "age_share").err


def test_the_only_row_fails_those_that_name_the_column_and_no_others(pinned: Folder) -> None:
    (pinned.root / "visits.csv").unlink()
    pinned.write({"visits2.csv": HEAD + row(1, "high")})
    found = pinned.features(code=3)
    assert {name: item["status"] for name, item in found.items()} == {
        "age_share": "ok", "pulse_share": "failed", "passed_on": "failed",
    }  # fmt: skip


def test_a_misfit_under_strict_fails_those_that_name_the_column(pinned: Folder) -> None:
    pinned.write({"visits2.csv": HEAD + row(1, "high") + row(2, "71")})
    found = pinned.features("--strict", code=3)
    assert {name: item["status"] for name, item in found.items()} == {
        "age_share": "ok", "pulse_share": "failed", "passed_on": "failed",
    }  # fmt: skip


def test_a_source_without_times_has_the_same_rule(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"\n', "")
    project.edit("featurestore.toml", 'chol = { type = "float" }\n', "")
    code = CODE.replace(', computed_at="visit_at"', "")
    project.write({"features/cardiac.py": code, "visits.csv": HEAD + "001,2024-01-01T00:00:00Z,50,70\n"})
    project.run("ingest")
    project.write({"visits2.csv": HEAD.replace("\n", "\n002,2024-01-01T00:00:00Z,50,high\n")})
    assert counts(project.features(code=3)) == {"age_share": (1, 0), "pulse_share": (0, 1), "passed_on": (0, 1)}


def test_a_pin_of_integers_widens_to_float_and_says_so(pinned: Folder) -> None:
    pinned.edit(PINS, 'pulse = "int"', 'pulse = "int"  # of the monitor')
    pinned.write({"visits2.csv": HEAD + row(1, "71.5") + row(2, "high")})
    ran = pinned.run("ingest", "pulse_share", "--dry-run", code=3)
    assert 'pulse = "int"' in (pinned.root / PINS).read_text()
    ran = pinned.run("ingest", "pulse_share", code=3)
    assert "visits: column 'pulse' was int and is float from now on, for visits2.csv row 1: '71.5'" in ran.err
    assert 'pulse = "float"  # of the monitor' in (pinned.root / PINS).read_text()
    values = [item["value"] for item in pinned.json("history", "pulse_share", "001")["values"]]
    assert values == pytest.approx([0.7, 0.715])
    assert "widen" not in pinned.run("ingest", "pulse_share", "--full", code=3).err


def test_a_run_that_commits_nothing_widens_no_pin(pinned: Folder) -> None:
    pinned.write({"visits2.csv": HEAD + row(1, "71.5")})
    pinned.edit("features/cardiac.py", 'pl.col("pulse") / 100', "1 / 0")
    before = (pinned.root / PINS).read_text()
    pinned.run("ingest", "pulse_share", code=4)
    assert (pinned.root / PINS).read_text() == before


SHORT = """

@feature(entity_type="patient", data_type="float")
def heavy() -> pl.Expr:
    return pl.col("weight") * 2
"""
LONG = """

@feature(entity_type="patient", data_type="float", scope="row")
def heavy(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("patient_id", value=pl.col("weight") * 2, computed_at="visit_at")
"""


@pytest.mark.parametrize("heavy", [SHORT, LONG], ids=["short", "long"])
def test_a_feature_that_fails_pins_no_column_that_it_alone_sees(pinned: Folder, heavy: str) -> None:
    pinned.write({"features/cardiac.py": CODE[: CODE.index('@feature(entity_type="patient", data_type="int"')] + heavy})
    more = HEAD.replace("pulse", "pulse,weight,height")
    pinned.write({"visits.csv": more + "001,2024-01-01T00:00:00Z,50,70,1,2\n002,2024-01-01T00:00:00Z,50,70,x,2\n"})
    for status in ("ok", "unchanged"):  # what was found out for the failed one is no news to the others
        found = pinned.features(code=3)
        assert (found["heavy"]["status"], found["pulse_share"]["status"]) == ("failed", status)
        assert "weight" not in (pinned.root / PINS).read_text()
    pinned.edit("visits.csv", ",x,2", ",3,2")
    assert pinned.features()["heavy"]["status"] == "ok"
    assert 'weight = "int"' in (pinned.root / PINS).read_text()


def test_a_type_is_found_again_where_its_line_was_taken_out(pinned: Folder) -> None:
    more = HEAD.replace("pulse", "pulse,weight")
    pinned.write({"visits.csv": more + "001,2024-01-01T00:00:00Z,50,70,x\n"})
    pinned.run("ingest")
    pinned.edit("visits.csv", "50,70,x", "51,70,3")
    pinned.edit(PINS, 'weight = "string"\n', "")
    found = pinned.features()
    assert {name: item["status"] for name, item in found.items()} == dict.fromkeys(found, "unchanged") | {
        "age_share": "ok"
    }
    assert 'weight = "int"' in (pinned.root / PINS).read_text()


def test_a_column_that_a_new_file_lacks_is_said_once(pinned: Folder) -> None:
    pinned.write({"visits2.csv": HEAD.replace(",pulse", "") + "001,2024-03-01T00:00:00Z,52\n"})
    ran = pinned.run("-q", "ingest", code=3)  # the mail that cron sends says why
    assert "visits2.csv has no column 'pulse', which earlier files of its source have: it is null there" in ran.err
    assert "rename" in ran.err
    assert "'pulse'" not in pinned.run("ingest").err
    pinned.write({"visits3.csv": HEAD.replace("\n", ",weight\n") + "001,2024-03-02T00:00:00Z,52,70,80\n"})
    assert pinned.run("ingest").code == 0


def test_a_value_that_no_type_holds_is_set_aside_for_those_that_name_the_column(project: Folder) -> None:
    project.edit("featurestore.toml", 'type = "csv"\npath = "visits*.csv"', 'type = "parquet"\npath = "visits.parquet"')
    times = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)]
    visits = pl.DataFrame({"patient_id": ["001", "002"], "visit_at": times, "age": [50, 51], "chol": [1.0, 2.0]})
    large = pl.Series("row_hash", [1, 2**63 + 5], dtype=pl.UInt64)
    visits.with_columns(large).write_parquet(project.root / "visits.parquet")
    assert counts(project.features()) == {"age_share": (2, 0)}
    project.write({"features/hashes.py": NAMING})
    assert counts(project.features(code=3)) == {"age_share": (0, 0), "hashed": (1, 1)}
