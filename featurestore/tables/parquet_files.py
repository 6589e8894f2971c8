"""What Parquet's readers don't look at: whether all of a file is the one that its end describes."""

from __future__ import annotations

from typing import IO

import pyarrow.parquet as pq

from featurestore.errors import SourceError

_JOINT = b"PAR1PAR1"  # the end of one file and the beginning of the next
_LENGTHS = 8  # bytes behind the footer: its length, and the mark
_ENCRYPTED = b"PARE"  # the mark of a file whose footer is encrypted
_SIGNATURE = 28  # bytes behind a footer that is not, of a file with columns that are
_VERSION = b"\x15"  # what a footer begins with: a number, its version
_SEARCHED_AT_ONCE = 1 << 22
_READ_AT_ONCE, _OF_A_COLUMN = 1 << 25, (1 << 16, 1 << 20)  # bytes of all columns, and least and most of each


def open_parquet(stream: IO[bytes], **options: bool | str) -> pq.ParquetFile:
    """Arrow's reader of a file larger than memory: by default it holds what it has read until its last batch.

    Its buffers are there once for each column, however little the column has. Raises SourceError for what is encrypted:
    where Arrow is asked about such a column, the process ends.
    """
    start = stream.tell()
    end = _end(stream)
    if end.endswith(_ENCRYPTED):
        raise _encrypted("is encrypted")
    stream.seek(start)
    metadata = pq.read_metadata(stream)
    if int.from_bytes(end[:4], "little") - metadata.serialized_size == _SIGNATURE:
        raise _encrypted("has encrypted columns")
    stream.seek(start)
    least, most = _OF_A_COLUMN
    size = min(max(_READ_AT_ONCE // max(metadata.num_columns, 1), least), most)
    return pq.ParquetFile(stream, metadata=metadata, pre_buffer=False, buffer_size=size, **options)


def _end(stream: IO[bytes]) -> bytes:
    """The length of the footer, and the mark."""
    stream.seek(max(stream.seek(0, 2) - _LENGTHS, 0))
    return stream.read(_LENGTHS)


def _encrypted(what: str) -> SourceError:
    return SourceError(what, hint="write it without encryption, with the keys that it was written with")


def refuse_joined(stream: IO[bytes], name: str) -> None:
    """Refuses several files put together: the places that the last one gives lie in the first one.

    Looks for where one ends, since asking Arrow for the places of columns ends the process where a footer is damaged.
    Leaves the stream where it was.
    """
    before = stream.tell()
    at, rest = stream.seek(0), b""
    while block := stream.read(_SEARCHED_AT_ONCE):
        data = rest + block
        found = data.find(_JOINT)
        while found >= 0:
            if _has_footer_before(stream, at + found):
                raise SourceError(
                    "is several Parquet files put together", where=name, hint="give each a file of its own"
                )
            found = data.find(_JOINT, found + 1)
        rest = data[1 - len(_JOINT) :]
        at += len(data) - len(rest)
    stream.seek(before)


def _has_footer_before(stream: IO[bytes], place: int) -> bool:
    """Whether a mark is that of a file's end, and no text of a column. Leaves the stream where it was."""
    before = stream.tell()
    begin = stream.seek(place - 4)
    length = int.from_bytes(stream.read(4), "little")
    found = 0 < length <= begin - 4
    if found:
        stream.seek(begin - length)
        found = stream.read(1) == _VERSION
    stream.seek(before)
    return found
