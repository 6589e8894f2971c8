"""What Arrow's readers don't look at: whether all of a file, or of a stream, is the one that they read."""

from __future__ import annotations

import struct
from typing import IO

from featurestore.errors import SourceError

_JOINT = b"ARROW1ARROW1"  # the end of one file and the beginning of the next
_END = 10  # bytes behind the footer: its length, and the mark
_DICTIONARIES, _BATCHES = 2, 3  # fields of the footer: where messages lie
_BLOCK = struct.Struct("<qi4xq")  # of a message: its place, and the lengths of its head and its body
_SEARCHED = 1 << 20  # bytes before the place where the last file would begin: none of another's may be counted twice
_HINT = "give each a file of its own"


def refuse_joined_files(stream: IO[bytes]) -> None:
    """Refuses several files put together: the places that the last one gives lie in the first one.

    Goes to the start of the stream. What is damaged is left to the readers.
    """
    size = stream.seek(0, 2)
    try:
        stream.seek(size - _END)
        (length,) = struct.unpack("<i", stream.read(4))
        begin = size - _END - length
        stream.seek(begin)
        last = max((place + head + body for place, head, body in _blocks(stream.read(length))), default=0)
    except (OSError, ValueError, struct.error):
        last = begin = 0
    gap = begin - last  # what lies between the data and the footer: a few bytes, or all other files
    first = max(gap - _SEARCHED, 0)
    stream.seek(first)
    joined = gap > len(_JOINT) and _JOINT in stream.read(gap - first + len(_JOINT))
    stream.seek(0)
    if joined:
        raise SourceError("is several Arrow files put together", hint=_HINT)


def refuse_rest(stream: IO[bytes]) -> None:
    """Refuses what follows a stream that was read to its end, which readers take for the end of all."""
    if stream.read(1 << 16).strip(b"\0"):
        raise SourceError("has more behind its end: is it several Arrow streams put together?", hint=_HINT)


def _blocks(footer: bytes) -> list[tuple[int, int, int]]:
    """The places and lengths of all messages, by a footer as FlatBuffers have it."""

    def number(form: str, at: int) -> int:
        return int(struct.unpack_from(form, footer, at)[0])

    table = number("<I", 0)
    fields = table - number("<i", table)
    found: list[tuple[int, int, int]] = []
    for field in (_DICTIONARIES, _BATCHES):
        entry = 4 + 2 * field
        offset = number("<H", fields + entry) if entry < number("<H", fields) else 0
        if offset:
            vector = table + offset + number("<I", table + offset)
            begin, count = vector + 4, number("<I", vector)
            found += _BLOCK.iter_unpack(footer[begin : begin + count * _BLOCK.size])
    return found
