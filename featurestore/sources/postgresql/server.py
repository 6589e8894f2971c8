"""What is asked of a server beside its rows, with psycopg: which table is meant, its columns and their types.

All of it, and the rows, are of one snapshot: the transaction here exports it, and the one that reads takes it over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from featurestore.errors import FeatureStoreError, SourceError, StoreError, UnreachableError, did_you_mean
from featurestore.postgres.address import Address
from featurestore.postgres.errors import ConnectionLostError, unconnected
from featurestore.sources.databases import quoted
from featurestore.sources.postgresql.columns import Column, ServerType
from featurestore.sources.postgresql.settings import PostgresSettings

AGAIN = "nothing was taken; run the same command again"
# Times and intervals are written in one way whatever the server's settings, and waiting for the rows is no idling.
SETTINGS = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'iso_8601'; "
    "SET LOCAL extra_float_digits = 1; SET LOCAL jit = off; SET LOCAL idle_in_transaction_session_timeout = 0"
)
_CONNECTING = ("connection failed: ", "connection is bad: ")


class Snapshot:
    """One state of a server: what is asked here, and whoever takes over ``id``, see the same rows."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], settings: PostgresSettings, where: str) -> None:
        self._connection, self._settings, self._where = connection, settings, where
        self.id = str(self.row("SELECT pg_export_snapshot()")[0])

    def rows(self, query: str, values: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), values).fetchall()

    def row(self, query: str, values: Sequence[object] | None = None) -> tuple[Any, ...]:
        return self.rows(query, values)[0]

    def find_table(self) -> tuple[str, str] | None:
        """The schema and name of the source's table; None for a query. Raises SourceError where there is none."""
        named = self._settings.table
        if named is None:
            return None
        schema, dot, table = named.partition(".")
        candidates = [quoted(named), f"{quoted(schema)}.{quoted(table)}"] if dot else [quoted(named)]
        for candidate in candidates:
            found = self.rows(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.oid = to_regclass(%s)",
                [candidate],
            )
            if found:
                return str(found[0][0]), str(found[0][1])
        names = table_names(self)
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        hint = did_you_mean(named, names) or f"there are: {shown or 'none that this user may see'}"
        raise SourceError(f"there is no table {named!r}", where=self._where, hint=hint)

    def columns(self, rows: str) -> list[Column]:
        """The columns of a table or query, in order. Asks for no row."""
        described = self._connection.execute(f"SELECT * FROM {rows} LIMIT 0".encode()).description or []
        types = self._types({column.type_code for column in described})
        return [
            Column(column.name, _with_digits(types[column.type_code], column.precision, column.scale))
            for column in described
        ]

    def primary_key(self, table: tuple[str, str] | None) -> list[str]:
        """The columns of a table's primary key; none where it has none."""
        if table is None:
            return []
        found = self.rows(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = ANY(i.indkey) WHERE i.indisprimary AND i.indrelid = to_regclass(%s) "
            "ORDER BY array_position(i.indkey, a.attnum)",
            [".".join(map(quoted, table))],
        )
        return [str(row[0]) for row in found]

    def place_and_time(self) -> tuple[str, int, int]:
        """The database; when the snapshot was taken, and when the oldest transaction began that runs (µs).

        The server shows a user without the role pg_read_all_stats only transactions of its own.
        """
        database, now, running = self.row(
            "SELECT current_database(), (extract(epoch FROM now()) * 1000000)::bigint, (SELECT "
            "(extract(epoch FROM min(xact_start)) * 1000000)::bigint FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend')"
        )
        return str(database), int(now), int(now if running is None else min(now, running))

    def has_transactions(self, table: tuple[str, str] | None) -> bool:
        """Whether the rows of a table say which transaction wrote them: those of views do not."""
        if table is None:
            return False
        named = ".".join(map(quoted, table))
        return self.rows("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [named])[0][0] in "rpm"

    def oldest_running(self) -> str:
        """The oldest transaction that runs, or the next one where none does, as xmin has it."""
        return str(self.row("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::numeric % 4294967296")[0])

    def _types(self, oids: set[int]) -> dict[int, ServerType]:
        found = self.rows(
            "SELECT t.oid, t.typname, t.typtype, i.typname, i.typtype, "
            "t.typcategory = 'A' AND t.typsubscript::text = 'array_subscript_handler' "
            "FROM pg_type t LEFT JOIN pg_type i ON i.oid = t.typelem WHERE t.oid = ANY(%s)",
            [list(oids)],
        )
        return {
            oid: ServerType(name, kind, ServerType(item, item_kind) if is_array else None)
            for oid, name, kind, item, item_kind, is_array in found
        }


def _with_digits(found: ServerType, precision: int | None, scale: int | None) -> ServerType:
    return found if found.name != "numeric" else ServerType(found.name, found.kind, None, precision, scale)


@contextmanager
def take_snapshot(address: Address, settings: PostgresSettings, where: str) -> Iterator[Snapshot]:
    """A snapshot, which ends with the block. Raises SourceError, or ConfigError where the login is rejected."""
    with in_words(address, settings, where), _connect(address, where) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(SETTINGS.encode())
        yield Snapshot(connection, settings, where)
        connection.execute("ROLLBACK")


def table_names(snapshot: Snapshot) -> list[str]:
    """The tables and views that the user may read, with their schema where the search path does not find them."""
    found = snapshot.rows(
        "SELECT n.nspname, c.relname, pg_table_is_visible(c.oid) FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
        "AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' "
        "AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') ORDER BY 1, 2"
    )
    return [table if visible else f"{schema}.{table}" for schema, table, visible in found]


@contextmanager
def _connect(address: Address, where: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    try:
        connection = psycopg.connect(address.conninfo, autocommit=True, row_factory=tuple_row)
    except psycopg.Error as exc:
        if exc.sqlstate is not None:
            raise
        raise _not_connected(str(exc), address, where) from None
    try:
        yield connection
    finally:
        with suppress(psycopg.Error):
            connection.close()


def _not_connected(text: str, address: Address, where: str) -> FeatureStoreError:
    """No connection was made; libpq says it once for each address that it tried."""
    said = text.partition("\n")[0]
    for prefix in _CONNECTING:
        said = said.removeprefix(prefix)
    _, named, rest = said.partition(" failed: ")
    problem = unconnected(address.redact(rest if named else said).removesuffix("."), address)
    if isinstance(problem, StoreError):
        return UnreachableError(f"{problem.where} {problem.message}", where=where, hint=problem.hint)
    return problem


@contextmanager
def in_words(address: Address, settings: PostgresSettings, where: str) -> Iterator[None]:
    """Raises what psycopg raises, and what `postgres.connection` does, as errors of a source."""
    try:
        yield
    except psycopg.Error as exc:
        raise _problem(exc, address, settings, where) from None
    except ConnectionLostError as exc:
        raise UnreachableError(exc.message, where=where, hint=AGAIN) from None
    except StoreError as exc:
        raise SourceError(f"can't be read: {exc.message}", where=where, hint=_fix(settings)) from None


def _problem(exc: psycopg.Error, address: Address, settings: PostgresSettings, where: str) -> SourceError:
    state = exc.sqlstate or ""
    message = address.redact(exc.diag.message_primary or str(exc).partition("\n")[0])
    if not state or state.startswith(("08", "57P")):
        return UnreachableError(f"the connection was lost: {message}", where=where, hint=AGAIN)
    if state == "42501":
        hint = "as the table's owner: GRANT SELECT ON the table TO the user of the url, and USAGE ON its SCHEMA"
        return SourceError(f"may not be read: {message}", where=where, hint=hint)
    if state in ("57014", "55P03", "40001", "53300", "53100", "53200"):
        return UnreachableError(f"the server stopped it: {message}", where=where, hint=AGAIN)
    return SourceError(f"its {settings.what} can't be read: {message}", where=where, hint=_fix(settings))


def _fix(settings: PostgresSettings) -> str:
    return f"fix {settings.what} in featurestore.toml"
