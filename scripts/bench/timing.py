"""Whole processes, timed in turn: A B, B A, A B …, so that a machine whose speed drifts can't favour one side."""

from __future__ import annotations

import itertools
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """Seconds by the clock and of the processor, and peak memory (MB), of each run of a command."""

    seconds: tuple[float, ...]
    processor: tuple[float, ...]
    peak_mb: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def peak(self) -> float:
        return max(self.peak_mb)


@dataclass(frozen=True)
class Ratio:
    """How much longer one command takes than another, in several ways; ``paired`` is what is judged.

    Each run is divided by the other's of the same turn, a moment before or after: what slows the machine down for
    longer than that slows both. ``paired`` is the median of those, and between ``low`` and ``high`` it lies with 95 %
    confidence, whatever the noise is like (order statistics: nothing is assumed to be normal).
    """

    paired: float
    low: float
    high: float
    medians: float
    minima: float
    processor: float

    @classmethod
    def of(cls, timing: Timing, peer: Timing) -> Ratio:
        ratios = sorted(one / other for one, other in zip(timing.seconds, peer.seconds, strict=True))
        skipped = _skipped(len(ratios))
        return cls(
            paired=statistics.median(ratios),
            low=ratios[skipped],
            high=ratios[-1 - skipped],
            medians=timing.median / peer.median,
            minima=min(timing.seconds) / min(peer.seconds),
            processor=statistics.median(timing.processor) / statistics.median(peer.processor),
        )


def _skipped(count: int) -> int:
    """How many of so many sorted values lie outside the 95 % interval of their median, at either end."""
    at_most = itertools.accumulate(math.comb(count, number) / 2**count for number in range(count))
    outside: int = sum(chance <= 0.025 for chance in at_most)
    return max(outside - 1, 0)


def run_once(command: Sequence[str], cwd: Path) -> tuple[float, float, float]:
    """One run: (seconds, those of the processor, peak MB as the kernel counted them).

    A failing command ends the benchmark.
    """
    timed = [sys.executable, "-I", "-S", str(Path(__file__).with_name("timed.py")), *command]
    done = subprocess.run(timed, cwd=cwd, capture_output=True, text=True, env=clean_env(), check=True)
    *figures, code = done.stdout.split()
    if code != "0":
        sys.exit(f"{' '.join(command)}: exit {code}\n{done.stderr}")
    seconds, processor, peak_mb = map(float, figures)
    return seconds, processor, peak_mb


def interleave(
    commands: Mapping[str, Sequence[str]], cwd: Path, runs: int, before: object = None, *, warm_up: bool = True
) -> dict[str, Timing]:
    """Times the commands in turn, after one warm-up of each. ``before(name)`` prepares each run, untimed.

    Every second turn goes backwards, so that no command always comes first, or always after the same one.
    """
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for turn in range(0 if warm_up else 1, runs + 1):
        for name in list(commands)[:: 1 if turn % 2 else -1]:
            if callable(before):
                before(name)
            result = run_once(commands[name], cwd)
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
        print(f"{_line(name, timing)}  ratio {ratio:6.2f}{verdict}")
    return good


def report_faster(title: str, timings: Mapping[str, Timing], peer: str, bars: Mapping[str, float]) -> bool:
    """`report` the other way round: how many times as fast as the peer each is, at least the bar."""
    print(f"\n{title}")
    good = True
    for name, timing in timings.items():
        times = timings[peer].median / timing.median
        bar = bars.get(name)
        verdict = "" if bar is None else f"  bar {bar:g}: {'holds' if times >= bar else 'MISSED'}"
        good &= bar is None or times >= bar
        print(f"{_line(name, timing)}  {times:6.2f} times as fast{verdict}" if name != peer else _line(name, timing))
    return good


def report_close(title: str, timings: Mapping[str, Timing], peer: str, bars: Mapping[str, float]) -> bool:
    """`report` for ratios near 1: judges the median of the paired ratios, and says how sure it is."""
    turns = len(timings[peer].seconds)
    print(f"\n{title}: judged is the median of {turns} ratios, each of two runs side by side")
    good = True
    for name, timing in timings.items():
        print(_line(name, timing))
        if name not in bars:
            continue
        bar, ratio = bars[name], Ratio.of(timing, timings[peer])
        good &= ratio.paired <= bar
        verdict = "holds" if ratio.paired <= bar else "MISSED"
        unsure = ", within the noise: take more turns" if ratio.low <= bar < ratio.high else ""
        print(
            f"    paired {ratio.paired:.3f} (95 %: {ratio.low:.3f} to {ratio.high:.3f})  bar {bar:g}: {verdict}{unsure}"
        )
        print(
            f"    of medians {ratio.medians:.3f}, of minima {ratio.minima:.3f}, of processor time {ratio.processor:.3f}"
        )
    return good


def report_peak(title: str, peak: float, bar: float) -> bool:
    """Prints a peak of memory (MB); tells whether it is under the bar."""
    print(f"{title} {peak:.0f} MB  bar {bar:.0f}: {'holds' if peak < bar else 'MISSED'}", flush=True)
    return peak < bar


def _line(name: str, timing: Timing) -> str:
    low, high = min(timing.seconds), max(timing.seconds)
    return f"  {name:34s} {timing.median * 1000:9.1f} ms ({low * 1000:.0f} to {high * 1000:.0f})  {timing.peak:7.0f} MB"
