#!/usr/bin/env python3
"""What it takes to read sources: databases, settings of text, many small files; and to look at a large one.

    .venv/bin/python scripts/bench/sources.py [--rows 1000000] [--runs 5] [--only databases,settings,small,large,known]
    .venv/bin/python scripts/bench/sources.py --only memory

Bars: a table of SQLite or DuckDB at most 1.5 times what their own library takes to read it into Polars (ours types each
column, checks the keys and keeps each row's place); a CSV with a decimal comma, words for null and a format of times at
most 1.5 times the plain one; 10,000 small files at most 3 times one file of the same rows; `init --from` on a file of
1 GB at most 3 s; `join --known` of a feature whose rows have known times at most 1.15 times that of one whose rows have
none. `memory`, which takes long and has to be asked for: with `[offline] memory = "300MB"` a first ingest of
9,000,000 rows takes at most 1.15 times what 3,000,000 take, for every type of file.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import timing
from reading import make_project, reading

BAR = 1.5
DATABASE = 'type = "{kind}"\npath = "events.{kind}"\ntable = "events"\n'
OWN = {
    "sqlite": (
        "import polars as pl, sqlite3; c = sqlite3.connect('sqlite/events.sqlite').execute('SELECT * FROM events'); "
        "assert pl.DataFrame(c.fetchall(), [d[0] for d in c.description], orient='row').height == {rows}"
    ),
    "duckdb": (
        "import polars as pl, duckdb; c = duckdb.connect('duckdb/events.duckdb', read_only=True); "
        "assert c.sql('SELECT * FROM events').pl().height == {rows}"
    ),
}


CSV = """\
type = "csv"
path = "{path}"
event_time = "at"
timezone = "UTC"
{settings}
[sources.events.columns]
at = {{ type = "datetime"{written} }}
amount = {{ type = "float" }}
score = {{ type = "float" }}
"""
SETTINGS = 'delimiter = ";"\ndecimal = ","\nnull = ["NULL", "-"]'
WRITTEN = ', format = "%d/%m/%Y %H:%M:%S"'
FILES = 10_000
GIGABYTE = 1_000_000_000
MOST_SECONDS = 3.0
CLOSE = 1.15
KNOWN = """\
type = "parquet"
path = "events.parquet"
event_time = "at"
[sources.events_known]
type = "parquet"
path = "events.parquet"
event_time = "at"
known_at = "loaded_at"
"""
AMOUNTS = """\
import polars as pl
from featurestore import feature

@feature(entity_type="user", data_type="float", source="events")
def without() -> pl.Expr:
    return pl.col("amount")

@feature(entity_type="user", data_type="float", source="events_known")
def with_known_at() -> pl.Expr:
    return pl.col("amount")
"""

LITTLE_MEMORY = """
[offline]
memory = "300MB"
"""
AMOUNT = AMOUNTS.partition('\n@feature(entity_type="user", data_type="float", source="events_known")')[0]
FILES_OF = ("csv", "parquet", "ndjson", "sqlite", "duckdb")
STEADY = 1.15


def make_events(rows: int, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": pl.Series(random.integers(0, 100_000, rows)).cast(pl.String).str.zfill(8),
            "amount": random.gamma(2, 30, rows).round(2),
            "items": random.integers(1, 20, rows),
            "note": pl.Series(random.integers(0, 50, rows)).cast(pl.String),
        }
    )


def make_projects(root: Path, events: pl.DataFrame) -> None:
    for kind in OWN:
        make_project(root / kind, DATABASE.format(kind=kind))
    with closing(sqlite3.connect(root / "sqlite/events.sqlite")) as connection:
        connection.execute("CREATE TABLE events (user_id TEXT, amount REAL, items INTEGER, note TEXT)")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", events.iter_rows())
        connection.commit()
    with closing(duckdb.connect(str(root / "duckdb/events.duckdb"))) as connection:
        connection.register("given", events.to_arrow())
        connection.execute("CREATE TABLE events AS SELECT * FROM given")


def make_csv(root: Path, rows: int) -> None:
    """The same rows written as programs do, and as people in much of Europe do; as one file, and as many."""
    random = np.random.default_rng(1)
    at = pl.Series(np.sort(random.integers(1_600_000_000, 1_700_000_000, rows))).cast(pl.Int64) * 1_000_000
    events = pl.DataFrame(
        {
            "user_id": pl.Series(random.integers(0, 100_000, rows)).cast(pl.String).str.zfill(8),
            "at": at.cast(pl.Datetime("us")),
            "amount": random.gamma(2, 30, rows).round(2),
            "score": pl.Series(random.normal(size=rows)).round(6).set(pl.Series(random.random(rows) < 0.1), None),
            "note": pl.Series(random.integers(0, 50, rows)).cast(pl.String) + " notes",
        }
    )
    for name, settings, written in (("plain", "", ""), ("set", SETTINGS, WRITTEN)):
        make_project(root / name, CSV.format(path="events.csv", settings=settings, written=written))
    events.write_csv(root / "plain/events.csv", datetime_format="%Y-%m-%dT%H:%M:%S")
    people = events.with_columns(
        pl.col("at").dt.strftime("%d/%m/%Y %H:%M:%S"),
        pl.col("amount", "score").cast(pl.String).str.replace(".", ",", literal=True),
    )
    people.write_csv(root / "set/events.csv", separator=";", null_value="NULL")
    (root / "small/events").mkdir(parents=True)
    make_project(root / "small", CSV.format(path="events/*.csv", settings="", written=""))
    lines = (root / "plain/events.csv").read_text().splitlines(keepends=True)
    each = -(-rows // FILES)
    for number in range(FILES):
        part = lines[1 + number * each : 1 + (number + 1) * each]
        (root / f"small/events/{number:05}.csv").write_text(lines[0] + "".join(part))


def measure_databases(root: Path, rows: int, runs: int) -> bool:
    make_projects(root, make_events(rows))
    good = True
    for kind, own in OWN.items():
        commands = {
            f"{kind}'s own library": [sys.executable, "-c", own.format(rows=rows)],
            kind: reading(kind, rows),
        }
        timings = timing.interleave(commands, root, runs)
        title = f"{rows:,} rows of {kind}, whole processes"
        good &= timing.report_close(title, timings, f"{kind}'s own library", {kind: BAR})
    return good


def measure_csv(root: Path, rows: int, runs: int, names: dict[str, float], title: str) -> bool:
    commands = {name: reading(name, rows) for name in ("plain", *names)}
    timings = timing.interleave(commands, root, runs)
    return timing.report_close(f"{rows:,} rows of CSV, {title}", timings, "plain", names)


def measure_large(root: Path, runs: int) -> bool:
    lines = (root / "plain/events.csv").read_bytes()
    header, _, rest = lines.partition(b"\n")
    with (root / "large.csv").open("wb") as file:
        file.write(header + b"\n")
        while file.tell() < GIGABYTE:
            file.write(rest)
    command = [sys.executable, "-m", "featurestore", "init", "new", "--from", "large.csv", "--dry-run"]
    taken = timing.interleave({"init --from": command}, root, runs)["init --from"]
    holds = "holds" if taken.median <= MOST_SECONDS else "MISSED"
    processor = sorted(taken.processor)[len(taken.processor) // 2]
    print(
        f"\ninit --from on 1 GB: {taken.median:.2f} s, {processor:.2f} s of a processor"
        f"  bar {MOST_SECONDS:g} s: {holds}"
    )
    return taken.median <= MOST_SECONDS


def make_known(root: Path, rows: int) -> None:
    """One file of rows that were known up to three days late, as two sources: only one of them says so."""
    folder, random = root / "known", np.random.default_rng(2)
    make_project(folder, KNOWN)
    (folder / "features").mkdir()
    (folder / "features/amounts.py").write_text(AMOUNTS)
    at = pl.Series(np.sort(random.integers(1_600_000_000, 1_700_000_000, rows))).cast(pl.Int64) * 1_000_000
    late = pl.Series(random.integers(0, 3 * 86_400_000_000, rows))
    users = pl.Series(random.integers(0, rows // 10, rows)).cast(pl.String).str.zfill(8)
    pl.DataFrame(
        {
            "user_id": users,
            "at": at.cast(pl.Datetime("us", "UTC")),
            "loaded_at": (at + late).cast(pl.Datetime("us", "UTC")),
            "amount": random.gamma(2, 30, rows).round(2),
        }
    ).unique(["user_id", "at"], keep="first", maintain_order=True).write_parquet(folder / "events.parquet")
    asked = pl.Series(random.integers(1_600_000_000, 1_700_000_000, rows)).cast(pl.Int64) * 1_000_000
    labels = pl.DataFrame({"user_id": users.sample(rows, seed=3), "at": asked.cast(pl.Datetime("us", "UTC"))})
    labels.write_parquet(folder / "labels.parquet")
    subprocess.run([sys.executable, "-m", "featurestore", "-q", "-C", str(folder), "ingest"], check=True)


def measure_known(root: Path, rows: int, runs: int) -> bool:
    make_known(root, rows)
    words = [
        sys.executable,
        "-m",
        "featurestore",
        "-q",
        "join",
        "labels.parquet",
        "--timestamp-column",
        "at",
        "--known",
    ]
    commands = {name: [*words, "-f", name, "--output", f"{name}.parquet"] for name in ("without", "with_known_at")}
    timings = timing.interleave(commands, root / "known", runs)
    title = f"join --known, {rows:,} labels and rows"
    return timing.report_close(title, timings, "without", {"with_known_at": CLOSE})


def portions(rows: int, each: int = 500_000) -> Iterator[pl.DataFrame]:
    """Events a second apart, so many at a time."""
    for start in range(0, rows, each):
        many = min(each, rows - start)
        at = pl.Series("at", np.arange(start, start + many) * 1_000_000 + 1_500_000_000_000_000)
        yield make_events(many, start).insert_column(1, at.cast(pl.Datetime("us")))


def write_rows(kind: str, path: Path, rows: int) -> None:
    if kind == "duckdb":
        with closing(duckdb.connect(str(path))) as store:
            for number, frame in enumerate(portions(rows)):
                store.register("given", frame.to_arrow())
                store.execute(f"{'INSERT INTO events' if number else 'CREATE TABLE events AS'} SELECT * FROM given")
        return
    if kind == "parquet":
        first = next(portions(1)).to_arrow()
        with pq.ParquetWriter(path, first.schema) as writer:
            for frame in portions(rows):
                writer.write_table(frame.to_arrow(), row_group_size=250_000)
        return
    texts = (frame.with_columns(pl.col("at").dt.to_string("%Y-%m-%dT%H:%M:%S")) for frame in portions(rows))
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE events (user_id TEXT, at TEXT, amount REAL, items INTEGER, note TEXT)")
            for frame in texts:
                database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", frame.iter_rows())
            database.commit()
        return
    with path.open("wb") as file:
        for number, frame in enumerate(texts):
            frame.write_csv(file, include_header=number == 0) if kind == "csv" else frame.write_ndjson(file)


def measure_memory(root: Path, rows: int) -> bool:
    """Peaks of first ingests of some rows, and of three times as many."""
    good = True
    for kind in FILES_OF:
        peaks = []
        for many in (3 * rows, 9 * rows):
            folder = root / f"{kind}-{many}"
            table = 'table = "events"\n' if kind in OWN else ""
            source = f'type = "{kind}"\npath = "events.{kind}"\n{table}event_time = "at"\ntimezone = "UTC"\n'
            make_project(folder, source + LITTLE_MEMORY)
            (folder / "features").mkdir()
            (folder / "features/amounts.py").write_text(AMOUNT)
            write_rows(kind, folder / f"events.{kind}", many)
            command = [sys.executable, "-m", "featurestore", "-q", "ingest"]
            peaks.append(timing.interleave({kind: command}, folder, 1, warm_up=False)[kind].peak)
            shutil.rmtree(folder)
        good &= timing.report_peak(
            f"{3 * rows:,} rows of {kind}: {peaks[0]:.0f} MB; {9 * rows:,}:", peaks[1], STEADY * peaks[0]
        )
    return good


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="databases,settings,small,large,known", help="Which parts.")
    options = parser.parse_args()
    parts = set(options.only.split(","))
    good = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if "databases" in parts:
            good &= measure_databases(root, options.rows, options.runs)
        if parts - {"databases", "known", "memory"}:
            make_csv(root, options.rows)
        if "settings" in parts:
            good &= measure_csv(root, options.rows, options.runs, {"set": BAR}, "plain and with settings")
        if "small" in parts:
            good &= measure_csv(root, options.rows, options.runs, {"small": 3.0}, f"in one file and in {FILES:,}")
        if "large" in parts:
            good &= measure_large(root, options.runs)
        if "known" in parts:
            good &= measure_known(root, options.rows, options.runs)
        if "memory" in parts:
            good &= measure_memory(root, options.rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
