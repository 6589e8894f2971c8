"""What changes something: each action is a command of ``featurestore``, run by itself beside the interface.

So it does what it says it does, a user's code never runs in the interface, and cancelling it is Ctrl-C to it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.frozen import frozen
from featurestore.tui import commands

if TYPE_CHECKING:
    from featurestore.tui.places.place import Place

OUTCOMES = {
    0: "done", 1: "done, and a check found something", 2: "refused: nothing was changed", 3: "partly done",
    4: "failed: nothing was committed", 10: "there is no project", 11: "another run holds the lock",
    12: "a store is unreachable, full or refuses", 13: "a newer release has written here",
    70: "a defect of featurestore", 130: "cancelled: nothing half-done is left",
}  # fmt: skip
KILL_SECONDS = 10.0


@frozen
class Action:
    """A command to run: its words, what it is called, and what it will do, in a sentence."""

    title: str
    words: tuple[str, ...]
    what: str


@frozen
class Impossible:
    """Why an action can't be done here."""

    reason: str


def action_for(name: str, place: Place) -> Action | Impossible:
    """The action of that name on what is looked at."""
    match name:
        case "ingest":
            return _ingest(place.subject)
        case "sync":
            return Action("Sync", tuple(commands.sync_words()), "bring the online store up to date with the history")
        case "lock":
            return _lock(place.subject)
        case "promote":
            return place.promotion
        case "baseline":
            return place.baseline
        case _:
            return Impossible(f"there is no action {name!r}")


def _ingest(feature: str | None) -> Action:
    if feature is None:
        return Action(
            "Ingest all features", tuple(commands.ingest_words()), "read every source and compute what is new"
        )
    words = tuple(commands.ingest_words([feature]))
    return Action(f"Ingest {feature}", words, "read its source and compute what is new")


def _lock(feature: str | None) -> Action:
    names = [] if feature is None else [feature]
    what = "write the version file of its code as it is now" if names else "write the version files of all changed code"
    return Action("Lock" if feature is None else f"Lock {feature}", tuple(commands.lock_words(names)), what)


@dataclass(slots=True)
class Running:
    """A command that was started. `finish` waits for its end; `cancel` asks for it, the second time with force."""

    process: asyncio.subprocess.Process
    _asked: bool = False

    @classmethod
    async def start(cls, words: Sequence[str], root: Path, width: int) -> Running:
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": str(width), "PYTHONUNBUFFERED": "1"}
        # -P: nothing of the folder that one happens to be in is imported in place of ours.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "featurestore", "-C", str(root), "-v", *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment, start_new_session=True,
        )  # fmt: skip
        return cls(process)

    async def finish(self, on_line: Callable[[str, bool], None]) -> int:
        """Its exit code. ``on_line`` takes each line, and whether it is of the result."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        await asyncio.gather(
            _read(self.process.stdout, lambda line: on_line(line, True)),
            _read(self.process.stderr, lambda line: on_line(line, False)),
        )
        return await self.process.wait()

    def cancel(self) -> None:
        """Ctrl-C to the command and what it has started."""
        number = signal.SIGTERM if self._asked else signal.SIGINT
        self._asked = True
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def _read(stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # a line that is longer than the buffer
            continue
        if not line:
            return
        take(line.decode("utf-8", "replace").rstrip("\n"))
