"""What a join does with labels of other kinds, and what it says where no label has a value."""

from __future__ import annotations

import gzip
import unicodedata
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Folder

LABELS = (
    "patient_id,at,y,score,day,seen,code,big\n001,2024-03-01T00:00:00Z,1,0.5,2024-01-02,2024-01-02T03:04:05Z,007,\n"
)
LABELS += "002,2024-03-01T00:00:00Z,0,2,2024-01-03,2024-01-02T03:04:06Z,008,99999999999999999999\n"


@pytest.fixture
def shop(ingested: Folder) -> Folder:
    return ingested


def join(shop: Folder, labels: str, *arguments: str, code: int = 0) -> str:
    ran = shop.run(
        "join", str(shop.root / labels), "-f", "age_share", "--timestamp-column", "at", *arguments, code=code
    )
    return ran.out + ran.err


@pytest.mark.parametrize("rows", ["1", "100"])
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_in_a_format_with_types_the_columns_of_a_csv_have_theirs(shop: Folder, form: str, rows: str) -> None:
    shop.write({"labels.csv": LABELS})
    out = shop.root / f"out.{form}"
    join(shop, "labels.csv", "--output", str(out), "--batch-rows", rows)
    frame = pl.read_parquet(out) if form == "parquet" else pl.read_ipc(out)
    assert frame.schema == {
        "patient_id": pl.String, "at": pl.Datetime("us", "UTC"), "y": pl.Int64, "score": pl.Float64, "day": pl.Date,
        "seen": pl.Datetime("us", "UTC"), "code": pl.String, "big": pl.String, "age_share": pl.Float64,
    }  # fmt: skip
    assert frame.row(0) == (
        "001", datetime(2024, 3, 1, tzinfo=UTC), 1, 0.5, date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "007", None, 0.51,
    )  # fmt: skip


def test_in_text_the_columns_stay_as_they_were_written(shop: Folder) -> None:
    shop.write({"labels.csv": LABELS})
    assert "002,2024-03-01T00:00:00Z,0,2,2024-01-03,2024-01-02T03:04:06Z,008,99999999999999999999,0.6\n" in join(
        shop, "labels.csv"
    )


def test_an_integer_that_no_float_is_keeps_its_column_text(shop: Folder) -> None:
    shop.write({"labels.csv": f"patient_id,at,x\n001,2024-03-01,{2**53 + 1}\n001,2024-03-01,0.5\n"})
    for rows in ("1", "100"):
        join(shop, "labels.csv", "--output", str(shop.root / "out.parquet"), "--batch-rows", rows)
        assert pl.read_parquet(shop.root / "out.parquet")["x"].to_list() == [str(2**53 + 1), "0.5"]


def test_a_data_set_of_typed_columns_is_made_again_byte_for_byte(shop: Folder) -> None:
    shop.write({"labels.csv": LABELS.replace(",", ";").replace("T00:00:00Z", "T00:00:00")})
    out, again = shop.root / "out.parquet", shop.root / "again.parquet"
    join(shop, "labels.csv", "--delimiter", ";", "--timezone", "Asia/Kolkata", "--output", str(out), "--dataset", "d")
    shop.run("dataset", "d", "--verify")
    shop.run("dataset", "d", "--rebuild", "--output", str(again))
    assert again.read_bytes() == out.read_bytes()
    assert pl.read_parquet(out)["at"][0] == datetime(2024, 2, 29, 18, 30, tzinfo=UTC)


def test_a_csv_with_another_delimiter_is_refused_with_the_option_that_takes_it(shop: Folder) -> None:
    shop.write({"labels.csv": LABELS.replace(",", ";")})
    assert 'hint: say what is between its fields with --delimiter ";"' in join(shop, "labels.csv", code=4)
    assert "--delimiter must be one ASCII character, not ';;'" in join(shop, "labels.csv", "--delimiter", ";;", code=2)
    assert "001;2024-03-01T00:00:00Z" not in join(shop, "labels.csv", "--delimiter", ";")


def test_a_gzipped_csv_is_a_csv(shop: Folder) -> None:
    (shop.root / "labels.csv.gz").write_bytes(gzip.compress(LABELS.encode()))
    assert ",0.51" in join(shop, "labels.csv.gz")
    assert "says no format" in join(shop, "labels.csv.gz", "--output", str(shop.root / "out.csv.gz"), code=2)


def test_naive_labels_beside_a_source_in_another_zone_are_warned_of_by_name(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\ntimezone = "Asia/Kolkata"')
    project.write(
        {"visits.csv": "patient_id,visit_at,age,chol\n001,2024-01-01 09:00:00,1,\n001,2024-01-01 14:00:00,2,\n"}
    )
    project.run("ingest")
    project.write({"labels.csv": "patient_id,at\n001,2024-01-01 10:00:00\n"})
    said = join(project, "labels.csv")
    assert "2024-01-01 10:00:00,0.02" in said
    assert said.count("warning:") == 1
    assert "age_share comes from visits, whose local times are those of Asia/Kolkata" in said
    assert "say --timezone Asia/Kolkata" in said
    told = join(project, "labels.csv", "--timezone", "Asia/Kolkata")
    assert "2024-01-01 10:00:00,0.01" in told
    assert "warning" not in told
    assert "warning" not in join(project, "labels.csv", "--timezone", "UTC")
    assert "'Mars' is not a time zone" in join(project, "labels.csv", "--timezone", "Mars", code=2)


@pytest.mark.parametrize("time", ["2024-03-31 02:30:00", "2024-10-27 02:30:00"])
def test_label_times_that_clocks_skip_or_repeat_are_refused(shop: Folder, time: str) -> None:
    shop.write({"labels.csv": f"patient_id,at\n001,{time}\n"})
    said = join(shop, "labels.csv", "--timezone", "Europe/Paris", code=4)
    assert f"'{time}' in column 'at' is not one instant in Europe/Paris" in said
    assert "labels.csv, row 1" in said


def test_label_times_are_rounded_down_and_rows_up(shop: Folder) -> None:
    shop.edit("featurestore.toml", 'type = "csv"\npath = "visits*.csv"', 'type = "parquet"\npath = "v.parquet"')
    moments = pl.Series([1_710_000_000_000_000_000 - 10**9, 1_710_000_000_000_000_900]).cast(pl.Datetime("ns", "UTC"))
    columns = {"age": [1, 2], "chol": pl.Series([None, None], dtype=pl.Float64)}
    pl.DataFrame({"patient_id": ["n"] * 2, "visit_at": moments, **columns}).write_parquet(shop.root / "v.parquet")
    shop.run("ingest", "--allow-shrunk")
    label = pl.Series([1_710_000_000_000_000_999]).cast(pl.Datetime("ns", "UTC"))
    pl.DataFrame({"patient_id": ["n"], "at": label}).write_parquet(shop.root / "labels.parquet")
    assert join(shop, "labels.parquet").strip().endswith(",0.01")


def fixed_offset(path: Path) -> None:
    times = pa.array([datetime(2024, 3, 1)], pa.timestamp("us", "+05:30"))
    table = pa.table({"patient_id": ["001"], "at": times})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
        with path.open("wb") as stream, new(stream, table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("name", ["labels.parquet", "labels.arrow", "labels.ipc"])
def test_times_of_a_fixed_offset_are_times(shop: Folder, name: str) -> None:
    fixed_offset(shop.root / name)
    assert "001,2024-03-01T00:00:00Z,0.51" in join(shop, name)


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["x", "y", "z"])])
@pytest.mark.parametrize("form", ["arrow", "parquet", "csv", "ndjson"])
def test_categories_in_several_batches_are_written(shop: Folder, kind: pl.DataType, form: str) -> None:
    times = [datetime(2024, 3, day, tzinfo=UTC) for day in (1, 2, 3)]
    labels = pl.DataFrame({"patient_id": ["001"] * 3, "at": times, "kind": pl.Series(["x", "y", "z"], dtype=kind)})
    labels.write_parquet(shop.root / "labels.parquet")
    out = shop.root / f"out.{form}"
    join(shop, "labels.parquet", "--batch-rows", "2", "--output", str(out))
    read = {"arrow": pl.read_ipc, "parquet": pl.read_parquet, "csv": pl.read_csv, "ndjson": pl.read_ndjson}[form]
    assert read(out)["kind"].cast(pl.String).to_list() == ["x", "y", "z"]  # type: ignore[operator]


def test_a_feature_without_rows_gives_nulls_and_a_warning(project: Folder) -> None:
    project.write({"visits.csv": "patient_id,visit_at,age,chol\n"})
    project.run("ingest")
    project.write({"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"})
    said = join(project, "labels.csv")
    assert "001,2024-03-01T00:00:00Z,\n" in said
    assert "warning: age_share has no values yet: no run has written one" in said


def test_where_the_source_has_no_event_time_the_warning_says_so(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"\n', "")
    project.write({"visits.csv": "patient_id,visit_at,age,chol\n001,2024-01-01T00:00:00Z,50,\n"})
    project.run("ingest")
    project.write({"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"})
    assert "its source visits has no event_time" in join(project, "labels.csv")


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("7", "7.0"),
        ("7.0", "7"),
        ("007", "7"),
        ("Ann", "ANN"),
        ("Ann", " Ann"),
        ("josé", unicodedata.normalize("NFD", "josé")),
    ],
)
def test_ids_that_look_alike_are_named_where_no_label_has_a_value(project: Folder, held: str, asked: str) -> None:
    project.write({"visits.csv": f"patient_id,visit_at,age,chol\n{held},2024-01-01T00:00:00Z,50,\n"})
    project.run("ingest")
    project.write({"labels.csv": f"patient_id,at\n{asked},2024-03-01T00:00:00Z\n"})
    found = project.json("join", str(project.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at")
    (warning,) = found["warnings"]
    show = ascii if held == "josé" else repr
    assert f"the labels have the id {show(asked)} where the history has {show(held)}" in warning


def test_a_timestamp_column_is_found_in_either_unicode_form(shop: Folder) -> None:
    shop.write({"labels.csv": unicodedata.normalize("NFD", "patient_id,à\n001,2024-03-01T00:00:00Z\n")})
    ran = shop.run("join", str(shop.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "à")
    assert "001,2024-03-01T00:00:00Z,0.51" in ran.out
