"""The bytes of a text file in blocks of UTF-8: unpacked where they are packed, decoded from other encodings."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO

from featurestore.errors import SourceError
from featurestore.tables.formats import foreign_format
from featurestore.tables.packed import PACKED, read_unpacked, unpack

MAX_LINE = 64 << 20
"""The most bytes of a row: a file without line ends, of zeros for example, is no table."""

BLOCK = 8 << 20
"""Bytes that are read at a time, of which a large file has two in memory, as it is read one ahead."""

UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_FIRST = 1 << 16


def read_blocks(
    stream: IO[bytes], name: str, size: int, encoding: str = "utf-8", report: Callable[[str], None] | None = None
) -> Iterator[bytes]:
    """The text as UTF-8 without a byte order mark: a short block to begin with, then ``size`` bytes at a time.

    UTF-16 with its mark is told by that. Raises SourceError for what is packed and was cut or damaged, what is not text
    at all, and what is not in ``encoding``; that UTF-8 is valid is left to the caller, who knows the row.
    """
    unpacked, form = unpack(stream, name)
    suffix = name[name.rfind(".") :].lower()
    if report is not None and PACKED.get(suffix, form) != form:
        report(f"{name} is not {PACKED[suffix]}, whatever its name says")
    first = read_unpacked(unpacked, name, min(size, _FIRST), form)
    other = foreign_format(first[:16], text=True)
    if other is not None:
        raise SourceError(f"is not text but {other[0]}", where=name, hint=other[1])
    encoding = _encoding_of(first, name, encoding)

    def later() -> Iterator[bytes]:
        while block := read_unpacked(unpacked, name, size, form):
            yield block

    if encoding == "utf-8":
        while first.startswith(UTF8_MARK):
            first = first[len(UTF8_MARK) :]
        yield first
        yield from later()
    else:
        yield from _decoded(chain((first,), later()), name, encoding, report)


def ends_with_line(stream: IO[bytes], size: int) -> bool:
    """Whether the first ``size`` bytes of a stream that can seek are text as it is, and end with a line feed."""
    stream.seek(0)
    if size < 1 or unpack(stream, "")[1] is not None:
        return False
    stream.seek(size - 1)
    return stream.read(1) == b"\n"


def _encoding_of(first: bytes, name: str, encoding: str) -> str:
    """The encoding that a file is in: as set, or UTF-16 where its mark says so."""
    marked = _UTF16_MARKS.get(first[:2])
    if encoding in ("utf-8", "utf-16") and marked and not first.startswith(b"\xff\xfe\0\0"):
        return "utf-16"
    if encoding == "utf-16":
        hint = 'set encoding = "utf-16-le", or "utf-16-be"'
        raise SourceError("has no byte order mark, so it is not known which UTF-16 it is", where=name, hint=hint)
    # In UTF-16 every other byte of ASCII text is NUL: the second one of each pair where the lower byte comes first.
    head = first[:200]
    if encoding == "utf-8" and head.count(0) > len(head) // 4 and 0 in head[:4]:  # a mark has no NUL, or two
        wide = "utf-32" if head.count(0) > len(head) // 2 else "utf-16"
        likely = f"{wide}-le" if head[:1] != b"\0" else f"{wide}-be"
        raise SourceError(f"is {wide.upper()}, not UTF-8", where=name, hint=f'set encoding = "{likely}"')
    return encoding


def _decoded(
    blocks: Iterator[bytes], name: str, encoding: str, report: Callable[[str], None] | None
) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    begun = False
    doubt = _Doubt()
    for block in chain(blocks, (b"",)):
        doubt.look_at(block)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as exc:
            shown = exc.object[exc.start : exc.start + 1].hex()
            before = exc.object[: exc.start].decode(encoding, "replace") if isinstance(exc.object, bytes) else ""
            raise SourceError(
                f"is not {encoding}: byte 0x{shown} in line {line + before.count(chr(10))}", where=name,
                hint="set the encoding that it was written in",
            ) from exc  # fmt: skip
        if not begun and text:
            text, begun = text.removeprefix("\ufeff"), True
        line += text.count("\n")
        try:
            encoded = text.encode("utf-8")
        except UnicodeEncodeError as exc:
            raise SourceError(f"is not {encoding}: half of a pair near line {line}", where=name) from exc
        if encoded:
            yield encoded
    if report is not None and doubt.is_utf8:
        report(f"{name} is read as {encoding}, and all of it is UTF-8, which that is hardly ever: is encoding right?")


class _Doubt:
    """Whether all of some bytes are UTF-8, and not just ASCII: in other encodings that happens by chance only."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._possible, self._beyond_ascii = True, False

    def look_at(self, block: bytes) -> None:
        if self._possible and (self._beyond_ascii or not block.isascii() or not block):
            self._beyond_ascii |= bool(block)
            try:
                self._decoder.decode(block, final=not block)
            except UnicodeDecodeError:
                self._possible = False

    @property
    def is_utf8(self) -> bool:
        return self._possible and self._beyond_ascii
