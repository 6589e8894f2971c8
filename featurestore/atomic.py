"""Writes files that are whole or not there: beside the target, flushed, then moved into place."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

SUFFIX = ".tmp"
STALE_AFTER_S = 600.0


def write_atomically(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Writes a file so that a reader, or a crash at any moment, finds the old contents or the new ones.

    ``mode`` are its permissions, less the umask. Temporary files of writers that were killed are removed from the
    folder. Raises OSError.
    """
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    beside = folder / f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
    try:
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105  # the name of what it does
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut, where the system can."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sweep(folder: Path) -> None:
    """Removes temporary files that are too old to belong to a writer still at work."""
    for leftover in folder.glob(f".*{SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > STALE_AFTER_S:
                leftover.unlink()
