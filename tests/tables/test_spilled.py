"""Frames in a temporary file: each is read as it was written, whatever it shares with the one before it."""

from __future__ import annotations

import gc
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from featurestore.tables.temporary import SpilledFrames

KEYS = ["id", "at"]


def frame_of(ids: list[str], factor: int = 1) -> pl.DataFrame:
    at = pl.Series("at", [datetime(2024, 1, 1)] * len(ids), pl.Datetime("us"))
    value = pl.Series("value", [number * factor for number in range(len(ids))], pl.Int64)
    return pl.DataFrame([pl.Series("id", ids, pl.String), at, value])


IDS = st.lists(st.text(max_size=20), max_size=8)
STEPS = st.lists(
    st.sampled_from(["same keys", "equal keys", "other keys", "a part", "none", "other types"]), max_size=8
)


@given(IDS, IDS, STEPS)
def test_each_is_read_as_it_was_written(ids: list[str], others: list[str], steps: list[str]) -> None:
    first = frame_of(ids)
    made = {
        "same keys": first.with_columns(pl.col("value") + 1),
        "equal keys": frame_of(ids, 3),
        "other keys": frame_of(others),
        "a part": first.slice(1),
        "none": first.clear(),
        "other types": first.with_columns(pl.col("at").cast(pl.Int64)),
    }
    spilled = SpilledFrames()
    frames = [first, *(made[step] for step in steps)]
    written = [spilled.write(frame, shared=KEYS) for frame in frames]
    for frame, one in zip(frames, written, strict=True):
        assert one.height == frame.height
        assert_frame_equal(one.read(), frame)


def test_what_frames_share_is_written_once() -> None:
    first = frame_of(["x" * 1_000 + str(number) for number in range(1_000)])
    spilled = SpilledFrames()
    written = [spilled.write(first.with_columns(pl.col("value") * factor), shared=KEYS) for factor in range(4)]
    assert len({block for one in written for block in one.blocks}) == 5
    assert sum(size for _, size in {block for one in written for block in one.blocks}) < 1_300_000


EVERY_TYPE = {
    "text": pl.Series(["a", None, "x" * 40]),
    "bytes": pl.Series([b"a", None, b"y" * 50]),
    "float": pl.Series([1.5, None, float("nan")]),
    "float32": pl.Series([1.5, None, 2], dtype=pl.Float32),
    "int": pl.Series([1, None, -(2**63)]),
    "int8": pl.Series([1, None, 3], dtype=pl.Int8),
    "uint64": pl.Series([1, None, 2**64 - 1], dtype=pl.UInt64),
    "int128": pl.Series([1, None, 2**100], dtype=pl.Int128),
    "decimal": pl.Series([Decimal("1.5"), None, None]),
    "bool": pl.Series([True, None, False]),
    "date": pl.Series([date(2020, 1, 1), None, date(1, 1, 1)]),
    "instant": pl.Series([datetime(2020, 1, 1), None, datetime(9999, 1, 1)]),
    "zoned": pl.Series([datetime(2020, 1, 1), None, datetime(1, 1, 1)]).dt.replace_time_zone("Europe/Berlin"),
    "nanoseconds": pl.Series([datetime(2020, 1, 1), None, None]).cast(pl.Datetime("ns")),
    "time": pl.Series([time(1, 2, 3), None, None]),
    "duration": pl.Series([timedelta(1), None, None]),
    "list": pl.Series([[1.0, None], None, []]),
    "texts": pl.Series([["a"], None, ["b" * 30, None]]),
    "array": pl.Series([[1.0, 2.0], None, [3.0, 4.0]], dtype=pl.Array(pl.Float64, 2)),
    "object": pl.Series([{"a": 1}, {"a": None}, None]),
    "nothing": pl.Series([None, None, None]),
    "category": pl.Series(["a", "b", None], dtype=pl.Categorical),
    "enum": pl.Series(["a", "b", None], dtype=pl.Enum(["a", "b"])),
}


@pytest.mark.parametrize("name", EVERY_TYPE)
def test_columns_of_every_type_are_read_as_they_were_written(name: str) -> None:
    spilled, column = SpilledFrames(), EVERY_TYPE[name].alias(name)
    for length in (3, 0, 1):
        frame = column.head(length).to_frame()
        assert_frame_equal(spilled.write(frame).read(), frame)


def test_a_frame_outlives_the_file_that_it_lies_in() -> None:
    read = SpilledFrames().write(frame_of(["x" * 100] * 10_000)).read()
    gc.collect()
    assert read["id"].to_list() == ["x" * 100] * 10_000
