#!/usr/bin/env python3
"""The point-in-time join as a whole command, against its peers and the in-memory limit, in one run.

    .venv/bin/python scripts/bench/join.py [--rows 10000000] [--labels 1000000] [--runs 3] [--pairs 21] [--keep FOLDER]
        [--feast PYTHON] [--postgres] [--huge] [--only]

`join_data.py` says what the rows are. Bars: three features at most 0.6 of DuckDB's ASOF over clustered tables;
--known and --max-age within 1.15 of the plain join; 20 features under 5 times one; string keys within 1.6 of int
keys; ten times the history within 11 times; peak memory under 1.5 GB. DuckDB and Polars break ties by run, as we do.

- `--feast PYTHON`: three features at least 25 times faster than Feast's DuckDB store, in the environment of that
  Python: `python3 -m venv feast-venv && feast-venv/bin/pip install 'feast[duckdb]==0.67.0'` (see `join_feast.py`)
- `--postgres`: at least 1.5 times faster than LATERAL with its best index, on a server that is started for it, or on
  that of `--postgres-url` (see `join_postgres.py`)
- `--huge`: a history of 100,000,000 rows in 1.5 GB, with the memory set to 1 GB (see `join_huge.py`)

With `--only`, nothing but what these three name. The bars are meant for full size on a quiet machine.
Built anew, all of it takes minutes, and some 20 GB of disk.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

import join_feast
import join_huge
import join_postgres
from join_data import INTS, STRINGS, TENTH, WIDE, build, is_built
from join_ours import agree, differing, ours, peer
from timing import Timing, interleave, report, report_close, report_peak

ASOF = 0.6
CLOSE = 1.15
PEAK_MB = 1_500


def main() -> int:
    given = _arguments()
    feast = join_feast.find_feast(given.feast)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    folder: Path = given.keep or Path(tempfile.mkdtemp(prefix="join-bench-"))
    good = True
    try:
        if not is_built(folder, given.rows, given.labels):
            build(folder, given.rows, given.labels)
        if not given.only:
            good &= measure(folder, given.runs, given.pairs)
        if feast is None:
            print("\nFeast is not installed here, and --feast names no Python that has it: it was not timed")
        else:
            good &= join_feast.measure(folder, feast, given.feast_runs)
        if given.postgres_url:
            good &= join_postgres.measure(
                folder, given.postgres_url, given.rows, given.runs, keep=given.keep is not None
            )
        elif given.postgres:
            with join_postgres.serve(folder / "server") as url:
                good &= join_postgres.measure(folder, url, given.rows, given.runs, keep=True)
        if given.huge:
            good &= join_huge.measure(folder / "huge", given.huge_rows, given.labels, given.runs, given.memory)
        return 0 if good else 1
    finally:
        if given.keep is None:
            shutil.rmtree(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of history per feature")
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=21, help="turns of what is nearly equal: --known and --max-age")
    parser.add_argument("--keep", type=Path, help="build here, or use what was built here")
    parser.add_argument("--only", action="store_true", help="leave out DuckDB, Polars and the limit")
    parser.add_argument("--feast", type=Path, metavar="PYTHON", help="the Python of an environment that has Feast")
    parser.add_argument("--feast-runs", type=int, default=2)
    parser.add_argument("--postgres", action="store_true", help="on a server of its own")
    parser.add_argument("--postgres-url", metavar="URL", help="on this server, in a schema of its own")
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--huge-rows", type=int, default=100_000_000)
    parser.add_argument("--memory", default="1GB", help="what FEATURESTORE_OFFLINE_MEMORY is for --huge")
    given = parser.parse_args()
    given.keep = given.keep and given.keep.absolute()
    return given


def measure(folder: Path, runs: int, pairs: int) -> bool:
    """Everything against DuckDB, Polars, the limit, and itself. Tells whether all bars hold."""
    columns = folder / ".featurestore" / "columns"
    made = "first join, columns are made"
    first = interleave(
        {made: ours(INTS[:1], "user.parquet")},
        folder, 1, before=lambda _: shutil.rmtree(columns, ignore_errors=True),
    )  # fmt: skip
    good = report("The first join of one feature", first, made, {})
    three, holds = _three_features(folder, runs)
    good &= holds
    one, holds = _one_feature(folder, runs)
    good &= holds
    close = {
        "plain": ours(INTS[:1], "user.parquet"),
        "--known": ours(INTS[:1], "user.parquet", "--known", output="known.parquet"),
        "--max-age 3d": ours(INTS[:1], "user.parquet", "--max-age", "3d", output="young.parquet"),
    }
    pair = interleave(close, folder, pairs)
    good &= report_close("One feature, narrowed", pair, "plain", {"--known": CLOSE, "--max-age 3d": CLOSE})
    peak = max(timing.peak for timing in (*first.values(), *three.values(), *one.values(), *pair.values()))
    return good & report_peak("\npeak memory of ours", peak, PEAK_MB)


def _three_features(folder: Path, runs: int) -> tuple[dict[str, Timing], bool]:
    """Ours of int and of string keys, each against the faster of DuckDB's two that answers right."""
    mine, good = {}, True
    for kind, names, key, labels in (
        ("int", INTS, "user_id", "user.parquet"), ("string", STRINGS, "customer_id", "customer.parquet"),
    ):  # fmt: skip
        own, by_run, plain = (
            f"ours, {kind}",
            f"DuckDB ASOF, ties by run, {kind}",
            f"DuckDB ASOF, ties by chance, {kind}",
        )
        asof = (key, ",".join(names), labels)
        commands = {
            by_run: peer("duckdb_asof.py", *asof, "duckdb.parquet", "peer.duckdb"),
            own: ours(names, labels),
            plain: peer("duckdb_asof.py", *asof, "plain.parquet", "peer.duckdb", "plain"),
        }
        timings = interleave(commands, folder, runs)
        agree(folder, names, labels, "duckdb.parquet")
        wrong = differing(folder, names, "plain.parquet")
        peers = (by_run,) if wrong else (by_run, plain)
        fastest = min(peers, key=lambda name, timings=timings: timings[name].median)
        good &= report(f"Three features, {kind} keys, clustered tables", timings, fastest, {own: ASOF})
        print(f"  rows that ties by chance answer otherwise: {wrong:,}")
        mine[own] = timings[own]
    return mine, good


def _one_feature(folder: Path, runs: int) -> tuple[dict[str, Timing], bool]:
    """Ours of one feature against the peers, of many features, of other keys, and of a tenth of the history."""
    name = INTS[0]
    mine = {
        "plain": ours([name], "user.parquet"),
        "string keys": ours(STRINGS[:1], "customer.parquet", output="string.parquet"),
        "20 features": ours(WIDE, "user.parquet", output="wide.parquet"),
        "a tenth of the history": ours([TENTH], "user.parquet", output="tenth.parquet"),
    }
    peers = {
        "DuckDB ASOF": peer("duckdb_asof.py", "user_id", name, "user.parquet", "duckdb.parquet", "peer.duckdb"),
        "Polars join_asof": peer("polars_asof.py", "user_id", name, "user.parquet", "polars.parquet"),
        "in-memory limit": peer("memory_limit.py", name, "user.parquet", "limit.parquet"),
    }
    timings = interleave({**mine, **peers}, folder, runs)
    for theirs in ("duckdb.parquet", "polars.parquet", "limit.parquet"):
        agree(folder, [name], "user.parquet", theirs)
    good = report("One feature, int keys", timings, "plain", {"string keys": 1.6, "20 features": 5.0})
    pair = {which: timings[which] for which in ("a tenth of the history", "plain")}
    good &= report("Ten times the history", pair, "a tenth of the history", {"plain": 11})
    return {which: timings[which] for which in mine}, good


if __name__ == "__main__":
    sys.exit(main())
