"""Frames as a compressed Arrow stream that may come from anybody: whatever it says, it is read in bounded memory.

The stream is that of https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format, compressed as a whole
with zstd: what is inside is not compressed once more, and has no dictionaries, so that a message takes as much memory
as it has bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import polars as pl

from featurestore.errors import SourceError

MESSAGE_BYTES = 8 << 20  # of the frames that are written, about
LEAST_LIMIT = 256_000_000
_RECORD_BATCH, _COMPRESSION = 3, 3  # the kind of a message, and a field of such a one
_LARGE_TEXT = pl.CompatLevel.oldest()


class Sink(Protocol):
    def write(self, data: bytes) -> int: ...


class Stream(Protocol):
    def read(self, size: int = -1) -> bytes: ...


@contextmanager
def write_frames(sink: Sink, schema: pl.Schema) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Gives a function that writes frames of these columns to ``sink``, in messages of a few MB."""
    import pyarrow as pa

    kinds = pl.DataFrame(schema=schema).to_arrow(compat_level=_LARGE_TEXT).schema
    with (
        pa.CompressedOutputStream(pa.PythonFile(_Stays(sink), "w"), "zstd") as packed,
        pa.ipc.new_stream(packed, kinds) as out,
    ):

        def write(frame: pl.DataFrame) -> None:
            if frame.height:
                rows = max(1, int(frame.height * MESSAGE_BYTES // max(1, frame.estimated_size())))
                for part in frame.iter_slices(rows):
                    out.write_table(part.to_arrow(compat_level=_LARGE_TEXT).combine_chunks())

        yield write


def read_frames(source: Stream, limit: int) -> Iterator[pl.DataFrame]:
    """The frames that `write_frames` has written; one without rows where there are none.

    Raises SourceError for anything else, and for a message of more than ``limit`` bytes.
    """
    import pyarrow as pa

    packed = pa.CompressedInputStream(pa.PythonFile(_Stays(source), "r"), "zstd")
    bounded = _Stays(packed, max(limit, LEAST_LIMIT))
    try:
        messages = pa.ipc.MessageReader.open_stream(pa.PythonFile(bounded, "r"))
        schema = pa.ipc.read_schema(messages.read_next_message())
        yield _frame(pa.Table.from_batches([], schema))
        for message in messages:
            if message.type != "record batch" or _is_compressed(message.metadata.to_pybytes()):
                raise SourceError(f"has a {message.type} message, which no backup has")
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate(full=True)
            yield _frame(pa.Table.from_batches([batch]))
    except StopIteration:
        raise SourceError("is empty") from None
    except (pa.ArrowException, OSError, EOFError, struct.error, pl.exceptions.PolarsError) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:  # of the disk
            raise
        raise SourceError(f"is not an Arrow stream ({str(exc).partition(chr(10))[0]})") from exc


def _frame(table: Any) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


class _Stays:
    """A stream that stays open where Arrow closes it, and of which nobody reads more than ``limit`` bytes at once."""

    closed = False

    def __init__(self, stream: Any, limit: int | None = None) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int = -1) -> bytes:
        if self._limit is not None and not 0 <= size <= self._limit:
            raise SourceError(
                f"has rows of more than {self._limit // 1_000_000} MB", hint="raise [offline] memory if you trust it"
            )
        return bytes(self._stream.read(size))

    def write(self, data: bytes) -> int:
        return int(self._stream.write(data))

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _is_compressed(metadata: bytes) -> bool:
    """Whether the buffers of a record batch are compressed, by its message as FlatBuffers have it."""

    def number(form: str, at: int) -> int:
        return int(struct.unpack_from(form, metadata, at)[0])

    def field(table: int, index: int) -> int:
        fields = table - number("<i", table)
        entry = 4 + 2 * index
        return number("<H", fields + entry) if entry < number("<H", fields) else 0

    message = number("<I", 0)
    kind, header = field(message, 1), field(message, 2)
    if not kind or not header or metadata[message + kind] != _RECORD_BATCH:
        return False
    place = message + header
    return field(place + number("<I", place), _COMPRESSION) != 0
