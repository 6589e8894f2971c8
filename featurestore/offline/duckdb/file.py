"""An open DuckDB file: the connection that the audit log's SQL needs, and the migrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from featurestore.model import StoredVersion
from featurestore.offline import schema
from featurestore.offline.audit_rows import table_name
from featurestore.offline.sql import Values


class DuckDBFile:
    """`SqlConnection` on a DuckDB connection, which is public for whatever else is needed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, read_only: bool = False) -> None:
        self.connection = connection
        self._read_only = read_only  # nobody writes while a reader has the file open
        self._tables: dict[str, bool] | None = None  # whether their rows have known times

    def rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        cursor = self.connection.execute(query, list(values))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        # One statement for all: a thousand single-row INSERTs take a second.
        lists = ", ".join(f"unnest(${number})" for number in range(1, len(columns) + 1))
        self.connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {lists}",
            [list(column) for column in zip(*rows, strict=True)],
        )

    def has_history(self, version: StoredVersion) -> bool:
        """Whether the version has a table here."""
        return table_name(version.id) in self._versions()

    def has_known(self, version: StoredVersion) -> bool:
        """Whether its table has known times of the rows."""
        return self._versions().get(table_name(version.id), False)

    def _versions(self) -> dict[str, bool]:
        if self._tables is None or not self._read_only:
            # DuckDB's own list of tables takes ten times as long on first use. Format 6 has no known times.
            rows = self.rows("SELECT * FROM versions")
            self._tables = {row["table_name"]: row.get("known_seq") is not None for row in rows}
        return self._tables

    def meta(self) -> list[dict[str, Any]]:
        """The row of ``meta``; none in a new file."""
        try:
            return self.rows("SELECT * FROM meta")
        except duckdb.CatalogException:
            return []

    def format(self) -> int:
        """The format the file was written in; 0 for a new one."""
        meta = self.meta()
        return int(meta[0]["format"]) if meta else 0

    def migrate(self) -> None:
        """Brings the file to this release's format, each step in a transaction of its own."""
        for number in range(self.format() + 1, schema.FORMAT + 1):
            self.connection.execute("BEGIN TRANSACTION")
            self.connection.execute(schema.MIGRATIONS[number])
            self.connection.execute("UPDATE meta SET format = $1", [number])
            self.connection.execute("COMMIT")
