"""The tables of a project in PostgreSQL: one schema per project, migrated when it is opened for writing.

Beside what `offline.schema` has for every store: indexes for what grows with the years, and ``appended``, the
rows that each run added to each history table, and ``packed_rows``, which has most of them once more.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from featurestore.errors import ConfigError
from featurestore.model import StoredVersion
from featurestore.offline import schema, sql
from featurestore.offline.audit_rows import table_name
from featurestore.offline.postgres.rights import missing_right
from featurestore.offline.sql import (
    coming_table,
    history_columns,
    history_table,
    key_list,
    learned_order,
    literal,
    quote,
)
from featurestore.postgres.connection import Connection

NAME_BYTES = 63
ENCODINGS = ("UTF8", "SQL_ASCII")

_BESIDE = {
    1: """
    CREATE TABLE appended (table_name TEXT NOT NULL, run_seq BIGINT NOT NULL, rows BIGINT NOT NULL);
    CREATE INDEX ON appended (table_name, run_seq);
    CREATE UNIQUE INDEX ON runs (run_id);
    CREATE UNIQUE INDEX ON runs (run_seq);
    CREATE INDEX ON run_features (run_id);
    CREATE INDEX ON run_features (name);
    CREATE INDEX ON positions (feature, sha256, source, run_seq);
    CREATE INDEX ON rejected (run_id);
    CREATE INDEX ON samples (feature, sha256, run_seq);
    """,
    6: """
    CREATE INDEX ON raw_parts (source, sequence, position);
    """,
    10: """
    CREATE TABLE packed_rows (
        part BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, table_name TEXT NOT NULL, run_seqs BIGINT[] NOT NULL,
        counts BIGINT[] NOT NULL, bytes BYTEA NOT NULL);
    CREATE INDEX ON packed_rows (table_name);
    ALTER TABLE packed_rows ALTER COLUMN bytes SET STORAGE EXTERNAL;
    """,
}


def schema_name(project: str) -> str:
    """``fs_<project>``, within the 63 bytes of an identifier: a longer one is cut and ends in its hash."""
    name = f"fs_{project}"
    return name if len(name) <= NAME_BYTES else f"{name[:50]}_{sha256(project.encode()).hexdigest()[:12]}"


def constant(value: str | int) -> str:
    """A value in SQL, whatever the server's setting for backslashes in plain strings."""
    return f"{value:d}" if isinstance(value, int) else "E" + literal(value.replace("\\", "\\\\"))


def has_table(connection: Connection, name: str) -> bool:
    found = connection.rows(
        "SELECT to_regclass($1) IS NOT NULL AS found", [f"{quote(connection.schema)}.{quote(name)}"]
    )
    return bool(found[0]["found"])


def meta_of(connection: Connection) -> list[dict[str, Any]]:
    """The row of ``meta``; none where there is no schema."""
    return connection.rows("SELECT * FROM meta") if has_table(connection, "meta") else []


def format_of(connection: Connection) -> int:
    """The format the project's schema was written in; 0 where there is none."""
    meta = meta_of(connection)
    return int(meta[0]["format"]) if meta else 0


def owner_of(connection: Connection) -> str | None:
    """The id of the project that the schema belongs to; None where it has none."""
    rows = connection.rows("SELECT project_id FROM owner") if has_table(connection, "owner") else []
    return None if not rows else str(rows[0]["project_id"])


def set_owner(connection: Connection, project_id: str) -> None:
    """Records which project a schema without an owner belongs to."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS owner (project_id TEXT NOT NULL); INSERT INTO owner VALUES ({literal(project_id)})"
    )


def migrate(connection: Connection, where: str) -> None:
    """Brings the schema to this release's format, within the open transaction, under the project's lock.

    Raises NewerFormatError where a later release has written, ConfigError where text could not be kept exactly.
    """
    found = format_of(connection)
    schema.check_format(found, where)
    if found == 0:
        _check_encoding(connection, where)
        # CREATE SCHEMA asks for a right over the database, even where there is nothing left to make.
        if not connection.rows("SELECT 1 FROM pg_namespace WHERE nspname = $1", [connection.schema]):
            lacking = missing_right(connection, where, writing=True)
            if lacking is not None:
                raise lacking
            connection.execute(f"CREATE SCHEMA {quote(connection.schema)}")
    for number in range(found + 1, schema.FORMAT + 1):
        connection.execute(schema.MIGRATIONS[number] + _BESIDE.get(number, "") + f"UPDATE meta SET format = {number:d}")


def make_history(connection: Connection, version: StoredVersion, *, known: bool = False) -> None:
    """Creates a version's table, without its indexes, which are built faster once it has rows."""
    # Byte by byte, as every store sorts keys; by default the server sorts by the database's locale.
    columns = history_columns(version, key_text='TEXT COLLATE "C"', known=known)
    connection.execute(f"CREATE TABLE {history_table(version.id)} ({columns})")
    if version.steps:
        table = coming_table(version.id)
        connection.execute(
            f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key_list(version)}, computed_at));"
            f"CREATE INDEX ON {table} (computed_at)"
        )


def index_history(connection: Connection, version: StoredVersion, *, known: bool = False) -> None:
    """The index of a version's table: what of an entity is held, and rows in order without a sort.

    Rows learned after a run lie together, so ranges of pages find them; it costs kilobytes.
    """
    table = history_table(version.id)
    connection.execute(
        f"ALTER TABLE {table} ADD PRIMARY KEY ({_primary_key(version, known=known)});"
        f"CREATE INDEX ON {table} USING brin (run_seq) WITH (pages_per_range = 32, autosummarize = on);"
        f"ANALYZE {table}"
    )


def add_known(connection: Connection, version: StoredVersion) -> None:
    """Gives the rows of a version's table known times, and its index too."""
    table = history_table(version.id)
    named = connection.rows(
        "SELECT conname FROM pg_constraint WHERE contype = 'p' AND conrelid = $1::regclass",
        [f"{quote(connection.schema)}.{table}"],
    )
    for row in named:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {quote(row['conname'])}")
    learned = "TIMESTAMP '1970-01-01 00:00:00' + learned_at * INTERVAL '1 microsecond'"
    connection.execute(
        f"{sql.add_known(version, learned)} ALTER TABLE {table} ADD PRIMARY KEY ({_primary_key(version, known=True)})"
    )


def _primary_key(version: StoredVersion, *, known: bool) -> str:
    return f"{key_list(version)}, computed_at, {learned_order(known=known)}"


def count_rows(connection: Connection, version: StoredVersion) -> int:
    """Rows in a version's table, from the counts recorded as they were added."""
    name = table_name(version.id)
    found = connection.rows("SELECT sum(rows)::bigint AS rows FROM appended WHERE table_name = $1", [name])
    return found[0]["rows"] or 0


def count_pages(connection: Connection, version: StoredVersion) -> int:
    """The pages of a version's table; 0 where there is none."""
    if not has_table(connection, table_name(version.id)):
        return 0
    table = literal(f"{quote(connection.schema)}.{history_table(version.id)}")
    found = connection.rows(f"SELECT pg_relation_size({table}) / current_setting('block_size')::bigint AS pages")
    return int(found[0]["pages"])


def recount(connection: Connection, version: StoredVersion) -> None:
    """Counts the rows of each run again, after some were removed."""
    name = literal(table_name(version.id))
    connection.execute(
        f"DELETE FROM appended WHERE table_name = {name};"
        f"INSERT INTO appended SELECT {name}, run_seq, count(*) FROM {history_table(version.id)} GROUP BY run_seq"
    )


def _check_encoding(connection: Connection, where: str) -> None:
    encoding = connection.rows("SELECT current_setting('server_encoding') AS encoding")[0]["encoding"]
    if encoding not in ENCODINGS:
        raise ConfigError(
            f"the database's encoding is {encoding}, which can't store every text", where=where,
            hint="name a database created with ENCODING 'UTF8' in offline.url",
        )  # fmt: skip
