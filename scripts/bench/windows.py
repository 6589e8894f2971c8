#!/usr/bin/env python3
"""Windows: the steps of a sum over 30 days, a join with it, and a day more, against DuckDB over the same events.

    .venv/bin/python scripts/bench/windows.py [--events 10000000] [--entities 100000] [--labels 1000000]

- the first run, less that of a feature of each row: at most 4 times DuckDB's SUM() OVER of the same range
- a join of the labels: at most 1.3 times that of the feature of each row
- against aggregating at the label with DuckDB (join and group by): at least 10 times faster
- a thousandth of the events more, a day later, with what is due by then: at most 0.1 of the first run

All are timed once, by turns, in processor time of the process and its children; the clock is printed beside.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from featurestore import FeatureStore, times

DAY = 86_400_000_000
YEAR = 365 * DAY
NOW = times.parse_instant("2026-01-01T00:00:00Z")[0]
TOML = """
[project]
name = "windows"
[entity_types.card]
keys = { card = "int" }
[sources.payments]
type = "parquet"
path = "data/*.parquet"
event_time = "at"
id = ["number"]
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="int")
def amount_paid() -> pl.Expr:
    return pl.col("amount")


@feature(entity_type="card", data_type="int", window="30d")
def spend_30d() -> pl.Expr:
    return pl.col("amount").sum()
"""
OVER = """
SELECT card, "at", sum(amount) OVER (PARTITION BY card ORDER BY "at"
    RANGE BETWEEN INTERVAL 30 DAY PRECEDING AND CURRENT ROW) AS spend
FROM 'data/a.parquet'
"""
AT_LABELS = """
SELECT l.card, l.t, sum(amount) AS spend FROM 'labels.parquet' l
LEFT JOIN 'data/a.parquet' e ON e.card = l.card AND e."at" <= l.t AND e."at" > l.t - INTERVAL 30 DAY GROUP BY ALL
"""


def events(count: int, entities: int, first: int, low: int, high: int) -> pl.DataFrame:
    rng = np.random.default_rng(first)
    return pl.DataFrame(
        {
            "number": np.arange(first, first + count),
            "card": rng.integers(0, entities, count),
            "at": pl.Series(np.sort(rng.integers(low, high, count))).cast(pl.Datetime("us", "UTC")),
            "amount": rng.integers(-500, 5_000, count),
        }
    )


def timed(what: str, work: Callable[[], object]) -> float:
    """Processor seconds of a piece of work, printed with those of the clock."""
    before, clock = os.times(), time.perf_counter()
    work()
    after = os.times()
    seconds = sum(after[:4]) - sum(before[:4])
    print(f"{what:<52} {seconds:8.2f} s processor {time.perf_counter() - clock:8.2f} s", flush=True)
    return seconds


def measure(root: Path, arguments: argparse.Namespace) -> list[tuple[str, float, float]]:
    """What was measured, as (what, ratio, bar); a ratio is to be at most its bar."""
    (root / "data").mkdir()
    (root / "features").mkdir()
    (root / "featurestore.toml").write_text(TOML)
    (root / "features" / "payments.py").write_text(FEATURES)
    events(arguments.events, arguments.entities, 0, NOW - YEAR, NOW).write_parquet(root / "data" / "a.parquet")
    asked = events(arguments.labels, arguments.entities, 1, NOW - YEAR, NOW)
    asked.select("card", t="at").write_parquet(root / "labels.parquet")
    os.chdir(root)
    store, connection = FeatureStore(root), duckdb.connect()
    labels = pl.read_parquet("labels.parquet")

    def join(name: str) -> float:
        store.historical_features(labels.head(1_000), [name], timestamp_column="t")  # sorted columns are made here
        return timed(f"join with {name}", lambda: store.historical_features(labels, [name], timestamp_column="t"))

    clock, times.now = times.now, lambda: NOW
    try:
        rows = timed("first run, amount_paid", lambda: store.ingest("amount_paid", drift=False))
        first = timed("first run, spend_30d", lambda: store.ingest("spend_30d", drift=False))
        over = timed("DuckDB, SUM() OVER", lambda: connection.sql(OVER).to_arrow_table())
        at_rows, at_windows = join("amount_paid"), join("spend_30d")
        at_labels = timed("DuckDB, join and group by", lambda: connection.sql(AT_LABELS).to_arrow_table())
        times.now = lambda: NOW + DAY
        more = events(max(arguments.events // 1_000, 1), arguments.entities, arguments.events, NOW, NOW + DAY)
        more.write_parquet(root / "data" / "b.parquet")
        later = timed("a day later, spend_30d", lambda: store.ingest("spend_30d", drift=False))
    finally:
        times.now = clock
    return [
        ("steps against SUM() OVER", max(first - rows, 0) / over, 4.0),
        ("join against a feature of each row", at_windows / at_rows, 1.3),
        ("join against aggregating at the label", at_windows / at_labels, 0.1),
        ("a day later against the first run", later / first, 0.1),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), parser.parse_args())
    for what, ratio, bar in found:
        print(f"{what:<52} {ratio:8.3f}, at most {bar:g}: {'holds' if ratio <= bar else 'MISSED'}")
    return int(any(ratio > bar for _, ratio, bar in found))


if __name__ == "__main__":
    sys.exit(main())
