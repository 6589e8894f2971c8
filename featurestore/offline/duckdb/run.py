"""One run's transaction in the embedded store: finds what is new or corrected, and writes it.

Everything happens on one connection between BEGIN and COMMIT, so that values, positions, statistics and the run's own
row become visible together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import duckdb
import polars as pl

from featurestore.model import StoredVersion, VersionId
from featurestore.offline.audit_log import SqlRun, WriteFirst
from featurestore.offline.comparison import is_close
from featurestore.offline.contract import VALUE, WITHDRAWN, Part, Written
from featurestore.offline.duckdb import together
from featurestore.offline.duckdb.arrow_rows import ArrowRows
from featurestore.offline.duckdb.file import DuckDBFile
from featurestore.offline.duckdb.together import OF_RUN, FirstRows, part_from_others
from featurestore.offline.instants import refuse_impossible
from featurestore.offline.known import KNOWN, write_known
from featurestore.offline.partitions import ALL_KEYS, KeyRange
from featurestore.offline.sql import (
    add_known,
    coming_table,
    history_columns,
    history_list,
    history_table,
    instant,
    key_list,
    learned_rank,
    quote,
)
from featurestore.tables.types import held_schema, history_schema

NEAR = 30 * 86_400_000_000  # µs: how long before an instant the row that holds there mostly lies


class DuckDBRun(SqlRun):
    """`RunTransaction` on an open file."""

    def __init__(self, file: DuckDBFile, run_id: str, clock: int | None = None) -> None:
        super().__init__(file, run_id, clock)
        self._file = file
        self._arrow = ArrowRows()
        self._first = FirstRows(file, self._arrow, self.run_seq, self._write_alone, file.waiting)

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return self._file.connection

    def write_timed(self, version: StoredVersion, frame: pl.DataFrame, tolerance: float | None) -> Written:
        self.refuse(version, frame)
        if KNOWN not in frame.columns and self._takes(version, frame):
            return Written(frame.height, 0, 0, frame)
        if self._prepare(version, known=KNOWN in frame.columns):
            return self._write_first(version, frame)
        if self._file.has_known(version):
            return write_known(self, version, frame, tolerance)
        keys = key_list(version)
        table = history_table(version.id)
        held = (
            # As a struct, because arg_max passes over nulls, and a stored null is a value.
            f"SELECT {keys}, computed_at, arg_max({{'op': op, 'value': value}}, run_seq) AS held "
            f"FROM {table} SEMI JOIN incoming USING ({keys}, computed_at) GROUP BY {keys}, computed_at "
            f"HAVING arg_max(op, run_seq) <> {WITHDRAWN}"
        )
        return self._write_changed(version, frame, held, f"{keys}, computed_at", tolerance, corrects=True)

    def write_changes(self, version: StoredVersion, frame: pl.DataFrame, *, tolerance: float | None = None) -> Written:
        self.refuse(version, frame)
        if self._takes(version, frame):
            return Written(frame.height, 0, 0, frame)
        if self._prepare(version):
            return self._write_first(version, frame)
        keys = key_list(version)
        table = history_table(version.id)
        held = (
            f"SELECT {keys}, arg_max({{'op': op, 'value': value}}, (computed_at, run_seq)) AS held "
            f"FROM {table} SEMI JOIN incoming USING ({keys}) WHERE op = {VALUE} GROUP BY {keys}"
        )
        return self._write_changed(version, frame, held, keys, tolerance, corrects=False)

    @contextmanager
    def first_rows(self, version: StoredVersion, *, known: bool = False) -> Iterator[WriteFirst | None]:
        taken = not known and self._first.takes(version)

        def write(frame: pl.DataFrame, part: Part | None) -> Written:
            self.refuse(version, frame)
            if taken and self._take_first(version, frame, part):
                return Written(frame.height, 0, 0, frame)
            return self._write_first(version, frame)

        yield write if taken or self._prepare(version, known=known) else None

    def _write_first(self, version: StoredVersion, frame: pl.DataFrame) -> Written:
        self.append(version, frame, VALUE)
        return Written(frame.height, 0, 0, frame)

    def _takes(self, version: StoredVersion, frame: pl.DataFrame) -> bool:
        """Takes the first rows of a version, which may be written together with those of others."""
        if frame.height < together.LEAST_ROWS or not self._first.takes(version):
            return False
        return self._take_first(version, frame)

    def _take_first(self, version: StoredVersion, frame: pl.DataFrame, part: Part | None = None) -> bool:
        if not self._file.has_history(version):
            self.note_version(version)
            self._file.note_table(version.id, known=False)
        return self._first.add(version, frame, part)

    def _write_alone(self, version: StoredVersion, frames: Iterable[pl.DataFrame]) -> None:
        """First rows that no other version has, of one that was noted."""
        self._make_tables(version)
        for frame in frames:
            self.append(version, frame, VALUE)

    def begin_writing(self) -> None:
        self._file.call_deferred()

    refuses_times_alone = True

    def refuse(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        refuse_impossible(version, frame)

    def pairs(
        self, version: StoredVersion, entities: pl.DataFrame | None = None, *, key_range: KeyRange = ALL_KEYS
    ) -> pl.DataFrame:
        schema = held_schema(version)
        if not self._file.has_history(version):
            return pl.DataFrame(schema=schema)
        keys, table = key_list(version), history_table(version.id)
        wanted = entities  # noqa: F841  # the query finds it by its name; see `append`
        semi = "" if entities is None else f" SEMI JOIN wanted USING ({keys})"
        bounds: list[str | int] = []
        where = in_range(version, key_range, bounds)
        learned = learned_rank(known=self._file.has_known(version))
        found: pl.DataFrame = self._connection.sql(
            # As a struct, because arg_max passes over nulls, and a stored null is a value.
            f"SELECT {keys}, computed_at, arg_max({{'op': op, 'value': value}}, {learned}) AS held FROM {table}{semi} "
            f"WHERE {where} GROUP BY {keys}, computed_at ORDER BY {keys}, computed_at",
            params=bounds,
        ).pl()
        return found.unnest("held").select(schema.names()).cast(schema)

    def pairs_since(self, version: StoredVersion, entities: pl.DataFrame) -> pl.DataFrame:
        schema = held_schema(version)
        if not self._file.has_history(version) or not entities.height:
            return pl.DataFrame(schema=schema)
        names = list(version.entity_type.key_names)
        keys, wanted = key_list(version), entities.rename({"computed_at": "since"})
        first = int(entities["computed_at"].to_physical().min())  # type: ignore[arg-type]  # of integers an integer
        back = instant(first - NEAR)
        rows = (
            f"SELECT {keys}, computed_at, run_seq, op, value, since FROM {history_table(version.id)} "
            f"JOIN wanted USING ({keys}) WHERE computed_at"
        )
        # As a struct, because arg_max passes over nulls, and a stored null is a value.
        last = (
            f"SELECT {keys}, max(computed_at) AS computed_at, "
            "arg_max({'op': op, 'value': value}, (computed_at, run_seq)) AS held FROM near "
            f"WHERE computed_at < since GROUP BY {keys}"
        )
        found: pl.DataFrame = self._connection.sql(
            f"WITH near AS ({rows} >= {back}) SELECT {keys}, computed_at, "
            "arg_max({'op': op, 'value': value}, run_seq) AS held FROM near WHERE computed_at >= since "
            f"GROUP BY {keys}, computed_at UNION ALL {last}"
        ).pl()
        # Most entities have a row not long before; of the others the whole history is looked at.
        before = found.join(wanted, on=names, how="inner").filter(pl.col("computed_at") < pl.col("since"))
        wanted = wanted.join(before, on=names, how="anti")
        if wanted.height:
            found = pl.concat([found, self._connection.sql(f"WITH near AS ({rows} < {back}) {last}").pl()])
        return found.unnest("held").select(schema.names()).cast(schema).sort(*names, "computed_at")

    def held(self, version: StoredVersion, frame: pl.DataFrame) -> pl.DataFrame:
        if not self._file.has_history(version):
            return frame.select(*version.entity_type.key_names, "computed_at").clear().with_columns(held_op=pl.lit(0))
        pair = f"{key_list(version)}, computed_at"
        incoming = frame  # noqa: F841  # the query finds it by its name; see `append`
        learned = learned_rank(known=self._file.has_known(version))
        held: pl.DataFrame = self._connection.sql(
            f"SELECT {pair}, arg_max(op, {learned}) AS held_op FROM {history_table(version.id)} "
            f"SEMI JOIN incoming USING ({pair}) GROUP BY {pair} ORDER BY {pair}"
        ).pl()
        return held

    def rows_at(self, version: StoredVersion, pairs: pl.DataFrame) -> pl.DataFrame:
        incoming = pairs  # noqa: F841  # the query finds it by its name; see `append`
        found: pl.DataFrame = self._connection.sql(
            f"SELECT {history_list(version, known=True)} FROM {history_table(version.id)} "
            f"SEMI JOIN incoming USING ({key_list(version)}, computed_at)"
        ).pl()
        return found.cast(history_schema(version, known=True))

    def erase(self, version: StoredVersion, frame: pl.DataFrame) -> int:
        part_from_others(self._file, version)  # whatever becomes of the entity's rows in other versions
        return super().erase(version, frame)

    def drop(self, version: StoredVersion) -> int:
        part_from_others(self._file, version)
        return super().drop(version)

    def alter_known(self, version: StoredVersion) -> None:
        part_from_others(self._file, version)
        self._connection.execute(add_known(version, "make_timestamp(learned_at)"))

    def note_known(self, version: VersionId) -> None:
        super().note_known(version)
        self._file.note_table(version, known=True)

    def copy_history(self, old: VersionId, version: StoredVersion) -> int:
        known = self.has_known(old)
        self._prepare(version, known=known)
        table, columns = history_table(version.id), history_list(version, known=known)
        order = " ORDER BY rowid" if self._file.together(replace(version, id=old)) is None else ""
        self._connection.execute(f"INSERT INTO {table} SELECT {columns} FROM {history_table(old)}{order}")
        if version.steps:
            self._connection.execute(
                f"INSERT INTO {coming_table(version.id)} SELECT {columns} FROM {coming_table(old)} ORDER BY rowid"
            )
        return int(self._file.rows(f"SELECT count(*) AS rows FROM {table}")[0]["rows"])

    def _prepare(self, version: StoredVersion, *, known: bool = False) -> bool:
        """Creates the version's table if there is none, with ``known`` times. True if it has no rows yet."""
        table = history_table(version.id)
        if self._file.has_history(version):
            if known and not self._file.has_known(version):
                self.add_known(version)
            return not self._file.rows(f"SELECT 1 FROM {table} LIMIT 1")
        self._make_tables(version, known=known)
        self.note_version(version)
        self._file.note_table(version.id, known=False)
        if known:
            self.note_known(version.id)
        return True

    def _make_tables(self, version: StoredVersion, *, known: bool = False) -> None:
        columns = history_columns(version, known=known, of_run=OF_RUN)
        self._file.change(f"CREATE TABLE {history_table(version.id)} ({columns})")
        if version.steps:
            self._file.change(f"CREATE TABLE {coming_table(version.id)} ({history_columns(version)})")

    def append_rows(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        refuse_impossible(version, frame)
        self._prepare(version)
        self._insert(version, self._file.tables(version)[-1], frame)

    def coming(
        self, version: StoredVersion, entities: pl.DataFrame | None = None, *, key_range: KeyRange = ALL_KEYS
    ) -> pl.DataFrame:
        schema = history_schema(version)
        if not self._file.has_history(version):
            return pl.DataFrame(schema=schema)
        keys = key_list(version)
        wanted = entities  # noqa: F841  # the query finds it by its name; see `_append`
        semi = "" if entities is None else f" SEMI JOIN wanted USING ({keys})"
        bounds: list[str | int] = []
        where = in_range(version, key_range, bounds)
        found: pl.DataFrame = self._connection.sql(
            f"SELECT {keys}, computed_at, run_seq, op, value FROM {coming_table(version.id)}{semi} "
            f"WHERE {where} ORDER BY {keys}, computed_at",
            params=bounds,
        ).pl()
        return found.cast(schema)

    def replace_coming(self, version: StoredVersion, entities: pl.DataFrame, frame: pl.DataFrame) -> None:
        self._prepare(version)
        table, names = coming_table(version.id), version.entity_type.key_names
        gone = entities  # noqa: F841  # the query finds it by its name; see `_append`
        same = " AND ".join(f"c.{quote(name)} = g.{quote(name)}" for name in names)
        self._connection.execute(f"DELETE FROM {table} c USING gone g WHERE {same}")
        self._insert(version, table, frame.with_columns(run_seq=pl.lit(self.run_seq, pl.Int64)))

    def _insert(self, version: StoredVersion, table: str, frame: pl.DataFrame) -> None:
        if frame.height == 0:
            return
        rows = frame  # noqa: F841  # the query finds it by its name; see `_append`
        self._connection.execute(
            f"INSERT INTO {table} SELECT {key_list(version)}, computed_at, coalesce(run_seq, {self.run_seq:d}), op, "
            "value FROM rows"
        )

    def _write_changed(
        self,
        version: StoredVersion,
        frame: pl.DataFrame,
        held: str,
        on: str,
        tolerance: float | None,
        *,
        corrects: bool,
    ) -> Written:
        incoming = frame  # noqa: F841  # the query finds it by its name; see `append`
        # In the order of the keys, so that DuckDB can pass over whole blocks when it looks for some of them.
        found: pl.DataFrame = self._connection.sql(
            f"WITH held AS ({held}) SELECT i.*, h.held.op AS held_op, h.held.value AS held_value FROM incoming i "
            f"LEFT JOIN held h USING ({on}) "
            f"WHERE h.held IS NULL OR h.held.op <> {VALUE} OR h.held.value IS DISTINCT FROM i.value "
            f"ORDER BY {key_list(version)}, i.computed_at"
        ).pl()
        close = is_close(pl.col("held_value"), pl.col("value"), version.data_type, tolerance)
        found = found.filter(pl.col("held_op").is_null() | (pl.col("held_op") != VALUE) | ~close)
        deleted = found["held_op"].is_not_null() & (found["held_op"] != VALUE)
        changed = found.filter(~deleted)
        corrected = changed.filter(pl.col("held_op").is_not_null()) if corrects else changed.clear()
        entities = corrected.select(version.entity_type.key_names).n_unique() if corrected.height else 0
        known = corrected.height
        changed = changed.drop("held_op", "held_value").cast(frame.schema)
        self.append(version, changed, VALUE)
        unchanged = frame.height - changed.height
        return Written(changed.height - known, known, unchanged, changed, int(deleted.sum() or 0), entities)

    def append(self, version: StoredVersion, frame: pl.DataFrame, op: int) -> None:
        if frame.height == 0:
            return
        known = KNOWN in frame.columns
        rows = frame.select(*version.entity_type.key_names, "computed_at", "value", *([KNOWN] if known else []))
        statement = (
            f"INSERT INTO {self._file.tables(version)[-1]} ({history_list(version, known=known)}) "
            f"SELECT {key_list(version)}, computed_at, {self.run_seq:d}, {op:d}, value"
            f"{', known_at' if known else ''} FROM rows"
        )
        insert = partial(_insert, statement, rows, version.entity_type.key_names, self._arrow)
        self._file.begin(insert, int(rows.estimated_size()))


def _insert(
    statement: str, frame: pl.DataFrame, keys: Sequence[str], arrow: ArrowRows, connection: duckdb.DuckDBPyConnection
) -> None:
    # DuckDB finds the rows by the name of the variable. Registered as a view they would stay in memory, as an Arrow
    # copy, until the transaction ends: 38 MB for a million rows of each feature.
    rows = arrow.of(frame, keys)  # noqa: F841
    connection.execute(statement)


def in_range(version: StoredVersion, key_range: KeyRange, values: list[str | int]) -> str:
    """The condition that a row's entity is in a range of keys; the keys are added to the values of the query.

    Column by column: DuckDB passes over blocks of rows by what it knows of each column, and compares no tuples.
    """
    clauses = []
    for keys, sign, last in ((key_range.after, ">", ">"), (key_range.up_to, "<", "<=")):
        if keys is not None:
            first = len(values) + 1
            values += keys
            places = [(quote(name), f"${first + at}") for at, name in enumerate(version.entity_type.key_names)]
            clauses.append(_beyond(places, sign, last))
    return " AND ".join(clauses) or "TRUE"


def _beyond(places: Sequence[tuple[str, str]], sign: str, last: str) -> str:
    (name, value), *rest = places
    if not rest:
        return f"{name} {last} {value}"
    return f"{name} {sign}= {value} AND ({name} {sign} {value} OR {_beyond(rest, sign, last)})"
