"""A project's schema as a whole: read within one snapshot, and replaced within one transaction."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from featurestore.model import StoredVersion
from featurestore.offline import schema
from featurestore.offline.audit_rows import table_name
from featurestore.offline.copies import SqlCopies, SqlReplacement, Take
from featurestore.offline.postgres import packed, tables
from featurestore.offline.postgres.packed import Packing
from featurestore.offline.postgres.run import refuse_what_has_no_place
from featurestore.offline.sql import quote
from featurestore.postgres.connection import Connection, storable

PACKED_SINCE = 10  # the format that first had packed rows
_OF_VERSIONS = re.compile(r"[hs]_[a-z][a-z0-9_]{0,47}_[0-9a-f]{12}")
_BESIDE = ("meta", "appended", packed.TABLE)


class PostgresCopies(SqlCopies):
    """`Copies` of a snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        super().__init__(connection, tables.format_of(connection))

    def read(self, table: str, take: Take) -> None:
        columns = self.schema(table)

        def run(answer: Any) -> None:
            for batch in answer:
                take(pl.DataFrame(pl.from_arrow(batch)).cast(columns))

        self._connection.stream(f"SELECT {', '.join(map(quote, columns))} FROM {quote(table)}", run)

    def _empty(self, table: str) -> pl.DataFrame:
        return self._connection.query(f"SELECT * FROM {quote(table)} LIMIT 0")


class PostgresReplacement(SqlReplacement):
    """`Replacement` in an open transaction, under the project's lock."""

    def __init__(self, connection: Connection, format_: int) -> None:
        super().__init__(connection, format_)
        self._connection = connection
        self._known: dict[str, bool] = {}
        self._packing = Packing(connection) if format_ >= PACKED_SINCE else None

    def finish(self) -> None:
        """Makes what is derived of the rows: indexes, which are built faster once they are there, and counts."""
        if self._packing is not None:
            self._packing.end()
        for name, version in self._versions.items():
            tables.index_history(self._connection, version, known=self._known[name])
            tables.recount(self._connection, version)

    def _make(self, version: StoredVersion, *, known: bool) -> None:
        self._known[table_name(version.id)] = known
        tables.make_history(self._connection, version, known=known)

    def _empty(self, table: str) -> pl.DataFrame:
        return self._connection.query(f"SELECT * FROM {quote(table)} LIMIT 0")

    def _insert(self, table: str, frame: pl.DataFrame) -> None:
        version = self._versions.get(table)
        if version is not None:
            refuse_what_has_no_place(version, frame)
        else:
            texts = [name for name, kind in frame.schema.items() if kind == pl.String]
            odd = [name for name in texts if frame[name].str.contains("\0", literal=True).any()]
            frame = frame.with_columns(pl.Series(name, list(map(storable, frame[name])), pl.String) for name in odd)
        self._connection.copy(table, frame)
        if version is not None and self._packing is not None:
            self._packing.add(table, frame)


def drop_tables(connection: Connection) -> None:
    """Drops the tables of a history, and no others that a schema has.

    What others have made of them, such as views, is in the way, and the server says so.
    """
    ours = {*_BESIDE, *schema.tables_in(schema.FORMAT)}
    found = connection.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = $1", [connection.schema])
    gone = [row["name"] for row in found if row["name"] in ours or _OF_VERSIONS.fullmatch(row["name"])]
    if gone:
        connection.execute("DROP TABLE " + ", ".join(quote(name) for name in gone))
