"""Our whole join command, as it is timed, and whether others answer what it answers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

PEERS = Path(__file__).with_name("peers")


def ours(names: Sequence[str], labels: str, *options: str, output: str = "ours.parquet") -> list[str]:
    """Process start, labels from Parquet, result to Parquet."""
    return [sys.executable, "-m", "featurestore", "join", labels, "-f", ",".join(names), "--timestamp-column", "at",
            "--output", output, "-q", *options]  # fmt: skip


def peer(program: str, *arguments: str, python: str = sys.executable) -> list[str]:
    return [python, str(PEERS / program), *arguments]


def differing(folder: Path, names: Sequence[str], theirs: str, mine: str = "ours.parquet") -> int:
    """In how many rows another's table differs from ours, whatever the order of its rows."""
    left, right = (_read(folder / name) for name in (mine, theirs))
    order = [*left.columns[:2], *names]
    left, right = left.sort(order), right.select(left.columns).sort(order)
    if len(left) != len(right):
        sys.exit(f"{theirs} has {len(right):,} rows, and ours {len(left):,}")
    differs = pl.any_horizontal(left[name].ne_missing(right[name]) for name in left.columns)
    return int(left.select(differs.sum()).item())


def agree(folder: Path, names: Sequence[str], labels: str, theirs: str, mine: str = "ours.parquet") -> None:
    """Ends the benchmark where another answers otherwise, or where ours are not the labels, row by row."""
    wanted, found = (pl.read_parquet(folder / name) for name in (labels, mine))
    if not found.select(wanted.columns).equals(wanted):
        sys.exit(f"{mine}: the labels came back otherwise than they went in")
    rows = differing(folder, names, theirs, mine)
    if rows:
        sys.exit(f"{', '.join(names)}: {theirs} answers otherwise than {mine} in {rows:,} rows")


def _read(path: Path) -> pl.DataFrame:
    """Without zones, and with the limit's NaN as the null it stands for: no value here is a NaN."""
    frame = pl.read_parquet(path)
    return frame.with_columns(
        pl.col(pl.Datetime).dt.replace_time_zone(None).dt.cast_time_unit("us"), pl.col(pl.Float64).fill_nan(None)
    )
