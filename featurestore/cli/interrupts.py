"""SIGINT and SIGTERM: the exit codes 130 and 143, whatever a library makes of a signal that comes during its work."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from featurestore import signals
from featurestore.cli.starting import ENDINGS, exit_at_once
from featurestore.frozen import frozen
from featurestore.signals import TerminatedError


@frozen
class Ending:
    """How a signal ends a command: its exit code, its name as an error, and what is said."""

    exit_code: int
    name: str
    message: str


_received: list[int] = []  # since the command began
_ending = False  # the command is being ended: another signal changes nothing


@contextmanager
def listening() -> Iterator[None]:
    """Within it SIGINT raises KeyboardInterrupt and SIGTERM raises TerminatedError."""
    global _ending
    _received.clear()
    _ending = False
    if not signals.are_ours():
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _raise)}
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, exit_at_once):
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _raise)
    signals.repeat_if_lost({KeyboardInterrupt: signal.SIGINT, TerminatedError: signal.SIGTERM})
    try:
        yield
    finally:
        # For a caller that goes on after the command.
        for number, handler in before.items():
            signal.signal(number, handler)


def ending() -> Ending | None:
    """How the command ends because of a signal; None where none came.

    Asked whatever was raised: a library may turn the exception of a signal into an error of its own.
    """
    global _ending
    if not _received:
        return None
    _ending = True  # from here on a second Ctrl-C, or one that is sent again, must not raise out of what is said
    return Ending(*ENDINGS[signal.SIGTERM if signal.SIGTERM in _received else signal.SIGINT])


def declined() -> Ending:
    """A question answered with no, or Ctrl-C at it, which the terminal's reader turns into an exception itself."""
    return Ending(*ENDINGS[signal.SIGINT])


def _raise(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    if _ending:
        return
    raise KeyboardInterrupt if number == signal.SIGINT else TerminatedError
