"""Frames in a temporary file: each is read as it was written, whatever it shares with the one before it."""

from __future__ import annotations

from datetime import datetime

import polars as pl
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
