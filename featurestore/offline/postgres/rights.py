"""What a role lacks to read or write a project's schema, and the statement that gives it."""

from __future__ import annotations

from featurestore.errors import ConfigError, FeatureStoreError
from featurestore.offline.sql import quote
from featurestore.postgres.connection import Connection
from featurestore.postgres.errors import NotAllowedError

_ON_TABLES = {True: ("SELECT", "INSERT", "UPDATE", "DELETE"), False: ("SELECT",)}
_ASKED = """
    SELECT current_user::text AS name, n.oid IS NOT NULL AS exists,
        has_database_privilege(current_database(), 'CREATE') AS may_make_schemas,
        coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS may_use,
        coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS may_create
    FROM (SELECT $1::text AS wanted) w LEFT JOIN pg_namespace n ON n.nspname = w.wanted
"""


def missing_right(connection: Connection, where: str, *, writing: bool) -> FeatureStoreError | None:
    """The error that names what the role may not do in the schema, and the statement to run; None where it may all."""
    (found,) = connection.rows(_ASKED, [connection.schema])
    name, role, schema = found["name"], quote(found["name"]), quote(connection.schema)
    if not found["exists"]:
        return None if found["may_make_schemas"] or not writing else _no_schema(name, connection.schema, where)
    if not found["may_use"] or (writing and not found["may_create"]):
        statement = f"GRANT USAGE{', CREATE' if writing else ''} ON SCHEMA {schema} TO {role}"
        return _lacking(name, f"{'write' if writing else 'read'} in the schema {connection.schema}", where, statement)
    rights = _ON_TABLES[writing]
    held = " AND ".join(f"has_table_privilege(c.oid, '{right}')" for right in rights)
    tables = connection.rows(
        f"SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT ({held}) ORDER BY 1 LIMIT 1",
        [connection.schema],
    )
    if not tables:
        return None
    granted = f"GRANT {', '.join(rights)} ON"
    statement = f"{granted} ALL TABLES IN SCHEMA {schema} TO {role}; for tables to come, every role that writes: ALTER "
    statement += f"DEFAULT PRIVILEGES IN SCHEMA {schema} {granted} TABLES TO {role}"
    what = f"{'write to' if writing else 'read'} the table {tables[0]['name']} of the schema {connection.schema}"
    return _lacking(name, what, where, statement)


def _no_schema(name: str, schema: str, where: str) -> ConfigError:
    return ConfigError(
        f"the user {name} may not create a schema, and the project has none yet", where=where,
        hint=f"let the database's owner run: CREATE SCHEMA {quote(schema)} AUTHORIZATION {quote(name)}",
    )  # fmt: skip


def _lacking(name: str, what: str, where: str, statement: str) -> NotAllowedError:
    return NotAllowedError(f"the user {name} may not {what}", where=where, hint=f"let its owner run: {statement}")
