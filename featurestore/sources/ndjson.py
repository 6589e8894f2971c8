"""Files of JSON lines, gzipped or not: one object per line. A name that a line leaves out is a null."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import IO, TYPE_CHECKING

from featurestore.model import Source
from featurestore.sources.contract import OpenSource, ProjectFolders, Report
from featurestore.sources.files import FileSource, read_path

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = ("path", "delimiter")
read_settings = read_path


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    return FileSource(folders, source, given, _read_file, complete=False, row_word="line", tail=_tail)


def _tail(stream: IO[bytes], size: int) -> bytes | None:
    """Nothing has to stand before lines; those of a packed file can't be read alone, nor after a line that was cut."""
    from featurestore.tables.blocks import ends_with_line

    return b"" if ends_with_line(stream, size) else None


def _read_file(stream: IO[bytes], name: str, columns: Collection[str] | None, report: Report) -> Iterator[Batch]:
    from featurestore.tables.json_texts import read_json_texts  # loads Polars

    return read_json_texts(stream, name, report)
