"""Lets the threads of this process open a DuckDB file in turn: many readers at once, or one writer alone.

DuckDB refuses to open a file for writing that this process has open for reading. Without turns a writer could only
retry, and threads that read one after another could keep it out for ever.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class GateTimeoutError(Exception):
    """No turn came in time, or none can come because this very thread has the file open the other way."""


class Gate:
    """The turns at one file. A waiting writer goes before readers that come after it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers: Counter[int] = Counter()
        self._writer: int | None = None
        self.writers_waiting = 0

    @contextmanager
    def reading(self, patience: float) -> Iterator[None]:
        """A reader's turn, waited for so many seconds. May be ended by another thread. Raises GateTimeoutError."""
        me = threading.get_ident()
        with self._changed:
            # A thread that reads already is not held up by a waiting writer, which waits for this very thread.
            self._wait(
                lambda: self._writer is None and (me in self._readers or not self.writers_waiting),
                never=lambda: self._writer == me,
                patience=patience,
            )
            self._readers[me] += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers[me] -= 1
                self._readers += Counter()  # drops threads that no longer read
                self._changed.notify_all()

    @contextmanager
    def writing(self, patience: float) -> Iterator[None]:
        """The writer's turn, waited for so many seconds. Raises GateTimeoutError."""
        me = threading.get_ident()
        with self._changed:
            self.writers_waiting += 1
            try:
                self._wait(
                    lambda: self._writer is None and not self._readers,
                    never=lambda: self._writer == me or me in self._readers,
                    patience=patience,
                )
                self._writer = me
            finally:
                self.writers_waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._writer = None
                self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool], *, never: Callable[[], bool], patience: float) -> None:
        deadline = time.monotonic() + patience
        while not ready():
            left = deadline - time.monotonic()
            if never() or left <= 0:
                raise GateTimeoutError
            self._changed.wait(left)


_guard = threading.Lock()
_gates: dict[Path, Gate] = {}


def gate_of(path: Path) -> Gate:
    """The gate of a file, whichever path leads to it."""
    with _guard:
        return _gates.setdefault(path.resolve(), Gate())
