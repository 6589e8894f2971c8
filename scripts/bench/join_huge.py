"""A history larger than the memory that is allowed for it: one feature of 1,000,000 entities × 100 times.

It is written in runs of two rows an entity, made piece by piece, so that making it needs little memory too.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from join_data import DAY, LATE, PER_ENTITY, START, YEAR, Made, keys, make_labels, make_project, say, write_run
from join_ours import ours
from timing import interleave, report_peak

RUNS = 50
PEAK_MB = 1_500
CHECKED = 100  # one entity in so many is joined again, by Polars
FEATURE = "huge"


def measure(folder: Path, rows: int, labels: int, runs: int, memory: str) -> bool:
    """Prints seconds and peak memory of the first join, which makes the columns, and of those after it."""
    made = Made(FEATURE, "user", rows, 11, RUNS)
    store = make_project(folder, "huge")
    mark = store.mark(made.version)
    make_labels(folder, rows // PER_ENTITY, labels)
    if mark is None or (mark.rows, mark.run_seq) != (rows, RUNS):
        shutil.rmtree(folder / ".featurestore", ignore_errors=True)
        for number, frame in enumerate(_pieces(made)):
            say(f"writing run {number + 1} of {RUNS}")
            write_run(store, f"huge-{number}", _learned_at(number), iter([(made.version, frame)]))
    shutil.rmtree(folder / ".featurestore" / "columns", ignore_errors=True)
    command = ["env", f"FEATURESTORE_OFFLINE_MEMORY={memory}", *ours([FEATURE], "user.parquet")]
    first, later = (interleave({"": command}, folder, turns, warm_up=False)[""] for turns in (1, runs))
    _check(folder, made)
    print(f"\nOne feature of {rows:,} rows, {labels:,} labels, memory set to {memory}")
    good = True
    for name, timing in (("first join, columns are made", first), ("a later join", later)):
        good &= report_peak(f"  {name:30s} {timing.median:7.2f} s  peak", timing.peak, PEAK_MB)
    return good


def _learned_at(number: int) -> int:
    return START + (number + 1) * YEAR // RUNS


def _pieces(made: Made) -> Iterator[pl.DataFrame]:
    """What each run learns: times of its own part of the year, one row in ten of up to sixty days before."""
    numbers = np.repeat(np.arange(made.rows // PER_ENTITY), PER_ENTITY // RUNS)
    for number in range(RUNS):
        random = np.random.default_rng([made.seed, number])
        at = random.integers(_learned_at(number - 1), _learned_at(number), len(numbers))
        late = np.where(random.random(len(at)) < LATE, random.integers(0, 60 * DAY, len(at)), 0)
        at = np.where(at - late < START, at, at - late)
        order = np.lexsort((at, numbers))
        moments = pl.Series("computed_at", at[order].view("datetime64[us]"))
        yield pl.DataFrame([keys("user", numbers), moments, pl.Series("value", random.random(len(at)))])


def _check(folder: Path, made: Made) -> None:
    """Ends the benchmark where some entities' answers are not those of a plain join over what was written."""
    some = pl.col("user_id") % CHECKED == 0
    history = pl.concat(frame.filter(some) for frame in _pieces(made)).sort("computed_at")
    found = pl.read_parquet(folder / "ours.parquet").filter(some).sort("at")
    moments = pl.col("at").dt.replace_time_zone(None)
    wanted = found.with_columns(moments).join_asof(
        history, left_on="at", right_on="computed_at", by="user_id", check_sortedness=False
    )
    if not wanted["value"].equals(found[FEATURE], check_names=False):
        sys.exit("the huge history's answers are wrong")
