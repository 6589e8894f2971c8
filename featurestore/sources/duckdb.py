"""DuckDB files: a table, a view, or a query."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import SourceError
from featurestore.model import Source
from featurestore.sources.contract import Choose, OpenSource, ProjectFolders
from featurestore.sources.databases import KEYS, Check, DatabaseFiles, DatabaseSettings, read_settings, select

if TYPE_CHECKING:
    import duckdb

    from featurestore.tables.batch import Batch

ROWS = 1 << 18
WAIT_SECONDS = 10.0
"""How long to wait for a program that has the file open for writing."""


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    return DatabaseFiles(folders, source, given, read_duckdb, log=".wal")


def read_duckdb(
    path: Path,
    name: str,
    settings: DatabaseSettings,
    columns: Choose | None,
    check: Check,
    *,
    rows: int = ROWS,
    wait_seconds: float = WAIT_SECONDS,
) -> Iterator[Batch]:
    """The rows of one snapshot, at least one batch. Raises SourceError."""
    import duckdb

    from featurestore.tables.arrow_batches import batch_of, naming_the_file, others, select_columns

    with closing(_open(path, name, wait_seconds)) as connection, naming_the_file(name, "DuckDB"):
        check()
        try:
            empty = connection.sql(f"SELECT * FROM {settings.rows} LIMIT 0").to_arrow_table()
            chosen = select_columns(empty.schema.names, columns, name) or empty.schema.names[:1]
            unread = others(empty.schema.names, chosen)
            yield batch_of(empty.select(chosen), name, unread=unread)
            first = 1
            for batch in connection.sql(select(chosen, settings)).to_arrow_reader(rows):
                yield batch_of(batch, name, first, unread=unread)
                first += batch.num_rows
            check()
        except duckdb.Error as exc:
            said = str(exc).partition("\n")[0]
            what = "query" if settings.query is not None else "table"
            raise SourceError(
                f"its {what} can't be read: {said}", where=name, hint=f"fix {what} in featurestore.toml"
            ) from exc


def _open(path: Path, name: str, wait_seconds: float) -> duckdb.DuckDBPyConnection:
    import duckdb

    # Only what is in the file can be read: a query is no way to other files or to the network.
    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            connection = duckdb.connect(str(path), read_only=True, config=settings)
        except duckdb.Error as exc:
            said = str(exc).partition("\n")[0]
            if not _is_held(exc):
                hint = "is it complete, and DuckDB at all?"
                raise SourceError(f"can't be read as DuckDB: {said}", where=name, hint=hint) from exc
            if time.monotonic() >= deadline:
                raise SourceError(
                    f"is open for writing in another program, after {wait_seconds:g} s of waiting: {said}",
                    where=name,
                    hint="close it there, and run ingest again",
                ) from exc
            time.sleep(0.1)
        else:
            connection.execute("SET TimeZone = 'UTC'")
            return connection


def _is_held(exc: duckdb.Error) -> bool:
    import duckdb

    # DuckDB has no class for a file that another process has open; its text begins so.
    return isinstance(exc, duckdb.IOException) and str(exc).startswith("IO Error: Could not set lock on file")


__all__ = ["KEYS", "open_source", "read_settings"]
