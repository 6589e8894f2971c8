"""The embedded history as a whole: a copy of its file to read from, and a new file that takes its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import polars as pl

from featurestore.atomic import flush_folder
from featurestore.errors import FeatureStoreError, from_os_error
from featurestore.model import StoredVersion
from featurestore.offline import schema
from featurestore.offline.copies import SqlCopies, SqlReplacement, Take
from featurestore.offline.duckdb import connect as duck
from featurestore.offline.duckdb.errors import error_of
from featurestore.offline.duckdb.file import DuckDBFile
from featurestore.offline.duckdb.place import wal_of
from featurestore.offline.duckdb.together import OF_RUN
from featurestore.offline.sql import coming_table, history_columns, history_table, literal, quote

FRAME_ROWS = 65_536
LONG_FRAME_ROWS = 2_048  # of tables with bytes: DuckDB reads so many at a time anyway
_NAME = "copied"


class DuckDBCopies(SqlCopies):
    """`Copies` of an open file."""

    def __init__(self, file: DuckDBFile, path: Path) -> None:
        self._file, self._path = file, path
        found = file.format()
        schema.check_format(found, str(path))
        super().__init__(file, found)

    def read(self, table: str, take: Take) -> None:
        columns = self.schema(table)
        rows = LONG_FRAME_ROWS if pl.Binary() in columns.values() else FRAME_ROWS
        query = f"SELECT {', '.join(map(quote, columns))} FROM {quote(table)}"
        try:
            for batch in self._file.connection.sql(query).to_arrow_reader(rows):
                take(pl.DataFrame(pl.from_arrow(batch)).cast(columns))
        except duckdb.Error as exc:
            raise error_of(exc, self._path) from exc

    def _empty(self, table: str) -> pl.DataFrame:
        return _empty(self._file, table)


def copy_file(path: Path, copy: Path) -> None:
    """Copies a file that nobody writes to, and what it has in its write-ahead log. Raises OSError."""
    # The log first: to close the file itself releases the lock that keeps writers of other processes out.
    for source, target in ((wal_of(path), wal_of(copy)), (path, copy)):
        with suppress(FileNotFoundError), source.open("rb") as old, open(target, "xb", opener=_private) as new:
            shutil.copyfileobj(old, new, 1 << 22)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


@contextmanager
def open_copy(copy: Path, path: Path, memory: int) -> Iterator[DuckDBCopies]:
    """What `copy_file` has made of the file ``path``, which has no name any more once it is open."""
    connection = duck.connect(memory=memory, spill=duck.spill_beside(copy))
    try:
        try:
            connection.execute(f"ATTACH {literal(copy)} AS {_NAME} (READ_ONLY)")
            remove(copy)  # what is killed from here on leaves nothing
            connection.execute(f"USE {_NAME}")
            yield DuckDBCopies(DuckDBFile(connection), path)
        except duckdb.Error as exc:
            raise error_of(exc, path) from exc
    finally:
        connection.close()
        remove(copy)


def remove(path: Path) -> None:
    """Removes a database file with what DuckDB leaves beside it. Raises OSError."""
    for rest in (path, wal_of(path)):
        rest.unlink(missing_ok=True)
    shutil.rmtree(duck.spill_beside(path), ignore_errors=True)


class DuckDBReplacement(SqlReplacement):
    """`Replacement` in a new file."""

    def __init__(self, file: DuckDBFile, format_: int) -> None:
        super().__init__(file, format_)
        self._file = file

    def _make(self, version: StoredVersion, *, known: bool) -> None:
        columns = history_columns(version, known=known, of_run=OF_RUN)
        self._file.change(f"CREATE TABLE {history_table(version.id)} ({columns})")
        if version.steps:
            self._file.change(f"CREATE TABLE {coming_table(version.id)} ({history_columns(version)})")

    def _empty(self, table: str) -> pl.DataFrame:
        return _empty(self._file, table)

    def _insert(self, table: str, frame: pl.DataFrame) -> None:
        rows = frame  # noqa: F841  # the query finds it by its name
        listed = ", ".join(map(quote, frame.columns))
        self._file.connection.execute(f"INSERT INTO {quote(table)} ({listed}) SELECT {listed} FROM rows")


@contextmanager
def new_file(path: Path, place: Path, format_: int, store_id: str, memory: int) -> Iterator[DuckDBReplacement]:
    """A new database file at ``path``, to be moved to ``place``: whole and on disk at the end, gone after an error.

    Its tables are made in a format, and brought to this release's once they have their rows.
    """
    remove(path)
    try:
        connection = duck.connect(path, memory=memory)
        file = DuckDBFile(connection)
        try:
            path.chmod(0o600)
            file.migrate(format_)
            connection.execute("BEGIN TRANSACTION")
            replacement = DuckDBReplacement(file, format_)
            yield replacement
            file.rows("UPDATE meta SET store_id = CAST($1 AS UUID) RETURNING 1", [store_id])
            connection.execute("COMMIT")
            file.migrate()
            connection.execute("CHECKPOINT")
        finally:
            file.close()
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException as exc:
        with suppress(OSError):
            remove(path)
        if isinstance(exc, duckdb.Error):
            raise error_of(exc, place) from exc
        raise


def take_place(path: Path, place: Path, memory: int) -> None:
    """Moves a database file to the place of another one, which may be damaged. Raises StoreError."""
    if wal_of(place).exists():
        # It would be replayed into the new file. What can be opened takes it in; what can't was lost already.
        with suppress(duckdb.Error, FeatureStoreError):
            duck.connect(place, memory=memory).close()
    try:
        wal_of(place).unlink(missing_ok=True)
        path.replace(place)
        flush_folder(place.parent)
    except OSError as exc:
        raise from_os_error(exc) from exc


def _empty(file: DuckDBFile, table: str) -> pl.DataFrame:
    found: pl.DataFrame = file.connection.sql(f"SELECT * FROM {quote(table)} LIMIT 0").pl()
    return found
