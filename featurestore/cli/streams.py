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


class _Stdout(io.FileIO):
    """Standard output. The first failure is remembered and the rest dropped, so that work goes on to its end.

    A closed pipe is not a failure: whoever reads has seen enough, and the command ends.
    """

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
    encoding, errors = ("utf-8", "strict") if sys.stdout is None else (sys.stdout.encoding, sys.stdout.errors)
    raw = _Stdout(1, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=raw.isatty())


def _plug(number: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def failure() -> str | None:
    """Why standard output could not be written, if it could not."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Stdout) or raw.failure is None:
        return None
    return "it is closed" if raw.failure.errno == errno.EBADF else os.strerror(raw.failure.errno or 0)


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
