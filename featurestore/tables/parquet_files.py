"""What Parquet's readers don't look at: whether all of a file is the one that its end describes."""

from __future__ import annotations

from typing import IO

import pyarrow.parquet as pq

from featurestore.errors import SourceError

_JOINT = b"PAR1PAR1"  # the end of one file and the beginning of the next
_LENGTHS = 8  # bytes behind the footer: its length, and the mark
_ENCRYPTED = b"PARE"  # the mark of a file whose footer is encrypted
_SIGNATURE = 28  # bytes behind a footer that is not, of a file with columns that are
_INDEXES = 1 << 20  # bytes of page indexes and Bloom filters between the data and the footer, about
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


def refuse_joined(stream: IO[bytes], metadata: pq.FileMetaData, name: str) -> None:
    """Refuses several files put together: the places that the last one gives lie in the first one.

    Leaves the stream where it was.
    """
    groups = (metadata.row_group(at) for at in range(metadata.num_row_groups))
    columns = (group.column(at) for group in groups for at in range(group.num_columns))
    end = max((_start(column) + column.total_compressed_size for column in columns), default=4)
    before = stream.tell()
    size = stream.seek(0, 2)
    gap = size - _LENGTHS - metadata.serialized_size - end  # what another file, or indexes, take
    if gap >= _LENGTHS:
        first = max(gap - _INDEXES, 0)
        stream.seek(first)
        if _JOINT in stream.read(gap - first + len(_JOINT)):
            raise SourceError("is several Parquet files put together", where=name, hint="give each a file of its own")
    stream.seek(before)


def _start(column: pq.ColumnChunkMetaData) -> int:
    """Where the pages of a column begin."""
    dictionary = column.dictionary_page_offset
    return int(min(column.data_page_offset, dictionary) if dictionary else column.data_page_offset)
