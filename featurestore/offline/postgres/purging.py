"""Rewriting a schema's tables, so that rows that were erased are not in the server's files any more either.

VACUUM FULL drops only rows that no transaction can still see, and waits for everybody who has the table open. So what
began before is waited for first, and not for ever.
"""

from __future__ import annotations

import time

from featurestore import times
from featurestore.offline.sql import literal, quote
from featurestore.postgres.connection import Connection

WAIT_SECONDS = 5.0
POLL_SECONDS = 0.05

# Who may still see rows that were deleted before the transaction with the number $1. Lazy VACUUM sees none.
_OLDER = """
    SELECT pid, application_name AS name, (extract(epoch FROM xact_start))::bigint AS since FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (datname = current_database() OR backend_type = 'walsender')
    AND greatest(age(backend_xmin), age(backend_xid)) > age('{cut}'::xid)
    AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = pg_stat_activity.pid)
    UNION ALL SELECT NULL, 'the prepared transaction ' || gid, (extract(epoch FROM prepared))::bigint
    FROM pg_prepared_xacts WHERE database = current_database() AND age(transaction) > age('{cut}'::xid)
    UNION ALL SELECT NULL, 'the replication slot ' || slot_name, NULL
    FROM pg_replication_slots WHERE age(xmin) > age('{cut}'::xid)
"""
# Who has a table of the schema open: each transaction has a number of its own.
_OPEN = """
    SELECT DISTINCT l.virtualtransaction AS turn, l.pid, a.application_name AS name,
        (extract(epoch FROM a.xact_start))::bigint AS since
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE c.relnamespace = {schema}::regnamespace AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# ANALYZE leaves the statistics of a table without rows as they are, and they hold values. To give a column its own
# type removes them.
_STATISTICS = """
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
        (SELECT collname FROM pg_collation c WHERE c.oid = a.attcollation AND c.oid <> t.typcollation) AS collation
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = {table}::regclass AND NOT a.attisdropped AND a.attnum > 0
    AND EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = {schema} AND s.tablename = {name} AND s.attname = a.attname)
"""


def rewrite(connection: Connection, schema: str) -> str | None:
    """Rewrites the tables of a schema, and what the server knows of their values.

    Says why not, where a transaction that began before goes on for more than `WAIT_SECONDS`: then what it may read
    stays. Nobody writes to the schema meanwhile.
    """
    held = _wait(connection, schema)
    if held is not None:
        return held
    # One statement after another, because VACUUM can't run inside a transaction.
    for row in connection.rows("SELECT tablename FROM pg_tables WHERE schemaname = $1", [schema]):
        table = f"{quote(schema)}.{quote(row['tablename'])}"
        connection.execute(f"VACUUM (FULL, ANALYZE) {table}")
        if not connection.rows(f"SELECT 1 FROM {table} LIMIT 1"):
            _forget_statistics(connection, schema, row["tablename"], table)
    # Statistics of a column hold the most frequent values. Those from before were replaced only now, so whoever has
    # come since the first wait may still read them, even if they are gone in a moment: then they would be kept.
    held = _wait(connection, schema)
    if held is not None:
        return held
    # To rewrite them takes the owner of the database.
    connection.execute("VACUUM (FULL) pg_catalog.pg_statistic")
    return None


def _wait(connection: Connection, schema: str) -> str | None:
    """Waits until nobody is in the way, and says who is where that takes too long."""
    cut = connection.rows("SELECT pg_current_xact_id()::xid::text AS cut")[0]["cut"]
    older, opened = _OLDER.format(cut=cut), _OPEN.format(schema=literal(quote(schema)))
    first = {row["turn"] for row in connection.rows(opened)}
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        held = connection.rows(older) + [row for row in connection.rows(opened) if row["turn"] in first]
        if not held:
            return None
        if time.monotonic() >= deadline:
            return (
                f"PostgreSQL keeps what was erased in its files while {_who(held[0])} may still read it; end that, "
                "then run featurestore sync, which completes the erasure"
            )
        time.sleep(POLL_SECONDS)


def _who(row: dict[str, object]) -> str:
    if row["pid"] is None:
        return str(row["name"])
    since = f", since {times.format_instant(int(str(row['since'])) * 1_000_000)}" if row["since"] else ""
    return f"a transaction of {row['name'] or 'another client'} (pid {row['pid']} on the server{since})"


def _forget_statistics(connection: Connection, schema: str, name: str, table: str) -> None:
    columns = connection.rows(_STATISTICS.format(table=literal(table), schema=literal(schema), name=literal(name)))
    changes = [
        f"ALTER COLUMN {quote(row['name'])} TYPE {row['type']}"
        + (f" COLLATE {quote(row['collation'])}" if row["collation"] else "")
        for row in columns
    ]
    if changes:
        connection.execute(f"ALTER TABLE {table} {', '.join(changes)}")
