"""SQLite files: a table, a view, or a query.

SQLite has types for values, not for columns: an INTEGER column may hold a text. Such a column is read as text, with
what each value was, so that a row that does not fit is set aside like any other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from featurestore.errors import SourceError
from featurestore.model import Source
from featurestore.sources.contract import Choose, OpenSource, ProjectFolders, Report
from featurestore.sources.databases import KEYS, Check, DatabaseFiles, DatabaseSettings, read_settings, select
from featurestore.tables.memory import batch_bytes

if TYPE_CHECKING:
    import polars as pl

    from featurestore.tables.batch import Batch

ROWS = 50_000
AT_ONCE = 1_000  # rows: twice as fast as 20,000, which no longer fit into the processor's caches
BATCH_BYTES = 32_000_000
_FIRST, _LOOKED_AT, _OF_A_VALUE = 16, 8, 50  # rows that are fetched first, rows by which others are judged, bytes
WAIT_SECONDS = 10.0
"""How long to wait for a program that is just writing the file."""


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    read = partial(read_sqlite, most=batch_bytes(folders.memory, BATCH_BYTES))
    return DatabaseFiles(folders, source, given, read, log="-wal")


def read_sqlite(
    path: Path,
    name: str,
    settings: DatabaseSettings,
    _columns_needed: Choose | None,
    check: Check,
    _report: Report,
    *,
    rows: int = ROWS,
    most: int = BATCH_BYTES,
    wait_seconds: float = WAIT_SECONDS,
) -> Iterator[Batch]:
    """The rows of one snapshot, at least one batch. Raises SourceError.

    All columns are read: which rows are readable must not depend on what is needed.
    """
    from featurestore.tables.batch import Batch
    from featurestore.tables.chosen_columns import select_columns

    try:
        # Never written, not even to recover it, and isolation_level None leaves the one transaction to us.
        uri = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=wait_seconds, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot stands from here on
            check()
            # Readers keep writers out, but for a log, where they write beside us.
            alone = connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal"
            if alone:
                _check_length(connection, path, name)
            names = [each[0] for each in connection.execute(f"SELECT * FROM {settings.rows} LIMIT 0").description]
            names = select_columns(names, None, name)
            yield Batch(name, _frame(names, [()] * len(names))[0])
            yield from _batches(connection, select(names, settings), names, name, rows, most)
            if alone:
                check()
    except sqlite3.Error as exc:
        raise _error(exc, settings, name, wait_seconds) from exc


def _check_length(connection: sqlite3.Connection, path: Path, name: str) -> None:
    """Refuses a file that was cut: SQLite takes what is missing for zeros."""
    # Asked of SQLite, because opening and closing the file here would release the lock that this connection has on it.
    page_size, pages = (connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_size", "page_count"))
    if path.stat().st_size < page_size * pages:
        raise SourceError("is a SQLite file that was cut", where=name, hint="copy it again")


def _batches(
    connection: sqlite3.Connection, statement: str, names: Sequence[str], name: str, rows: int, most: int
) -> Iterator[Batch]:
    read = 0
    fetched = _columns(connection.execute(statement), len(names), rows, most)
    while True:
        try:
            columns = next(fetched)
        except StopIteration:
            return
        except sqlite3.OperationalError as exc:
            if hasattr(exc, "sqlite_errorcode"):
                raise
            # Python's, not SQLite's: a text is not UTF-8. From here on such a text is bytes, at twice the cost.
            connection.text_factory = _text
            fetched = _columns(connection.execute(statement), len(names), rows, most, skip=read)
            continue
        yield _batch(names, columns, name, read + 1)
        read += len(columns[0])


def _columns(cursor: sqlite3.Cursor, width: int, rows: int, most: int, skip: int = 0) -> Iterator[list[list[object]]]:
    """The columns of so many rows, or ``most`` bytes, at a time, after some rows that are passed over."""
    while skip:
        skip -= len(cursor.fetchmany(min(AT_ONCE, skip)))
    columns: list[list[object]] = [[] for _ in range(width)]
    size, at_once = 0, min(_FIRST, AT_ONCE)
    while True:
        found = cursor.fetchmany(min(at_once, rows - len(columns[0])))
        if not found:
            break
        for column, values in zip(columns, zip(*found, strict=True), strict=True):
            column.extend(values)
        more = _size(found)
        size += more
        at_once = min(AT_ONCE, max(most // 4 * len(found) // more, 1))
        if len(columns[0]) == rows or size > most:
            yield columns
            columns, size = [[] for _ in range(width)], 0
    if columns[0]:
        yield columns


def _size(found: Sequence[Sequence[object]]) -> int:
    """About how many bytes some rows take, by a few of them."""
    some = found[:: max(len(found) // _LOOKED_AT, 1)]
    size = sum(_OF_A_VALUE + (len(value) if isinstance(value, str | bytes) else 0) for row in some for value in row)
    return size * len(found) // len(some)


def _batch(names: Sequence[str], columns: Sequence[Sequence[object]], name: str, first: int) -> Batch:
    """Some rows; one with bytes in a column of texts or numbers is unreadable."""
    import numpy as np

    from featurestore.tables.batch import MAX_REJECTED, Batch, UnreadableRow

    unreadable: dict[int, UnreadableRow] = {}
    for column, values in zip(names, columns, strict=True):
        found = set(map(type, values))
        if bytes in found and found - {bytes, type(None)}:
            for at, value in enumerate(values):
                if isinstance(value, bytes):
                    reason = f"column {column!r} holds bytes, or text that is not UTF-8"
                    unreadable.setdefault(at, UnreadableRow(first + at, reason, f"x'{value[:100].hex()}'"))
    if not unreadable:
        frame, kinds = _frame(names, columns)
        return Batch(name, frame, first, kinds=kinds)
    rows = [at for at in range(len(columns[0])) if at not in unreadable]
    frame, kinds = _frame(names, [[values[at] for at in rows] for values in columns])
    return Batch(
        name,
        frame,
        first,
        rows=np.array(rows, np.uint32) + np.uint32(first),
        unreadable=tuple(unreadable[at] for at in sorted(unreadable)[:MAX_REJECTED]),
        unreadable_count=len(unreadable),
        kinds=kinds,
    )


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _frame(names: Sequence[str], values: Sequence[Sequence[object]]) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """Columns in the type of their values; those of several types as texts, with what each value was."""
    import polars as pl

    from featurestore.tables.batch import texts

    columns: list[pl.Series] = []
    kinds: dict[str, pl.Series] = {}
    types: dict[type, pl.DataType] = {int: pl.Int64(), float: pl.Float64(), str: pl.String(), bytes: pl.Binary()}
    for name, column in zip(names, values, strict=True):
        found = set(map(type, column)) - {type(None)}
        if len(found) == 1:
            columns.append(pl.Series(name, column, dtype=types[found.pop()]))
            if columns[-1].dtype == pl.String:
                kinds[name] = texts(len(column))
        elif not found:
            columns.append(pl.Series(name, [None] * len(column), dtype=pl.Null))
        else:
            columns.append(pl.Series(name, list(map(_as_text, column)), dtype=pl.String))
            kinds[name] = pl.Series("", list(map(_kind, column)), dtype=pl.UInt8)
    return pl.DataFrame(columns), kinds


def _as_text(value: object) -> str | None:
    return None if value is None else value if isinstance(value, str) else repr(value)


def _kind(value: object) -> int:
    from featurestore.tables.batch import DECIMAL, INTEGER, NULL, STRING

    return {type(None): NULL, int: INTEGER, float: DECIMAL}.get(type(value), STRING)


def _error(exc: sqlite3.Error, settings: DatabaseSettings, name: str, waited: float) -> SourceError:
    code = getattr(exc, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return SourceError(
            f"is locked by another program, after {waited:g} s of waiting", where=name, hint="run ingest again"
        )
    if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return SourceError(f"can't be read as SQLite: {exc}", where=name, hint="is it complete, and SQLite at all?")
    if primary == sqlite3.SQLITE_ERROR:
        what = "query" if settings.query is not None else "table"
        return SourceError(f"its {what} can't be read: {exc}", where=name, hint=f"fix {what} in featurestore.toml")
    hint = "SQLite writes beside a file in WAL mode: is its folder writable?" if primary == 14 else None
    return SourceError(f"can't be read: {exc}", where=name, hint=hint)


__all__ = ["KEYS", "open_source", "read_settings"]
