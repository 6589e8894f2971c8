"""What a training set needs beside the values: their times, a lag, splits; and what its data set keeps of them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from tests.conftest import Folder

LABELS = """
patient_id,at,y
001,2024-01-01T00:00:00Z,0
001,2024-01-31T00:00:00Z,1
001,2024-02-01T00:00:00Z,0
002,2024-01-15T00:00:01Z,1
"""


@pytest.fixture
def clinic(ingested: Folder) -> Folder:
    ingested.write({"labels.csv": LABELS})
    return ingested


def join(clinic: Folder, *options: str, code: int = 0) -> str:
    labels = str(clinic.root / "labels.csv")
    ran = clinic.run("join", labels, "-f", "age_share", "--timestamp-column", "at", *options, code=code)
    return ran.err if code else ran.out


def values(clinic: Folder, *options: str) -> list[str]:
    return [line.split(",")[3] for line in join(clinic, *options).splitlines()[1:]]


def test_a_label_gets_what_is_dated_at_its_time_unless_only_what_is_before_counts(clinic: Folder) -> None:
    assert values(clinic) == ["0.5", "0.5", "0.51", "0.6"]
    assert values(clinic, "--before") == values(clinic, "--lag", "1us") == ["", "0.5", "0.5", "0.6"]


def test_a_lag_is_taken_off_the_times_of_labels_and_counts_for_max_age_too(clinic: Folder) -> None:
    assert values(clinic, "--lag", "1d") == ["", "0.5", "0.5", ""]
    assert values(clinic, "--lag", "1d", "--max-age", "29d") == ["", "0.5", "", ""]
    assert values(clinic, "--lag", "30d", "--before") == ["", "", "0.5", ""]
    assert "--lag 'soon' is not a duration" in join(clinic, "--lag", "soon", code=2)


def test_a_lag_counts_for_what_was_known_too(clinic: Folder) -> None:
    clinic.write({"labels.csv": "patient_id,at,y\n001,2999-01-01T00:00:00Z,0\n"})
    assert values(clinic, "--known") == ["0.51"]
    assert values(clinic, "--known", "--lag", "40w") == ["0.51"]
    assert values(clinic, "--known", "--lag", "356000d") == [""]


def test_times_stand_behind_the_values_that_have_them(clinic: Folder) -> None:
    rows = join(clinic, "--with-times").splitlines()
    assert rows[0] == "patient_id,at,y,age_share,age_share.at"
    assert rows[2] == "001,2024-01-31T00:00:00Z,1,0.5,2024-01-01T00:00:00Z"
    assert join(clinic, "--with-times", "--before").splitlines()[1] == "001,2024-01-01T00:00:00Z,0,,"
    assert join(clinic, "--with-times", "--times-suffix", "_time").splitlines()[0].endswith(",age_share_time")


def test_labels_on_their_own_event_are_counted_and_said(clinic: Folder) -> None:
    arguments = ("join", str(clinic.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at")
    found = clinic.json(*arguments)
    assert (found["on_own_event"], len(found["warnings"])) == (2, 1)
    assert found["warnings"][0].startswith("2 of 4 labels got a value that is dated at their very time")
    assert clinic.json(*arguments, "--before")["on_own_event"] is None
    assert clinic.json(*arguments, "--before")["warnings"] == []


def test_up_to_one_in_a_hundred_labels_on_an_event_is_not_mentioned(clinic: Folder) -> None:
    others = "001,2024-03-01T00:00:00Z,1\n" * 99
    clinic.write({"labels.csv": f"patient_id,at,y\n001,2024-02-01T00:00:00Z,1\n{others}"})
    arguments = ("join", str(clinic.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at")
    found = clinic.json(*arguments)
    assert (found["labels"], found["on_own_event"], found["warnings"]) == (100, 1, [])


def test_splits_divide_the_labels_by_their_times(clinic: Folder) -> None:
    split = ("--split", "train=2024-01-31T00:00:00Z,validation=2024-02-01T00:00:00Z,test")
    rows = [line.split(",") for line in join(clinic, *split).splitlines()]
    assert [row[-1] for row in rows] == ["split", "train", "validation", "test", "train"]
    arguments = ("join", str(clinic.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at", *split)
    found = clinic.json(*arguments, "--split-column", "fold", "--output", str(clinic.root / "out.parquet"))
    assert found["splits"] == {"train": 2, "validation": 1, "test": 1}
    assert pl.read_parquet(clinic.root / "out.parquet")["fold"].to_list() == ["train", "validation", "test", "train"]


def test_a_split_that_no_label_falls_into_is_said(clinic: Folder) -> None:
    ran = clinic.run(
        "join", str(clinic.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at",
        "--split", "train=2025-01-01,test",
    )  # fmt: skip
    assert "--split 2025-01-01: a time without a zone is taken as UTC" in ran.err
    assert "no label falls into the split test" in ran.err


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("train=2024-01-01", "every part of --split but the last ends at a time"),
        ("train,test", "every part of --split but the last ends at a time"),
        ("train=2024-02-01,a=2024-01-01,test", "must end one after the other"),
        ("train=2024-01-01,train", "two parts of --split have the same name"),
        ("train=soon,test", "--split 'soon' is not a time"),
        ("=2024-01-01,test", "every part of --split but the last ends at a time"),
    ],
)
def test_splits_that_do_not_divide_time_are_refused(clinic: Folder, split: str, said: str) -> None:
    assert said in join(clinic, "--split", split, code=2)


def test_a_data_set_keeps_lag_times_splits_and_what_its_values_were_like(clinic: Folder) -> None:
    out, again = clinic.root / "out.parquet", clinic.root / "again.parquet"
    options = ("--lag", "1d", "--with-times", "--split", "early=2024-01-20T00:00:00Z,late", "--output", str(out))
    join(clinic, *options, "--dataset", "trial")
    (clinic.root / "labels.csv").unlink()
    clinic.run("dataset", "trial", "--rebuild", "--output", str(again))
    assert again.read_bytes() == out.read_bytes()
    assert pl.read_parquet(out)["age_share.at"].to_list() == [None, *[datetime(2024, 1, 1, tzinfo=UTC)] * 2, None]
    kept = clinic.json("dataset", "trial")
    assert (kept["lag"], kept["times_suffix"], kept["split_column"]) == ("1d", ".at", "split")
    assert kept["splits"] == [
        {"name": "early", "end": "2024-01-20T00:00:00Z", "labels": 2}, {"name": "late", "end": None, "labels": 2}
    ]  # fmt: skip
    assert (kept["first"], kept["last"]) == ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z")
    (feature,) = kept["features"]
    assert (feature["nulls"], feature["ages"]) == (2, {"least": "29d", "mean": "29d12h", "greatest": "30d"})
    assert "the label's time less 1d" in clinic.run("dataset", "trial").out


WRITTEN = """
who;at;born;y
001;01.02.2024 01:00;24.12.1980;N/A
002;16.01.2024 01:00;-;1
-;16.01.2024 01:00;01.01.1990;0
"""
AS_WRITTEN = ("--delimiter", ";", "--null", "N/A", "--null", "-", "--format-of", "at=%d.%m.%Y %H:%M",
              "--format-of", "born=%d.%m.%Y", "--timezone", "Europe/Vienna", "--entity", "patient=who")  # fmt: skip


def test_labels_are_read_as_they_are_written(clinic: Folder) -> None:
    clinic.write({"labels.csv": WRITTEN})
    out, again = clinic.root / "out.parquet", clinic.root / "again.parquet"
    assert join(clinic, *AS_WRITTEN).splitlines()[1:] == [
        "001,01.02.2024 01:00,24.12.1980,,0.51", "002,16.01.2024 01:00,,1,0.6", ",16.01.2024 01:00,01.01.1990,0,",
    ]  # fmt: skip
    join(clinic, *AS_WRITTEN, "--output", str(out), "--dataset", "written")
    frame = pl.read_parquet(out)
    assert frame["at"][0] == datetime(2024, 2, 1, tzinfo=UTC)
    assert frame["born"].to_list() == [date(1980, 12, 24), None, date(1990, 1, 1)]
    assert (frame["y"].to_list(), frame["who"].to_list()) == ([None, 1, 0], ["001", "002", None])
    clinic.run("dataset", "written", "--rebuild", "--output", str(again))
    assert again.read_bytes() == out.read_bytes()


def test_times_that_are_not_written_as_said_are_named(clinic: Folder) -> None:
    clinic.write({"labels.csv": "patient_id,at,born\n001,2024-02-01,1.1.90\n"})
    typed = ("--format-of", "born=%d.%m.%Y", "--output", str(clinic.root / "out.parquet"))
    assert "'1.1.90' in column 'born' is not a time in the format '%d.%m.%Y'" in join(clinic, *typed, code=4)
    assert "no column 'birth'" in join(clinic, "--format-of", "birth=%d.%m.%Y", code=2)
    assert "does not say how a column's times are written" in join(clinic, "--format-of", "%d.%m.%Y", code=2)
    assert "--format-of 'born=today'" in join(clinic, "--format-of", "born=today", code=2)
