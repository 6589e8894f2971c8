"""An open DuckDB file: the connection that the audit log's SQL needs, and the migrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import duckdb

from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline import schema
from featurestore.offline.audit_rows import later_name, table_name
from featurestore.offline.sql import Values, quote

WAITING = 64_000_000  # bytes of rows that may be under way

# Beside what `offline.schema` has for every store. ``versions.together`` is the table that has a version's first rows
# together with those of others (`offline.duckdb.together`), null where its own table has all of its rows.
_BESIDE = {11: "ALTER TABLE versions ADD COLUMN together TEXT;"}


@frozen
class _Table:
    """What a version's history is like: whether rows have known times, and the table with its first rows, if any."""

    known: bool
    together: str | None = None


def later_table(version: VersionId) -> str:
    """The table with what came after the first rows, of a version that has these together with others."""
    return quote(later_name(version))


class DuckDBFile:
    """`SqlConnection` on a DuckDB connection, which is public for whatever else is needed.

    What `begin` was given runs on a thread of its own, in order, beside what this thread does next. Whoever uses the
    connection waits for it, and so does whoever gives more than ``waiting`` bytes at once.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, waiting: int = WAITING) -> None:
        self._connection = connection
        self._worker: ThreadPoolExecutor | None = None
        self._begun: list[Future[object]] = []
        self.waiting = waiting
        self._sizes: dict[Future[object], int] = {}  # of what may be under way
        self._deferred: Callable[[], None] | None = None
        self._tables: dict[str, _Table] | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, with nothing under way. Raises duckdb.Error for what `begin` was given and has failed."""
        self.call_deferred()
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
        self.call_deferred()
        self._submit(work, size)

    def defer(self, work: Callable[[], None]) -> None:
        """Has something called, once, before anybody begins anything else or uses the connection.

        It takes the place of what was deferred before.
        """
        self._deferred = work

    def forget_deferred(self) -> None:
        """What was deferred is not called any more."""
        self._deferred = None

    def call_deferred(self) -> None:
        """Calls what was deferred, if anything was."""
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            deferred()

    def _submit(self, work: Callable[[duckdb.DuckDBPyConnection], object], size: int = 0) -> None:
        self._worker = self._worker or ThreadPoolExecutor(1, "duckdb")
        while self._sizes and sum(self._sizes.values()) + size > self.waiting:
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
            self._submit(lambda connection: connection.execute(statement, list(values)))
        else:
            self._connection.execute(statement, list(values))

    def has_history(self, version: StoredVersion) -> bool:
        """Whether the version has a table here."""
        return table_name(version.id) in self._versions()

    def has_known(self, version: StoredVersion) -> bool:
        """Whether its table has known times of the rows."""
        table = self._versions().get(table_name(version.id))
        return table is not None and table.known

    def together(self, version: StoredVersion) -> str | None:
        """The table that has the version's first rows together with those of others, if there is one."""
        self.call_deferred()  # the version may be among what is written then
        table = self._versions().get(table_name(version.id))
        return None if table is None else table.together

    def tables(self, version: StoredVersion) -> list[str]:
        """The tables in which a version's rows lie, as SQL has them."""
        together = self.together(version)
        return [quote(table_name(version.id))] if together is None else [quote(together), later_table(version.id)]

    def note_table(self, version: VersionId, *, known: bool, together: str | None = None) -> None:
        """Says what the version's history is like from now on."""
        self._versions()[table_name(version)] = _Table(known, together)

    def _versions(self) -> dict[str, _Table]:
        if self._tables is None:
            # DuckDB's own list of tables takes ten times as long on first use. Earlier formats lack some columns.
            rows = self.rows("SELECT * FROM versions")
            self._tables = {
                row["table_name"]: _Table(row.get("known_seq") is not None, row.get("together")) for row in rows
            }
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

    def migrate(self, up_to: int = schema.FORMAT) -> None:
        """Brings the file to a format, by default this release's: by steps, each in a transaction of its own."""
        steps = [(number, self._step(number)) for number in range(self.format() + 1, up_to + 1)]
        if steps and steps[0][0] == 1:  # a new file is not seen half made, and one transaction takes half the time
            steps = [(up_to, "".join(statements for _, statements in steps))]
        for number, statements in steps:
            self.connection.execute("BEGIN TRANSACTION")
            self.connection.execute(statements)
            self.connection.execute("UPDATE meta SET format = $1", [number])
            self.connection.execute("COMMIT")

    @staticmethod
    def _step(number: int) -> str:
        return schema.MIGRATIONS[number] + _BESIDE.get(number, "")
