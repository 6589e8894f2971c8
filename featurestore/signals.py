"""SIGINT and SIGTERM for what works below Python.

A library at work sees a signal only when it looks for one: DuckDB does between two tasks, and a task may last as long
as its query. So a thread waits for signals too, and interrupts what was registered here.

All of this is for the program that owns the process's signals, which says so with `watch`. It steps aside where an
event loop runs, because asyncio has its own use for the same wakeup file descriptor.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol
from weakref import ReferenceType, ref

ENDING = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 0.02


class TerminatedError(BaseException):
    """SIGTERM, as an exception, so that transactions roll back and locks are released."""


class Interruptible(Protocol):
    def interrupt(self) -> None:
        """Ends what it is doing, if anything. Called from another thread."""
        ...


class _Watch:
    def __init__(self) -> None:
        self.allowed = False
        self.wakeup: int | None = None  # the end of the pipe into which Python writes the numbers of signals
        self.working: list[ReferenceType[Interruptible]] = []


_watch = _Watch()


def watch() -> None:
    """Declares this the main program, which may handle the signals of its process. Called once, by the executable."""
    _watch.allowed = True


def are_ours() -> bool:
    """Whether signals may be handled here and now: this is the main program, and no event loop runs in this thread."""
    return _watch.allowed and threading.current_thread() is threading.main_thread() and not _is_in_event_loop()


def interrupt_on_signal(work: Interruptible) -> None:
    """Registers something that SIGINT and SIGTERM interrupt, for as long as it lives."""
    # Not a WeakSet: its callbacks are Python code, in which the exception of a signal would be lost.
    _watch.working = [*(one for one in _watch.working if one() is not None), ref(work)]
    if are_ours():
        _take_wakeup()


def repeat_if_lost(endings: Mapping[type[BaseException], int]) -> None:
    """Sends a signal again whose exception was raised where Python drops exceptions, as in a finalizer.

    ``endings`` gives the signal of each exception that signal handlers raise.
    """
    before = sys.unraisablehook

    def send_again(unraisable: sys.UnraisableHookArgs) -> None:
        number = next((endings[kind] for kind in endings if isinstance(unraisable.exc_value, kind)), None)
        if number is None:
            before(unraisable)
            return
        # Later, from another thread: here it would be raised inside the finalizer once more.
        thread = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, (threading.main_thread().ident, number))
        thread.daemon = True
        thread.start()

    sys.unraisablehook = send_again


def _is_in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # whoever runs a loop has imported it
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _take_wakeup() -> None:
    """Has Python write each signal into our pipe, unless somebody else has it write them elsewhere.

    Done each time, since an event loop that ran meanwhile leaves nothing behind.
    """
    if _watch.wakeup is None:
        reader, _watch.wakeup = os.pipe()
        os.set_blocking(_watch.wakeup, False)
        threading.Thread(target=_listen, args=(reader,), name="signals", daemon=True).start()
    others = signal.set_wakeup_fd(_watch.wakeup, warn_on_full_buffer=False)
    if others not in (-1, _watch.wakeup):
        signal.set_wakeup_fd(others)


def _listen(reader: int) -> None:
    while byte := os.read(reader, 1):
        if byte[0] in ENDING:
            _interrupt_all()


def _interrupt_all() -> None:
    for one in _watch.working:
        work = one()
        if work is not None:
            with suppress(Exception):  # closed meanwhile
                work.interrupt()
