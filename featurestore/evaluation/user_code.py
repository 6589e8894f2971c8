"""Running other people's code: what it prints, how it may end, and what must not end with it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from featurestore.errors import FeatureError
from featurestore.evaluation.process_state import ProcessState
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


class _Confined:
    """While any thread is inside: file descriptor 1 is what 2 is, and calls that end the process at once are refused.

    When the last one leaves, what belongs to the whole process is what it was before the first one came.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: ProcessState | None = None
        self._calls: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._before = ProcessState()
            with suppress(OSError):  # one of them is closed, so that nothing can be printed
                os.dup2(2, 1)
            for name in ("_exit", "execv", "execve"):
                self._calls[name] = getattr(os, name)
                setattr(os, name, _refusing(name, self._calls[name]))

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside or self._before is None:
                return
            self._before.put_back()
            self._before = None
            for name, call in self._calls.items():
                setattr(os, name, call)


def _refusing(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    process = os.getpid()

    def refuse(*given: Any, **named: Any) -> Any:
        if os.getpid() != process:  # a process that the code has started ends as it likes
            return call(*given, **named)
        raise FeatureError(f"calls os.{name}(), which would end the run", hint="raise an exception instead")

    return refuse


_CONFINED = _Confined()


@contextmanager
def user_code() -> Iterator[None]:
    """Inside, what is printed goes to stderr, since stdout is for results, and ``os._exit`` is an error.

    It would end the process, its other features and the run with it, without a word, and so would ``os.execv``. What
    native code prints goes to stderr too, and what the code starts has no other stdout. Whatever the code does to the
    process ends with it.
    """
    with _CONFINED, redirect_stdout(sys.stderr):
        yield
