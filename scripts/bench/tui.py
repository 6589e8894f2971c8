#!/usr/bin/env python3
"""How soon the terminal interface is there, and how soon it answers.

    .venv/bin/python scripts/bench/tui.py [--features 1000] [--runs 100000]

Seconds of this process's CPU, since a shared machine's clock says little; keys by the clock and through a terminal, so
the machine must be idle. Bars: the first frame within 0.4 s after the imports on 1,000 features; a key within 50 ms,
also while a query runs; 10,000 rows and 100,000 runs as quick as 1,000.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import math
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from start import make_project

from featurestore.cli.starting import collect_rarely

FRAME, KEY = 0.4, 0.05
PRESSED = (b"j", b"k", b"G", b"g", b"\x04", b"\x15", b"\x1b[6~", b"\x1b[5~") * 6


def cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """The CPU of this thread alone: a query beside it is not ours."""
    began = time.thread_time()
    await work()
    return time.thread_time() - began


async def longest_wait(until: Callable[[], bool]) -> float:
    """The longest time by the clock for which the interface could not have answered; for an idle machine."""
    longest, before = 0.0, time.perf_counter()
    while not until():
        await asyncio.sleep(0.01)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest


async def first_frame(root: Path) -> tuple[float, float, float, float]:
    """Until the frame is drawn, until there are features in it, until all are; and the longest wait in between."""
    from featurestore.config import load_project
    from featurestore.tui.app import FeatureStoreApp
    from featurestore.tui.data import Data
    from featurestore.tui.widgets.table import Table

    began = time.process_time()
    app = FeatureStoreApp(Data(load_project(root)), theme="featurestore-dark")
    async with app.run_test(size=(120, 40)) as pilot:
        frame = time.process_time() - began
        table = app.query_one(Table)
        waited = await longest_wait(lambda: bool(table.items))
        shown = time.process_time() - began
        waited = max(waited, await longest_wait(lambda: app.listed is not None))
        listed = time.process_time() - began
        waited = max(waited, await longest_wait(lambda: not app.is_reading))
        await pilot.pause()
    return frame, shown, listed, waited


IN_TERMINAL = """
import sys
from pathlib import Path
from featurestore.cli.starting import collect_rarely
from featurestore.config import load_project
from featurestore.offline.duckdb.connect import connect
from featurestore.tui.app import FeatureStoreApp
from featurestore.tui.data import Data

QUERY = "SELECT count(*) FROM range(100000000000) t(x) WHERE x % 7 = 3"

def query(app):
    data, ignore = app.data, lambda *_found: None
    app.load("slow", lambda: (data.store, connect().execute(QUERY).fetchone()), ignore, ignore)

collect_rarely()
FeatureStoreApp.action_reload = query
FeatureStoreApp(Data(load_project(Path(sys.argv[1]))), theme="featurestore-dark").run()
"""
"""The interface in a terminal, where the key ``r`` starts a query that never ends."""


def keys(root: Path) -> tuple[list[float], list[float]]:
    """From a key until the first byte of its answer, by the clock, through a terminal: at rest, then beside a query."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execv(sys.executable, [sys.executable, "-c", IN_TERMINAL, str(root)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def answer(quiet: float) -> float:
        """When the first byte came. What comes is read, until nothing has come for so many seconds, or for 3 s."""
        first, until = math.nan, time.perf_counter() + 3.0
        while time.perf_counter() < until and select.select([terminal], [], [], quiet)[0]:
            os.read(terminal, 1 << 16)
            first = time.perf_counter() if math.isnan(first) else first
        return first

    def press(key: bytes) -> float:
        began = time.perf_counter()
        os.write(terminal, key)
        waited = answer(0.25) - began
        if math.isnan(waited):
            raise SystemExit(f"the key {key!r} had no answer")
        return waited

    try:
        for _ in range(3):
            answer(3.0)
        at_rest = [press(key) for key in PRESSED]
        os.write(terminal, b"r")
        answer(1.0)
        return at_rest, [press(key) for key in PRESSED]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def many_runs(count: int) -> tuple[float, float, float]:
    """The time to show so many runs, to go to the last, and to filter them; and of Textual's own table to take them."""
    from textual.app import App, ComposeResult
    from textual.widgets import DataTable

    from featurestore.offline.totals import RunTotals
    from featurestore.tui.data import RunRow, run_text
    from featurestore.tui.filter import narrowed, parse
    from featurestore.tui.places.run_columns import run_columns
    from featurestore.tui.widgets.table import Table

    totals = [
        RunTotals(f"20250101T000000-{at:08x}", at, at, 1.0, "ok", ("s",), "abc", 3, ("a", "b"), 0, 0, at, 0, 0)
        for at in range(count)
    ]  # fmt: skip
    rows = [RunRow(item, run_text(item)) for item in totals]
    terms = parse("status:ok 0000ff", ("status",))
    ours: Table[RunRow] = Table(run_columns(), lambda row: row.totals.run_id)
    measured = ours.measured(rows)  # in a thread, where the interface does it

    class Ours(App[None]):
        def compose(self) -> ComposeResult:
            yield ours

    async with Ours().run_test(size=(120, 40)) as pilot:

        async def show() -> None:
            ours.set_items(measured)
            await pilot.pause()

        async def narrow() -> None:
            ours.set_filter(lambda items: narrowed(items, terms))
            await pilot.pause()

        shown = await timed(show)
        ours.focus()
        ended = await timed(lambda: pilot.press("G"))
        filtered = await timed(narrow)

    class Theirs(App[None]):
        def compose(self) -> ComposeResult:
            yield DataTable()

    async with Theirs().run_test(size=(120, 40)) as pilot:
        theirs = pilot.app.query_one(DataTable)
        theirs.add_columns(*(column.title for column in run_columns()))

        async def take() -> None:
            for row in rows[:10_000]:
                theirs.add_row(*(column.show(row) for column in run_columns()))
            await pilot.pause()

        built_in = await timed(take)
    found = ", ".join(
        f"{name} {seconds * 1e3:.0f} ms"
        for name, seconds in (("shown", shown), ("to the last", ended), ("filtered", filtered))
    )
    print(f"{count:,} runs: {found}")
    print(f"  Textual's own table takes the first 10,000 in {built_in * 1e3:.0f} ms")
    return shown, ended, filtered


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=100_000)
    given = parser.parse_args()
    collect_rarely()  # as the program does
    imports = cpu(lambda: __import__("featurestore.tui.app"))
    print(f"imports {imports:.2f} s")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_project(root, modules=given.features // 10, each=10)
        subprocess.run([sys.executable, "-m", "featurestore", "lock", "-q"], cwd=root, check=True)
        frame, shown, listed, waited = min(asyncio.run(first_frame(root)) for _ in range(3))
        print(f"{given.features:,} features: first frame {frame:.2f} s (bar {FRAME}), the first of them {shown:.2f} s")
        print(f"  all of them {listed:.2f} s, the longest wait until then {waited * 1e3:.0f} ms (bar {KEY * 1e3:.0f})")
        missed += frame > FRAME
        for name, found in zip(("at rest", "beside a query"), keys(root), strict=True):
            middle, most = statistics.median(found) * 1e3, max(found) * 1e3
            print(f"a key {name}: {middle:.1f} ms, at most {most:.1f} ms (bar {KEY * 1e3:.0f})")
            missed += max(found) > KEY
    asyncio.run(many_runs(given.runs))
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
