"""Parquet files: columns in the files' own types."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import IO, TYPE_CHECKING

from featurestore.model import Source
from featurestore.sources.contract import Choose, OpenSource, ProjectFolders, Report
from featurestore.sources.files import FileSource, named_in_files, read_path
from featurestore.tables.memory import batch_bytes

if TYPE_CHECKING:
    import polars as pl
    import pyarrow.parquet as pq

    from featurestore.tables.batch import Batch

KEYS = ("path", "partitions", "delimiter")
ROWS, LEAST_ROWS = 1 << 18, 1 << 10
BATCH_BYTES = 16_000_000
"""Of a batch, so that rows with long lists or texts take no more memory than others."""
read_settings = read_path


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    needed = named_in_files(source)

    def read_file(stream: IO[bytes], name: str, columns: Choose | None, report: Report) -> Iterator[Batch]:
        most = batch_bytes(folders.memory, BATCH_BYTES)
        return read_parquet(stream, name, columns, report, most=most, needed=needed)

    return FileSource(folders, source, given, read_file)


def read_parquet(
    stream: IO[bytes],
    name: str,
    columns: Choose | None,
    report: Report,
    rows: int = ROWS,
    *,
    most: int = BATCH_BYTES,
    needed: Collection[str] = (),
) -> Iterator[Batch]:
    """Yields the columns of a file, one batch at least. Raises SourceError where it is damaged or not Parquet."""
    # Arrow's reader, not Polars': on damaged pages the latter was seen to end the whole process.
    from dataclasses import replace
    from itertools import repeat

    from featurestore.tables.arrow_batches import (
        batch_of,
        int96_columns,
        naming_the_file,
        readable,
    )
    from featurestore.tables.chosen_columns import others, select_columns
    from featurestore.tables.formats import refuse_foreign
    from featurestore.tables.parquet_files import open_parquet, refuse_joined

    with naming_the_file(name, "Parquet"):
        refuse_foreign(stream, name, "Parquet")
        # Of INT96, which reaches further than nanoseconds in 64 bits, Arrow takes the lower bits without a word.
        reader = open_parquet(stream, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
        refuse_joined(stream, name)
        names = reader.schema_arrow.names
        chosen = select_columns(names, columns, name)
        unread = others(names, chosen)
        chosen = readable(reader.schema_arrow, chosen, needed, name, report)
        int96 = [column for column in int96_columns(reader) if column in chosen]
        yield batch_of(reader.schema_arrow.empty_table().select(chosen), name, unread=unread)
        first, rows = 1, _fitting(reader.metadata, rows, most)
        finer = open_parquet(stream).iter_batches(rows, columns=int96) if int96 else repeat(None)
        for batch, exact in zip(reader.iter_batches(rows, columns=chosen), finer, strict=False):
            table = batch.select(chosen)  # the reader takes "a.b" for a part of "a"
            table.validate(full=True)  # that texts are UTF-8, for one
            read = batch_of(table, name, first, unread=unread)
            yield read if exact is None else replace(read, frame=_rounded_up(read.frame, batch_of(exact, name).frame))
            first += batch.num_rows
        if (found := first - 1) != (said := reader.metadata.num_rows):  # a damaged footer may lose groups of rows
            raise ValueError(f"its footer says {said:,} rows, and it has {found:,}")


def _fitting(metadata: pq.FileMetaData, rows: int, most: int) -> int:
    """How many rows a batch of about ``most`` bytes may have, by the size that the largest ones have unpacked."""
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    size = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
    return max(min(rows, int(most / max(size, 1))), min(rows, LEAST_ROWS))


def _rounded_up(frame: pl.DataFrame, exact: pl.DataFrame) -> pl.DataFrame:
    """Microseconds, one later where nanoseconds say that a part of one was cut off."""
    import polars as pl

    columns = []
    for finer in exact.get_columns():
        micros = frame[finer.name].to_physical()
        below = finer.to_physical() - micros * 1_000  # anything else is of a time that nanoseconds don't reach
        columns.append(
            (micros + below.is_between(1, 999).cast(pl.Int64)).cast(frame.schema[finer.name]).alias(finer.name)
        )
    return frame.with_columns(columns)
