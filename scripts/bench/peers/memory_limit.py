"""The in-memory limit: a binary search in sorted arrays that are mapped, and nothing else: NAME LABELS OUTPUT.

Knows that the keys are the numbers from 0 on, and that no value is null.
"""

import sys

import numpy as np
import polars as pl

name, labels, output = sys.argv[1:]
frame = pl.read_parquet(labels)
at, code = frame["at"].to_physical().to_numpy(), frame["user_id"].to_numpy()
times, values, offsets = (np.load(f"limit_{part}.npy", mmap_mode="r") for part in ("at", "value", "offsets"))
order = np.argsort(code)
at, code = at[order], code[order]
low, left = offsets[code], offsets[code + 1] - offsets[code]
while left.max() > 1:
    half = left >> 1
    low = np.where(times[low + half] <= at, low + half, low)
    left = left - half
found = np.full(len(at), np.nan)
found[order] = np.where(times[low] <= at, values[low], np.nan)
frame.with_columns(pl.Series(name, found)).write_parquet(output)
