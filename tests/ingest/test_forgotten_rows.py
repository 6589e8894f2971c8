"""Rows of files that are gone: kept while a lookback reaches them, then dropped, and what depended on them stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.parsed.index import read_index
from tests.conftest import PROJECT, Folder, Once

HEAD = "patient_id,visit_at,age,chol\n"
SUMS = """
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="float", source="visits", lookback="10d")
def chol_10d(df: pl.DataFrame) -> pl.DataFrame:
    sums = df.rolling("visit_at", period="10d", closed="both", group_by="patient_id").agg(pl.col("chol").sum())
    return sums.select("patient_id", value="chol", computed_at="visit_at")
"""


def make_rotated(project: Folder) -> None:
    project.write({**PROJECT, "features/cardiac.py": SUMS, "visits.csv": HEAD + day("01-01", 1) + day("01-05", 2)})
    project.run("ingest")
    project.write({"visits-02.csv": HEAD + day("02-01", 4)})
    project.run("ingest")
    (project.root / "visits.csv").unlink()
    project.write({"visits-03.csv": HEAD + day("03-01", 8)})
    project.run("ingest")


@pytest.fixture
def rotated(folder: Folder, once: Once) -> Folder:
    """A source of one file a month, of which the first is gone and out of every lookback's reach."""
    return once(make_rotated, folder)


def day(date: str, amount: int) -> str:
    return f"001,2024-{date}T00:00:00Z,50,{amount}\n"


def kept_rows(project: Folder) -> int:
    index = read_index(project.root / ".featurestore" / "rows" / "visits" / "index.json")
    files = project.root / ".featurestore" / "rows" / "visits"
    assert {path.name for path in Path(files).glob("*.parquet")} == set(index.files), "no file is left over"
    return sum(kept.accepted for kept in index.contents.values())


def values_of(project: Folder) -> list[tuple[str, float]]:
    found = project.json("history", "chol_10d", "001")["values"]
    return [(each["computed_at"][5:10], each["value"]) for each in found]


def kept_line(project: Folder) -> str:
    checks = project.json("doctor")["checks"]
    return " / ".join(each["what"] for each in checks if "gone" in each["what"])


def test_rows_go_once_no_lookback_reaches_them(rotated: Folder) -> None:
    assert kept_rows(rotated) == 2
    assert "rows of files that are gone were dropped, the last of 2024-01-05T00:00:00Z" in kept_line(rotated)
    assert values_of(rotated) == [("01-01", 1), ("01-05", 3), ("02-01", 4), ("03-01", 8)]


def test_a_row_that_comes_late_into_frozen_time_counts_from_its_end_on(rotated: Folder) -> None:
    rotated.write({"visits-late.csv": HEAD + day("01-14", 16) + day("01-20", 32)})
    found = rotated.json("ingest", code=3)
    (line,) = [line for line in found["warnings"] if "came late" in line]
    assert line.startswith("chol_10d: 1 row that came late lies at or before 2024-01-15T00:00:00Z")
    assert values_of(rotated) == [("01-01", 1), ("01-05", 3), ("01-20", 48), ("02-01", 4), ("03-01", 8)]
    again = rotated.json("ingest", "--full")
    (feature,) = again["features"]
    assert (feature["rows_written"], feature["rows_corrected"], feature["rows_withdrawn"]) == (0, 0, 0)


def test_a_new_version_has_no_values_in_frozen_time(rotated: Folder) -> None:
    rotated.edit("features/cardiac.py", 'pl.col("chol").sum()', 'pl.col("chol").sum() + 1')
    (feature,) = rotated.json("ingest")["features"]
    assert feature["rows_written"] == 2
    assert values_of(rotated) == [("02-01", 5), ("03-01", 9)]


def test_a_file_that_comes_back_is_computed_again(rotated: Folder) -> None:
    rotated.write({"visits-late.csv": HEAD + day("01-10", 16)})
    rotated.run("ingest", code=3)
    rotated.write({"visits.csv": HEAD + day("01-01", 1) + day("01-05", 2)})
    (feature,) = rotated.json("ingest")["features"]
    assert feature["reason"] == "whole source: rows that were not kept any more are there again"
    assert dict(values_of(rotated))["01-10"] == 19


def test_rows_that_were_there_again_in_a_run_that_failed_are_not_missing(rotated: Folder) -> None:
    """What was read again is kept, whatever became of the run: a feature that looks back without end may count it."""
    rotated.edit("features/cardiac.py", ', lookback="10d"', ', scope="entity"')
    refusal = rotated.run("ingest", code=4).err
    assert "rows of files that are gone from the source 'visits' are not kept any more" in refusal
    assert 'declare how far it looks back (lookback="30d")' in refusal
    contradiction = HEAD + day("03-01", 9)
    rotated.write({"visits.csv": HEAD + day("01-01", 1) + day("01-05", 2), "visits-03b.csv": contradiction})
    assert "two rows are one event and differ" in rotated.run("ingest", code=4).err
    for name in ("visits.csv", "visits-03b.csv"):
        (rotated.root / name).unlink()
    (feature,) = rotated.json("ingest")["features"]
    assert feature["status"] == "ok"
    assert kept_rows(rotated) == 4
    assert values_of(rotated) == [("01-01", 1), ("01-05", 3), ("02-01", 4), ("03-01", 8)]


def test_a_row_that_comes_back_in_place_of_another_is_said_to_be_late(rotated: Folder) -> None:
    """It corrects what had counted since. One that comes back as it counted last corrects nothing."""
    rotated.write({"visits-20.csv": HEAD + day("01-20", 64), "visits-late.csv": HEAD + day("01-14", 16)})
    assert (late_rows(rotated), dict(values_of(rotated))["01-20"]) == (1, 80)
    (rotated.root / "visits-late.csv").unlink()
    assert late_rows(rotated, code=0) == 0
    rotated.write({"visits-late.csv": HEAD + day("01-14", 16)})
    assert (late_rows(rotated, code=0), dict(values_of(rotated))["01-20"]) == (0, 80)
    (rotated.root / "visits-late.csv").unlink()
    rotated.write({"visits-other.csv": HEAD + day("01-14", 32)})
    assert (late_rows(rotated), dict(values_of(rotated))["01-20"]) == (1, 96)
    (rotated.root / "visits-other.csv").unlink()
    rotated.write({"visits-late.csv": HEAD + day("01-14", 16)})
    assert (late_rows(rotated), dict(values_of(rotated))["01-20"]) == (1, 80)
    assert "01-14" not in dict(values_of(rotated)), "it lies in frozen time"


def late_rows(project: Folder, code: int = 3) -> int:
    """How many rows a run says to lie in frozen time. It ends with 3 where there are any."""
    found = project.json("ingest", code=code)["warnings"]
    return sum(int(line.split()[1]) for line in found if "came late" in line)


def test_what_is_kept_longer_is_said_with_its_reason(rotated: Folder) -> None:
    rotated.edit("features/cardiac.py", ', lookback="10d"', ', scope="entity"')
    rotated.run("ingest", "--allow-shrunk")
    (rotated.root / "visits-02.csv").unlink()
    rotated.write({"visits-04.csv": HEAD + day("04-01", 16)})
    rotated.run("ingest")
    assert kept_rows(rotated) == 3
    assert "1 row of 1 file that is gone is kept: chol_10d may look at all of them" in kept_line(rotated)


def test_what_is_kept_is_written_once_where_a_run_only_looks_at_it_again(project: Folder) -> None:
    project.run("ingest")
    index = project.root / ".featurestore" / "rows" / "visits" / "index.json"
    before = index.stat()
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    project.run("ingest")  # a new version of the same rows, after which they are tidied
    assert (index.stat().st_ino, index.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
