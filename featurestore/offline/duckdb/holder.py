"""Who has a database file open for writing, without opening it.

A file must not be opened only to ask for its lock: closing it again would release the lock that another thread of this
process has. Linux lists all locks in ``/proc/locks`` (proc_locks(5)); elsewhere nobody can be named.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LOCKS = Path("/proc/locks")


def holder_of_file(path: Path) -> str | None:
    """``python3 (pid 123)``, if another process has the file open for writing and the system says which."""
    with suppress(OSError, ValueError):
        found = path.stat()
        file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in LOCKS.read_text(encoding="ascii").splitlines():
            # 1: POSIX  ADVISORY  WRITE 123 fe:00:2508532 0 EOF; a -> follows the number where a process still waits
            words = line.split()
            if len(words) == 8 and words[1] == "POSIX" and words[3] == "WRITE" and words[5] == file:
                pid = int(words[4])
                if pid not in (0, os.getpid()):
                    return f"{_name(pid)} (pid {pid})"
    return None


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return "a process"
