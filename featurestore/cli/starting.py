"""What a program does first. Imported before all else, and so with nothing that takes time to import."""

from __future__ import annotations

# `signal` itself imports half a dozen modules, during which Ctrl-C would be a traceback.
import _signal  # type: ignore[import-not-found]
import gc
import os

EXIT_INTERRUPT = 130
INTERRUPTED = "interrupted; nothing half-done is left"


def collect_rarely() -> None:
    """Modules and syntax trees are many objects and no garbage: by default they cost `list` a tenth of its time."""
    gc.set_threshold(50_000, 20, 20)


def exit_at_once_on_interrupt() -> None:
    """One line and the exit code. No work has begun, so there is nothing to clean up.

    As an exception it would end in a traceback, or be swallowed, depending on which import it hits.
    """
    handler = _signal.getsignal(_signal.SIGINT)
    if handler is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, exit_at_once)
    elif handler == _signal.SIG_IGN:  # as for a shell's background job
        # Polars puts a handler of its own in the place of whatever there is.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])


def exit_at_once(_number: int, _frame: object) -> None:
    try:  # noqa: SIM105  # contextlib takes time to import
        os.write(2, f"{INTERRUPTED}\n".encode())
    except OSError:  # nobody to tell
        pass
    os._exit(EXIT_INTERRUPT)
