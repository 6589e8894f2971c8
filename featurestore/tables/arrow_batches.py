"""Arrow's tables as batches of Polars columns, and Arrow IPC from a file or a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO

import polars as pl
import pyarrow as pa

from featurestore.errors import SourceError
from featurestore.tables.batch import MAX_COLUMNS, Batch

FILE_MAGIC = b"ARROW1"
STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"


def batch_of(table: pa.Table | pa.RecordBatch, name: str, first: int = 1) -> Batch:
    """The rows of a table, numbered from ``first``."""
    # Column by column: what else the schema holds (pandas' notes, Arrow's) may be damaged, and is not needed.
    columns = zip(table.schema.names, table.columns, strict=True)
    frame = pl.DataFrame([pl.Series(column, values) for column, values in columns])
    return Batch(name, frame, first)


def select_columns(names: list[str], wanted: Collection[str] | None, name: str) -> list[str]:
    """Those of a file's columns that are wanted. Raises SourceError for names that can't be told apart."""
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=name)
    for column, count in Counter(names).items():
        if count > 1:
            raise SourceError(f"has {count} columns named {column!r}", where=name, hint="rename all but one")
        if "\0" in column:
            raise SourceError(f"has a NUL in the name of a column: {column!r}", where=name)
    return names if wanted is None else [column for column in names if column in wanted]


def read_record_batches(stream: IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Arrow IPC in the file format or as a stream, whichever the first bytes say. Arrow's errors pass through."""
    is_file = stream.read(len(FILE_MAGIC)) == FILE_MAGIC
    stream.seek(0)
    if is_file:
        reader = pa.ipc.open_file(stream)
        return reader.schema, (reader.get_batch(at) for at in range(reader.num_record_batches))
    streamed = pa.ipc.open_stream(stream)
    return streamed.schema, iter(streamed)


def has_end(stream: IO[bytes]) -> bool:
    """Whether Arrow data that was read to its end has the mark that says so.

    Arrow takes the end of the bytes for the end of a stream: one that was cut between two batches looks complete.
    """
    end = stream.tell()
    stream.seek(0)
    if stream.read(len(FILE_MAGIC)) == FILE_MAGIC:
        return True  # it ends with its footer, or could not have been read
    stream.seek(max(0, end - len(STREAM_END)))
    return stream.read(len(STREAM_END)) == STREAM_END


@contextmanager
def naming_the_file(name: str, form: str) -> Iterator[None]:
    """Turns the errors of a reader into a SourceError that names the file."""
    try:
        yield
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as exc:
        text = str(exc).strip().partition("\n")[0]
        raise SourceError(
            f"can't be read as {form}: {text}", where=name, hint=f"is it complete, and {form} at all?"
        ) from exc
