#!/usr/bin/env python3
"""What watching features' code costs: an ingest with the audit hook, against the same without it.

    .venv/bin/python scripts/bench/watch.py [--runs 15] [--features 100] [--rows 20000]

Bar: at most 2 % of an ingest's processor time, judged by the median of the paired runs.
Half of the features are in the long form, and each reads a declared file.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import timing
from ingest import TOML, make_csv

HEAD = "import json\nfrom pathlib import Path\n\nimport polars as pl\n\nfrom featurestore import feature\n"
FEATURE = """

@feature(entity_type="user", data_type="float", depends_on=["w.json"])
def short_{n}() -> pl.Expr:
    return pl.col("amount") * json.loads(Path("w.json").read_text())["a"] + {n}


@feature(entity_type="user", data_type="float", depends_on=["w.json"])
def long_{n}(frame: pl.DataFrame) -> pl.DataFrame:
    weight = json.loads(Path("w.json").read_text())["a"]
    value = (pl.col("amount") * weight + {n}).alias("value")
    return frame.select(pl.col("user_id").alias("entity_id"), pl.col("event_at").alias("computed_at"), value)
"""
UNWATCHED = """
import contextlib, sys
from featurestore.cli.app import run
from featurestore.workflows.ingest.targets import Target
if sys.argv[1] == "unwatched":
    Target.watching = lambda self: contextlib.nullcontext()
sys.exit(run(["-C", ".", "ingest", "-q", "--no-drift"]))
"""
BAR = 1.02


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "features").mkdir()
        (root / "featurestore.toml").write_text(TOML)
        (root / "w.json").write_text('{"a": 2.5}')
        body = "".join(FEATURE.format(n=n) for n in range(options.features // 2))
        (root / "features" / "money.py").write_text(HEAD + body)
        make_csv(root / "events.csv", options.rows)

        def forget(name: str) -> None:
            shutil.rmtree(root / ".featurestore", ignore_errors=True)

        commands = {name: [sys.executable, "-c", UNWATCHED, name] for name in ("unwatched", "watched")}
        timings = timing.interleave(commands, root, options.runs, forget)
    ratio = timing.Ratio.of(timings["watched"], timings["unwatched"])
    print(f"{options.features} features, {options.rows:,} rows: watched {timings['watched'].median:.3f} s,")
    print(f"  unwatched {timings['unwatched'].median:.3f} s; processor time {ratio.processor:.4f} times,")
    print(f"  by the clock {ratio.paired:.4f} times (between {ratio.low:.4f} and {ratio.high:.4f})")
    pairs = zip(timings["watched"].processor, timings["unwatched"].processor, strict=True)
    paired = statistics.median(one / other for one, other in pairs)
    good = paired <= BAR
    print(f"  paired processor time {paired:.4f}, bar {BAR}: {'holds' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
