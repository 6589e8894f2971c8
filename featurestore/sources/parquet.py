"""Reading Parquet: columns in the file's own types.

Arrow's reader, not Polars': on damaged pages the latter was seen to end the whole process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.errors import SourceError
from featurestore.sources.batch import MAX_COLUMNS, Batch

ROWS = 1 << 18


def read_parquet(
    stream: IO[bytes], file: str, wanted: Collection[str] | None = None, rows: int = ROWS
) -> Iterator[Batch]:
    """Yields the wanted columns of a file, one batch at least. Raises SourceError where it is no whole Parquet file."""
    first = 1
    try:
        reader = pq.ParquetFile(stream, page_checksum_verification=True)
        names = reader.schema_arrow.names
        _check_names(names, file)
        columns = names if wanted is None else [name for name in names if name in wanted]
        yield Batch(file, _frame(pa.Table.from_batches([], reader.schema_arrow).select(columns)))
        for batch in reader.iter_batches(rows, columns=columns):
            batch.validate(full=True)  # that texts are UTF-8, for one
            yield Batch(file, _frame(batch), first)
            first += batch.num_rows
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as exc:
        raise SourceError(
            f"can't be read as Parquet: {str(exc).splitlines()[0]}", where=file, hint="is it whole, and Parquet at all?"
        ) from exc


def _check_names(names: list[str], file: str) -> None:
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=file)
    for name, count in Counter(names).items():
        if count > 1:
            raise SourceError(f"has {count} columns named {name!r}", where=file, hint="rename all but one")
        if "\0" in name:
            raise SourceError(f"has a NUL in the name of a column: {name!r}", where=file)


def _frame(table: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    """Column by column: what else stands in the schema (pandas' notes, Arrow's) may be damaged, and is not needed."""
    columns = zip(table.schema.names, table.columns, strict=True)
    return pl.DataFrame([pl.Series(name, column) for name, column in columns])
