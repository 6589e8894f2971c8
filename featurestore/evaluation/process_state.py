"""What belongs to the whole process and other people's code may spoil: it is put back when that code is done.

A feature that empties ``sys.modules``, leaves the current folder or takes the handlers of signals would otherwise end
the run, and every other feature's values with it, somewhere in our own code.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from featurestore.signals import ENDING
from featurestore.versioning.running.isolation import TextLoader


class ProcessState:
    """The state at the time when it is made.

    `put_back` undoes what was taken away or replaced since. What was added stays, such as modules that were imported
    and variables that were set: whoever added it may rely on it later.
    """

    def __init__(self) -> None:
        self._builtins = dict(vars(builtins))
        self._modules = sys.modules.copy()
        lists: dict[str, Any] = {"path": sys.path, "meta_path": sys.meta_path, "path_hooks": sys.path_hooks}
        self._lists = [(name, one, list(one)) for name, one in lists.items()]
        self._environment = dict(os.environ)
        self._depth = sys.getrecursionlimit()
        self._folder = _current_folder()
        self._handlers = {number: signal.getsignal(number) for number in ENDING}
        self._stdin, self._stderr = sys.stdin, sys.stderr
        self._descriptors = {}
        for number in range(3):
            with suppress(OSError):  # it is closed
                self._descriptors[number] = _copied(number)

    def put_back(self) -> None:
        """Makes the process what it was."""
        vars(builtins).update(self._builtins)  # first: all else needs them
        # Modules of the project come and go with their isolation.
        for name in self._modules.keys() - sys.modules.keys():
            if not _is_isolated(self._modules[name]):
                sys.modules[name] = self._modules[name]
        for name, one, before in self._lists:
            setattr(sys, name, one)
            if not all(entry in one for entry in before):
                one[:] = before
        for name in self._environment.keys() - set(os.environ):
            os.environ[name] = self._environment[name]
        if sys.getrecursionlimit() < self._depth:
            sys.setrecursionlimit(self._depth)
        if self._folder is not None and _current_folder() != self._folder:
            with suppress(OSError):
                os.chdir(self._folder)
        self._put_back_streams()
        if threading.current_thread() is threading.main_thread():  # no other may
            for number, handler in self._handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)

    def _put_back_streams(self) -> None:
        for number, kept in self._descriptors.items():
            with suppress(OSError):  # that one was closed too
                os.dup2(kept, number)
                os.close(kept)
        sys.stdin, sys.stderr = self._stdin, self._stderr
        # A program that shows what is printed elsewhere, such as a terminal interface, has a stream of its own kind.
        if getattr(sys.stderr, "closed", False):
            sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


def _is_isolated(module: object) -> bool:
    # One of another class may be loaded by being asked.
    return type(module) is ModuleType and isinstance(vars(module).get("__loader__"), TextLoader)


def _current_folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # somebody has deleted it
        return None


def _copied(descriptor: int) -> int:
    """A copy of a file descriptor, out of the way of code that closes all small ones. Raises OSError."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 256)
    except OSError:  # so many may not be open
        return os.dup(descriptor)
