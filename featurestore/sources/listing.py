"""Which files a slice of a source is made of, and the fingerprint that tells whether it changed.

Reads bytes only to hash them: an unchanged slice costs no parsing and no heavy import.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path
from typing import IO, TypeAlias

from featurestore.config import Project
from featurestore.errors import SourceError
from featurestore.model import Source
from featurestore.sources import pins

STDIN = "stdin"
_BLOCK = 1 << 20
_FRESH = 100_000_000  # ns: a file younger than this may change again within one tick of its file system's clock

State: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size and time of modification (ns)."""


@dataclass(frozen=True, slots=True)
class FileMark:
    """One file as it was hashed. ``path`` is relative to the project where it lies inside, ``stdin`` for a pipe."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Opened:
    """How to come back to the very bytes that were hashed: the path and its state, or the spooled pipe.

    ``fresh`` says that the file was written so shortly before that its state alone proves nothing.
    """

    path: Path
    state: State
    fresh: bool = False
    spool: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a slice, in the order in which they are read.

    ``fingerprint`` covers names, bytes and the way in which the source is read: the same fingerprint, the same rows.
    """

    files: tuple[FileMark, ...]
    fingerprint: str
    opened: tuple[Opened, ...] = field(default=(), repr=False, compare=False)

    @property
    def hashes(self) -> dict[str, str]:
        """Path to SHA-256, as a `Position` keeps it."""
        return {mark.path: mark.sha256 for mark in self.files}

    @property
    def piped(self) -> bool:
        """Whether a file of it came by a pipe, which gives its bytes only once: the listing has the copy."""
        return any(opened.spool is not None for opened in self.opened)


def list_files(project: Project, source: Source, input: str | None = None) -> Listing:  # noqa: A002 - the flag's name
    """Finds and hashes the files of a source, or of ``--input`` in its place (``-`` is stdin).

    A pipe is copied to an unnamed temporary file under the project's state, which goes with the listing.
    Raises SourceError where there is no file, or one that can't be read or is empty.
    """
    hashed = [_hash(project, path) for path in _find(project, source, input)]
    marks = tuple(mark for mark, _ in hashed)
    return Listing(marks, fingerprint(project, source, marks), tuple(opened for _, opened in hashed))


def fingerprint(project: Project, source: Source, files: tuple[FileMark, ...]) -> str:
    """SHA-256 over the files' names and hashes and over everything that decides how their bytes are read."""
    columns = {
        name: [column.type, column.null, column.min, column.max, column.choices, column.pattern]
        for name, column in source.columns.items()
    }
    document = {
        "files": sorted([mark.path, mark.sha256] for mark in files),
        "type": source.type,
        "event_time": source.event_time,
        "updated_at": source.updated_at,
        "timezone": source.timezone,
        "delimiter": source.delimiter,
        "columns": columns,
        "pins": dict(pins.read(project, source)),
    }
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def renewed(project: Project, source: Source, listing: Listing) -> Listing:
    """The same files under the fingerprint that now holds: after new pins were written."""
    return replace(listing, fingerprint=fingerprint(project, source, listing.files))


def vanished(previous: Mapping[str, str], listing: Listing) -> list[str]:
    """The files of an earlier slice (path to SHA-256) that are no longer there, under any name."""
    paths = {mark.path for mark in listing.files}
    hashes = {mark.sha256 for mark in listing.files}
    return sorted(path for path, sha256 in previous.items() if path not in paths and sha256 not in hashes)


@contextmanager
def open_file(mark: FileMark, opened: Opened) -> Iterator[IO[bytes]]:
    """Opens a listed file, and sees to it that the bytes read are the bytes that were hashed.

    Raises SourceError when the file was touched between the hash and the end of the reading.
    """
    if opened.spool is not None:
        opened.spool.seek(0)
        yield opened.spool
        return
    with _open(mark.path, opened.path) as stream:
        _check(mark.path, opened.state, os.fstat(stream.fileno()))
        yield stream
        if opened.fresh:
            stream.seek(0)
            if _digest(stream) != mark.sha256:
                raise _still_written(mark.path)
        _check(mark.path, opened.state, os.fstat(stream.fileno()))
        try:
            _check(mark.path, opened.state, opened.path.stat())
        except OSError as exc:
            raise _still_written(mark.path) from exc


def _find(project: Project, source: Source, wanted: str | None) -> list[Path | None]:
    """Paths in reading order; None stands for stdin. What is typed is relative to the current folder."""
    if wanted == "-":
        return [None]
    base = project.root if wanted is None else Path.cwd()
    pattern = source.path if wanted is None else wanted
    where = f"source {source.name}"
    path = base / Path(pattern).expanduser()
    if path.is_dir():
        raise SourceError(f"{pattern} is a folder", where=where, hint=f"name its files: {pattern.rstrip('/')}/*.csv")
    if path.exists():
        return [path]
    found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
    files = [Path(name) for name in found if not Path(name).is_dir()]
    if not files:
        raise SourceError(
            f"no file matches {pattern}" if glob.has_magic(pattern) else f"{pattern} does not exist",
            where=where,
            hint=f"looked in {base}; mend sources.{source.name}.path or give --input PATH"
            if wanted is None
            else f"looked in {base}",
        )
    return list(files)


def _hash(project: Project, path: Path | None) -> tuple[FileMark, Opened]:
    if path is None:
        return _spool(project, STDIN, sys.stdin.buffer)
    name = _name(project, path)
    with _open(name, path) as stream:
        before = os.fstat(stream.fileno())
        if not stat.S_ISREG(before.st_mode):
            return _spool(project, name, stream)
        _check_size(name, before.st_size)
        sha256 = _digest(stream)
        state = _state(before)
        _check(name, state, os.fstat(stream.fileno()))
    fresh = abs(time.time_ns() - before.st_mtime_ns) < _FRESH
    return FileMark(name, before.st_size, sha256), Opened(path, state, fresh)


def _digest(stream: BufferedReader) -> str:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _spool(project: Project, name: str, stream: IO[bytes]) -> tuple[FileMark, Opened]:
    folder = project.state
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as the listing
        digest = hashlib.sha256()
        while block := stream.read(_BLOCK):
            digest.update(block)
            spool.write(block)
        spool.flush()
        size = spool.tell()
    except OSError as exc:
        raise SourceError(f"can't be copied: {exc.strerror}", where=name, hint=f"is {folder} writable?") from exc
    _check_size(name, size)
    return FileMark(name, size, digest.hexdigest()), Opened(Path(name), (0, 0, 0, 0), spool=spool)


def _check_size(name: str, size: int) -> None:
    if not size:
        raise SourceError("is empty: 0 bytes", where=name, hint="is it still being written, or was the export cut?")


def _open(name: str, path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as exc:
        raise SourceError(f"can't be read: {exc.strerror}", where=name) from exc


def _name(project: Project, path: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # a symbolic link keeps the name that the user gave it
    try:
        return absolute.relative_to(project.root).as_posix()
    except ValueError:
        return absolute.as_posix()


def _state(status: os.stat_result) -> State:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check(name: str, state: State, status: os.stat_result) -> None:
    if _state(status) != state:
        raise _still_written(name)


def _still_written(name: str) -> SourceError:
    return SourceError(
        "changed while it was read: it is still being written",
        where=name,
        hint="write it under another name and move it into place when it is whole, then run ingest again",
    )
