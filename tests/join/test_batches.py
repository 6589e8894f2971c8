"""Labels in batches: the same answers and files as at once; messages name rows by their number in the file."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import SourceError, UsageError
from featurestore.point_in_time import kernel
from featurestore.tables.batches import read_batches, write_batches
from featurestore.tables.files import Format, format_in
from tests.conftest import AGE, Folder
from tests.join.tables import read_table, write_table
from tests.join.test_command import LABELS

TABLE = pl.DataFrame(
    {"a": [1, None, 3, 4, 5], "s": ["x", "", None, 'q"', "é\n"], "l": [[1.0], [], None, [None], [2.5]]}
)
SUFFIXES = ["parquet", "arrow", "jsonl", "csv"]


@pytest.fixture
def ingested(ingested: Folder) -> Folder:
    (ingested.root / "labels.csv").write_text(LABELS)
    return ingested


@pytest.mark.parametrize("rows", [1, 2, 5, 9])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_read_and_written_in_batches_as_at_once(tmp_path: Path, suffix: str, rows: int) -> None:
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


@pytest.mark.parametrize("rows", [1_000, 70_000, 300_000])
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_batches_differ_from_those_of_the_file(tmp_path: Path, form: Format, rows: int) -> None:
    table = pl.DataFrame({"a": pl.int_range(0, 300_000, eager=True), "s": ["some text"] * 300_000})
    write_table(table, tmp_path / "t", form=form)
    with (tmp_path / "t").open("rb") as stream:
        stream.read(6)  # as one who looks what it is
        assert pl.concat(read_batches(stream, name="t", form=form, rows=rows)).equals(table)


@pytest.mark.parametrize("rows", [2, 9])
def test_an_arrow_stream_is_read_in_batches_too(tmp_path: Path, rows: int) -> None:
    typed = TABLE.with_columns(pl.col("s").cast(pl.Categorical).alias("c"), pl.lit("x").cast(pl.Enum(["x"])).alias("e"))
    for table in (typed, typed.clear(), typed.with_columns(pl.lit(2**70).alias("huge"))):
        table.write_ipc_stream(tmp_path / "t.arrow")
        frames = list(read_batches(tmp_path / "t.arrow", name="t", rows=rows))
        assert pl.concat(frames).equals(table)
        assert pl.concat(frames).schema == table.schema
        assert max(len(frame) for frame in frames) <= rows


def test_a_streams_format_is_recognised_by_its_first_bytes() -> None:
    texts = {b"": "csv", b"a,b\n": "csv", b"\xef\xbb\xbf{}": "ndjson", b' \n{"a":1}\n': "ndjson", b"[1]": "ndjson"}
    for text, form in texts.items():
        stream = io.BytesIO(text)
        assert (format_in(stream), stream.read()) == (form, text)


def test_integers_that_no_file_format_holds_are_refused(tmp_path: Path) -> None:
    huge = pl.DataFrame({"a": [2**70, 1]}, schema={"a": pl.Int128})
    with (
        pytest.raises(UsageError, match="column 'a' holds integers of over 64 bits"),
        write_batches(tmp_path / "t.parquet") as write,
    ):
        write(huge)
        write(huge)
    assert not list(tmp_path.iterdir())


def test_the_leftover_of_a_killed_process_is_removed_and_other_files_are_not(tmp_path: Path) -> None:
    leftover, other = tmp_path / ".t.csv.7-00c0ffee.tmp", tmp_path / ".mine.tmp"
    for path in (leftover, other):
        path.write_text("half")
        os.utime(path, (0, 0))
    write_table(TABLE, tmp_path / "t.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "t.csv"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "arrow"])
def test_memory_depends_on_the_batch_not_on_the_file(tmp_path: Path, suffix: str) -> None:
    def peak(rows: int) -> int:
        """MB, of a process that reads and writes a file of so many rows."""
        table = pl.select(a=pl.int_range(rows), s=pl.lit(" ".join(["some text of a label"] * 5)))
        write_table(table, tmp_path / f"t.{suffix}")
        command = [sys.executable, "-c", COPY, str(tmp_path / f"t.{suffix}"), str(tmp_path / f"copy.{suffix}")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak(800_000) - peak(100_000) < 60  # as a table the rows are some 90 MB more


COPY = """
import resource, sys
from pathlib import Path
from featurestore.tables.batches import read_batches, write_batches
with write_batches(Path(sys.argv[2])) as write:
    for frame in read_batches(Path(sys.argv[1]), name="t", rows=20_000):
        write(frame)
scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // scale)
"""


def test_a_row_of_a_long_csv_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    line = "x" * 99 + ",y\n"
    path.write_text("a,b\n" + line * 90_000 + "only one\n")  # more than two blocks
    with pytest.raises(SourceError) as caught:
        list(read_batches(path, name="t.csv", rows=10_000))
    assert "t.csv row 90001" in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rows", ["1", "4"])
def test_a_join_in_batches_is_the_join(ingested: Folder, suffix: str, rows: str) -> None:
    def run(output: Path, *options: str) -> pl.DataFrame:
        labels = str(ingested.root / "labels.csv")
        ingested.run("join", labels, "-f", "age_share", "--timestamp-column", "at", "--output", str(output), *options)
        return read_table(output)

    once = run(ingested.root / f"once.{suffix}")
    assert run(ingested.root / f"batched.{suffix}", "--batch-rows", rows).equals(once)


def test_labels_are_grouped_once_however_many_features_there_are(
    ingested: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, grouped = kernel.group_labels, []

    def count_and_group(keys: pl.DataFrame, instants: kernel.Integers) -> kernel.GroupedLabels:
        grouped.append(len(keys))
        return group(keys, instants)

    monkeypatch.setattr(kernel, "group_labels", count_and_group)
    features = "\n".join(AGE.replace("age_share", f"f{number}").partition("\n\n\n")[2] for number in range(30))
    ingested.write({"features/many.py": AGE.partition("\n\n\n")[0] + "\n\n\n" + features})
    ingested.run("ingest")
    wanted = ",".join(f"f{number}" for number in range(30))
    labels = str(ingested.root / "labels.csv")
    lines = ingested.run("join", labels, "-f", wanted, "--timestamp-column", "at", "--batch-rows", "4").out.splitlines()
    assert lines[1].endswith(",0.5" * 30)
    assert grouped == [4, 2], "once a batch, whatever is asked of it"


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


def test_a_data_set_made_in_batches_is_rebuilt_byte_for_byte(ingested: Folder) -> None:
    labels, first, again = (ingested.root / name for name in ("labels.csv", "first.parquet", "again.parquet"))
    ingested.run("join", str(labels), "-f", "age_share", "--timestamp-column", "at", "--output", str(first),
                 "--dataset", "batched", "--batch-rows", "2")  # fmt: skip
    ingested.run("dataset", "batched", "--rebuild", "--output", str(again))
    assert again.read_bytes() == first.read_bytes()
    ingested.run("join", str(labels), "-f", "age_share", "--timestamp-column", "at", "--output", str(first),
                 "--dataset", "at_once")  # fmt: skip
    one, two = ingested.json("dataset")["datasets"]
    assert one["content_sha256"] == two["content_sha256"]
