"""Label files may be written in every way that sources may be, by the same settings; errors name the one they need."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import featurestore
from featurestore.errors import ConfigError
from tests.conftest import Folder

JOIN = ("-f", "age_share", "--timestamp-column", "at")
GOOD = "patient_id,at,n\n001,2024-03-01T00:00:00Z,a\n"
WRITTEN: dict[str, tuple[bytes, list[str]]] = {
    "encoding": (GOOD.replace(",a\n", ",é\n").encode("cp1252"), ["encoding=cp1252"]),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), ["encoding=utf-16-le"]),
    "quote": (GOOD.replace("001", "'001'").encode(), ["quote='"]),
    "skip_rows": (b"Labels\n\n" + GOOD.encode(), ["skip_rows=2"]),
    "comment": (b"# ours\n" + GOOD.encode(), ["comment=#"]),
    "delimiter": (GOOD.replace(",", ";").encode(), ["delimiter=;"]),
    "null": (GOOD.encode() + b"NA,2024-03-01T00:00:00Z,b\n", ['null=["NA", "-"]']),
    "unit": (GOOD.replace("2024-03-01T00:00:00Z", "1709251200000").encode(), ["columns.at.unit=ms"]),
    "format": (GOOD.replace("2024-03-01T00:00:00Z", "1/3/2024").encode(), ["columns.at.format=%d/%m/%Y"]),
    "rename": (GOOD.replace(",at,", ",zeit,").encode(), ["columns.at.rename=zeit"]),
    "tabs": (GOOD.replace(",", "\t").encode(), ["delimiter=\\t"]),
    "ambiguous": (
        GOOD.replace("2024-03-01T00:00:00Z", "2024-10-27 02:30").encode(),
        ["columns.at.timezone=Europe/Paris", "columns.at.ambiguous=latest"],
    ),
    "nonexistent": (
        GOOD.replace("2024-03-01T00:00:00Z", "2024-03-31 02:30").encode(),
        ["columns.at.timezone=Europe/Paris", "columns.at.nonexistent=forward"],
    ),
}


def join(project: Folder, data: bytes, *settings: str, code: int = 0) -> str:
    (project.root / "labels.csv").write_bytes(data)
    given = [part for setting in settings for part in ("--dialect", setting)]
    ran = project.run("join", str(project.root / "labels.csv"), *JOIN, *given, code=code)
    return ran.out if code == 0 else " ".join(ran.err.split())


@pytest.mark.parametrize("name", WRITTEN)
def test_labels_are_read_as_they_are_written(name: str, ingested: Folder) -> None:
    data, settings = WRITTEN[name]
    rows = join(ingested, data, *settings).splitlines()
    assert rows[1].startswith("001")
    assert rows[1].endswith(",0.51")


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_numbers_and_booleans_become_those_in_formats_with_types(form: str, ingested: Folder, tmp_path: Path) -> None:
    text = "patient_id;at;n;m;ok;word\n001;2024-03-01T00:00:00Z;1.007,5;1.000;ja;1.5\n"
    (tmp_path / "labels.csv").write_text(text)
    out = tmp_path / f"out.{form}"
    settings = ("decimal=,", "thousands=.", 'true=["ja"]', 'false=["nein"]', "delimiter=;")
    given = [part for setting in settings for part in ("--dialect", setting)]
    ingested.run("join", str(tmp_path / "labels.csv"), *JOIN, *given, "--output", str(out), "--dataset", form)
    read = pl.read_parquet if form == "parquet" else pl.read_ipc
    frame = read(out)
    assert frame.select("n", "m", "ok", "word").rows() == [(1007.5, 1000, True, "1.5")]
    again = tmp_path / f"again.{form}"
    ingested.run("dataset", form, "--rebuild", "--output", str(again))
    assert read(again).equals(frame)


def test_labels_without_a_header(ingested: Folder) -> None:
    (ingested.root / "labels.csv").write_text("001,2024-03-01T00:00:00Z\n")
    ran = ingested.run(
        "join", str(ingested.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "column_2",
        "--entity", "patient=column_1", "--dialect", "header=false",
    )  # fmt: skip
    assert ran.out.splitlines()[1] == "001,2024-03-01T00:00:00Z,0.51"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (WRITTEN["encoding"][0], "--dialect encoding=cp1252"),
        (WRITTEN["skip_rows"][0], "--dialect skip_rows=1"),
        (WRITTEN["delimiter"][0], '--delimiter ";"'),
        (WRITTEN["unit"][0], "--dialect columns.at.unit=ms"),
        (GOOD.replace("2024-03-01T00:00:00Z", "31/12/2024").encode(), "--format-of 'at=%d/%m/%Y'"),
        (WRITTEN["format"][0], "is it day or month first?"),
    ],
)
def test_the_error_names_the_setting_that_it_calls_for(data: bytes, named: str, ingested: Folder) -> None:
    assert named in join(ingested, data, code=4)


def test_a_time_that_clocks_repeat_names_the_settings_that_take_it(ingested: Folder) -> None:
    (ingested.root / "labels.csv").write_bytes(WRITTEN["ambiguous"][0])
    ran = ingested.run("join", str(ingested.root / "labels.csv"), *JOIN, "--timezone", "Europe/Paris", code=4)
    assert "--dialect columns.at.ambiguous=earliest" in ran.err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nul=NA", "did you mean 'null'?"),
        ("columns.at.unit=h", "columns.at.unit must be one of s, ms, us, ns"),
        ("skip_rows=two", "skip_rows must be a whole number"),
        ("encoding", "is not a setting and its value"),
        ("columns.at=ms", "is not a setting and its value"),
        ("encoding=hex", "encoding is not an encoding of text"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_name(setting: str, said: str, ingested: Folder) -> None:
    assert said in join(ingested, GOOD.encode(), setting, code=2)


def test_python_takes_the_same_settings(ingested: Folder) -> None:
    path = Path(ingested.root / "labels.csv")
    path.write_bytes(WRITTEN["encoding"][0].replace(b"2024-03-01T00:00:00Z", b"1709251200"))
    store = featurestore.FeatureStore(ingested.root)
    written = {"encoding": "cp1252", "columns": {"at": {"unit": "s"}}}
    found = store.historical_features(path, ["age_share"], timestamp_column="at", dialect=written)
    assert found["age_share"].to_list() == [0.51]
    with pytest.raises(ConfigError, match="nul is not a known key"):
        store.historical_features(path, ["age_share"], timestamp_column="at", dialect={"nul": ["-"]})


def test_a_time_beside_a_zone_of_its_column_names_the_format_that_takes_it(ingested: Folder) -> None:
    said = join(
        ingested, GOOD.replace("2024-03-01T00:00:00Z", "31/12/2024").encode(), "columns.at.timezone=UTC", code=4
    )
    assert "--format-of 'at=%d/%m/%Y'" in said


def test_a_name_that_the_file_does_not_have_is_said(ingested: Folder) -> None:
    said = join(ingested, GOOD.encode(), "columns.when.rename=att", code=4)
    assert "labels.csv: has no column 'att', which is to be called 'when'" in said
    assert "did you mean 'at'?" in said


def test_a_part_of_an_object_is_a_column_of_labels(ingested: Folder) -> None:
    line = '{"patient_id": "001", "visit": {"at": "2024-03-01T00:00:00Z"}}\n'
    (ingested.root / "labels.jsonl").write_text(line)
    given = ("--dialect", "columns.at.rename=visit.at", "--format", "csv")
    assert ingested.run("join", str(ingested.root / "labels.jsonl"), *JOIN, *given).out.endswith(",0.51\n")


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "labels.csv.gz": gzip.compress, "labels.csv.bz2": bz2.compress, "labels.csv.xz": lzma.compress,
    "labels.csv.zst": lambda data: pa.compress(data, codec="zstd", asbytes=True), "labels.CSV.GZ": gzip.compress,
    "labels.txt": bytes,
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_packed_labels_are_what_their_name_says_inside(name: str, ingested: Folder) -> None:
    (ingested.root / name).write_bytes(PACKED[name](GOOD.encode()))
    assert (
        ingested.run("join", str(ingested.root / name), *JOIN).out.splitlines()[1] == "001,2024-03-01T00:00:00Z,a,0.51"
    )
