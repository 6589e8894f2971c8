"""Writes files that are whole or not there: beside the target, flushed, then moved into place."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".tmp"
STALE_AFTER_S = 600.0

_OURS = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")


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
    _sweep(folder)
    beside = folder / f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
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


def _sweep(folder: Path) -> None:
    """Removes our temporary files that are too old to belong to a writer still at work. The folder may be a user's."""
    for leftover in folder.glob(f".*{SUFFIX}"):
        if _OURS.fullmatch(leftover.name):
            with contextlib.suppress(OSError):
                if time.time() - leftover.stat().st_mtime > STALE_AFTER_S:
                    leftover.unlink()
