"""The file of a backup: a ZIP archive whose members are stored as they are, with a manifest and hashes.

`manifest.json`, written last, names every member with its size and its SHA-256; the archive's comment has the SHA-256
of all bytes before it, so that one reading proves the whole file. Whoever reads one may have been given it by anybody:
a member is only read by its place and length, never unpacked by its name, and the archive itself compresses nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from featurestore import times
from featurestore.errors import DamagedError, NewerFormatError, UsageError, from_os_error
from featurestore.frozen import frozen
from featurestore.progress import SILENT, Progress
from featurestore.regular import DERIVED

FORMAT = 1
WHAT = "featurestore backup"
MANIFEST = "manifest.json"
FIRST = "backup.txt"
_TEXT = (
    b"A backup made by featurestore: the history of its features, the audit log and the version files.\n"
    b"Restore it with: featurestore restore FILE\n"
)
_MARK = b"sha256:"
_SEAL = len(_MARK) + 64
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20
_COPY = "use another copy of it, or an older backup"


@frozen
class Member:
    """A file in the archive: its bytes, and the rows that they hold where it is a table."""

    name: str
    size: int
    sha256: str
    rows: int | None = None


class ArchiveWriter:
    """Writes an archive to a file that can be sought in. `finish` completes it; used in ``with``."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self.members: list[Member] = []
        self.add(FIRST, _TEXT)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *_error: object) -> None:
        self._zip.fp = None  # else it would go on to write to a file that is closed by then

    @contextmanager
    def member(self, name: str) -> Iterator[MemberSink]:
        """A member to write to; ``rows`` of it may be set."""
        with self._zip.open(zipfile.ZipInfo(name, _EARLIEST), "w", force_zip64=True) as opened:
            sink = MemberSink(opened)
            yield sink
        self.members.append(Member(name, sink.size, sink.hash.hexdigest(), sink.rows))

    def add(self, name: str, data: bytes) -> None:
        with self.member(name) as sink:
            sink.write(data)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Writes the manifest, which has ``facts`` too, and the hash of it all."""
        document = {"what": WHAT, "format": FORMAT, **facts, "members": [asdict(member) for member in self.members]}
        text = json.dumps(document, indent=1, ensure_ascii=True).encode()
        with self._zip.open(zipfile.ZipInfo(MANIFEST, _EARLIEST), "w", force_zip64=True) as opened:
            opened.write(text)
        self._zip.comment = _MARK + b"0" * 64
        self._zip.close()
        end = self._file.seek(0, os.SEEK_END) - _SEAL
        digest = _digest(self._file, end)
        self._file.seek(end)
        self._file.write(_MARK + digest.encode())


class MemberSink:
    """Where the bytes of a member go: they are counted and hashed."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened = opened
        self.size, self.hash, self.rows = 0, hashlib.sha256(), None  # type: tuple[int, Any, int | None]

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.hash.update(data)
        return self._opened.write(data)


class Archive:
    """An archive that is read. `check` is to be called before anything of it is believed."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        """Raises UsageError for a file that is no backup, DamagedError, NewerFormatError."""
        self._file, self.path = file, path
        self.size = file.seek(0, os.SEEK_END)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as exc:
            file.seek(0)
            if FIRST.encode() in file.read(128):
                raise self.damaged("is damaged or cut short") from exc
            raise self._no_backup() from exc
        self._seal = self._zip.comment
        if not re.fullmatch(_MARK + rb"[0-9a-f]{64}", self._seal):
            file.seek(0)
            raise self.damaged("is damaged") if FIRST.encode() in file.read(128) else self._no_backup()
        self._infos = {info.filename: info for info in self._zip.infolist()}
        self.manifest: dict[str, Any] = {}
        self.members: dict[str, Member] = {}

    def damaged(self, what: str, hint: str | None = None) -> DamagedError:
        """The error for an archive of which something is wrong."""
        return DamagedError(what, where=str(self.path), hint=hint or f"nothing was changed; {_COPY}")

    def _no_backup(self) -> UsageError:
        return UsageError(
            "is not a backup that featurestore made", where=str(self.path), hint="featurestore backup FILE makes one"
        )

    def check(self, progress: Progress = SILENT) -> None:
        """Reads all bytes and compares them with their hashes, then reads the manifest.

        Raises DamagedError, NewerFormatError for an archive of a later release, UsageError for what is no backup.
        """
        if _digest(self._file, self.size - _SEAL, progress).encode() != self._seal[len(_MARK) :]:
            raise self.damaged("is damaged: its bytes are not those that were written")
        self.manifest = self._read_manifest()
        try:
            members = [Member(**item) for item in self.manifest["members"]]
            sound = all(_is_sound(member) for member in members)
        except (KeyError, TypeError):
            members, sound = [], False
        self.members = {member.name: member for member in members}
        names = [info.filename for info in self._zip.infolist()]
        whole = sorted([*self.members, MANIFEST]) == sorted(names) and len(members) == len(self.members)
        if not sound or not whole or sum(member.size for member in members) > self.size:
            raise self.damaged("has other members than its manifest says")

    def read(self, name: str) -> bytes:
        """The bytes of a member. Raises DamagedError."""
        with self.open(name) as stream:
            return stream.read(self.members[name].size)

    @contextmanager
    def open(self, name: str) -> Iterator[MemberSource]:
        """A member to read from: at the end its hash is compared. Raises DamagedError."""
        member, info = self.members[name], self._infos[name]
        if (
            info.file_size != member.size
            or info.compress_size != member.size
            or info.compress_type
            or info.flag_bits & 1
        ):
            raise self.damaged(f"has another {name} than its manifest says")
        try:
            with self._zip.open(info) as opened:
                source = MemberSource(opened)
                yield source
                source.drain()
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as exc:
            raise self.damaged(f"has a {name} that can't be read") from exc
        if source.hash.hexdigest() != member.sha256:
            raise self.damaged(f"has another {name} than its manifest says")

    def _read_manifest(self) -> dict[str, Any]:
        info = self._infos.get(MANIFEST)
        if info is None or info.compress_type or info.file_size > min(self.size, DERIVED):
            raise self._no_backup()
        try:
            document = json.loads(self._zip.read(info))
        except (ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as exc:
            raise self.damaged("has a manifest that can't be read") from exc
        if (
            not isinstance(document, dict)
            or document.get("what") != WHAT
            or not isinstance(document.get("format"), int)
        ):
            raise self._no_backup()
        if document["format"] > FORMAT:
            raise NewerFormatError(
                f"is a backup in format {document['format']}; this release knows {FORMAT}", where=str(self.path),
                hint="upgrade featurestore",
            )  # fmt: skip
        return document


class MemberSource:
    """The bytes of a member, hashed as they are read."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened = opened
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._opened.read(size)
        self.hash.update(data)
        return data

    def drain(self) -> None:
        """Reads what is left."""
        while self.read(_BLOCK):
            pass


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Opens the file of a backup, which nobody changes by that. Raises what `Archive` raises, and OSError's errors."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path), hint="name the file of a backup") from None
    except OSError as exc:
        raise from_os_error(exc) from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError("is not a regular file", where=str(path), hint="name the file of a backup")
    with os.fdopen(descriptor, "rb") as file:
        yield Archive(file, path)


def made_at(archive: Archive) -> int:
    """When a backup was made (µs). Raises DamagedError."""
    with suppress(KeyError, ValueError, TypeError):
        return times.parse_instant(archive.manifest["made_at"])[0]
    raise archive.damaged("does not say when it was made")


def _digest(file: IO[bytes], size: int, progress: Progress = SILENT) -> str:
    """The SHA-256 of the first bytes of a file."""
    file.seek(0)
    found, left = hashlib.sha256(), size
    while left > 0 and (block := file.read(min(left, _BLOCK))):
        found.update(block)
        left -= len(block)
        progress.check()
    return found.hexdigest()


def _is_sound(member: Member) -> bool:
    kinds = (member.name, str), (member.size, int), (member.sha256, str), (member.rows, int | None)
    return all(isinstance(value, kind) for value, kind in kinds) and member.size >= 0
