"""Signals for what works below Python.

A library that is at work hears of a signal when it looks for one: DuckDB between two tasks, and a task may last as
long as its query. So a thread listens for signals too, and interrupts whatever has been named to it.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Protocol
from weakref import ReferenceType, ref

ENDING = (signal.SIGINT, signal.SIGTERM)


class Interruptible(Protocol):
    def interrupt(self) -> None:
        """Ends what it is doing, if anything. Called from another thread."""
        ...


class _Watch:
    def __init__(self) -> None:
        self.allowed = False
        self.listening = False
        self.working: list[ReferenceType[Interruptible]] = []


_watch = _Watch()


def watch() -> None:
    """Says that the signals of this process are ours to watch, from the first thing named on."""
    _watch.allowed = True


def interrupt_on_signal(work: Interruptible) -> None:
    """Names something that is to be interrupted by SIGINT and SIGTERM, for as long as it lives."""
    # No WeakSet: what it does when something ends is Python, in which the signal's own exception would be lost.
    _watch.working = [*(one for one in _watch.working if one() is not None), ref(work)]
    if not _watch.allowed or _watch.listening:
        return
    heard, said = os.pipe()
    os.set_blocking(said, False)
    try:
        signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    except ValueError:  # not the main thread: somebody else's signals
        os.close(heard)
        os.close(said)
        return
    _watch.listening = True
    threading.Thread(target=_listen, args=(heard,), name="signals", daemon=True).start()


def _listen(heard: int) -> None:
    while byte := os.read(heard, 1):
        if byte[0] in ENDING:
            _interrupt_all()


def _interrupt_all() -> None:
    for one in _watch.working:
        work = one()
        if work is not None:
            with suppress(Exception):  # closed meanwhile
                work.interrupt()
