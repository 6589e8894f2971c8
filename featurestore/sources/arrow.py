"""Arrow IPC: files (Feather) and streams, distinguished by their first bytes; columns have their own types."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import IO, TYPE_CHECKING

from featurestore.model import Source
from featurestore.sources.contract import Choose, OpenSource, ProjectFolders, Report
from featurestore.sources.files import FileSource, named_in_files, read_path

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = (
    "path",
    "partitions",
)
read_settings = read_path


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    needed = named_in_files(source)

    def read_file(stream: IO[bytes], name: str, columns: Choose | None, report: Report) -> Iterator[Batch]:
        return read_arrow(stream, name, columns, report, needed=needed)

    return FileSource(folders, source, given, read_file)


def read_arrow(
    stream: IO[bytes], name: str, columns: Choose | None, report: Report, *, needed: Collection[str] = ()
) -> Iterator[Batch]:
    """Yields the columns of a file or stream, one batch at least. Raises SourceError where it is damaged or cut."""
    from featurestore.tables.arrow_batches import (
        batch_of,
        has_end,
        naming_the_file,
        read_record_batches,
        readable,
    )
    from featurestore.tables.chosen_columns import others, select_columns

    with naming_the_file(name, "Arrow"):
        schema, batches = read_record_batches(stream)
        chosen = select_columns(schema.names, columns, name)
        unread = others(schema.names, chosen)
        chosen = readable(schema, chosen, needed, name, report)
        yield batch_of(schema.empty_table().select(chosen), name, unread=unread)
        first = 1
        for batch in batches:
            read = batch.select(chosen)
            read.validate(full=True)  # offsets and UTF-8: Polars trusts them
            yield batch_of(read, name, first, unread=unread)
            first += batch.num_rows
        if not has_end(stream):
            report(f"{name} has no mark at its end: was it cut?")
