"""Writes files that are whole or not there: beside the target, flushed, then moved into place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".tmp"
STALE_AFTER_S = 600.0
_FEW, _FLUSHES = 8, 16

_OURS = r"\..+\.(\d+)-([0-9a-f]{4})[0-9a-f]{4}\.tmp(\.wal)?"  # a database may have a log beside it


# The files of `together` that are written and not yet in place: what they are called now, and will be.
_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("_waiting", default=None)


def write_atomically(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Writes a file as `replace_atomically` does, and its folder where there is none. Raises OSError.

    Others may read both, whatever the umask, unless ``mode`` says otherwise: most are files of a project, which is
    shared, and what is private is in a folder that is.
    """
    _make_folder(path.parent)
    waiting = _waiting.get()
    if waiting is None:
        with replace_atomically(path, mode=mode) as file:
            file.write(data)
            _open_to_others(file, mode)
        return
    sweep(path.parent)
    temporary = beside(path)
    waiting.append((temporary, path))
    with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(data)
        _open_to_others(file, mode)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(folder.stat().st_mode | 0o755)


def _open_to_others(file: BinaryIO, mode: int) -> None:
    with contextlib.suppress(OSError):  # some file systems have no permissions
        os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode | (0o644 & mode))


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Inside it, what `write_atomically` writes takes its place on leaving, in order; nothing does if that raises.

    The files are flushed at the same time: a disk takes as long for a hundred of them as for a few. Raises OSError.
    """
    waiting: list[tuple[Path, Path]] = []
    token = _waiting.set(waiting)
    try:
        yield
        _flush_all([temporary for temporary, _ in waiting])
        for temporary, path in waiting:
            os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
        raise
    finally:
        _waiting.reset(token)
    _flush_all(dict.fromkeys(path.parent for _, path in waiting))


def _flush_all(paths: Collection[Path]) -> None:
    if len(paths) < _FEW:
        for path in paths:
            _flush(path)
        return
    from concurrent.futures import ThreadPoolExecutor  # 5 ms that few files don't need

    with ThreadPoolExecutor(_FLUSHES) as pool:
        list(pool.map(_flush, paths))


def _flush(path: Path) -> None:
    if path.is_dir():
        flush_folder(path)
        return
    descriptor = os.open(path, os.O_RDWR)  # Windows flushes only what may be written
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def beside(path: Path) -> Path:
    """The name of a temporary file beside another one, which `sweep` removes when this process is gone."""
    return path.parent / f".{path.name}.{os.getpid()}-{_here()}{os.urandom(2).hex()}{SUFFIX}"


@contextlib.contextmanager
def replace_atomically(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Opens a new file that takes the place of ``path`` on leaving, and is gone where an exception is raised.

    A reader, or a crash at any moment, finds the old contents or the new ones. ``mode`` are its permissions, less the
    umask. Files that killed writers have left in the folder are removed. Raises OSError.
    """
    folder = path.parent
    sweep(folder)
    temporary = beside(path)
    try:
        # With its permissions from the beginning: a chmod afterwards would leave it open to others for a moment.
        with open(temporary, "x+b", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Only after the flush: else a power cut may leave the name on an empty file.
        os.replace(temporary, path)  # noqa: PTH105  # the name of what it does
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(folder)


def append_bytes(path: Path, data: bytes) -> None:
    """Appends to a file in one piece: processes may share it. A new file is its owner's alone. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


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
    for leftover in folder.glob(f".*{SUFFIX}*"):
        found = re.fullmatch(_OURS, leftover.name)
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
