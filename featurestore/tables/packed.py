"""Packed files, read as what is inside: gzip, zstd, bzip2, xz, and a zip archive of one file.

The first bytes decide, since a name may be wrong. What is unpacked is read in pieces, so that a small file that
unpacks to a very large one takes no more memory than any other.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Mapping
from io import DEFAULT_BUFFER_SIZE
from pathlib import PurePath
from typing import IO, Protocol, cast

from featurestore.errors import SourceError, os_reason

PACKED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
"""What the suffix of a packed file's name says."""

_MOST_MEMORY = 256 << 20  # of xz, whose files say themselves how much they need
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
)
_BZIP2 = (b"1AY&SY", b"\x17rE8P\x90")  # behind "BZh" and a digit: of a file with contents, and of one without
_HEAD = 10


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes; none at the end."""
        ...


def packed_by(head: bytes) -> str | None:
    """How a file is packed that begins with these bytes (ten are enough)."""
    if head.startswith(b"BZh") and head[4:10] in _BZIP2:
        return "bzip2"
    return next((form for magic, form in _MAGIC if head.startswith(magic)), None)


def inner_name(name: str) -> str:
    """A file's name without the suffix that says how it is packed."""
    path = PurePath(name)
    return path.with_suffix("").name if path.suffix.lower() in PACKED else path.name


def unpack(stream: IO[bytes], name: str) -> tuple[Readable, str | None]:
    """(the contents of a stream that can seek, how it is packed). Raises SourceError for a zip of several files."""
    form = packed_by(stream.read(_HEAD))
    stream.seek(0)
    return (stream, None) if form is None else (_READERS[form](stream, name), form)


def read_unpacked(stream: Readable, name: str, size: int, form: str | None) -> bytes:
    """The next bytes. Raises SourceError where packed ones were cut or damaged, or can't be read."""
    try:
        return stream.read(size)
    except EOFError as exc:
        raise _cut(form, name) from exc
    except OSError as exc:
        said = str(exc)
        if form is None or exc.errno is not None:
            raise SourceError(f"can't be read: {os_reason(exc)}", where=name) from exc
        raise (_cut(form, name) if "Truncated" in said else _damaged(form, name, said)) from exc
    except (zlib.error, lzma.LZMAError, zipfile.BadZipFile) as exc:
        raise _damaged(form, name, str(exc)) from exc
    except (NotImplementedError, RuntimeError) as exc:  # of zipfile: a method it does not have, a password
        raise SourceError(f"can't be unpacked: {exc}", where=name, hint="unpack it yourself") from exc


def _cut(form: str | None, name: str) -> SourceError:
    return SourceError(f"is {form} that ends too early: it was cut", where=name, hint="copy the file again")


def _damaged(form: str | None, name: str, said: str) -> SourceError:
    if "emory" in said or "window" in said:
        return SourceError(
            f"is {form} that needs too much memory", where=name, hint="pack it again with usual settings"
        )
    return SourceError(f"is damaged {form}: {said}", where=name, hint="copy the file again")


def _gzip(stream: IO[bytes], name: str) -> Readable:
    return gzip.GzipFile(fileobj=stream)


def _bzip2(stream: IO[bytes], name: str) -> Readable:
    return bz2.BZ2File(stream)


def _zstd(stream: IO[bytes], name: str) -> Readable:
    import pyarrow as pa  # it notices a stream that was cut

    return cast("Readable", pa.CompressedInputStream(_Open(stream), "zstd"))


class _Open:
    """A stream that its reader can't close: Arrow closes what it was given."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def _xz(stream: IO[bytes], name: str) -> Readable:
    return _Xz(stream)


class _Xz:
    """xz with a bound on memory, which the standard library's file object does not take."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder: lzma.LZMADecompressor | None = None

    def read(self, size: int = -1, /) -> bytes:
        while True:
            if self._decoder is None or self._decoder.eof:
                packed = (self._decoder.unused_data if self._decoder else b"") or self._stream.read(DEFAULT_BUFFER_SIZE)
                packed = packed.lstrip(b"\0") if self._decoder else packed  # padding between two streams
                if not packed:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
            else:
                packed = self._stream.read(DEFAULT_BUFFER_SIZE) if self._decoder.needs_input else b""
                if not packed and self._decoder.needs_input:
                    raise EOFError
            if found := self._decoder.decompress(packed, size):
                return found


def _zip(stream: IO[bytes], name: str) -> Readable:
    try:
        archive = zipfile.ZipFile(stream)
        members = [item for item in archive.infolist() if not item.is_dir() and not _is_clutter(item.filename)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as exc:
        raise _damaged("zip", name, str(exc)) from exc
    if any(item.filename == "[Content_Types].xml" for item in members):
        raise SourceError("is an Excel workbook or another document of Office", where=name, hint="save it as CSV")
    if len(members) != 1:
        shown = ", ".join(item.filename for item in members[:3]) + (", …" if len(members) > 3 else "")
        what = f"is a zip archive of {len(members)} files: {shown}" if members else "is an empty zip archive"
        raise SourceError(what, where=name, hint="unpack it: only an archive of one file is read as that file")
    try:
        return cast("Readable", archive.open(members[0]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as exc:
        raise SourceError(f"can't be unpacked: {exc}", where=name, hint="unpack it yourself") from exc


def _is_clutter(name: str) -> bool:
    """Whether a member is what a system adds by itself."""
    return name.startswith("__MACOSX/") or PurePath(name).name in (".DS_Store", "Thumbs.db")


_READERS: Mapping[str, Callable[[IO[bytes], str], Readable]] = {
    "gzip": _gzip, "zstd": _zstd, "bzip2": _bzip2, "xz": _xz, "zip": _zip,
}  # fmt: skip
