"""CSV files, packed or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING

from featurestore.model import Source
from featurestore.sources.contract import Choose, OpenSource, ProjectFolders, Report
from featurestore.sources.dialects import CSV
from featurestore.sources.files import FileSettings, FileSource, read_partitions, written_path
from featurestore.toml import TomlTable

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = ("path", "partitions", *CSV)


def read_settings(table: TomlTable) -> FileSettings:
    return FileSettings(table.required_text("path"), written_path(table), partitions=read_partitions(table))


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    def read_file(stream: IO[bytes], name: str, columns: Choose | None, report: Report) -> Iterator[Batch]:
        from featurestore.tables.blocks import BLOCK
        from featurestore.tables.delimited import read_csv  # loads Polars
        from featurestore.tables.memory import batch_bytes

        block_size = batch_bytes(folders.memory, BLOCK)
        return read_csv(stream, name, report, dialect=source.dialect, hint=hint, block_size=block_size)

    def hint(setting: str, value: str) -> str:
        shown = value if setting in ("header", "skip_rows") else f'"{value}"'
        return f"add {setting} = {shown} to [sources.{source.name}]"

    def tail(stream: IO[bytes], size: int) -> bytes | None:
        from featurestore.tables.delimited import header_before

        return header_before(stream, size, source.dialect)

    def read_bundle(files: Iterable[tuple[str, bytes]], report: Report) -> Iterator[Batch]:
        from featurestore.tables.bundles import read_bundle  # loads Polars

        return read_bundle(files, report, dialect=source.dialect, hint=hint)

    return FileSource(folders, source, given, read_file, tail=tail, read_bundle=read_bundle)
