"""The project's write lock: one writer at a time, released by the kernel when its holder dies.

The lock is an ``flock`` on ``.featurestore/lock``; the JSON inside only names the holder for a message.
The descriptor is closed in children, so that a fork of user code can't keep the lock alive.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featurestore import times
from featurestore.config import Project
from featurestore.errors import LockedError, StoreError, from_os_error, os_reason

POLL_SECONDS = 0.05
_MAY_WRITE = "check who may write there; what only reads or tries, such as get, join and --dry-run, needs no such right"


@contextmanager
def write_lock(project: Project) -> Iterator[None]:
    """Holds the project's write lock. Raises LockedError (exit 11) after ``project.lock_timeout`` seconds."""
    path = prepare_state(project) / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(f"the lock can't be opened: {os_reason(exc)}", where=str(path), hint=_MAY_WRITE) from exc
    try:
        _acquire(descriptor, path, project.lock_timeout)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_myself()).encode(), 0)
        except OSError as exc:  # of a descriptor it names no file
            raise from_os_error(OSError(exc.errno, exc.strerror, str(path))) from exc
        _OPEN[descriptor] = _file_of(descriptor)
        yield
    finally:
        # The file is not removed: whoever waits has it open, and would lock a file that nobody else finds.
        _close(descriptor)


def check_held() -> None:
    """Raises FeatureStoreError where somebody has closed the file of a lock: others may hold it now."""
    for descriptor, file in _OPEN.items():
        try:
            _check(descriptor, file)
        except OSError as exc:
            raise from_os_error(exc) from exc


def holder_of(project: Project) -> str | None:
    """Who holds the project's write lock now, if anybody; makes no file."""
    try:
        descriptor = os.open(project.state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two who ask at once don't take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def prepare_state(project: Project) -> Path:
    """Makes ``.featurestore/`` with its own .gitignore, readable by its owner only."""
    return prepare_folder(project.state)


def prepare_folder(folder: Path) -> Path:
    """The same, where no project could be loaded."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as exc:
        raise StoreError(f"can't be written: {os_reason(exc)}", where=str(folder), hint=_MAY_WRITE) from exc
    return folder


_OPEN: dict[int, tuple[int, int]] = {}  # the files of locks, which their descriptors may not lead to any more


def _file_of(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _check(descriptor: int, file: tuple[int, int]) -> None:
    if _file_of(descriptor) != file:  # it was closed, and its number given to another file
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _close(descriptor: int) -> None:
    """Closes a lock's file, and no other one. Raises OSError where it was closed already."""
    file = _OPEN.pop(descriptor, None)
    if file is not None:
        _check(descriptor, file)
    os.close(descriptor)


def _close_in_child() -> None:
    for descriptor in _OPEN:
        os.close(descriptor)
    _OPEN.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _acquire(descriptor: int, path: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{_holder(descriptor)} holds the lock; waited {timeout:g} s",
                    hint="wait for it, or wait longer with --lock-timeout SECONDS",
                ) from None
            time.sleep(POLL_SECONDS)
        except OSError as exc:
            if exc.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
            raise StoreError(
                f"its file system has no locks: {exc.strerror}", where=str(path),
                hint="keep the project's .featurestore on a local disk",
            ) from exc  # fmt: skip
        else:
            return


def _myself() -> dict[str, str | int]:
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "a program")
    return {"pid": os.getpid(), "command": command, "host": os.uname().nodename, "since": times.now()}


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        since = times.format_instant(int(holder["since"]) // 1_000_000 * 1_000_000)
        return f"{holder['command']} (pid {holder['pid']} on {holder['host']}, since {since})"
    except (ValueError, KeyError, TypeError):
        return "another run"
