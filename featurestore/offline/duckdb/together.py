"""First rows that several versions have in common: their keys and times are stored once.

The features of a source mostly give a value for each of its rows, so that the first rows of their versions differ in
the values alone, while most of what it takes to write them goes into keys and times. Such rows lie in one table, which
has a column for each version. A version of these has a view in place of its table: those rows, and then what came
later, which lies in a table of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import duckdb
import polars as pl

from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.audit_rows import table_name
from featurestore.offline.contract import VALUE, Part
from featurestore.offline.duckdb.arrow_rows import ArrowRows
from featurestore.offline.duckdb.file import DuckDBFile, later_table
from featurestore.offline.sql import history_columns, history_list, history_table, key_columns, key_list, literal, quote
from featurestore.tables.identity import place_of
from featurestore.tables.types import KINDS

LEAST_ROWS = 20_000  # fewer are written as fast to a table for each version
LEAST_VERSIONS = 2
ROW_GROUP = 122_880  # rows, that DuckDB compresses together

# What is the same in all rows of a run, which lie one after the other: said beforehand, so that DuckDB does not try
# other ways to store it.
OF_RUN = " USING COMPRESSION rle"


@frozen
class _Piece:
    """Some rows of a version. ``common`` is the same for those that have the very same keys and times."""

    common: Hashable
    read: Callable[[], pl.DataFrame]


@dataclass(slots=True)
class _Waiting:
    """A version whose first rows wait, and about how many bytes these take in memory while they are written."""

    version: StoredVersion
    pieces: list[_Piece] = field(default_factory=list)
    size: int = 0


class FirstRows:
    """Takes the first rows of versions, and writes those together that have the same keys and times.

    ``alone`` writes those of one version. What was taken is written before anybody asks for it; while it waits, and
    while it is written, its values take at most about ``most`` bytes.
    """

    def __init__(
        self,
        file: DuckDBFile,
        arrow: ArrowRows,
        run_seq: int,
        alone: Callable[[StoredVersion, Iterable[pl.DataFrame]], None],
        most: int,
    ) -> None:
        self._file, self._arrow, self._run_seq, self._alone, self._most = file, arrow, run_seq, alone, most
        self._waiting: dict[VersionId, _Waiting] = {}
        self._written: set[VersionId] = set()
        self._tables = 0

    def takes(self, version: StoredVersion) -> bool:
        """Whether a version's first rows, without known times, are taken: there are none of it yet."""
        return not version.steps and not self._file.has_history(version)

    def add(self, version: StoredVersion, frame: pl.DataFrame, part: Part | None = None) -> bool:
        """Takes rows of a version that `takes` has named; ``part`` are the same on disk. False: others are written."""
        if version.id in self._written:
            return False
        size = int(frame["value"].estimated_size())
        if version.id not in self._waiting:
            if sum(each.size for each in self._waiting.values()) + size > self._most:
                self._write()
            self._waiting[version.id] = _Waiting(version)
        mine = self._waiting[version.id]
        if part is None:
            places = (place_of(frame[name]) for name in (*version.entity_type.key_names, "computed_at"))
            mine.pieces.append(_Piece(tuple(map(tuple, places)), lambda: frame))
            mine.size += size
        else:
            mine.pieces.append(_Piece(object() if part.common is None else part.common, part.read))
            mine.size = max(mine.size, size)  # one after the other is in memory
        self._file.defer(self._write)
        return True

    def _write(self) -> None:
        groups: dict[Hashable, list[_Waiting]] = {}
        for each in self._waiting.values():
            alike = each.version.entity_type, *(piece.common for piece in each.pieces)
            groups.setdefault(alike, []).append(each)
        self._written |= self._waiting.keys()
        self._waiting.clear()
        for group in groups.values():
            if len(group) >= LEAST_VERSIONS:
                self._write_group(group)
                continue
            for each in group:
                self._alone(each.version, in_row_groups(piece.read() for piece in each.pieces))

    def _write_group(self, group: Sequence[_Waiting]) -> None:
        self._tables += 1
        name = f"f_{self._run_seq}_{self._tables}"
        write = partial(_write, name, group, self._run_seq, self._arrow)
        self._file.begin(write, sum(each.size for each in group))
        for each in group:
            self._file.note_table(each.version.id, known=False, together=name)


def _write(
    name: str, group: Sequence[_Waiting], run_seq: int, arrow: ArrowRows, connection: duckdb.DuckDBPyConnection
) -> None:
    versions = [each.version for each in group]
    keys = versions[0].entity_type.key_names
    values = ", ".join(f"{history_table(each.id)} {KINDS[each.data_type.kind].sql}" for each in versions)
    columns = f"{key_columns(versions[0])}, computed_at TIMESTAMP NOT NULL, run_seq BIGINT NOT NULL{OF_RUN}, {values}"
    connection.execute(f"CREATE TABLE {quote(name)} ({columns})")
    listed = ", ".join(history_table(each.id) for each in versions)
    insert = f"INSERT INTO {quote(name)} SELECT {key_list(versions[0])}, computed_at, {run_seq:d}, {listed} FROM rows"
    pieces = zip(*(each.pieces for each in group), strict=True)
    for frame in in_row_groups(_beside(versions, [piece.read() for piece in some]) for some in pieces):
        rows = arrow.of(frame, keys)  # noqa: F841  # the query finds it by its name
        connection.execute(insert)
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


def in_row_groups(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of whole row groups, but for the last: DuckDB writes those again that are not full."""
    rest: list[pl.DataFrame] = []
    for frame in frames:
        frame = pl.concat([*rest, frame]).rechunk()  # noqa: PLW2901  # of chunks each thread would begin a group
        whole = frame.height // ROW_GROUP * ROW_GROUP
        rest = [frame.slice(whole)]
        if whole:
            yield frame.head(whole)
    yield from (frame for frame in rest if frame.height)


def _beside(versions: Sequence[StoredVersion], frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Frames of the same keys and times as one, with the values of each in a column."""
    rows = frames[0].select(*versions[0].entity_type.key_names, "computed_at")
    return rows.hstack([frame["value"].alias(table_name(of.id)) for of, frame in zip(versions, frames, strict=True)])


def part_from_others(file: DuckDBFile, version: StoredVersion) -> None:
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
