#!/usr/bin/env python3
"""How long the executable takes to answer, with 100 locked features, against a bare ``python -c pass``.

    .venv/bin/python scripts/bench/start.py [--runs 15]

Bars: ``--version`` at most 2.5 times, ``list --json`` 10, ``list`` 15, ``check`` 12; the pre-commit hook on 100 staged
features at most 0.4 s.
"""

from __future__ import annotations

import argparse
import compileall
import subprocess
import sys
import tempfile
from pathlib import Path

import timing

import featurestore

CLONE = Path(__file__).resolve().parents[2]
HOOK_SECONDS = 0.4
BARS = {"--version": 2.5, "list --json": 10, "list": 15, "check": 12}

TOML = """\
[project]
name = "bench"
[entity_types.user]
keys = { user_id = "string" }
[sources.events]
type = "csv"
path = "events.csv"
event_time = "event_at"
"""
LIBRARY = """\
import polars as pl

SCALE_{m} = {m}.5


def scale_{m}(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64) * SCALE_{m}
"""
HEAD = """\
import polars as pl

from features.lib.scale_{m} import scale_{m}
from featurestore import feature
"""
FEATURE = """

@feature(entity_type="user", data_type="float", description="Amount, {n}", owner="bench", tags=["money"])
def amount_{n}() -> pl.Expr:
    return (scale_{m}("amount") + {n}).clip(0, {n}00)
"""


def make_project(root: Path, modules: int = 20, each: int = 5) -> None:
    """A hundred features in twenty modules, each with a helper of its own."""
    (root / "features" / "lib").mkdir(parents=True)
    (root / "featurestore.toml").write_text(TOML)
    for m in range(modules):
        (root / "features" / "lib" / f"scale_{m}.py").write_text(LIBRARY.format(m=m))
        body = "".join(FEATURE.format(n=m * each + at, m=m) for at in range(each))
        (root / "features" / f"money_{m}.py").write_text(HEAD.format(m=m) + body)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    compileall.compile_dir(Path(featurestore.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_project(root)
        executable = str(Path(sys.executable).with_name("featurestore"))
        subprocess.run([executable, "lock", "-q"], cwd=root, check=True)
        for command in (["init", "-q"], ["add", "."]):
            subprocess.run(["git", *command], cwd=root, check=True)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "--version": [executable, "--version"],
            "list --json": [executable, "list", "--json"],
            "list": [executable, "list"],
            "plan --json": [executable, "plan", "--json"],
            "--help": [executable, "--help"],
            "check": [executable, "check"],
            "pre-commit hook": [sys.executable, str(CLONE / "scripts" / "hook"), "check"],
        }
        timings = timing.interleave(commands, root, runs)
        (root / ".featurestore" / "known_hashes.json").unlink()
        unknown = ["list --json", "check"]
        timings |= timing.interleave({f"{name}, of a clone": commands[name] for name in unknown}, root, runs)
    good = timing.report("100 features, whole processes", timings, "python -c pass", BARS)
    fast = timings["pre-commit hook"].median <= HOOK_SECONDS
    print(f"  the hook on 100 features, all staged: bar {HOOK_SECONDS} s: {'holds' if fast else 'MISSED'}")
    return 0 if good and fast else 1


if __name__ == "__main__":
    sys.exit(main())
