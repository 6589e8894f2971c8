#!/usr/bin/env python3
"""Ingesting a CSV of 1,000,000 rows, against Polars reading that CSV and writing it to Parquet; then what is new.

    .venv/bin/python scripts/bench/ingest.py [--rows 1000000] [--runs 5]

Bars: three features at most 3 times Polars; peak memory at most 1.5 GB, and no more with thirty features. 10,000
rows in a new file at most 0.05 of the first run at 12,000,000 rows, appended to the file at most 0.1, in processor time
less that of a run with nothing new (at smaller sizes the start is more than that: the shares are shown, not judged).
Polars reads the times as times, as a feature store must; the time for reading them as text is shown too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import timing

TOML = """\
[project]
name = "bench"
[entity_types.user]
keys = { user_id = "string" }
[sources.events]
type = "csv"
path = "events.csv"
event_time = "event_at"
[sources.events.columns]
amount = { type = "float", min = 0 }
balance = { type = "float" }
items = { type = "int", min = 0 }
rate = { type = "float" }
"""
HEAD = "import polars as pl\n\nfrom featurestore import feature\n"
FEATURE = """

@feature(entity_type="user", data_type="float")
def feature_{n}() -> pl.Expr:
    return pl.col("{column}") * {factor} + pl.col("items")
"""
READ = "import polars as pl; pl.read_csv('events.csv'{dates}).write_parquet('out.parquet')"
MAX_MB = 1_500


def make_csv(path: Path, rows: int, seed: int = 0) -> None:
    """Events of 100,000 users over a year, in no order."""
    random = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01T00:00:00", "us")
    moments = start + random.integers(0, 365 * 86_400 * 10**6, rows).astype("timedelta64[us]")
    pl.DataFrame(
        {
            "user_id": pl.Series(random.integers(0, 100_000, rows)).cast(pl.String).str.zfill(8),
            "event_at": pl.Series(moments).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f"),
            "amount": random.gamma(2, 30, rows).round(2),
            "balance": random.normal(1000, 300, rows),
            "items": random.integers(1, 20, rows),
            "rate": random.random(rows),
        }
    ).with_columns(pl.concat_str(pl.lit("user_"), "user_id").alias("user_id")).write_csv(path)


def make_project(root: Path, features: int) -> Path:
    (root / "features").mkdir(parents=True)
    (root / "featurestore.toml").write_text(TOML)
    columns = ("amount", "balance", "rate")
    body = "".join(FEATURE.format(n=n, column=columns[n % 3], factor=n + 1.5) for n in range(features))
    (root / "features" / "money.py").write_text(HEAD + body)
    return root


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    executable = str(Path(sys.executable).with_name("featurestore"))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_csv(root / "events.csv", options.rows)
        projects = {f"ingest, {count} features": make_project(root / f"p{count}", count) for count in (3, 30)}
        for project in projects.values():
            (project / "events.csv").symlink_to(root / "events.csv")

        def forget(name: str) -> None:
            if name in projects:
                shutil.rmtree(projects[name] / ".featurestore", ignore_errors=True)

        commands = {
            "Polars, times as times": [sys.executable, "-c", READ.format(dates=", try_parse_dates=True")],
            "Polars, times as text": [sys.executable, "-c", READ.format(dates="")],
            **{name: [executable, "ingest", "-q", "-C", str(project)] for name, project in projects.items()},
        }
        timings = timing.interleave(commands, root, options.runs, forget)
    title = f"{options.rows:,} rows, whole processes"
    good = timing.report(title, timings, "Polars, times as times", {"ingest, 3 features": 3})
    for name in projects:
        fits = timings[name].peak <= MAX_MB
        good &= fits
        print(f"  {name}: peak {timings[name].peak:.0f} MB, bar {MAX_MB}: {'holds' if fits else 'MISSED'}")
        new_rows(root, projects["ingest, 3 features"], executable, options.rows)
    return 0 if good else 1


NEWS = 10_000


def new_rows(root: Path, project: Path, executable: str, rows: int) -> None:
    """What runs cost that find 10,000 rows of later days: in a new file, appended, and written over."""
    (project / "events.csv").unlink()
    shutil.copy(root / "events.csv", project / "events.csv")
    settings = project / "featurestore.toml"
    settings.write_text(settings.read_text().replace('path = "events.csv"', 'path = "events*.csv"'))
    shutil.rmtree(project / ".featurestore", ignore_errors=True)
    later = pl.read_csv(root / "events.csv", n_rows=NEWS, infer_schema=False).with_columns(
        pl.col("event_at").str.replace("2024-..-..", "2025-03-01")
    ).unique(["user_id", "event_at"])  # fmt: skip

    def nothing() -> None:
        """The files stay as they are."""

    def append() -> None:
        with (project / "events.csv").open("a") as file:
            file.write(later.with_columns(pl.lit("2").alias("items")).write_csv(include_header=False))

    def add(items: str) -> None:
        later.with_columns(pl.lit(items).alias("items")).write_csv(project / "events-new.csv")

    changes: dict[str, Callable[[], None]] = {
        "first run": nothing,
        "nothing new": nothing,
        "10,000 rows in a new file": lambda: add("1"),
        "appended to the file": append,
        "10,000 rows written over": lambda: add("3"),
    }
    print(f"what is new, of {rows:,} rows (processor seconds, share of the first run, peak)")
    spent: dict[str, float] = {}
    for name, change in changes.items():
        change()
        spent[name], peak = _run([executable, "ingest", "-q", "-C", str(project)])
        more = spent[name] - spent.get("nothing new", 0) if name not in ("first run", "nothing new") else spent[name]
        print(f"  {name}: {spent[name]:.2f} s, {more / spent['first run']:.3f}, {peak:.0f} MB")


def _run(command: list[str]) -> tuple[float, float]:
    """Processor time (s) and peak memory (MB) of a process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
