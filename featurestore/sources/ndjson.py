"""Files of JSON lines, packed or not: one object per line. A name that a line leaves out is a null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from featurestore.model import Source
from featurestore.sources.contract import Choose, OpenSource, ProjectFolders, Report
from featurestore.sources.files import FileSource, read_path

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = ("path", "partitions", "delimiter", "encoding")
read_settings = read_path


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    def read_file(stream: IO[bytes], name: str, columns: Choose | None, report: Report) -> Iterator[Batch]:
        from featurestore.tables.blocks import BLOCK
        from featurestore.tables.json_texts import read_json_texts  # loads Polars
        from featurestore.tables.memory import batch_bytes

        block_size = batch_bytes(folders.memory, BLOCK)
        return read_json_texts(stream, name, report, encoding=source.dialect.encoding, block_size=block_size)

    def tail(stream: IO[bytes], size: int) -> bytes | None:
        """Nothing has to stand before lines; they can't be read alone where they are packed, or one was cut."""
        from featurestore.tables.blocks import ends_with_line

        return b"" if source.dialect.encoding == "utf-8" and ends_with_line(stream, size) else None

    return FileSource(folders, source, given, read_file, complete=False, row_word="line", tail=tail)
