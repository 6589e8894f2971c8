"""Whole processes, timed in turn: A B A B …, so that a machine whose speed drifts can't favour one side."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """Seconds of wall clock and peak memory (MB) of each run of a command."""

    seconds: tuple[float, ...]
    peak_mb: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def peak(self) -> float:
        return max(self.peak_mb)


def run_once(command: Sequence[str], cwd: Path) -> tuple[float, float]:
    """One run: (seconds, peak MB as the kernel counted them). A failing command ends the benchmark."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_env())
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}\n{said.decode()}")
    return seconds, usage.ru_maxrss / 1024


def interleave(commands: Mapping[str, Sequence[str]], cwd: Path, runs: int, before: object = None) -> dict[str, Timing]:
    """Times the commands in turn, after one warm-up of each. ``before(name)`` prepares each run, untimed."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            if callable(before):
                before(name)
            result = run_once(command, cwd)
            if turn:
                found[name].append(result)
    return {name: Timing(*zip(*results, strict=True)) for name, results in found.items()}


def clean_env() -> dict[str, str]:
    """The environment without settings of ours, and with byte code allowed."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FEATURESTORE_") and name != "PYTHONDONTWRITEBYTECODE"
    }


def report(title: str, timings: Mapping[str, Timing], peer: str, bars: Mapping[str, float]) -> bool:
    """Prints medians, ranges and ratios to the peer; tells whether every bar holds."""
    print(f"\n{title}")
    good = True
    for name, timing in timings.items():
        ratio = timing.median / timings[peer].median
        bar = bars.get(name)
        verdict = "" if bar is None else f"  bar {bar:g}: {'holds' if ratio <= bar else 'MISSED'}"
        good &= bar is None or ratio <= bar
        low, high = min(timing.seconds), max(timing.seconds)
        print(
            f"  {name:32s} {timing.median * 1000:9.1f} ms ({low * 1000:.0f} to {high * 1000:.0f})"
            f"  {timing.peak:7.0f} MB  ratio {ratio:6.2f}{verdict}"
        )
    return good
