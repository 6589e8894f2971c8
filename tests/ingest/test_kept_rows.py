"""Rows are parsed once and kept: never trusted over the files that they came from, and not for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore.sources.contract import Start
from tests.conftest import VISITS, Folder

HEAD = "patient_id,visit_at,age,chol\n"
MORE = "003,2024-03-01T00:00:00Z,40,\n"


def rows_of(project: Folder) -> Path:
    return project.root / ".featurestore" / "rows" / "visits"


def count_parsed(project: Folder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are parsed from now on."""
    from featurestore.tables import delimited

    parsed: list[str] = []
    read = delimited.read_csv

    def counted(stream: object, name: str, *given: object, **options: object) -> object:
        parsed.append(name)
        return read(stream, name, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(delimited, "read_csv", counted)
    return parsed


def test_a_new_file_is_parsed_and_the_others_are_not(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("ingest")
    parsed = count_parsed(project, monkeypatch)
    project.write({"visits2.csv": HEAD + MORE})
    feature = project.features()["age_share"]
    assert parsed == ["visits2.csv"]
    assert (feature["rows_written"], feature["rows_computed"], feature["reason"]) == (1, 1, "new rows")
    assert (feature["scope"], feature["rows_read"]) == ("row", 4)


def test_of_a_file_that_has_grown_the_end_is_parsed(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("ingest")
    from featurestore.sources import files

    tails: list[int] = []
    read = files.FileSource._read_tail

    def noted(self: files.FileSource, stream: object, start: Start, *given: object) -> object:
        tails.append(start.rows)
        return read(self, stream, start, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(files.FileSource, "_read_tail", noted)
    text = (project.root / "visits.csv").read_text()
    project.write({"visits.csv": text + MORE})
    feature = project.features()["age_share"]
    assert tails == [3]
    assert (feature["rows_written"], feature["rows_computed"], feature["reason"]) == (1, 1, "changed file")
    project.edit("visits.csv", "003,2024-03-01T00:00:00Z,40,", "003,2024-03-01T00:00:00Z,400,")
    ran = project.run("ingest", code=3)
    assert "visits.csv row 4" in ran.err


def test_rows_that_are_damaged_or_lost_are_parsed_again(project: Folder) -> None:
    project.run("ingest")
    (kept,) = rows_of(project).glob("*.parquet")
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 0xFF
    kept.write_bytes(bytes(data))
    project.edit("visits.csv", "001,2024-01-01T00:00:00Z,50", "001,2024-01-01T00:00:00Z,55")
    assert project.features()["age_share"]["rows_corrected"] == 1
    for path in rows_of(project).iterdir():
        path.unlink()
    project.edit("visits.csv", "001,2024-01-01T00:00:00Z,55", "001,2024-01-01T00:00:00Z,56")
    feature = project.features()["age_share"]
    assert (feature["rows_corrected"], feature["rows_written"]) == (1, 0)
    assert feature["reason"] == "whole source: rows that it had taken are not kept any more"


def test_rows_of_contents_that_nobody_names_go(project: Folder) -> None:
    for age in (51, 52, 53):
        project.write({"visits.csv": VISITS.replace(",50,", f",{age},")})
        project.run("ingest")
    assert len(list(rows_of(project).glob("*.parquet"))) == 1


def test_small_files_do_not_stay_small_for_ever(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from featurestore.parsed import rows

    monkeypatch.setattr(rows, "MOST_SMALL", 3)
    for day in range(1, 8):
        project.write({f"visits{day}.csv": HEAD + f"001,2024-03-0{day}T00:00:00Z,{day},\n"})
        project.run("ingest")
    assert len(list(rows_of(project).glob("*.parquet"))) <= 4
    feature = project.features("--full")["age_share"]
    assert (feature["rows_written"], feature["rows_corrected"], feature["rows_unchanged"]) == (0, 0, 10)


def test_files_of_rows_are_smaller_where_a_run_may_use_little(project: Folder) -> None:
    """Of long rows a file has few, and does not count as a small one for that."""
    import polars as pl

    from featurestore.config import load_project
    from featurestore.parsed import rows
    from featurestore.tables.batch import Batch

    source = load_project(project.root).sources["visits"]
    for memory, files in ((rows.SHARE_OF_MEMORY * 1_000_000, 8), (None, 1)):
        kept = rows.KeptRows(project.root / f"rows-{memory}", source, memory)
        writer = kept.writer(1 << 30)
        times = pl.Series("visit_at", range(100)).cast(pl.Datetime("us", "UTC"))
        for first in range(0, 800, 100):
            frame = pl.DataFrame([times, pl.Series("text", ["x" * 6_000] * 100)])
            writer.add(Batch("a.csv", frame, first + 1))
        writer.flush()
        assert len(kept.index.files) == files
        assert all(kept._is_small(file) == (memory is None) for file in kept.index.files.values())


def test_rows_are_not_kept_where_that_is_asked_for(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nkeep_parsed = false')
    project.run("ingest")
    assert not rows_of(project).exists()
    assert not list((project.root / ".featurestore").glob("rows-*"))
    project.write({"visits2.csv": HEAD + MORE})
    feature = project.features()["age_share"]
    assert (feature["rows_written"], feature["rows_computed"]) == (1, 1)
    project.edit("visits.csv", "001,2024-01-01T00:00:00Z,50", "001,2024-01-01T00:00:00Z,55")
    assert project.features()["age_share"]["rows_corrected"] == 1
    assert not rows_of(project).exists()


def test_a_row_that_moves_takes_its_value_with_it(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nid = ["visit"]')
    rows = "1,001,2024-01-01T00:00:00Z,50,\n2,002,2024-01-01T00:00:00Z,60,\n"
    project.write({"visits.csv": "visit,patient_id,visit_at,age,chol\n" + rows})
    project.run("ingest")
    project.edit("visits.csv", "1,001,2024-01-01", "1,003,2024-01-02")
    feature = project.features()["age_share"]
    assert (feature["rows_written"], feature["rows_withdrawn"], feature["rows_corrected"]) == (1, 1, 0)
    again = project.features("--full")["age_share"]
    assert (again["rows_written"], again["rows_withdrawn"], again["rows_corrected"]) == (0, 0, 0)


def test_a_row_that_comes_late_with_an_older_stamp_changes_nothing(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nupdated_at = "changed"')
    head = "patient_id,visit_at,age,chol,changed\n"
    project.write({"visits.csv": head + "001,2024-01-01T00:00:00Z,50,,2024-02-02T00:00:00Z\n"})
    project.run("ingest")
    project.write({"visits2.csv": head + "001,2024-01-01T00:00:00Z,49,,2024-02-01T00:00:00Z\n"})
    feature = project.features()["age_share"]
    assert (feature["rows_written"], feature["rows_corrected"], feature["rows_older"]) == (0, 0, 1)


@pytest.mark.parametrize("files", [0, 16])
def test_rows_that_were_written_just_now_are_those_of_their_files(
    project: Folder, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """They are not read again, where they are few; however a column is called."""
    from featurestore.parsed import rows

    monkeypatch.setattr(rows, "FRESH_FILES", files)
    read: list[Path] = []
    crc = rows._crc

    def noted(path: Path) -> tuple[int, int]:
        read.append(path)
        return crc(path)

    monkeypatch.setattr(rows, "_crc", noted)
    parquet = pl.read_parquet
    opened: list[Path] = []

    def whole(path: Path, *, n_rows: int | None = None, **given: Any) -> pl.DataFrame:
        if n_rows is None:
            opened.append(path)
        return parquet(path, n_rows=n_rows, **given)

    monkeypatch.setattr(pl, "read_parquet", whole)
    head, *lines = VISITS.strip().splitlines()
    project.write({"visits.csv": "\n".join([f"{head},^a.*$", *(f"{line},1" for line in lines), ""])})
    first = project.features()["age_share"]
    assert first["rows_written"] == 3
    assert len(read) == 1  # as they were written
    assert bool(opened) == (files == 0)
    full = project.features("--full")["age_share"]
    assert (full["rows_written"], full["rows_corrected"], full["rows_unchanged"]) == (0, 0, 3)


@pytest.mark.parametrize("name", ["{}", "visit {}"])
def test_files_of_rows_whose_ids_lie_elsewhere_are_not_read(project: Folder, name: str) -> None:
    """One that is damaged in secret stays so until a row comes that may be in it."""
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nid = ["visit"]')
    head = "visit,patient_id,visit_at,age,chol\n"
    visits = [f"{name.format(number)},001,2024-01-0{number}T00:00:00Z,5{number},\n" for number in range(1, 9)]
    project.write({"visits.csv": head + visits[2] + visits[4]})
    project.run("ingest")
    (kept,) = rows_of(project).glob("*.parquet")
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 0xFF
    kept.write_bytes(bytes(data))
    for number in (5, 1):  # the ids 6 and 2
        project.write({f"visits{number}.csv": head + visits[number]})
        assert project.features()["age_share"]["rows_written"] == 1
    assert kept.read_bytes() == bytes(data)
    project.write({"visits3.csv": head + visits[3]})
    assert project.features()["age_share"]["rows_written"] == 1
    assert not kept.exists()
