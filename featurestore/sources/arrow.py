"""Arrow IPC: files (Feather) and streams, distinguished by their first bytes; columns have their own types."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import IO, TYPE_CHECKING

from featurestore.model import Source
from featurestore.sources.contract import OpenSource, ProjectFolders, Report
from featurestore.sources.files import FileSource, read_path

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = (
    "path",
    "partitions",
)
read_settings = read_path


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    return FileSource(folders, source, given, read_arrow)


def read_arrow(stream: IO[bytes], name: str, columns: Collection[str] | None, report: Report) -> Iterator[Batch]:
    """Yields the columns of a file or stream, one batch at least. Raises SourceError where it is damaged or cut."""
    from featurestore.tables.arrow_batches import (
        batch_of,
        has_end,
        naming_the_file,
        read_record_batches,
    )
    from featurestore.tables.batch import select_columns

    with naming_the_file(name, "Arrow"):
        schema, batches = read_record_batches(stream)
        chosen = select_columns(schema.names, columns, name)
        yield batch_of(schema.empty_table().select(chosen), name)
        first = 1
        for batch in batches:
            batch.validate(full=True)  # offsets and UTF-8: Polars trusts them
            yield batch_of(batch.select(chosen), name, first)
            first += batch.num_rows
        if not has_end(stream):
            report(f"{name} has no mark at its end: was it cut?")
