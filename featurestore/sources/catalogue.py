"""Which tables a database file has."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from featurestore.errors import SourceError, UsageError, did_you_mean


def tables_of(path: Path, source_type: str) -> list[str]:
    """The tables and views of a SQLite or DuckDB file, by name. Raises SourceError where it can't be read."""
    if source_type == "sqlite":
        import sqlite3

        try:
            with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
                query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
                return sorted(str(row[0]) for row in database.execute(query))
        except sqlite3.Error as exc:
            raise SourceError(f"can't be read as SQLite: {exc}", where=str(path)) from exc
    import duckdb

    try:
        with closing(duckdb.connect(str(path), read_only=True)) as connection:
            query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' ORDER BY 1"
            return [str(row[0]) for row in connection.execute(query).fetchall()]
    except duckdb.Error as exc:
        raise SourceError(f"can't be read as DuckDB: {str(exc).partition(chr(10))[0]}", where=str(path)) from exc


def choose_table(path: Path, source_type: str, wanted: str | None) -> str:
    """The table that is meant: the named one, or the only one. Raises UsageError naming all where there are several."""
    names = tables_of(path, source_type)
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"has no table {wanted!r}", where=str(path), hint=did_you_mean(wanted, names))
        return wanted
    if not names:
        raise SourceError("has no tables", where=str(path))
    if len(names) > 1:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise UsageError(f"has {len(names)} tables: {shown}", where=str(path), hint="name one with --table")
    return names[0]
