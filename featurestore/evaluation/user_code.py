"""Running other people's code: what it prints, how it may end, and what must not end with it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import NoReturn

from featurestore.errors import FeatureError
from featurestore.signals import TerminatedError

ENDS_THE_RUN = (KeyboardInterrupt, TerminatedError, GeneratorExit)
"""What ends the run and not a feature. All else does, panics of native code and ``sys.exit`` included."""
MOST_SAID = 1_000
"""The characters of an exception's text that are kept."""


def said_by(error: BaseException) -> str:
    """``ValueError: too old``: what an exception of such code says up to its first empty line, in one line of its own.

    Of a long text only the beginning, since it is kept with every run and printed by whoever looks at it.
    """
    text = " ".join(str(error).split("\n\n")[0].split())
    if len(text) > MOST_SAID:
        text = f"{text[:MOST_SAID]}… ({len(text):,} characters)"
    return f"{type(error).__name__}: {text}".rstrip(": ")


class _WithoutStdout:
    """While any thread is inside, file descriptor 1 is what 2 is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._kept: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                with suppress(OSError):  # one of them is closed, so that nothing can be printed
                    self._kept = os.dup(1)
                    os.dup2(2, 1)

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._kept is not None:
                os.dup2(self._kept, 1)
                os.close(self._kept)
                self._kept = None


_WITHOUT_STDOUT = _WithoutStdout()


@contextmanager
def user_code() -> Iterator[None]:
    """Inside, what is printed goes to stderr, since stdout is for results, and ``os._exit`` is an error.

    It would end the process, its other features and the run with it, without a word. What native code prints goes to
    stderr too, and what the code starts has no other stdout.
    """
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:  # a process that the code has started ends as it likes
            leave(status)
        raise FeatureError("calls os._exit(), which would end the run", hint="raise an exception instead")

    os._exit = refuse
    try:
        with redirect_stdout(sys.stderr), _WITHOUT_STDOUT:
            yield
    finally:
        os._exit = leave
