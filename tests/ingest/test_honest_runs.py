"""What a run says of rows that it could not take, and what it refuses rather than store a wrong value."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from featurestore import times
from featurestore.errors import ConfigError
from featurestore.offline.duckdb import connect as duck
from tests.conftest import AGE, VISITS, Folder

CODE = """
import polars as pl

from featurestore import feature

"""
TOTAL = (
    CODE
    + """
@feature(entity_type="patient", data_type="int")
def total() -> pl.Expr:
    return pl.col("age").cum_sum().over("patient_id")


@feature(entity_type="patient", data_type="int")
def doubled() -> pl.Expr:
    return pl.col("age") * 2


@feature(entity_type="patient", data_type="int")
def framed(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("patient_id", value="age")


@feature(entity_type="patient", data_type="int", lookback="0")
def declared(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("patient_id", value="age")
"""
)


def values(project: Folder) -> list[int]:
    return [item["value"] for item in project.json("history", "total", "001")["values"]]


def in_one_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_slice_is_refused_to_what_may_look_further(project: Folder) -> None:
    project.write({"features/cardiac.py": TOTAL})
    project.run("ingest")
    project.write({"today.csv": "patient_id,visit_at,age,chol\n001,2024-03-01T00:00:00Z,7,\n"})
    found = project.features("--input", str(project.root / "today.csv"), code=3)
    assert {name: item["status"] for name, item in found.items()} == {
        "total": "failed", "framed": "failed", "doubled": "ok", "declared": "ok",
    }  # fmt: skip
    assert (
        "total may look at others (what looks at other rows runs over(patient_id))"
        in found["total"]["error"]["message"]
    )
    assert 'declare scope="row"' in found["total"]["error"]["hint"]
    assert "visits*.csv" in found["framed"]["error"]["hint"]


def test_rows_that_are_still_set_aside_are_said_again_and_fail_a_strict_run(project: Folder) -> None:
    project.write({"visits.csv": VISITS + "003,2024-01-01T00:00:00Z,430,\n"})
    first = project.json("ingest", code=3)["run_id"]
    again = project.run("ingest")
    assert f"1 row of visits is still set aside: featurestore runs {first} says which, and why" in again.err
    assert f"1 row of visits is still set aside: featurestore runs {first}" in project.run("doctor").out
    (feature,) = project.json("ingest", "--strict", code=4)["features"]
    assert (
        "1 row of 'visits' breaks its rules; the first: '430' is above the maximum 120" in feature["error"]["message"]
    )
    assert feature["error"]["where"] == "visits.csv row 4"
    project.edit("visits.csv", "430", "43")
    project.run("ingest")
    assert "set aside" not in project.run("ingest", "--strict").err


def test_rows_that_several_runs_set_aside_are_named_once(project: Folder) -> None:
    broken = "001,2024-01-0{}T00:00:00Z,old,240\n"
    other = AGE.replace("age_share", "chol_share").replace('pl.col("age")', 'pl.col("chol")')
    project.write({"features/more.py": other})
    project.write({"visits.csv": VISITS + broken.format(1)})
    project.run("ingest", "age_share", code=3)
    last = project.json("ingest", "chol_share", code=3)["run_id"]
    (said,) = (line for line in project.run("doctor").out.splitlines() if "still set aside" in line)
    assert f"1 row of visits is still set aside: featurestore runs {last} says" in said
    with (project.root / "visits.csv").open("a") as visits:
        visits.write(broken.format(2))
    later = project.json("ingest", "age_share", code=3)["run_id"]
    said = project.run("doctor").out
    assert f"2 rows of visits are still set aside: featurestore runs {later}" in said
    assert last not in said


def test_a_source_of_which_every_row_is_set_aside_is_no_success(project: Folder) -> None:
    project.write({"visits.csv": "patient_id,visit_at,age,chol\n003,2024-01-01T00:00:00Z,430,\n"})
    (feature,) = project.json("ingest", code=4)["features"]
    assert (feature["status"], feature["rows_read"], feature["rows_rejected"]) == ("failed", 1, 1)
    assert "the only row of 'visits' had to be set aside" in feature["error"]["message"]
    assert not list((project.root / "features").glob(".versions/**/*.*"))
    (run,) = project.json("runs", project.json("runs")["runs"][0]["run_id"])["runs"]
    assert [row["reason"] for row in run["rejected"]] == ["'430' is above the maximum 120"]


def test_a_row_ahead_of_the_clock_has_a_reason_and_is_taken_after_its_time(
    project: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write({"visits.csv": VISITS + f"003,{in_one_hour()},43,\n"})
    found = project.json("ingest", code=3)
    assert [item["rows_rejected"] for item in found["features"]] == [1]
    (row,) = project.json("runs", found["run_id"])["runs"][0]["rejected"]
    assert (row["file"], row["row"], row["column"]) == ("visits.csv", 4, "visit_at")
    assert "is ahead of the clock: the first run after that time takes the row" in row["reason"]
    assert project.features()["age_share"]["status"] == "unchanged"
    clock = "featurestore.times.now"
    later = int((datetime.now(UTC) + timedelta(hours=2)).timestamp() * 1_000_000)
    monkeypatch.setattr(clock, lambda: later)
    assert project.features()["age_share"]["rows_written"] == 1


def test_a_time_far_ahead_of_the_clock_is_said_to_the_microsecond(project: Folder) -> None:
    project.write({"visits.csv": VISITS + "003,9999-12-31T23:59:59.999998Z,43,\n"})
    (row,) = project.json("runs", project.json("ingest", code=3)["run_id"])["runs"][0]["rejected"]
    assert row["reason"].startswith("'9999-12-31T23:59:59.999998Z' is ahead of the clock")
    assert row["values"]["visit_at"] == "9999-12-31T23:59:59.999998Z"


def test_allow_future_alone_takes_the_row_that_was_ahead(project: Folder) -> None:
    project.write({"visits.csv": VISITS + f"003,{in_one_hour()},43,\n"})
    project.run("ingest", code=3)
    assert project.features("--allow-future")["age_share"]["rows_written"] == 1
    assert project.features()["age_share"]["status"] == "unchanged"


@pytest.mark.parametrize("scope", ['scope="row"', 'scope="entity"', 'lookback="2000d"', 'scope="source"'])
@pytest.mark.parametrize("delay", ["", ', delay="1d"'])
def test_what_allow_future_has_taken_stays_until_its_time(
    project: Folder, monkeypatch: pytest.MonkeyPatch, scope: str, delay: str
) -> None:
    """An ordinary run takes nothing back of it, whatever else it computes; the first run after its time counts it."""
    value = '"age"' if "row" in scope else 'pl.col("age").cum_sum().over("patient_id")'
    project.write(
        {
            "features/cardiac.py": f"""
        import polars as pl
        from featurestore import feature


        @feature(entity_type="patient", data_type="int", {scope}{delay})
        def total(visits: pl.DataFrame) -> pl.DataFrame:
            return visits.sort("visit_at").select("patient_id", computed_at="visit_at", value={value})
        """
        }
    )
    in_future = datetime.now(UTC) + timedelta(days=3)
    ahead = f"001,{in_future:%Y-%m-%dT%H:%M:%SZ},7,\n"
    project.write({"visits.csv": VISITS + ahead})
    first = project.features("--allow-future")["total"]
    assert first["rows_written"] == 4
    held = values(project)
    project.write({"visits.csv": VISITS + ahead + "001,2024-03-01T00:00:00Z,1,\n"})
    for flags in ((), ("--full",)):
        found = project.features(*flags, code=3)["total"]
        assert (found["rows_withdrawn"], found["rows_corrected"], found["rows_rejected"]) == (0, 0, 1)
    new = 1 if "row" in scope else held[-2] + 1
    assert values(project) == [*held[:-1], new, held[-1]]
    later = round((in_future + timedelta(days=2)).timestamp() * 1_000_000)
    monkeypatch.setattr(times, "now", lambda: later)
    found = project.features()["total"]
    assert found["rows_rejected"] == 0
    counted = [] if "row" in scope else [held[-1] + 1]
    assert values(project) == [*held[:-1], new, held[-1], *counted]
    assert project.features("--full")["total"]["status"] == "unchanged"


def test_values_that_a_function_dates_ahead_are_said(project: Folder) -> None:
    ahead = """
@feature(entity_type="patient", data_type="int")
def ahead(visits: pl.DataFrame) -> pl.DataFrame:
    shift = pl.when(pl.col("patient_id") == "002").then(pl.duration(days=40_000)).otherwise(pl.duration())
    return visits.select("patient_id", value="age", computed_at=pl.col("visit_at") + shift)
"""
    project.write({"features/cardiac.py": CODE + ahead})
    ran = project.run("ingest", code=3)
    assert "ahead: 1 of its values are dated ahead of the clock and were left out; a run after 2133-" in ran.err
    project.edit("features/cardiac.py", '== "002"', '!= ""')
    (feature,) = project.json("ingest", code=4)["features"]
    assert "every value that ahead gives is dated ahead of the clock (3 of 3)" in feature["error"]["message"]


def test_rows_of_deleted_values_are_said(project: Folder) -> None:
    project.run("ingest")
    project.run("delete", "patient", "002", "--at", "2024-01-15T00:00:00Z", "--yes")
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\n002,2024-01-15T00:00:00Z,61,\n"})
    project.edit("visits.csv", "002,2024-01-15T00:00:00Z,60,\n", "")
    ran = project.run("ingest")
    assert "no new values: what the rows that were read give by now is held already" in ran.out
    assert project.json("runs", "--last", "1")["runs"][0]["features"][0]["note"] == (
        "1 row was deleted before, and stays deleted"
    )


@pytest.mark.parametrize(
    ("values", "data_type"),
    [(pl.Series([2**53 + 1]), "float"), (pl.Series(["99999999999999999.99"]).cast(pl.Decimal(20, 2)), "float")],
)
def test_numbers_that_no_float_is_are_refused(project: Folder, values: pl.Series, data_type: str) -> None:
    project.edit("featurestore.toml", 'type = "csv"\npath = "visits*.csv"', 'type = "parquet"\npath = "v.parquet"')
    project.edit("featurestore.toml", 'age = { type = "int", min = 0, max = 120 }\nchol = { type = "float" }\n', "")
    frame = pl.DataFrame({"patient_id": ["a"], "visit_at": [datetime(2024, 1, 1, tzinfo=UTC)], "n": values})
    frame.write_parquet(project.root / "v.parquet")
    project.write({"features/cardiac.py": AGE.replace('pl.col("age") / 100', 'pl.col("n")')})
    (feature,) = project.json("ingest", code=4)["features"]
    assert "value is not equal to any float in row 1" in feature["error"]["message"]
    project.edit("featurestore.toml", "[sources.visits.columns]", '[sources.visits.columns]\nn = { type = "float" }')
    (feature,) = project.json("ingest", code=4)["features"]
    assert "is not a float" in feature["error"]["message"]


PANDAS = """
@feature(entity_type="patient", data_type="float")
def total(visits: pl.DataFrame) -> pl.DataFrame:
    frame = visits.to_pandas()
    frame["value"] = frame.groupby("patient_id")["age"].cumsum().astype(float)
    return frame.rename(columns={"visit_at": "computed_at"})[["patient_id", "value", "computed_at"]]
"""
PANICS = """
@feature(entity_type="patient", data_type="int")
def ever(visits: pl.LazyFrame) -> pl.LazyFrame:
    return (
        visits.group_by_dynamic("visit_at", every="1d", period="400000y", group_by="patient_id")
        .agg(value=pl.col("age").sum())
        .select("patient_id", "value", computed_at="visit_at")
    )
"""
LEAVES = """
import os

class Stop(BaseException):
    pass

@feature(entity_type="patient", data_type="int")
def leaves() -> pl.Expr:
    os._exit(5)

@feature(entity_type="patient", data_type="int")
def stops() -> pl.Expr:
    raise Stop("now")
"""


def test_a_pandas_frame_is_a_frame(project: Folder) -> None:
    pytest.importorskip("pandas")
    project.write({"features/cardiac.py": CODE + PANDAS})
    assert project.features()["total"]["rows_written"] == 3


def test_a_panic_of_native_code_fails_its_feature_alone(project: Folder) -> None:
    project.write({"features/more.py": CODE + PANICS})
    found = project.features(code=3)
    assert (found["ever"]["status"], found["age_share"]["status"]) == ("failed", "ok")
    assert "ever() raised PanicException: capacity overflow" in found["ever"]["error"]["message"]


def test_code_that_ends_the_process_fails_its_feature_alone(project: Folder) -> None:
    project.write({"features/more.py": CODE + LEAVES})
    found = project.features(code=3)
    assert found["age_share"]["status"] == "ok"
    assert "calls os._exit(), which would end the run" in found["leaves"]["error"]["message"]
    assert "stops() raised Stop: now" in found["stops"]["error"]["message"]


def test_of_two_rows_without_event_time_the_later_updated_one_wins(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'updated_at = "visit_at"')
    project.run("ingest")
    assert [item["value"] for item in project.json("history", "age_share", "001")["values"]] == [0.51]


def test_types_of_a_source_that_gave_nothing_are_not_pinned(project: Folder, tmp_path: Path) -> None:
    other = '[sources.other]\ntype = "csv"\npath = "other.csv"\nevent_time = "at"\n'
    project.edit("featurestore.toml", "[sources.visits]", f"{other}[sources.visits]")
    project.write({"other.csv": "patient_id,at,v\na,2024-01-01T00:00:00Z,oops\n"})
    failing = AGE.replace('data_type="float"', 'data_type="float", source="other"').replace("age_share", "other")
    project.write({"features/cardiac.py": AGE.replace('"float"', '"float", source="visits"')})
    project.write({"features/more.py": failing.replace('pl.col("age") / 100', 'pl.col("v") / 100')})
    project.run("ingest", code=3)
    assert not (project.root / "features/.versions/other.columns.toml").exists()


@pytest.mark.parametrize("flags", [(), ("-q",), ("--json",)])
def test_failures_and_rows_that_are_set_aside_are_said_on_stderr(project: Folder, flags: tuple[str, ...]) -> None:
    project.write({"visits.csv": VISITS + "003,2024-01-01T00:00:00Z,430,\n"})
    project.write({"features/more.py": AGE.replace("age_share", "torn").replace('"age"', '"nope"')})
    ran = project.run("ingest", *flags, code=3)
    for said in ("torn", "asks for the column 'nope'", "visits.csv row 4", "'430' is above the maximum 120"):
        assert said in ran.err
    if "--json" not in flags:
        assert "nope" not in ran.out
    project.write({"features/more.py": AGE.replace('"float"', '"flaot"')})
    for command in ("list", "plan"):
        assert "flaot" in project.run(command, *flags).err


def test_a_number_with_a_minus_is_an_id_and_no_option(project: Folder) -> None:
    project.edit("featurestore.toml", '"string"', '"int"')
    project.write({"visits.csv": "patient_id,visit_at,age,chol\n-7,2024-01-01T00:00:00Z,50,\n"})
    project.run("ingest")
    project.run("sync")
    assert [item["value"] for item in project.json("history", "age_share", "-7")["values"]] == [0.5]
    assert project.json("get", "patient", "-f", "age_share", "-7")["entities"][0]["entity_id"] == "-7"
    assert project.json("get", "patient", "-7", "-f", "age_share")["entities"][0]["entity_id"] == "-7"
    assert "No such option: -x" in project.run("history", "age_share", "-x", code=2).err


def test_one_time_that_nothing_can_show_does_not_fail_a_history(project: Folder) -> None:
    """An earlier release stored it; none comes in any more."""
    code = AGE.replace('"float"', '"datetime"').replace('pl.col("age") / 100', 'pl.col("visit_at")')
    project.write({"features/cardiac.py": code})
    project.run("ingest")
    with duckdb.connect(str(project.root / ".featurestore/history.duckdb")) as store:
        (table,) = store.execute("SELECT table_name FROM versions").fetchone() or ("",)
        store.execute(f"UPDATE \"{table}\" SET value = '12000-01-01 00:00:00' WHERE computed_at = '2024-01-01'")
    values = [item["value"] for item in project.json("history", "age_share", "001")["values"]]
    assert values == ["316516204800000000 us after 1970", "2024-02-01T00:00:00Z"]
    assert "us after 1970" in project.run("history", "age_share", "001").out
    assert project.json("stats", "age_share")["held"]["rows"] == 3


def test_a_folder_that_duckdb_can_not_use_is_said_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "what?"
    folder.mkdir()
    with pytest.raises(ConfigError, match="whose path holds a \\?"):
        duck.connect(folder / "history.duckdb")
    assert list(folder.iterdir()) == []
