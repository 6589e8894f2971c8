"""CSV files, gzipped or not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import IO, TYPE_CHECKING

from featurestore.frozen import frozen
from featurestore.model import Json, Source
from featurestore.sources.contract import OpenSource, ProjectFolders, Report
from featurestore.sources.files import FileSettings, FileSource, written_path
from featurestore.toml import TomlTable

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = ("path", "delimiter")


@frozen
class CsvSettings(FileSettings):
    """Where the files are, and the ASCII character between two fields."""

    delimiter: str = ","

    @property
    def identity(self) -> Mapping[str, Json]:
        return {"delimiter": self.delimiter}


def read_settings(table: TomlTable) -> CsvSettings:
    delimiter = table.text("delimiter", ",") or ","
    if len(delimiter) != 1 or delimiter in '\r\n"' or not delimiter.isascii():
        raise table.error("delimiter", "must be one ASCII character")
    return CsvSettings(table.required_text("path"), written_path(table), delimiter=delimiter)


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    settings = source.settings
    assert isinstance(settings, CsvSettings), "made by read_settings"

    def read_file(stream: IO[bytes], name: str, columns: Collection[str] | None, report: Report) -> Iterator[Batch]:
        from featurestore.tables.delimited import read_csv  # loads Polars

        hint = f'add delimiter = "{{}}" to [sources.{source.name}]'
        return read_csv(stream, name, report, delimiter=settings.delimiter, delimiter_hint=hint)

    def tail(stream: IO[bytes], size: int) -> bytes | None:
        from featurestore.tables.delimited import header_before

        return header_before(stream, size)

    return FileSource(folders, source, given, read_file, tail=tail)
