"""Labels in batches: the same answers and files' contents as at once, with the rows' own numbers in messages."""

import csv
import io
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import SourceError
from featurestore.frames.table_batches import read_batches, write_batches
from featurestore.frames.tables import read_table, write_table
from tests.conftest import Folder
from tests.join.test_command import LABELS

TABLE = pl.DataFrame(
    {"a": [1, None, 3, 4, 5], "s": ["x", "", None, 'q"', "é\n"], "l": [[1.0], [], None, [None], [2.5]]}
)
SUFFIXES = ["parquet", "arrow", "jsonl", "csv"]


@pytest.fixture
def ingested(project: Folder) -> Folder:
    (project.root / "labels.csv").write_text(LABELS)
    project.run("ingest")
    return project


@pytest.mark.parametrize("rows", [1, 2, 5, 9])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_comes_and_goes_in_batches_as_it_does_at_once(tmp_path: Path, suffix: str, rows: int) -> None:
    once, batched = tmp_path / f"once.{suffix}", tmp_path / f"batched.{suffix}"
    write_table(TABLE, once)
    frames = list(read_batches(once, name="t", rows=rows))
    assert [len(frame) for frame in frames] == [min(rows, 5 - begin) for begin in range(0, 5, rows)]
    assert pl.concat(frames).equals(read_table(once))
    with write_batches(batched) as write:
        for frame in TABLE.iter_slices(rows):
            write(frame)
    assert read_table(batched).equals(read_table(once))


@pytest.mark.parametrize("suffix", SUFFIXES[:2] + SUFFIXES[3:])
def test_an_empty_table_is_one_empty_frame(tmp_path: Path, suffix: str) -> None:
    write_table(TABLE.clear(), tmp_path / f"t.{suffix}")
    (frame,) = read_batches(tmp_path / f"t.{suffix}", name="t", rows=3)
    assert frame.columns == TABLE.columns
    assert not len(frame)


def test_a_file_is_whole_or_untouched(tmp_path: Path) -> None:
    target = tmp_path / "t.parquet"
    target.write_bytes(b"before")
    with pytest.raises(ValueError, match="halfway"), write_batches(target) as write:
        write(TABLE)
        write(TABLE)
        raise ValueError("halfway")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_row_of_a_long_csv_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    line = "x" * 99 + ",y\n"
    path.write_text("a,b\n" + line * 90_000 + "only one\n")  # more than two blocks
    with pytest.raises(SourceError) as caught:
        list(read_batches(path, name="t.csv", rows=10_000))
    assert "t.csv, row 90001" in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rows", ["1", "4"])
def test_a_join_in_batches_is_the_join(ingested: Folder, suffix: str, rows: str) -> None:
    def run(output: Path, *options: str) -> pl.DataFrame:
        labels = str(ingested.root / "labels.csv")
        ingested.run("join", labels, "-f", "age_share", "--timestamp-column", "at", "--output", str(output), *options)
        return read_table(output)

    once = run(ingested.root / f"once.{suffix}")
    assert run(ingested.root / f"batched.{suffix}", "--batch-rows", rows).equals(once)


def test_counts_are_of_all_batches(ingested: Folder) -> None:
    def facts(*options: str) -> object:
        labels = str(ingested.root / "labels.csv")
        return ingested.json("join", labels, "-f", "age_share", "--timestamp-column", "at", *options)

    assert facts("--batch-rows", "2") == facts()
    assert facts("--batch-rows", "2", "--dry-run")["labels"] == 6  # type: ignore[index]


def test_a_label_without_a_time_is_named_by_its_row_in_the_file(ingested: Folder) -> None:
    rows = list(csv.reader(io.StringIO(LABELS)))
    (ingested.root / "labels.csv").write_text(LABELS + f"{rows[1][0]},,no time,\n")
    ran = ingested.run("join", str(ingested.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at",
                       "--batch-rows", "2", code=4)  # fmt: skip
    assert "labels.csv, row 7" in ran.err


def test_a_data_set_made_in_batches_is_made_again_byte_for_byte(ingested: Folder) -> None:
    labels, first, again = (ingested.root / name for name in ("labels.csv", "first.parquet", "again.parquet"))
    ingested.run("join", str(labels), "-f", "age_share", "--timestamp-column", "at", "--output", str(first),
                 "--dataset", "batched", "--batch-rows", "2")  # fmt: skip
    ingested.run("dataset", "batched", "--rebuild", "--output", str(again))
    assert again.read_bytes() == first.read_bytes()
    ingested.run("join", str(labels), "-f", "age_share", "--timestamp-column", "at", "--output", str(first),
                 "--dataset", "at_once")  # fmt: skip
    one, two = ingested.json("dataset")["datasets"]
    assert one["content_sha256"] == two["content_sha256"]
