"""Reads the files that come with a project: regular ones, of bounded size, inside it or its repository.

Whoever clones a project gets its links, and may find pipes and devices in its folders. Nothing of that kind may hang a
command, fill memory or lead to files that are somebody else's, so that every file of the project is read here.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from featurestore.errors import os_reason

SETTINGS = 1_000_000  # bytes of a TOML file
CODE = 11_000_000  # of a module: what can be hashed within seconds
VERSION = 64_000_000  # of a version file, which holds many
DERIVED = 256_000_000  # of a file that says what was derived

_KINDS = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link",
}  # fmt: skip
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)


def in_home(text: str | Path) -> Path:
    """A path as people write it: ``~`` and ``~name`` are homes; where nobody has that home they stay as they are."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises RuntimeError there


class OddFileError(OSError):
    """A file that is not read, though it exists: ``strerror`` says what it is."""

    def __init__(self, reason: str, path: Path) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


def reason(exc: OSError) -> str:
    """Why a file was not read, to follow its name: ``is a named pipe, …`` or ``can't be read: …``."""
    return str(exc.strerror) if isinstance(exc, OddFileError) else f"can't be read: {os_reason(exc)}"


def read_own(path: Path, most: int) -> bytes:
    """The bytes of a file that featurestore wrote, which is never a link. Raises OSError, OddFileError among them."""
    return _read(path, most, os.lstat(path))  # a third of the time


def read_start(path: Path, size: int) -> bytes:
    """The first bytes of a file that featurestore wrote. Raises OSError, OddFileError among them."""
    return _read(path, VERSION, os.lstat(path), size)


def is_own(found: os.stat_result) -> bool:
    """Whether what `os.lstat` found may be a file that featurestore wrote: a regular one."""
    return stat.S_ISREG(found.st_mode)


def refuse_odd(folder: Path) -> None:
    """Raises OddFileError where a folder of featurestore's own holds anything but files and folders, links included."""
    try:
        with os.scandir(folder) as entries:
            odd = [each.path for each in entries if each.is_symlink() or not (each.is_file() or each.is_dir())]
    except OSError:
        return  # said by whoever needs what is there
    for path in odd[:1]:
        kind = _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "not a file")
        raise OddFileError(f"is {kind}, not a file that featurestore wrote", Path(path))


class Fence:
    """The folders that files are read from: the project's, and those of the repository that it is in.

    If ``features`` itself is a link, the folder that it leads to belongs to the project too.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._inside: dict[str, bool] = {}
        self._folders: tuple[str, ...] | None = None

    def read(self, path: Path, most: int) -> bytes:
        """The bytes of a file. Raises OSError, for odd files and links that lead out OddFileError."""
        found = os.stat(path)  # noqa: PTH116
        if not self.holds(path):
            raise OddFileError(f"is a link that leads out of the project, to {os.path.realpath(path)}", path)
        return _read(path, most, found)

    def holds(self, path: Path) -> bool:
        """Whether a file or folder is where it seems to be, or its links lead to another place inside."""
        folder, name = os.path.split(path)
        if folder not in self._inside:
            self._inside[folder] = self._is_inside(os.path.realpath(folder))
        if self._inside[folder] and not os.path.islink(path):  # noqa: PTH114
            return True
        return self._is_inside(os.path.realpath(os.path.join(folder, name)))  # noqa: PTH118

    def _is_inside(self, real: str) -> bool:
        if self._folders is None:
            self._folders = (self._real, _repository_of(self._real), os.path.realpath(f"{self._real}/features"))
        return any(real == folder or real.startswith(f"{folder.rstrip(os.sep)}{os.sep}") for folder in self._folders)


def _repository_of(root: str) -> str:
    """The nearest folder, upwards, that is a git work tree; the project's own where there is none."""
    folder = root
    while not os.path.lexists(f"{folder}/.git"):
        above = os.path.dirname(folder)  # noqa: PTH120
        if above == folder:
            return root
        folder = above
    return folder


def _read(path: Path, most: int, found: os.stat_result, size: int | None = None) -> bytes:
    """The file, or its first bytes where ``size`` says how many."""
    _check(path, most, found)
    descriptor = os.open(path, _FLAGS)
    try:
        _check(path, most, os.fstat(descriptor))  # it may have been exchanged
        pieces: list[bytes] = []
        left = most + 1 if size is None else size
        while left and (piece := os.read(descriptor, left)):
            pieces.append(piece)
            left -= len(piece)
    finally:
        os.close(descriptor)
    if not left and size is None:
        raise _too_large(path, most)
    return b"".join(pieces)


def _check(path: Path, most: int, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OddFileError(f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'not a file')}, not a regular file", path)
    if found.st_size > most:
        raise _too_large(path, most)


def _too_large(path: Path, most: int) -> OddFileError:
    return OddFileError(f"is larger than {most // 1_000_000} MB", path)
