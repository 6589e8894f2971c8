"""Logs that nobody waits for: lines go through a bounded queue to a thread that writes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

MOST_LINES = 10_000


class LineWriter:
    """Calls ``write`` with lines, in a thread of its own.

    ``lose`` is told how many lines were dropped: the queue had no room for them, or ``write`` failed.
    """

    def __init__(self, write: Callable[[str], object], lose: Callable[[float], object], most: int = MOST_LINES) -> None:
        self._queue: queue.Queue[str | None] = queue.Queue(most)
        self._write, self._lose = write, lose
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def __call__(self, line: str) -> None:
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._lose(1)

    def close(self, seconds: float = 5.0) -> None:
        """Writes what is waiting and ends the thread; gives up after some seconds where nobody reads."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=seconds)
            self._thread.join(seconds)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            lines = [line]
            with suppress(queue.Empty):
                while len(lines) < 1_000:
                    more = self._queue.get_nowait()
                    if more is None:
                        self._put("".join(lines))
                        return
                    lines.append(more)
            self._put("".join(lines))

    def _put(self, text: str) -> None:
        try:
            self._write(text)
        except (OSError, ValueError):  # a full disk, or whoever read it is gone: serving goes on
            self._lose(text.count("\n"))
