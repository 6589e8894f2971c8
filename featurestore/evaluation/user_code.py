"""Running other people's code: what it prints, how it may end, and what must not end with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn

from featurestore.errors import FeatureError
from featurestore.signals import TerminatedError

ENDS_THE_RUN = (KeyboardInterrupt, TerminatedError, GeneratorExit)
"""What ends the run and not a feature. All else does, panics of native code and ``sys.exit`` included."""


@contextmanager
def user_code() -> Iterator[None]:
    """Inside, what is printed goes to stderr, since stdout is for results, and ``os._exit`` is an error.

    It would end the process, its other features and the run with it, without a word.
    """
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:  # a process that the code has started ends as it likes
            leave(status)
        raise FeatureError("calls os._exit(), which would end the run", hint="raise an exception instead")

    os._exit = refuse
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os._exit = leave
