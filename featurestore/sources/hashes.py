"""The hashes of a source's files, so that a file that has not changed is not read again to see that it has not.

As git does it: a file is the one that was hashed while its device, inode, size and times of modification and of change
are the same. The list is derived and local (``.featurestore/hashes/SOURCE.json``); without it, or where it can't be
read or written, files are hashed.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from featurestore.atomic import write_atomically
from featurestore.regular import DERIVED, read_own

FORMAT = 1
FRESH = 100_000_000
"""ns: a file younger than this may change again within one tick of its file system's clock."""

FileState: TypeAlias = tuple[int, int, int, int, int]
"""Device, inode, size, time of modification and time of change (both ns)."""


def state_of(status: os.stat_result) -> FileState:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_fresh(state: FileState) -> bool:
    """Whether the file was written so shortly before that its state alone proves nothing."""
    now = time.time_ns()
    return any(abs(now - moment) < FRESH for moment in state[3:])


class FileHashes:
    """The list of one source. `store` writes it where it differs from what was read."""

    def __init__(self, folder: Path, source: str) -> None:
        self._path = folder / "hashes" / f"{source}.json"
        self._stored = _read(self._path)
        self._met: dict[str, tuple[FileState, str]] = {}

    def find(self, name: str, state: FileState) -> str | None:
        """The SHA-256 of a file, if it was hashed in this very state."""
        stored = self._stored.get(name)
        if stored is None or stored[0] != state:
            return None
        self._met[name] = stored
        return stored[1]

    def size_before(self, name: str) -> int | None:
        """How many bytes a file had when it was hashed before."""
        stored = self._stored.get(name)
        return None if stored is None else stored[0][2]

    def add(self, name: str, state: FileState, sha256: str) -> None:
        """Notes a hash. That of a fresh file is not noted."""
        if not is_fresh(state):
            self._met[name] = state, sha256

    def store(self) -> None:
        """Stores the hashes of the files that were met, and of no others."""
        if self._met == self._stored:
            return
        document = {"format": FORMAT, "files": {name: [*state, sha256] for name, (state, sha256) in self._met.items()}}
        with suppress(OSError):  # the next run hashes again
            write_atomically(self._path, json.dumps(document, ensure_ascii=True).encode(), mode=0o600)


def _read(path: Path) -> dict[str, tuple[FileState, str]]:
    try:
        document = json.loads(read_own(path, DERIVED))
        if document["format"] != FORMAT:
            return {}
        return {
            name: ((int(device), int(inode), int(size), int(modified), int(changed)), str(sha256))
            for name, (device, inode, size, modified, changed, sha256) in document["files"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}  # lost or damaged: derived anyway
