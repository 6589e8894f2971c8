"""Writes files that are whole or not there: beside the target, flushed, then moved into place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".tmp"
STALE_AFTER_S = 600.0

_OURS = re.compile(r"\..+\.(\d+)-([0-9a-f]{4})[0-9a-f]{4}\.tmp")


def write_atomically(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Writes a file as `replace_atomically` does, and its folder where there is none. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_atomically(path, mode=mode) as file:
        file.write(data)


@contextlib.contextmanager
def replace_atomically(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of ``path`` on leaving, and is gone where an exception is raised.

    A reader, or a crash at any moment, finds the old contents or the new ones. ``mode`` are its permissions, less the
    umask. Files that killed writers have left in the folder are removed. Raises OSError.
    """
    folder = path.parent
    sweep(folder)
    beside = folder / f".{path.name}.{os.getpid()}-{_here()}{os.urandom(2).hex()}{SUFFIX}"
    try:
        # With its permissions from the beginning: a chmod afterwards would leave it open to others for a moment.
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Only after the flush: else a power cut may leave the name on an empty file.
        os.replace(beside, path)  # noqa: PTH105  # the name of what it does
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(folder)


def is_there(path: Path) -> bool:
    """Whether a file exists. Raises OSError where that may not be seen: not to be allowed in is not to find nothing."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def flush_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut, where the system can."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Removes temporary files of processes that have died here, or are too old to belong to one that is still at work.

    The folder may be a user's, and shared with other machines, whose processes we can't ask for.
    """
    for leftover in folder.glob(f".*{SUFFIX}"):
        found = _OURS.fullmatch(leftover.name)
        if found is None:
            continue
        with contextlib.suppress(OSError):
            dead = found[2] == _here() and not _is_running(int(found[1]))
            if dead or time.time() - leftover.stat().st_mtime > STALE_AFTER_S:
                leftover.unlink()


@lru_cache(maxsize=1)
def _here() -> str:
    """Four digits for the machine, or the container, in which a process number means the same process."""
    try:
        numbers = Path("/proc/self/ns/pid").readlink().as_posix()
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{os.uname().nodename} {numbers}".encode()).hexdigest()[:4]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True
