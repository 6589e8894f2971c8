"""An open DuckDB file: the connection that the audit log's SQL needs, and the migrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import duckdb

from featurestore.model import StoredVersion, VersionId
from featurestore.offline import schema
from featurestore.offline.audit_rows import table_name
from featurestore.offline.sql import Values

WAITING = 64_000_000  # bytes of rows that may be under way


class DuckDBFile:
    """`SqlConnection` on a DuckDB connection, which is public for whatever else is needed.

    What `begin` was given runs on a thread of its own, in order, beside what this thread does next. Whoever uses the
    connection waits for it, and so does whoever gives more than ``waiting`` bytes at once.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, waiting: int = WAITING) -> None:
        self._connection = connection
        self._worker: ThreadPoolExecutor | None = None
        self._begun: list[Future[object]] = []
        self._waiting = waiting
        self._sizes: dict[Future[object], int] = {}  # of what may be under way
        self._tables: dict[str, bool] | None = None  # whether their rows have known times

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, with nothing under way. Raises duckdb.Error for what `begin` was given and has failed."""
        begun, self._begun = self._begun, []
        self._sizes.clear()
        try:
            for each in begun:
                each.result()
        finally:  # where one has failed, or a signal has come, none of the others goes on beside the rollback
            for each in begun:
                each.cancel()
            wait(begun)
        return self._connection

    def begin(self, work: Callable[[duckdb.DuckDBPyConnection], object], size: int = 0) -> None:
        """Runs what nobody waits for: an error is raised to whoever uses the connection next.

        ``size`` are the bytes that it holds until it is done.
        """
        self._worker = self._worker or ThreadPoolExecutor(1, "duckdb")
        while self._sizes and sum(self._sizes.values()) + size > self._waiting:
            first = next(iter(self._sizes))
            wait([first])
            del self._sizes[first]
        self._begun.append(self._worker.submit(work, self._connection))
        if size:
            self._sizes[self._begun[-1]] = size

    def close(self) -> None:
        for each in self._begun:
            each.cancel()
        if self._worker is not None:
            self._worker.shutdown()
        self._connection.close()

    def rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        cursor = self.connection.execute(query, list(values))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        # One statement for all: a thousand single-row INSERTs take a second.
        lists = ", ".join(f"unnest(${number})" for number in range(1, len(columns) + 1))
        values = [list(column) for column in zip(*rows, strict=True)]
        self.change(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {lists}", values)

    def change(self, statement: str, values: Values = ()) -> None:
        if self._begun:  # behind what is under way
            self.begin(lambda connection: connection.execute(statement, list(values)))
        else:
            self._connection.execute(statement, list(values))

    def has_history(self, version: StoredVersion) -> bool:
        """Whether the version has a table here."""
        return table_name(version.id) in self._versions()

    def has_known(self, version: StoredVersion) -> bool:
        """Whether its table has known times of the rows."""
        return self._versions().get(table_name(version.id), False)

    def note_table(self, version: VersionId, *, known: bool) -> None:
        """Says that the version has a table from now on, or known times."""
        self._versions()[table_name(version)] = known

    def _versions(self) -> dict[str, bool]:
        if self._tables is None:
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
