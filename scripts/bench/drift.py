#!/usr/bin/env python3
"""What drift and statistics add to an ingestion, against the same ingestion without them.

    .venv/bin/python scripts/bench/drift.py [--rows 1000000] [--runs 7]

Three features. Bars: at most 15 % for 1,000,000 rows, for a first run and for one that is compared with it; at most
150 ms for 303 rows. "Without" is the same command with the function that measures, and its imports, replaced by one
that does nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import ingest
import timing

WITHOUT = """\
import sys, types
from dataclasses import dataclass
stand_in = types.ModuleType("featurestore.drift.assess")
class ReferenceRuns: ...
class Assessment:
    verdict, statistics, sample = {}, {}, None
stand_in.ReferenceRuns, stand_in.Assessment = ReferenceRuns, Assessment
stand_in.assess = lambda *args, **named: Assessment()
sys.modules["featurestore.drift.assess"] = stand_in
from featurestore.workflows.drift import reference
reference.find_reference = reference.find_previous = lambda *args, **named: None
from featurestore.cli.app import run
sys.exit(run(sys.argv[1:]))
"""
WITH = "import sys; from featurestore.cli.app import run; sys.exit(run(sys.argv[1:]))"
SHARE, MILLISECONDS = 1.15, 150


class Projects:
    """A project with and one without drift, each reset to its initial state before a run."""

    def __init__(self, root: Path, rows: int, *, second: bool) -> None:
        self.root = root / f"{'second' if second else 'first'}-{rows}"
        self.states: dict[str, Path] = {}
        self.commands: dict[str, list[str]] = {}
        for name, program in (("without", WITHOUT), ("with", WITH)):
            project = ingest.make_project(self.root / name, 3)
            ingest.make_csv(project / "events.csv", rows)
            command = [sys.executable, "-c", program, "ingest", "-q", "-C", str(project)]
            if second:
                timing.run_once([sys.executable, "-c", WITH, *command[3:]], project)
                ingest.make_csv(project / "later.csv", rows, seed=1)
                command += ["--source", "events", "--input", str(project / "later.csv")]
                self.states[name] = self.root / f"{name}-state"
                shutil.copytree(project / ".featurestore", self.states[name])
            self.commands[name] = command

    def reset(self, name: str) -> None:
        state = self.root / name / ".featurestore"
        shutil.rmtree(state, ignore_errors=True)
        if name in self.states:
            shutil.copytree(self.states[name], state)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for rows in (303, options.rows):
            for second in (False, True):
                projects = Projects(Path(folder), rows, second=second)
                timings = timing.interleave(projects.commands, Path(folder), options.runs, projects.reset)
                title = f"{rows:,} rows, {'compared with the first run' if second else 'first run'}"
                bars = {} if rows == 303 else {"with": SHARE}
                good &= timing.report(title, timings, "without", bars)
                if rows == 303:
                    added = (timings["with"].median - timings["without"].median) * 1000
                    good &= added <= MILLISECONDS
                    verdict = "holds" if added <= MILLISECONDS else "MISSED"
                    print(f"  adds {added:.0f} ms  bar {MILLISECONDS}: {verdict}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
