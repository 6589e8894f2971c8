"""Parquet files: columns in the files' own types."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import IO, TYPE_CHECKING

from featurestore.model import Source
from featurestore.sources.contract import OpenSource, ProjectFolders, Report
from featurestore.sources.files import FileSource, read_path

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = ("path", "partitions", "delimiter")
ROWS = 1 << 18
read_settings = read_path


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    return FileSource(folders, source, given, read_parquet)


def read_parquet(
    stream: IO[bytes], name: str, columns: Collection[str] | None, report: Report, rows: int = ROWS
) -> Iterator[Batch]:
    """Yields the columns of a file, one batch at least. Raises SourceError where it is damaged or not Parquet."""
    # Arrow's reader, not Polars': on damaged pages the latter was seen to end the whole process.
    import pyarrow.parquet as pq

    from featurestore.tables.arrow_batches import batch_of, naming_the_file, select_columns
    from featurestore.tables.formats import refuse_foreign

    with naming_the_file(name, "Parquet"):
        refuse_foreign(stream, name, "Parquet")
        reader = pq.ParquetFile(stream, page_checksum_verification=True)
        chosen = select_columns(reader.schema_arrow.names, columns, name)
        yield batch_of(reader.schema_arrow.empty_table().select(chosen), name)
        first = 1
        for batch in reader.iter_batches(rows, columns=chosen):
            batch.validate(full=True)  # that texts are UTF-8, for one
            yield batch_of(batch, name, first)
            first += batch.num_rows
