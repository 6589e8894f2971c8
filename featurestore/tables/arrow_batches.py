"""Arrow's tables as batches of Polars columns, and Arrow IPC from a file or a stream."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from featurestore.errors import SourceError
from featurestore.tables.arrow_files import open_arrow_file, refuse_rest
from featurestore.tables.arrow_limits import beyond_limits, has_limits
from featurestore.tables.batch import MAX_REJECTED, Batch, UnreadableRow, nfc, texts
from featurestore.tables.formats import refuse_foreign

if TYPE_CHECKING:
    import pyarrow.parquet as pq

Report: TypeAlias = Callable[[str], None]

FILE_MAGIC = b"ARROW1"
CONTINUATION = b"\xff\xff\xff\xff"  # before each message of a stream
LARGEST_SCHEMA = 1 << 24  # bytes; Arrow's streams of before 2019 begin with the length of their schema

_MOST_DIGITS = 38
_OFFSET = re.compile(r"[+-]\d\d:?\d\d")
STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"


def batch_of(table: pa.Table | pa.RecordBatch, name: str, first: int = 1, *, unread: Sequence[str] = ()) -> Batch:
    """The rows of a table, numbered from ``first``; ``unread`` is that of the batch.

    A row with a value that Polars does not hold is unreadable.
    """
    unreadable: dict[int, UnreadableRow] = {}
    for column, values in zip(table.schema.names, table.columns, strict=True):
        for at, number, what in beyond_limits(column, values):
            row = UnreadableRow(first + at, f"column {column!r} holds {what}", f"{number} of {values.type}")
            unreadable.setdefault(at, row)
    rows = None
    if unreadable:
        readable_rows = np.delete(np.arange(table.num_rows, dtype=np.uint32), list(unreadable))
        table, rows = table.take(pa.array(readable_rows)), readable_rows + np.uint32(first)
    # Column by column: what else the schema holds (pandas' notes, Arrow's) may be damaged, and is not needed.
    columns = zip(table.schema.names, table.columns, strict=True)
    frame = pl.DataFrame([_series(column, values) for column, values in columns])
    kinds = {column.name: texts(len(column)) for column in frame.iter_columns() if column.dtype == pl.String}
    named = tuple(unreadable[at] for at in sorted(unreadable)[:MAX_REJECTED])
    return Batch(name, frame, first, rows, named, len(unreadable), kinds, unread=tuple(unread))


def frame_of(table: pa.Table | pa.RecordBatch, first: int = 1) -> pl.DataFrame:
    """All rows of a table. Raises SourceError for one that can't be read."""
    batch = batch_of(table, "", first)
    for row in batch.unreadable:
        raise SourceError(f"row {row.row}: {row.reason}", hint="write it with another type, or leave the row out")
    return batch.frame


def _series(name: str, values: pa.Array | pa.ChunkedArray) -> pl.Series:
    if _is_unknown(values.type):
        raise _unknown(name, values.type)
    if pa.types.is_decimal256(values.type):
        values = _narrower(name, values)
    if isinstance(values.type, pa.UuidType):
        return _uuids(pl.Series(name, values))
    values = in_utc(_stored(values))
    if not _is_plain(values.type):
        return pl.Series(name, values)
    return pl.Series(_Stream(values)).alias(name)  # which takes no name


class _Stream:
    """Arrow's values by the interface that all libraries share.

    Polars imports Arrow's functions for an array of ``pyarrow``, which takes longer than to read a million of them.
    """

    def __init__(self, values: pa.Array | pa.ChunkedArray) -> None:
        self._values = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._values.__arrow_c_stream__(requested_schema)


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column is one of those that most columns are."""
    tests = (
        pa.types.is_integer, pa.types.is_float32, pa.types.is_float64, pa.types.is_boolean, pa.types.is_string,
        pa.types.is_large_string, pa.types.is_timestamp, pa.types.is_date32,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def _stored(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Values of an extension's type as those that they are stored as; booleans of a byte as booleans."""
    if not isinstance(values.type, pa.BaseExtensionType):
        return values
    stored = values.cast(values.type.storage_type)
    return stored.cast(pa.bool_()) if isinstance(values.type, pa.Bool8Type) else stored


def _narrower(name: str, values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Decimals of 256 bits in 128. Raises SourceError where one has more than 38 digits."""
    try:
        return values.cast(pa.decimal128(_MOST_DIGITS, values.type.scale))
    except pa.ArrowInvalid as exc:
        raise SourceError(
            f"column {name!r} is {values.type}, and has a number of more than {_MOST_DIGITS} digits",
            hint="write it with fewer digits, or as text",
        ) from exc


def readable(schema: pa.Schema, chosen: Sequence[str], needed: Collection[str], name: str, report: Report) -> list[str]:
    """The columns whose types can be read; the others are left out with a warning.

    Raises SourceError for one of these that is needed.
    """
    found = []
    for column in chosen:
        kind = schema.field(column).type
        if not _is_unknown(kind):
            found.append(column)
        elif nfc(column) in needed:
            raise _unknown(column, kind)
        else:
            report(f"{name}: column {column!r} is {kind}, which can't be read: it is left out")
    return found


def _unknown(column: str, kind: pa.DataType) -> SourceError:
    return SourceError(f"column {column!r} is {kind}, which can't be read", hint="write it with another type")


def _is_unknown(kind: pa.DataType, *, inside: bool = False) -> bool:
    """Whether Polars has no such type: it would refuse the column, or end the process."""
    tests = (
        pa.types.is_interval, pa.types.is_run_end_encoded, pa.types.is_union, pa.types.is_list_view,
        pa.types.is_large_list_view,
    )  # fmt: skip
    if any(test(kind) for test in tests) or (inside and pa.types.is_decimal256(kind)):
        return True
    return any(_is_unknown(kind.field(at).type, inside=True) for at in range(kind.num_fields))


def _uuids(column: pl.Series) -> pl.Series:
    """UUIDs of 16 bytes each as people and databases write them: with hyphens, in lower case."""
    digits = column.cast(pl.Binary).bin.encode("hex")
    parts = [digits.str.slice(at, end - at) for at, end in pairwise((0, 8, 12, 16, 20, 32))]
    return pl.select(pl.concat_str(parts, separator="-")).to_series().alias(column.name)


def in_utc(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Times of a fixed offset, such as ``+05:30``, which pandas writes and Polars has no zone for, as those of UTC."""
    kind = values.type
    if has_fixed_offset(kind):
        return values.cast(pa.timestamp(kind.unit, "UTC"))  # the instants are the same: only the label changes
    return values


def has_fixed_offset(kind: pa.DataType) -> bool:
    """Whether a type is that of times in a zone that is no more than an offset."""
    return bool(pa.types.is_timestamp(kind) and kind.tz is not None and _OFFSET.fullmatch(kind.tz))


def panics(kind: pa.DataType) -> bool:
    """Whether Polars itself would end in a panic, refuse the whole file, or take other values, for that type."""
    return has_fixed_offset(kind) or pa.types.is_decimal256(kind) or _is_unknown(kind) or has_limits(kind)


def int96_columns(reader: pq.ParquetFile) -> list[str]:
    """The columns with times of 96 bits, as old writers have them."""
    columns = (reader.schema.column(at) for at in range(len(reader.schema)))
    return [column.path for column in columns if column.physical_type == "INT96"]


def read_record_batches(stream: IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Arrow IPC in the file format or as a stream, whichever the first bytes say.

    Raises SourceError for what is not Arrow, or a file that was cut. Arrow's other errors pass through.
    """
    head = stream.read(len(FILE_MAGIC))
    stream.seek(0)
    if head == FILE_MAGIC:
        try:
            reader = open_arrow_file(stream)
        except pa.ArrowInvalid as exc:
            hint = "copy it again: an Arrow file is only complete with its end"
            raise SourceError("is an Arrow file that was cut or damaged", hint=hint) from exc
        return reader.schema, (reader.get_batch(at) for at in range(reader.num_record_batches))
    refuse_foreign(stream, "", "Arrow")
    if not head.startswith(CONTINUATION) and int.from_bytes(head[:4], "little") > LARGEST_SCHEMA:
        # Arrow would take its first bytes for a length, and ask for that many.
        raise SourceError("is not Arrow but text, or another format", hint="set the type that the file is of")
    streamed = pa.ipc.open_stream(stream)
    return streamed.schema, _to_the_end(streamed, stream)


def _to_the_end(reader: pa.ipc.RecordBatchStreamReader, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    yield from reader
    end = stream.tell()
    refuse_rest(stream)
    stream.seek(end)


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
    except SourceError as exc:
        exc.where = exc.where or name
        raise
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as exc:
        text = str(exc).strip().partition("\n")[0]
        hint = f"is it complete, and {form} at all?"
        if isinstance(exc, pa.ArrowNotImplementedError):  # of polars' integers of 128 bits, for one
            hint = "write it without that, or with other types"
        raise SourceError(f"can't be read as {form}: {text}", where=name, hint=hint) from exc
