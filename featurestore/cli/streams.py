"""The three standard streams, so that a closed or full one fails nowhere but in one line at the end."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


EXIT_PIPE, EXIT_OUTPUT = 141, 4


class _Stdout(io.BufferedWriter):
    """Standard output. The first failure is remembered and the rest dropped, so that work goes on to its end.

    A closed pipe is not a failure: whoever reads has seen enough, and the command ends.
    """

    # Not a raw file with a `write` in Python: a signal that raises in there, when the bytes are out, leaves them in the
    # buffer, and they are written again. This buffer is up to date before any Python code can raise.
    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except BrokenPipeError:
                raise
            except OSError as exc:
                self.failure = exc
        return memoryview(data).nbytes

    def flush(self) -> None:
        if self.failure is None:
            try:
                super().flush()
            except BrokenPipeError:
                raise
            except OSError as exc:
                self.failure = exc


def prepare() -> None:
    """Takes over the streams of this process. Before any file is opened, or it would get a closed stream's number."""
    if sys.stdin is None:
        _plug(0, os.O_WRONLY)  # reading fails
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        _plug(1, os.O_RDONLY)  # writing fails, and is reported
    if sys.stderr is None:
        _plug(2, os.O_WRONLY)  # writing does nothing
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    # Not in the locale's encoding: in one without UTF-8 a name, a rule of a table or a hint would be an error.
    out = _Stdout(io.FileIO(1, "w", closefd=False))
    sys.stdout = io.TextIOWrapper(out, "utf-8", "backslashreplace", line_buffering=out.isatty())
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")


def _plug(number: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def failure() -> str | None:
    """That standard output could not be written, and why, if it could not."""
    out = getattr(sys.stdout, "buffer", None)
    if not isinstance(out, _Stdout) or out.failure is None:
        return None
    reason = "it is closed" if out.failure.errno == errno.EBADF else os.strerror(out.failure.errno or 0)
    return f"the result can't be written to standard output: {reason}"


def answer(text: str) -> int:
    """Writes a whole answer and returns the exit code of a command that gives nothing else."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard()
        return EXIT_PIPE
    message = failure()
    if message is not None:
        say(f"error: {message}")
        return EXIT_OUTPUT
    return 0


def discard() -> None:
    """Drops what is still to be written to a closed pipe: Python flushes on its way out, and would complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed by whoever reads it
            stream.flush()


def say(line: str) -> None:
    """Writes a line to stderr; where that is impossible, there is nobody to tell."""
    with suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
