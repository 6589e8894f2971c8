"""First rows that several versions have in common: their keys and times are stored once.

The features of a source mostly give a value for each of its rows, so that the first rows of their versions differ in
the values alone, while most of what it takes to write them goes into keys and times. Such rows lie in one table, which
has a column for each version. A version of these has a view in place of its table: those rows, and then what came
later, which lies in a table of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import duckdb
import polars as pl

from featurestore.model import StoredVersion
from featurestore.offline.audit_rows import table_name
from featurestore.offline.contract import VALUE
from featurestore.offline.duckdb.arrow_rows import ArrowRows
from featurestore.offline.duckdb.file import DuckDBFile, later_table
from featurestore.offline.known import KNOWN
from featurestore.offline.sql import history_columns, history_list, history_table, key_columns, key_list, literal, quote
from featurestore.tables.identity import Place, place_of
from featurestore.tables.types import KINDS

LEAST_ROWS = 20_000  # fewer are written as fast to a table for each version
LEAST_VERSIONS = 2

# What is the same in all rows of a run, which lie one after the other: said beforehand, so that DuckDB does not try
# other ways to store it.
OF_RUN = " USING COMPRESSION rle"


@dataclass(slots=True)
class _Waiting:
    """Versions whose first rows have the very same keys and times, and their values."""

    rows: pl.DataFrame
    places: list[Place]
    versions: list[StoredVersion]
    values: list[pl.Series]

    @property
    def size(self) -> int:
        return sum(int(each.estimated_size()) for each in self.values)


class FirstRows:
    """Takes the first rows of versions, and writes those together that have the same keys and times.

    ``alone`` writes those of one version. What was taken is written before anybody asks for it; no more than ``most``
    bytes of values wait.
    """

    def __init__(
        self,
        file: DuckDBFile,
        arrow: ArrowRows,
        run_seq: int,
        alone: Callable[[StoredVersion, pl.DataFrame], None],
        most: int,
    ) -> None:
        self._file, self._arrow, self._run_seq, self._alone, self._most = file, arrow, run_seq, alone, most
        self._waiting: _Waiting | None = None
        self._tables = 0

    def takes(self, version: StoredVersion, frame: pl.DataFrame) -> bool:
        """Whether these rows may be written together with those of others: there are none of the version yet."""
        if version.steps or KNOWN in frame.columns or frame.height < LEAST_ROWS:
            return False
        return not self._file.has_history(version)

    def add(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        rows = frame.select(*version.entity_type.key_names, "computed_at")
        places = [place_of(column) for column in rows]
        values = frame["value"].alias(table_name(version.id))
        waiting = self._waiting
        if waiting is not None and (
            waiting.places != places
            or waiting.versions[0].entity_type != version.entity_type
            or waiting.size + values.estimated_size() > self._most
        ):
            self._write()
        if self._waiting is None:
            self._waiting = _Waiting(rows, places, [], [])
        self._waiting.versions.append(version)
        self._waiting.values.append(values)
        self._file.defer(self._write)

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if len(waiting.versions) < LEAST_VERSIONS:
            for version, values in zip(waiting.versions, waiting.values, strict=True):
                self._alone(version, waiting.rows.with_columns(values.alias("value")))
            return
        self._tables += 1
        name = f"f_{self._run_seq}_{self._tables}"
        frame, keys = waiting.rows.hstack(waiting.values), waiting.versions[0].entity_type.key_names
        write = partial(_write, name, frame, keys, waiting.versions, self._run_seq, self._arrow)
        self._file.begin(write, int(frame.estimated_size()))
        for version in waiting.versions:
            self._file.note_table(version.id, known=False, together=name)


def _write(
    name: str,
    frame: pl.DataFrame,
    keys: Sequence[str],
    versions: Sequence[StoredVersion],
    run_seq: int,
    arrow: ArrowRows,
    connection: duckdb.DuckDBPyConnection,
) -> None:
    values = ", ".join(f"{history_table(each.id)} {KINDS[each.data_type.kind].sql}" for each in versions)
    columns = f"{key_columns(versions[0])}, computed_at TIMESTAMP NOT NULL, run_seq BIGINT NOT NULL{OF_RUN}, {values}"
    connection.execute(f"CREATE TABLE {quote(name)} ({columns})")
    rows = arrow.of(frame, keys)  # noqa: F841  # the query finds it by its name
    listed = ", ".join(history_table(each.id) for each in versions)
    connection.execute(
        f"INSERT INTO {quote(name)} SELECT {key_list(versions[0])}, computed_at, {run_seq:d}, {listed} FROM rows"
    )
    for each in versions:
        later, columns = later_table(each.id), history_list(each, known=False)
        connection.execute(f"CREATE TABLE {later} ({history_columns(each, of_run=OF_RUN)})")
        connection.execute(
            f"CREATE VIEW {history_table(each.id)} AS "
            f"SELECT {key_list(each)}, computed_at, run_seq, CAST({VALUE:d} AS SMALLINT) AS op, "
            f"{history_table(each.id)} AS value FROM {quote(name)} UNION ALL SELECT {columns} FROM {later}"
        )
    named = ", ".join(literal(table_name(each.id)) for each in versions)
    connection.execute(f"UPDATE versions SET together = {literal(name)} WHERE table_name IN ({named})")


def part(file: DuckDBFile, version: StoredVersion) -> None:
    """Gives a version that has rows together with others a table of its own, of all its rows."""
    name = file.together(version)
    if name is None:
        return
    connection, table, fresh = file.connection, history_table(version.id), quote(f"p_{table_name(version.id)}")
    connection.execute(f"CREATE TABLE {fresh} ({history_columns(version, of_run=OF_RUN)})")
    connection.execute(f"INSERT INTO {fresh} SELECT {history_list(version, known=False)} FROM {table}")
    connection.execute(f"DROP VIEW {table}")
    connection.execute(f"DROP TABLE {later_table(version.id)}")
    connection.execute(f"ALTER TABLE {fresh} RENAME TO {table}")
    connection.execute("UPDATE versions SET together = NULL WHERE table_name = $1", [table_name(version.id)])
    others = file.rows("SELECT 1 FROM versions WHERE together = $1 LIMIT 1", [name])
    connection.execute(f"ALTER TABLE {quote(name)} DROP COLUMN {table}" if others else f"DROP TABLE {quote(name)}")
    file.note_table(version.id, known=False)
