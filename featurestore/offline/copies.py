"""All that a store holds, as tables that every kind of store can give and take: what a backup is made of.

The tables are those of `offline.schema`, in the format in which the store was written, and one or two of each version.
What one kind of store has beside them is derived, and made again by the store that takes them.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, get_args

import polars as pl

from featurestore.errors import DamagedError
from featurestore.frozen import frozen
from featurestore.model import COLUMN_NAME, FEATURE_NAME, KeyType, StoredVersion
from featurestore.offline import schema
from featurestore.offline.audit_rows import coming_name, read_version, table_name
from featurestore.offline.sql import SqlConnection, quote

VERSIONS = "versions"
_META = "meta"  # what it holds is of the store, not of its history
_BESIDE = {VERSIONS: ("together",)}  # columns of one kind of store alone
_SHA256 = re.compile(r"[0-9a-f]{64}")

Take = Callable[[pl.DataFrame], None]


@frozen
class StoreState:
    """What a store holds, in a few numbers: equal ones mean equal contents.

    ``format`` is that of its tables. ``run_seq`` and ``run_id`` are those of the last committed run, which learned its
    rows at ``learned_at`` (µs); 0 and empty where there is none. ``runs`` counts all, those that wrote nothing too;
    ``versions`` and ``rows`` are those of the history. ``numbers`` are counts and sums by table and column.
    """

    format: int
    run_seq: int
    run_id: str
    learned_at: int
    runs: int
    versions: int
    rows: int
    numbers: Mapping[str, Mapping[str, str]]


class Copies(Protocol):
    """A store as it is at one instant, table by table. It keeps nobody out. Used by one thread."""

    def state(self) -> StoreState | None:
        """What the store holds; None where there is none."""
        ...

    def tables(self) -> list[str]:
        """The names of its tables, `VERSIONS` before those of the versions."""
        ...

    def schema(self, table: str) -> pl.Schema:
        """The columns of a table, the same in every kind of store."""
        ...

    def read(self, table: str, take: Take) -> None:
        """Hands over the rows of a table in order, in frames of a few MB."""
        ...


class Nothing:
    """`Copies` of a store that does not exist yet."""

    def state(self) -> StoreState | None:
        return None

    def tables(self) -> list[str]:
        return []

    def schema(self, table: str) -> pl.Schema:
        raise KeyError(table)

    def read(self, table: str, take: Take) -> None:
        raise KeyError(table)


class Replacement(Protocol):
    """A store that takes the place of another one: filled table by table, in the order of `Copies.tables`."""

    def expected(self) -> list[str]:
        """The tables that are still to be loaded; those of versions are known once `VERSIONS` is."""
        ...

    def load(self, table: str, frames: Iterable[pl.DataFrame]) -> None:
        """Takes the rows of a table. Raises DamagedError for rows that the table can't have."""
        ...


class SqlCopies(ABC):
    """`Copies` over a connection that sees one state of the store."""

    def __init__(self, connection: SqlConnection, format_: int) -> None:
        """``format_`` is that of the tables; 0 where there are none."""
        self._sql = connection
        self._format = format_

    def state(self) -> StoreState | None:
        if not self._format:
            return None
        numbers = {name: self._numbers(name) for name in self.tables()}
        counter = self._sql.rows("SELECT run_seq, learned_at FROM counter")[0]
        last = self._sql.rows("SELECT run_id FROM runs WHERE run_seq = $1", [counter["run_seq"]])
        histories = [table_name(version.id) for version in self._versions()]
        return StoreState(
            self._format, counter["run_seq"], last[0]["run_id"] if last else "", counter["learned_at"],
            int(numbers["runs"][""]), len(histories), sum(int(numbers[name][""]) for name in histories), numbers,
        )  # fmt: skip

    def tables(self) -> list[str]:
        return all_tables(self._format, self._versions()) if self._format else []

    def schema(self, table: str) -> pl.Schema:
        return shared_schema(table, self._empty(table))

    @abstractmethod
    def read(self, table: str, take: Take) -> None: ...

    @abstractmethod
    def _empty(self, table: str) -> pl.DataFrame:
        """A frame of a table's columns, without rows."""

    def _versions(self) -> list[StoredVersion]:
        return [read_version(row) for row in self._sql.rows("SELECT * FROM versions ORDER BY created_seq, number")]

    def _numbers(self, table: str) -> dict[str, str]:
        """How many rows a table has, and of each column how many values; of numbers and texts what they add up to."""
        columns = self.schema(table)
        asked = ["CAST(count(*) AS TEXT)"]
        for name, kind in columns.items():
            column = quote(name)
            added = {pl.Int64(): f"sum({column})", pl.String(): f"sum(length({column}))"}.get(kind)
            count = f"CAST(count({column}) AS TEXT)"
            asked.append(count if added is None else f"concat({count}, ' ', CAST({added} AS TEXT))")
        listed = ", ".join(f"{what} AS n{number}" for number, what in enumerate(asked))
        found = self._sql.rows(f"SELECT {listed} FROM {quote(table)}")[0]
        return dict(zip(["", *columns.names()], map(str, found.values()), strict=True))


class SqlReplacement(ABC):
    """`Replacement` over a connection to tables of the backup's format, which have no rows but what migrations gave."""

    def __init__(self, connection: SqlConnection, format_: int) -> None:
        self._sql = connection
        self._left = all_tables(format_, ())
        self._versions: dict[str, StoredVersion] = {}

    def expected(self) -> list[str]:
        return list(self._left)

    def load(self, table: str, frames: Iterable[pl.DataFrame]) -> None:
        if table not in self._left:
            raise DamagedError(f"has a table {table} that no history has")
        self._sql.rows(f"DELETE FROM {quote(table)} WHERE TRUE RETURNING 1")  # a migration may have given it a row
        schema = shared_schema(table, self._empty(table))
        rows: list[dict[str, Any]] = []
        for frame in _fitting(table, schema, frames):
            if frame.height:
                self._insert(table, frame)
            if table == VERSIONS:
                rows += frame.rows(named=True)
        self._left.remove(table)
        if table == VERSIONS:
            self._make_histories(rows)

    def _make_histories(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            version = checked_version(row)
            self._versions[table_name(version.id)] = version
            self._make(version, known=row.get("known_seq") is not None)
            self._left += _tables_of(version)
        if len(set(self._left)) < len(self._left):
            raise DamagedError("has a version twice")

    @abstractmethod
    def _make(self, version: StoredVersion, *, known: bool) -> None:
        """Makes the tables of a version."""

    @abstractmethod
    def _empty(self, table: str) -> pl.DataFrame:
        """A frame of a table's columns, without rows."""

    @abstractmethod
    def _insert(self, table: str, frame: pl.DataFrame) -> None:
        """Adds rows to a table."""

    def last_run(self) -> tuple[int, str] | None:
        """The number and id of the last committed run; None where there is none."""
        query = "SELECT run_seq, run_id FROM runs WHERE run_seq IS NOT NULL ORDER BY run_seq DESC LIMIT 1"
        found = self._sql.rows(query)
        return (found[0]["run_seq"], found[0]["run_id"]) if found else None


def all_tables(format_: int, versions: Iterable[StoredVersion]) -> list[str]:
    """The tables of a store in a format that has these versions."""
    shared = [name for name in schema.tables_in(format_) if name != _META]
    return [*shared, *(name for version in versions for name in _tables_of(version))]


def _tables_of(version: StoredVersion) -> list[str]:
    return [table_name(version.id), *([coming_name(version.id)] if version.steps else [])]


def shared_schema(table: str, empty: pl.DataFrame) -> pl.Schema:
    """The columns of a table that every kind of store has."""
    own = _BESIDE.get(table, ())
    return pl.Schema({name: kind for name, kind in empty.schema.items() if name not in own})


def _fitting(table: str, schema: pl.Schema, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        if dict(frame.schema) != dict(schema):
            raise DamagedError(f"the columns of {table} are not those of a history in this format")
        yield frame.select(schema.names())


def checked_version(row: Mapping[str, Any]) -> StoredVersion:
    """A version, from a row that may come from anybody. Raises DamagedError."""
    try:
        version = read_version(row)
        keys = version.entity_type.keys
        sound = (
            FEATURE_NAME.fullmatch(version.id.feature)
            and _SHA256.fullmatch(version.id.sha256)
            and row["table_name"] == table_name(version.id)
            and keys
            and len({key.name for key in keys}) == len(keys)
            and all(COLUMN_NAME.fullmatch(key.name) and key.type in get_args(KeyType) for key in keys)
        )
    except (ValueError, TypeError, KeyError, AttributeError, json.JSONDecodeError):
        sound = False
    if not sound:
        raise DamagedError("has a version that no release has written")
    return version
