"""What both stores share of SQL: the connection that the audit log and the data sets need, and pieces of statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from featurestore.model import StoredVersion, VersionId
from featurestore.offline.audit_rows import coming_name, table_name
from featurestore.offline.contract import UNTIL, WITHDRAWN
from featurestore.tables.types import KINDS
from featurestore.times import MAX_INSTANT, MIN_INSTANT, format_instant

Values = Sequence[Any]
ROWS_OF_LIST = 9  # of coming steps, by default


class SqlConnection(Protocol):
    """The connection interface used by the SQL of the audit log and of data sets. Placeholders are ``$1``, ``$2``, …"""

    def rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        """The answer as one mapping per row."""
        ...

    def change(self, statement: str, values: Values = ()) -> None:
        """An INSERT, UPDATE or DELETE; how many rows it met does not matter."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None: ...


def quote(name: str) -> str:
    """An SQL identifier. Names are checked when declared; they are quoted all the same."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A text in SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def history_table(version: VersionId) -> str:
    return quote(table_name(version))


def coming_table(version: VersionId) -> str:
    return quote(coming_name(version))


def key_list(version: StoredVersion) -> str:
    return ", ".join(quote(name) for name in version.entity_type.key_names)


def key_columns(version: StoredVersion, key_text: str = "TEXT") -> str:
    """The key columns of a table. ``key_text`` is the type of string keys: they are ordered byte by byte."""
    key_types = {"string": key_text, "int": "BIGINT"}
    return ", ".join(f"{quote(key.name)} {key_types[key.type]} NOT NULL" for key in version.entity_type.keys)


def history_list(version: StoredVersion, *, known: bool) -> str:
    """The columns of a version's table, as `History.scan` gives them; ``known`` says whether rows have known times."""
    return f"{key_list(version)}, computed_at, run_seq, op, value{', known_at' if known else ''}"


def learned_order(*, known: bool, descending: bool = False) -> str:
    """The order of the rows of one pair: the last one says what the pair holds."""
    names = ["known_at", "run_seq"] if known else ["run_seq"]
    return ", ".join(f"{name} DESC" if descending else name for name in names)


def learned_rank(*, known: bool) -> str:
    """The same order as a value that can be compared."""
    return "(known_at, run_seq)" if known else "run_seq"


def history_columns(version: StoredVersion, key_text: str = "TEXT", *, known: bool = False, of_run: str = "") -> str:
    """The columns of a version's table; ``key_text`` as for `key_columns`.

    ``of_run`` is added to the columns in which the rows of a run are mostly the same.
    """
    columns = [key_columns(version, key_text)]
    # Without a zone: instants are UTC inside, and the time zone of a session must not move them.
    columns += ["computed_at TIMESTAMP NOT NULL", f"run_seq BIGINT NOT NULL{of_run}", f"op SMALLINT NOT NULL{of_run}"]
    columns += [f"value {KINDS[version.data_type.kind].sql}"]
    return ", ".join([*columns, "known_at TIMESTAMP"] if known else columns)


def add_known(version: StoredVersion, learned: str) -> str:
    """Statements that add the known times to a version's table: those of the runs that brought its rows.

    ``learned`` is the ``learned_at`` of a run as a timestamp.
    """
    table = history_table(version.id)
    return (
        f"ALTER TABLE {table} ADD COLUMN known_at TIMESTAMP; "
        f"UPDATE {table} SET known_at = {learned} FROM runs WHERE runs.run_seq = {table}.run_seq;"
    )


def answers(version: StoredVersion, rows: str, *, known: bool = False) -> str:
    """What answers now of each entity of ``rows``, a query of rows of history: see `History.latest`."""
    keys = key_list(version)
    learned = learned_order(known=known, descending=True)
    by_pair = f"PARTITION BY {keys}, computed_at ORDER BY {learned}"
    backwards = f"PARTITION BY {keys} ORDER BY computed_at DESC, {learned}"
    # The last pair that stands; where none does, the first of all, so that the run is the greatest of all.
    first = f"op = {WITHDRAWN}, CASE WHEN op = {WITHDRAWN} THEN computed_at END, computed_at DESC"
    return (
        f"SELECT {keys}, computed_at, changed AS run_seq, op, value{', known_at' if known else ''} FROM (SELECT *, "
        f"row_number() OVER (PARTITION BY {keys} ORDER BY {first}) AS place FROM (SELECT *, "
        f"max(run_seq) OVER ({backwards}) AS changed, row_number() OVER ({by_pair}) AS latest FROM ({rows}) r) r "
        f"WHERE latest = 1) r WHERE place = 1 ORDER BY {keys}"
    )


def sample_lists(version: StoredVersion, every: int, after_run: int | None) -> str:
    """The entities of some lists of coming steps that were changed after a run, by the one row that each list has."""
    keys = key_list(version)
    lists = (
        f"SELECT {keys}, row_number() OVER () AS place FROM {coming_table(version.id)} "
        f"WHERE op = {UNTIL} AND {between(None, after_run)}"
    )
    return f"SELECT {keys} FROM ({lists}) l WHERE place % {max(every // ROWS_OF_LIST, 1):d} = 0"


def dated(after: int | None, up_to: int | None) -> str:
    """The condition that a row's computed_at is later than one instant (µs) and not later than another."""
    clauses = [] if up_to is None else [f"computed_at <= {instant(up_to)}"]
    clauses += [] if after is None else [f"computed_at > {instant(after)}"]
    return " AND ".join(clauses) or "TRUE"


def instant(micros: int) -> str:
    """An instant in SQL, as the histories have it. Instants outside the years 1 to 9999 become the nearest inside."""
    moment = format_instant(min(max(micros, MIN_INSTANT), MAX_INSTANT)).removesuffix("Z")
    return f"TIMESTAMP {literal(moment)}"


def between(up_to_run: int | None, after_run: int | None) -> str:
    """The condition that a row was learned after one run and not after another."""
    clauses = [] if up_to_run is None else [f"run_seq <= {up_to_run:d}"]
    clauses += [] if after_run is None else [f"run_seq > {after_run:d}"]
    return " AND ".join(clauses) or "TRUE"
