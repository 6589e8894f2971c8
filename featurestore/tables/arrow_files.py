"""What Arrow's readers don't look at: whether all of a file, or of a stream, is the one that they read."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

from featurestore.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa

_JOINT = b"ARROW1ARROW1"  # the end of one file and the beginning of the next
_END = 10  # bytes behind the footer: its length, and the mark
_DICTIONARIES, _BATCHES = 2, 3  # fields of the footer: where messages lie
_BLOCK = struct.Struct("<qi4xq")  # of a message: its place, and the lengths of its head and its body
_SEARCHED = 1 << 20  # bytes before the place where the last file would begin: none of another's may be counted twice
_HINT = "give each a file of its own"
_AGAIN = "write it or copy it again"
_SCHEMA = 8  # where the first message lies, behind the mark
_MARK, _HEAD = b"\xff\xff\xff\xff", 8  # before a message's head: this, and its length


def open_arrow_file(stream: IO[bytes]) -> pa.RecordBatchFileReader:
    """Opens a file in Arrow's file format.

    Raises SourceError for one whose footer names other columns or fewer rows than the file has, and Arrow's errors.
    """
    import pyarrow as pa

    reader = pa.ipc.open_file(stream)
    _refuse_what_footer_leaves_out(stream)
    stream.seek(_SCHEMA)
    if stream.read(len(_MARK)) == _MARK:  # Polars writes no message there
        stream.seek(_SCHEMA)
        if not pa.ipc.read_schema(stream).equals(reader.schema):
            raise SourceError("is a damaged Arrow file: its schema stands in it twice, and not alike", hint=_AGAIN)
    return reader


def _refuse_what_footer_leaves_out(stream: IO[bytes]) -> None:
    """Refuses a file with messages that its footer does not name, which readers would leave out without a word.

    These are those of other files, if several were put together, since the last one gives places in the first one;
    or its own, if the footer was damaged, which has no checksum.
    What else is damaged is left to the readers.
    """
    size = stream.seek(0, 2)
    try:
        stream.seek(size - _END)
        (length,) = struct.unpack("<i", stream.read(4))
        begin = size - _END - length
        stream.seek(begin)
        last = max((place + head + body for place, head, body in _blocks(stream.read(length))), default=0)
        behind = last or _SCHEMA + sum(_message(stream, _SCHEMA))
        left_out = behind + _HEAD <= begin and sum(_message(stream, behind)) > _HEAD
    except (OSError, ValueError, struct.error):
        last, begin, left_out = 0, 0, False
    gap = begin - last  # what lies between the data and the footer: a few bytes, or all other files
    first = max(gap - _SEARCHED, 0)
    stream.seek(first)
    if gap > len(_JOINT) and _JOINT in stream.read(gap - first + len(_JOINT)):
        raise SourceError("is several Arrow files put together", hint=_HINT)
    if left_out:
        raise SourceError("is a damaged Arrow file: it has rows that its footer does not name", hint=_AGAIN)


def _message(stream: IO[bytes], at: int) -> tuple[int, int]:
    """The lengths of what lies before a message's head, and of its head; without a mark there is no message to see."""
    stream.seek(at)
    mark, length = struct.unpack("<4sI", stream.read(_HEAD))
    return (_HEAD, length) if mark == _MARK else (0, 0)


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
