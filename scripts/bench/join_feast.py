"""Our join of three features against Feast's DuckDB store: one view over the same rows, the same labels.

Feast needs other releases than ours of what both use, so it lives in an environment of its own:

    python3 -m venv feast-venv && feast-venv/bin/pip install 'feast[duckdb]==0.67.0'
    .venv/bin/python scripts/bench/join.py --feast feast-venv/bin/python

Found to work (November 2026): ibis-framework 12.0.0, duckdb 2.0.1, pandas 2.3.3, pyarrow 26.0.1, Python 3.11.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from join_data import VIEW
from join_ours import differing, ours, peer
from timing import interleave, report_faster, run_once

TIMES = 25


def find_feast(python: Path | None) -> str | None:
    """The Python that has Feast: the one named, or this one. A name of nothing ends the benchmark before it begins."""
    if python is not None:
        if not python.exists():
            sys.exit(f"{python}: no such Python")
        return str(python.absolute())
    return sys.executable if find_spec("feast") is not None else None


def measure(folder: Path, python: str, runs: int) -> bool:
    """Prints how many times faster ours is, and in how many rows the answers differ."""
    run_once(peer("feast_store.py", "apply", ".", python=python), folder)
    mine, theirs, sorted_ = "ours", "Feast, DuckDB store", "Feast, rows sorted by entity and time"
    commands = {
        mine: ours(VIEW, "user.parquet"),
        theirs: peer("feast_store.py", "join", ".", "view", "user.parquet", "feast.parquet", python=python),
        sorted_: peer("feast_store.py", "join", ".", "view_sorted", "user.parquet", "sorted.parquet", python=python),
    }
    run_once(commands[mine], folder)  # the columns are there from now on; a run of Feast is too long to warm up for
    timings = interleave(commands, folder, runs, warm_up=False)
    good = report_faster("Three features of one view", timings, theirs, {mine: TIMES})
    print(f"  ours against the sorted rows: {timings[sorted_].median / timings[mine].median:.1f} times as fast")
    print(f"  rows that Feast answers otherwise: {differing(folder, VIEW, 'feast.parquet'):,}", flush=True)
    return good
