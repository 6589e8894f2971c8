"""What a program does first. Imported before all else, and so with nothing that takes time to import."""

from __future__ import annotations

# `signal` itself imports half a dozen modules, during which Ctrl-C would be a traceback.
import _signal  # type: ignore[import-not-found]
import fcntl
import gc
import os
import sys

# For each signal that ends a command: the exit code, the error's code in JSON, and what is said.
ENDINGS = {
    _signal.SIGINT: (130, "interrupted", "interrupted; nothing half-done is left"),
    _signal.SIGTERM: (143, "terminated", "terminated; nothing half-done is left"),
}


def collect_rarely() -> None:
    """Modules and syntax trees are many objects and no garbage: to look at them costs `list` a tenth of its time.

    An `ingest` makes 120,000 of them, and waited 50 ms for two looks at all of them.
    """
    gc.set_threshold(200_000, 20, 20)


def make_room_for_descriptors() -> None:
    """Has the kernel make its table of open files larger while there is one thread: beside others it waits 10 ms first.

    Beside a user's code some descriptors are kept out of the way, with high numbers (`evaluation.process_state`).
    """
    try:  # noqa: SIM105  # contextlib takes time to import
        os.close(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 256))
    except OSError:  # stderr is closed, or so many files may not be open
        pass


def exit_at_once_on_signals() -> None:
    """One line and the exit code. No work has begun, so there is nothing to clean up.

    As an exception it would end in a traceback, or be swallowed, depending on which import it hits.
    """
    handler = _signal.getsignal(_signal.SIGINT)
    if handler is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, exit_at_once)
    elif handler == _signal.SIG_IGN:  # as for a shell's background job
        # Polars puts a handler of its own in the place of whatever there is.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])
    if _signal.getsignal(_signal.SIGTERM) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGTERM, exit_at_once)


def exit_at_once(number: int, _frame: object) -> None:
    code, name, message = ENDINGS[number]
    said = [(2, message)]
    if "--json" in sys.argv:
        said.append((1, f'{{"error": {{"code": "{name}", "message": "{message}", "hint": null}}}}'))
    for stream, text in said:
        try:  # noqa: SIM105  # contextlib takes time to import
            os.write(stream, f"{text}\n".encode())
        except OSError:  # nobody to tell
            pass
    os._exit(code)


def the_answer_is_out() -> None:
    """From here on a signal ends the program as it does any other: everything is said."""
    for number in ENDINGS:
        if _signal.getsignal(number) is exit_at_once:
            _signal.signal(number, _signal.SIG_DFL)
