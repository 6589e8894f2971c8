#!/usr/bin/env python3
"""Reading a table of 1,000,000 rows from SQLite and from DuckDB, against their own library reading it into Polars.

    .venv/bin/python scripts/bench/sources.py [--rows 1000000] [--runs 5]

Bars: at most 1.5 times the library. Ours types each column, checks the keys and keeps each row's place.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import timing

BAR = 1.5
TOML = """\
[project]
name = "bench"
[entity_types.user]
keys = {{ user_id = "string" }}
[sources.events]
type = "{kind}"
path = "events.{kind}"
table = "events"
"""
OURS = (
    "from pathlib import Path; from featurestore.config import load_project; "
    "from featurestore.sources.offers import open_source; from featurestore.sources.reading import read_rows; "
    "project = load_project(Path('{kind}')); source = project.sources['events']; "
    "opened = open_source(project, source); offer = opened.offer(); "
    "assert read_rows(project, source, opened, offer, {{'user_id': 'string'}}).frame.height == {rows}"
)
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
        (root / kind).mkdir()
        (root / kind / "featurestore.toml").write_text(TOML.format(kind=kind))
    with closing(sqlite3.connect(root / "sqlite/events.sqlite")) as connection:
        connection.execute("CREATE TABLE events (user_id TEXT, amount REAL, items INTEGER, note TEXT)")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", events.iter_rows())
        connection.commit()
    with closing(duckdb.connect(str(root / "duckdb/events.duckdb"))) as connection:
        connection.register("given", events.to_arrow())
        connection.execute("CREATE TABLE events AS SELECT * FROM given")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_projects(root, make_events(options.rows))
        for kind, own in OWN.items():
            commands = {
                f"{kind}'s own library": [sys.executable, "-c", own.format(rows=options.rows)],
                kind: [sys.executable, "-c", OURS.format(kind=kind, rows=options.rows)],
            }
            timings = timing.interleave(commands, root, options.runs)
            title = f"{options.rows:,} rows of {kind}, whole processes"
            good &= timing.report(title, timings, f"{kind}'s own library", {kind: BAR})
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
