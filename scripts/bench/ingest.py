#!/usr/bin/env python3
"""Ingesting CSV files, against Polars reading them with times and writing Parquet; then what is new.

    .venv/bin/python scripts/bench/ingest.py [PART...] [--rows N] [--runs 5] [--folder FOLDER]

The parts, all of them where none is named:

    first     1,000,000 rows: 3 features at most 1.8 times Polars, 30 features at most 4 times (by the clock)
    large     12,000,000 rows x 3 features: at most 2 times Polars, peak at most 1.5 GB; then 10,000 rows in a new file
              at most 0.05 of that run and under 400 MB, appended to the file 0.1, and a dump of the same rows, 10,000
              of them other, written over it: at most 1.2 times parsing it
    lookback  the same rows and rolling sums of scope "entity" with a lookback of 30 days: 10,000 new rows at most 0.15
    checks    what the checks of scopes take of a run with 10,000 new rows: at most 5 % (by pairs of runs)
    files     nothing new in 1,000 files of 1 GB together: at most 0.3 s, or 8 times `list`
    sizes     10,000 new rows beside 3,000,000 and 40,000,000: the same within 1.3 times, the peak of first runs too

What takes minutes is run once, and judged by processor time, which other work on the machine changes least. Shares
are of the run less one with nothing new, which is the start. ``--rows`` are those of large, lookback and checks.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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
NEWS = 10_000
NEWS_MB = 400


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


LOOKBACK = """

@feature(entity_type="user", data_type="float", lookback="30d")
def sum_{n}(events: pl.DataFrame) -> pl.DataFrame:
    sums = events.rolling("event_at", period="30d", closed="both", group_by="user_id").agg(pl.col("{column}").sum())
    return sums.select("user_id", value="{column}", computed_at="event_at")
"""


class Used(NamedTuple):
    """Seconds of the processor and by the clock, and peak memory (MB), of a process."""

    processor: float
    clock: float
    peak: float


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rows", type=int, default=12_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where the files are made: some GB")
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: {', '.join(PARTS)}")
    good = True
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.parts or PARTS:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            good &= PARTS[name](Path(folder), options)
    return 0 if good else 1


def first(root: Path, options: argparse.Namespace) -> bool:
    """Whole processes beside each other, by the clock."""
    _elsewhere(make_csv, root / "events.csv", 1_000_000)
    projects = {f"ingest, {count} features": make_project(root / f"p{count}", count) for count in (3, 30)}
    for project in projects.values():
        (project / "events.csv").symlink_to(root / "events.csv")

    def forget(name: str) -> None:
        if name in projects:
            shutil.rmtree(projects[name] / ".featurestore", ignore_errors=True)

    commands = {
        "Polars, times as times": _polars(),
        "Polars, times as text": [sys.executable, "-c", READ.format(dates="")],
        **{name: _ingest(project) for name, project in projects.items()},
    }
    timings = timing.interleave(commands, root, options.runs, forget)
    bars = {"ingest, 3 features": 1.8, "ingest, 30 features": 4.0}
    good = timing.report("1,000,000 rows, whole processes", timings, "Polars, times as times", bars)
    for name in projects:
        good &= timing.report_peak(f"  {name}: peak", timings[name].peak, MAX_MB)
    return good


def large(root: Path, options: argparse.Namespace) -> bool:
    """A first run, then runs that find what is new."""
    project = _project_of(root, options.rows)
    polars = _run(_polars(), project)
    begun = _run(_ingest(project))
    good = _judge(
        f"{options.rows:,} rows x 3 features, first run, to Polars", begun, begun.processor / polars.processor, 2
    )
    good &= timing.report_peak("  peak", begun.peak, MAX_MB)
    start = _run(_ingest(project))
    print(f"  nothing new: {start.processor:.2f} s of the processor, {start.peak:.0f} MB")
    for name, change, bar in (("in a new file", _add, 0.05), ("appended to the file", _append, 0.1)):
        change(project)
        done = _run(_ingest(project))
        good &= _judge(f"{NEWS:,} rows {name}", done, (done.processor - start.processor) / begun.processor, bar)
        good &= timing.report_peak("  peak", done.peak, NEWS_MB)
    _write_over(project)
    parsed = _run([sys.executable, "-c", PARSE], project)
    done = _run(_ingest(project))
    return good & _judge("a dump written over, to parsing it", done, done.processor / parsed.processor, 1.2)


def lookback(root: Path, options: argparse.Namespace) -> bool:
    project = _project_of(root, options.rows)
    columns = ("amount", "balance", "rate")
    body = "".join(LOOKBACK.format(n=n, column=column) for n, column in enumerate(columns))
    (project / "features" / "money.py").write_text(HEAD + body)
    begun, start = _run(_ingest(project)), _run(_ingest(project))
    _add(project)
    done = _run(_ingest(project))
    share = (done.processor - start.processor) / begun.processor
    return _judge(f"{NEWS:,} new rows, lookback of 30 days, {options.rows:,} rows", done, share, 0.15)


def checks(root: Path, options: argparse.Namespace) -> bool:
    project = _project_of(root, options.rows)
    _run(_ingest(project))
    shutil.copytree(project / ".featurestore", root / "state")
    _add(project)
    settings = project / "featurestore.toml"
    texts = {"with checks": settings.read_text(), "without": settings.read_text() + "[scopes]\ncheck = false\n"}

    def begin(name: str) -> None:
        settings.write_text(texts[name])
        shutil.rmtree(project / ".featurestore")
        shutil.copytree(root / "state", project / ".featurestore")

    # The two differ by less than a run does from the next: only pairs of neighbours say by how much.
    timings = timing.interleave(dict.fromkeys(texts, _ingest(project)), root, max(options.runs, 15), begin)
    return timing.report_close(
        f"{NEWS:,} new rows, with the checks of scopes and without", timings, "without", {"with checks": 1 / 0.95}
    )


def files(root: Path, options: argparse.Namespace) -> bool:
    project = make_project(root / "files", 3)
    settings = project / "featurestore.toml"
    settings.write_text(settings.read_text().replace('path = "events.csv"', 'path = "events-*.csv"'))
    _elsewhere(_make_files, root / "one.csv", project)
    _run(_ingest(project))
    commands = {"list": [*_featurestore(), "list", "-C", str(project)], "nothing new": _ingest(project)}
    timings = timing.interleave(commands, root, options.runs)
    bar = max(8.0, 0.3 / timings["list"].median)
    return timing.report("nothing new in 1,000 files", timings, "list", {"nothing new": bar})


def _make_files(one: Path, project: Path) -> None:
    make_csv(one, 12_000)
    lines = one.read_bytes()
    for number in range(1_000):
        later = lines.replace(b"\nuser_", b"\nuser%d_" % number)  # the header stays
        (project / f"events-{number:04}.csv").write_bytes(later)


def sizes(root: Path, options: argparse.Namespace) -> bool:
    begun, found = [], []
    for rows in (3_000_000, 40_000_000):
        project = _project_of(root / str(rows), rows)
        begun.append(_run(_ingest(project)))
        _add(project)
        found.append(_run(_ingest(project)))
        shutil.rmtree(root / str(rows))
        print(f"  {rows:,} rows: first run {begun[-1].processor:.1f} s of the processor, {begun[-1].peak:.0f} MB")
    good = _judge(f"{NEWS:,} new rows, 40,000,000 to 3,000,000", found[1], found[1].processor / found[0].processor, 1.3)
    good &= timing.report_peak("  peak of the first run", begun[1].peak, MAX_MB)
    return good & timing.report_peak(f"  peak of {NEWS:,} new rows", found[1].peak, NEWS_MB)


PARTS = {"first": first, "large": large, "lookback": lookback, "checks": checks, "files": files, "sizes": sizes}
PARSE = "import polars as pl; pl.read_csv('events.csv', try_parse_dates=True)"


def _project_of(root: Path, rows: int) -> Path:
    """A project of three features, whose source has one file, and takes more."""
    project = make_project(root / "project", 3)
    _elsewhere(make_csv, project / "events.csv", rows)
    settings = project / "featurestore.toml"
    settings.write_text(settings.read_text().replace('path = "events.csv"', 'path = "events*.csv"'))
    return project


def _later(project: Path, day: str) -> pl.DataFrame:
    """Rows of a later day, of users that are there."""
    rows = pl.read_csv(project / "events.csv", n_rows=NEWS, infer_schema=False)
    return rows.with_columns(pl.col("event_at").str.replace("2024-..-..", day)).unique(["user_id", "event_at"])


def _add(project: Path) -> None:
    _elsewhere(_write_later, project, "events-new.csv", "2025-03-01")


def _append(project: Path) -> None:
    _elsewhere(_write_later, project, "events.csv", "2025-03-02")


def _write_later(project: Path, name: str, day: str) -> None:
    path = project / name
    text = _later(project, day).write_csv(include_header=not path.exists())
    with path.open("a") as file:
        file.write(text)


def _elsewhere(function: Callable[..., None], *arguments: object) -> None:
    """In a process of its own: what this one ever held counts as the peak of the processes that it starts."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{function.__name__}: exit {process.exitcode}")


def _write_over(project: Path) -> None:
    """The same rows, of which every so often one has another number of items."""
    path, other = project / "events.csv", project / "events.tmp"
    with path.open() as rows, other.open("w") as written:
        for number, line in enumerate(rows):
            if number % 1_200 == 1:
                before, items, rate = line.rsplit(",", 2)
                line = f"{before},{int(items) + 1},{rate}"  # noqa: PLW2901
            written.write(line)
    other.replace(path)


def _featurestore() -> list[str]:
    return [str(Path(sys.executable).with_name("featurestore"))]


def _ingest(project: Path) -> list[str]:
    return [*_featurestore(), "ingest", "-q", "-C", str(project)]


def _polars() -> list[str]:
    return [sys.executable, "-c", READ.format(dates=", try_parse_dates=True")]


def _judge(title: str, used: Used, ratio: float, bar: float) -> bool:
    verdict = "holds" if ratio <= bar else "MISSED"
    print(f"{title}: {used.processor:.2f} s of the processor, {used.clock:.2f} s by the clock")
    print(f"  ratio {ratio:.3f}  bar {bar:g}: {verdict}", flush=True)
    return ratio <= bar


def _run(command: list[str], folder: Path | None = None) -> Used:
    """Runs a process. A failing one ends the benchmark."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=timing.clean_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: exit {os.waitstatus_to_exitcode(status)}")
    return Used(used.ru_utime + used.ru_stime, time.perf_counter() - begun, used.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
