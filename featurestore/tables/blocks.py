"""The bytes of a text file in blocks, unpacked where they are gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import IO

from featurestore.errors import SourceError, os_reason
from featurestore.tables.formats import foreign_format

UTF8_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_FIRST = 1 << 16


def read_blocks(stream: IO[bytes], name: str, size: int) -> Iterator[bytes]:
    """The text's bytes without a byte order mark: a short block to begin with, then ``size`` at a time.

    Raises SourceError for UTF-16 and for gzip that was cut or damaged.
    """
    packed = stream.read(2) == _GZIP
    stream.seek(0)
    text = gzip.GzipFile(fileobj=stream) if packed else stream
    first = _read(text, name, min(size, _FIRST))
    other = foreign_format(first[:16], text=True)
    if other is not None:
        raise SourceError(f"is not text but {other[0]}", where=name, hint=other[1])
    # Without the mark too: in UTF-16 every other byte of ASCII text is NUL.
    if first.startswith(_UTF16_MARKS) or first[:200].count(0) > len(first[:200]) // 4:
        raise SourceError(
            "is UTF-16, not UTF-8", where=name, hint="save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8"
        )
    yield first.removeprefix(UTF8_MARK)
    while block := _read(text, name, size):
        yield block


def ends_with_line(stream: IO[bytes], size: int) -> bool:
    """Whether the first ``size`` bytes of a stream that can seek are text as it is, and end with a line feed."""
    stream.seek(0)
    if size < 2 or stream.read(2) == _GZIP:
        return False
    stream.seek(size - 1)
    return stream.read(1) == b"\n"


def _read(stream: gzip.GzipFile | IO[bytes], name: str, size: int) -> bytes:
    try:
        return stream.read(size)
    except EOFError as exc:
        raise SourceError("is gzip that ends too early: it was cut", where=name, hint="copy the file again") from exc
    except (gzip.BadGzipFile, zlib.error) as exc:
        raise SourceError(f"is damaged gzip: {exc}", where=name, hint="copy the file again") from exc
    except OSError as exc:
        raise SourceError(f"can't be read: {os_reason(exc)}", where=name) from exc
