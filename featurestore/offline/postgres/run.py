"""One run's transaction in PostgreSQL: finds what is new or corrected and writes it, in few large messages.

Values are compared in Polars with the same meaning as everywhere: against the rows of the whole table where the
frame is large beside it, else against those that the index finds for the frame's own keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import polars as pl

from featurestore.errors import FeatureError
from featurestore.model import Run, StoredVersion, VersionId
from featurestore.offline.audit_log import SqlRun, WriteFirst
from featurestore.offline.audit_rows import coming_name, table_name
from featurestore.offline.comparison import is_close
from featurestore.offline.contract import TOMBSTONE, VALUE, WITHDRAWN, Part, Written
from featurestore.offline.instants import refuse_impossible
from featurestore.offline.known import KNOWN, write_known
from featurestore.offline.partitions import ALL_KEYS, KeyRange
from featurestore.offline.postgres import tables
from featurestore.offline.postgres.packed import Packing, copy_packed, drop_packed, erase_packed
from featurestore.offline.sql import coming_table, history_list, history_table, key_list, learned_order, quote
from featurestore.postgres.connection import Connection
from featurestore.tables.types import held_schema, history_schema

# A row of the table costs 0.7 µs to fetch in order, a key of the frame 2.5 µs to look up.
LOOKED_UP_AS_FETCHED = 3
LOOKUP_ROWS = 50_000
# An index entry has at most 2,704 bytes, and this one also has computed_at, run_seq and headers of its own.
KEY_BYTES = 2_600
ARRAYS = {"string": "text[]", "int": "bigint[]"}


class PostgresRun(SqlRun):
    """`RunTransaction` on an open connection, under the project's lock."""

    def __init__(self, connection: Connection, run_id: str, clock: int | None = None) -> None:
        super().__init__(connection, run_id, clock)
        self._connection = connection
        self._packing = Packing(connection)

    def finish(self, run: Run) -> None:
        self._packing.end()
        super().finish(run)

    def write_timed(self, version: StoredVersion, frame: pl.DataFrame, tolerance: float | None) -> Written:
        return self._write(version, frame, (*version.entity_type.key_names, "computed_at"), tolerance)

    def write_changes(self, version: StoredVersion, frame: pl.DataFrame, *, tolerance: float | None = None) -> Written:
        return self._write(version, frame, version.entity_type.key_names, tolerance)

    def alter_known(self, version: StoredVersion) -> None:
        self._packing.end()
        drop_packed(self._connection, table_name(version.id))
        tables.add_known(self._connection, version)

    def held(self, version: StoredVersion, frame: pl.DataFrame) -> pl.DataFrame:
        pair = [*version.entity_type.key_names, "computed_at"]
        wanted = possible(frame.select(pair))
        if wanted.height == 0 or not tables.has_table(self._connection, table_name(version.id)):
            return wanted.clear().with_columns(held_op=pl.lit(0))
        held = self._held(version, wanted, pair).select(*pair, "held_op")
        return wanted.join(held, on=pair, maintain_order="left")

    def erase(self, version: StoredVersion, frame: pl.DataFrame) -> int:
        self._packing.end()
        entities = possible(frame.select(version.entity_type.key_names))
        erased = super().erase(version, entities)
        erase_packed(self._connection, table_name(version.id), entities)
        tables.recount(self._connection, version)
        return erased

    def drop(self, version: StoredVersion) -> int:
        self._packing.end()
        rows = super().drop(version)
        drop_packed(self._connection, table_name(version.id))
        tables.recount(self._connection, version)
        return rows

    def copy_history(self, old: VersionId, version: StoredVersion) -> int:
        known = self.has_known(old)
        self._make(version, known=known)
        columns = history_list(version, known=known)
        # In the order of the pages, so that rows learned after a run go on lying together.
        self._connection.execute(
            f"INSERT INTO {history_table(version.id)} SELECT {columns} FROM {history_table(old)} ORDER BY ctid"
        )
        tables.index_history(self._connection, version, known=known)
        tables.recount(self._connection, version)
        self._packing.end()
        copy_packed(self._connection, table_name(old), table_name(version.id))
        if version.steps:
            self._connection.execute(
                f"INSERT INTO {coming_table(version.id)} SELECT {columns} FROM {coming_table(old)}"
            )
        return tables.count_rows(self._connection, version)

    @contextmanager
    def first_rows(self, version: StoredVersion, *, known: bool = False) -> Iterator[WriteFirst | None]:
        if tables.has_table(self._connection, table_name(version.id)):
            yield None
            return
        self._make(version, known=known)

        def write(frame: pl.DataFrame, _part: Part | None) -> Written:
            self.refuse(version, frame)
            self.append(version, frame)
            return Written(frame.height, 0, 0, frame)

        yield write
        # Only now: to index all rows at once is faster than one by one.
        tables.index_history(self._connection, version, known=known)

    def _make(self, version: StoredVersion, *, known: bool) -> None:
        tables.make_history(self._connection, version, known=known)
        self.note_version(version)
        if known:
            self.note_known(version.id)

    refuses_times_alone = False

    def refuse(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        refuse_impossible(version, frame)
        refuse_what_has_no_place(version, frame)

    def pairs(
        self, version: StoredVersion, entities: pl.DataFrame | None = None, *, key_range: KeyRange = ALL_KEYS
    ) -> pl.DataFrame:
        schema = held_schema(version)
        if not tables.has_table(self._connection, table_name(version.id)):
            return pl.DataFrame(schema=schema)
        names = version.entity_type.key_names
        if entities is None:
            pieces = [self._fetch_pairs(version, key_range)]
        else:
            pieces = [self._look_up_pairs(version, piece) for piece in entities.select(names).iter_slices(LOOKUP_ROWS)]
        empty = pl.DataFrame(schema=schema)
        return pl.concat([empty, *(piece.cast(empty.schema) for piece in pieces)]).sort([*names, "computed_at"])

    def pairs_since(self, version: StoredVersion, entities: pl.DataFrame) -> pl.DataFrame:
        schema = held_schema(version)
        empty = pl.DataFrame(schema=schema)
        if not tables.has_table(self._connection, table_name(version.id)):
            return empty
        names = version.entity_type.key_names
        same = " AND ".join(f"h.{quote(name)} = w.{quote(name)}" for name in names)
        keys = ", ".join(f"w.{quote(name)}" for name in names)
        rows, columns = f"FROM {history_table(version.id)} h WHERE {same} AND h.computed_at", "h.computed_at, op, value"
        query = (
            f"SELECT {keys}, f.* FROM {unnest(version, [*names, 'computed_at'])} CROSS JOIN LATERAL ("
            f"(SELECT DISTINCT ON (h.computed_at) {columns} {rows} >= w.computed_at "
            "ORDER BY h.computed_at, run_seq DESC) UNION ALL "
            f"(SELECT {columns} {rows} < w.computed_at ORDER BY h.computed_at DESC, run_seq DESC LIMIT 1)) f"
        )
        pieces = possible(entities.select(*names, "computed_at")).iter_slices(LOOKUP_ROWS)
        found = [self._connection.query(query, piece.get_columns()).cast(empty.schema) for piece in pieces]
        return pl.concat([empty, *found]).sort([*names, "computed_at"])

    def append_rows(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        refuse_impossible(version, frame)
        refuse_what_has_no_place(version, frame)
        new = not tables.has_table(self._connection, table_name(version.id))
        if new:
            tables.make_history(self._connection, version)
            self.note_version(version)
        rows = frame.with_columns(pl.col("run_seq").fill_null(self.run_seq), pl.col("op").cast(pl.Int16))
        if rows.height:
            name = table_name(version.id)
            rows = rows.select(history_schema(version).names())
            self._connection.copy(name, rows)
            self._packing.add(name, rows)
            counts = rows.group_by("run_seq").len().sort("run_seq").iter_rows()
            self._connection.insert("appended", ("table_name", "run_seq", "rows"), [(name, *each) for each in counts])
        if new:
            # Only now: to index all rows at once is faster than one by one.
            tables.index_history(self._connection, version)

    def coming(
        self, version: StoredVersion, entities: pl.DataFrame | None = None, *, key_range: KeyRange = ALL_KEYS
    ) -> pl.DataFrame:
        schema = history_schema(version)
        if not tables.has_table(self._connection, table_name(version.id)):
            return pl.DataFrame(schema=schema)
        keys, names = key_list(version), version.entity_type.key_names
        query = f"SELECT {keys}, computed_at, run_seq, op, value FROM {coming_table(version.id)}"
        if entities is None:
            where = f"WHERE {in_range(version, key_range)}"
            return self._connection.query(f"{query} {where} ORDER BY {keys}, computed_at").cast(schema)
        found = self._connection.query(
            f"{query} JOIN {unnest(version, names)} USING ({keys}) ORDER BY {keys}, computed_at",
            possible(entities.select(names)).get_columns(),
        )
        return found.cast(schema)

    def replace_coming(self, version: StoredVersion, entities: pl.DataFrame, frame: pl.DataFrame) -> None:
        names = version.entity_type.key_names
        same = " AND ".join(f"c.{quote(name)} = w.{quote(name)}" for name in names)
        self._connection.query(
            f"DELETE FROM {coming_table(version.id)} c USING {unnest(version, names)} WHERE {same} RETURNING 1 AS gone",
            possible(entities.select(names)).get_columns(),
        )
        rows = frame.with_columns(pl.lit(self.run_seq, pl.Int64).alias("run_seq"), pl.col("op").cast(pl.Int16))
        if rows.height:
            self._connection.copy(coming_name(version.id), rows.select(history_schema(version).names()))

    def _fetch_pairs(self, version: StoredVersion, key_range: KeyRange) -> pl.DataFrame:
        pair = f"{key_list(version)}, computed_at"
        return self._connection.query(
            f"SELECT DISTINCT ON ({pair}) {pair}, op, value FROM {history_table(version.id)} "
            f"WHERE {in_range(version, key_range)} ORDER BY {pair}, {self._latest_learned(version)}"
        )

    def _look_up_pairs(self, version: StoredVersion, entities: pl.DataFrame) -> pl.DataFrame:
        names = version.entity_type.key_names
        same = " AND ".join(f"h.{quote(name)} = w.{quote(name)}" for name in names)
        pair = ", ".join([*(f"w.{quote(name)}" for name in names), "h.computed_at"])
        return self._connection.query(
            f"SELECT DISTINCT ON ({pair}) {pair}, h.op, h.value FROM {unnest(version, names)} "
            f"JOIN {history_table(version.id)} h ON {same} ORDER BY {pair}, {self._latest_learned(version)}",
            possible(entities).get_columns(),
        )

    def rows_at(self, version: StoredVersion, pairs: pl.DataFrame) -> pl.DataFrame:
        on = [*version.entity_type.key_names, "computed_at"]
        same = " AND ".join(f"h.{quote(name)} = w.{quote(name)}" for name in on)
        query = (
            f"SELECT w.*, h.run_seq, h.op, h.value, h.known_at FROM {unnest(version, on)} "
            f"JOIN {history_table(version.id)} h ON {same}"
        )
        pieces = possible(pairs.select(on)).iter_slices(LOOKUP_ROWS)
        empty = pl.DataFrame(schema=history_schema(version, known=True))
        found = (self._connection.query(query, piece.get_columns()).cast(empty.schema) for piece in pieces)
        return pl.concat([empty, *found])

    def _latest_learned(self, version: StoredVersion) -> str:
        return learned_order(known=self.has_known(version.id), descending=True)

    def _write(
        self, version: StoredVersion, frame: pl.DataFrame, on: Sequence[str], tolerance: float | None
    ) -> Written:
        self.refuse(version, frame)
        known = KNOWN in frame.columns
        with self.first_rows(version, known=known) as write_first:
            if write_first is not None:
                return write_first(frame, None)
        has_known = self.has_known(version.id)
        if known and not has_known:
            self.add_known(version)
        if known or has_known:
            return write_known(self, version, frame, tolerance)
        held = self._held(version, frame, on).filter(pl.col("held_op") != WITHDRAWN)
        # In the frame's order, because `differs` is a mask over the frame's rows.
        found = frame.join(held, on=list(on), how="left", maintain_order="left")
        # There is no value, or another one. Reading a row again does not bring back what a tombstone took away.
        news = pl.col("held_op").is_null() | ((pl.col("held_op") == VALUE) & ~_same(version, tolerance))
        differs = found.select(news).to_series()
        changed = frame.filter(differs)
        replacing = found.filter(differs, pl.col("held_op").is_not_null()) if "computed_at" in on else found.clear()
        entities = replacing.select(version.entity_type.key_names).n_unique() if replacing.height else 0
        corrected = replacing.height
        deleted = int((found["held_op"] == TOMBSTONE).sum() or 0)
        self.append(version, changed)
        unchanged = frame.height - changed.height
        return Written(changed.height - corrected, corrected, unchanged, changed, deleted, entities)

    def _held(self, version: StoredVersion, frame: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
        """The stored values of the frame's rows, or without computed_at of its entities: at most one row each."""
        if frame.height == 0 or tables.count_rows(self._connection, version) > LOOKED_UP_AS_FETCHED * frame.height:
            pieces = [self._look_up(version, piece, on) for piece in frame.select(on).iter_slices(LOOKUP_ROWS)]
        else:
            pieces = [self._fetch(version, frame, on)]
        types = history_schema(version)
        empty = pl.DataFrame(schema={**{name: types[name] for name in on}, "op": types["op"], "value": types["value"]})
        held = pl.concat([empty, *(piece.cast(empty.schema) for piece in pieces)])
        return held.rename({"op": "held_op", "value": "held_value"})

    def _fetch(self, version: StoredVersion, frame: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
        columns = ", ".join(map(quote, on))
        where = f"op = {VALUE}"
        if "computed_at" in on:
            # Written into the statement, because the answer to one with parameters is not sent by COPY.
            first, last = frame.select(pl.col("computed_at").min(), pl.col("computed_at").max().alias("last")).row(0)
            where = f"computed_at BETWEEN '{first.isoformat()}' AND '{last.isoformat()}'"
        return self._connection.query(
            f"SELECT DISTINCT ON ({columns}) {columns}, op, value FROM {history_table(version.id)} WHERE {where} "
            f"ORDER BY {columns}, {self._latest_first(version, on)}"
        )

    def _look_up(self, version: StoredVersion, wanted: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
        same = " AND ".join(f"h.{quote(name)} = w.{quote(name)}" for name in on)
        same += "" if "computed_at" in on else f" AND h.op = {VALUE}"
        return self._connection.query(
            f"SELECT w.*, h.op, h.value FROM {unnest(version, on)}, LATERAL (SELECT op, value "
            f"FROM {history_table(version.id)} h WHERE {same} ORDER BY {self._latest_first(version, on)} LIMIT 1) h",
            wanted.get_columns(),
        )

    def _latest_first(self, version: StoredVersion, on: Sequence[str]) -> str:
        learned = self._latest_learned(version)
        return learned if "computed_at" in on else f"computed_at DESC, {learned}"

    def append(self, version: StoredVersion, frame: pl.DataFrame, op: int = VALUE) -> None:
        if frame.height == 0:
            return
        name = table_name(version.id)
        rows = frame.select(
            *version.entity_type.key_names, "computed_at",
            pl.lit(self.run_seq, pl.Int64).alias("run_seq"), pl.lit(op, pl.Int16).alias("op"), "value",
            *([KNOWN] if KNOWN in frame.columns else []),
        )  # fmt: skip
        self._connection.copy(name, rows)
        self._packing.add(name, rows)
        self._connection.insert("appended", ("table_name", "run_seq", "rows"), [(name, self.run_seq, frame.height)])


def possible(keys: pl.DataFrame) -> pl.DataFrame:
    """The keys that a table may contain at all: without nulls, and without NUL, which PostgreSQL can't store."""
    nul = [pl.col(name).str.contains("\0", literal=True) for name, kind in keys.schema.items() if kind == pl.String]
    return keys.drop_nulls().filter(~pl.any_horizontal(nul)) if nul else keys.drop_nulls()


def unnest(version: StoredVersion, names: Sequence[str], table: str = "w") -> str:
    """The parameters ``$1``, ``$2``, … as a table of these columns: the keys, and computed_at."""
    types = {key.name: ARRAYS[key.type] for key in version.entity_type.keys} | {"computed_at": "timestamp[]"}
    arrays = ", ".join(f"${number}::{types[name]}" for number, name in enumerate(names, start=1))
    return f"unnest({arrays}) AS {table}({', '.join(map(quote, names))})"


def _same(version: StoredVersion, tolerance: float | None) -> pl.Expr:
    """Null is null, NaN is NaN, −0.0 is 0.0; numbers no further apart than the tolerance are the same."""
    held, new = pl.col("held_value"), pl.col("value")
    return held.eq_missing(new) | is_close(held, new, version.data_type, tolerance)


def refuse_what_has_no_place(version: StoredVersion, frame: pl.DataFrame) -> None:
    """Refuses text with NUL and ids too long for an index, naming the row, which the server would not."""
    keys = version.entity_type.key_names
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    for name in texts:
        _refuse(
            version, frame, frame[name].str.contains("\0", literal=True),
            f"{name} holds a NUL character, which PostgreSQL can't store",
            "remove it in the feature, for example with .str.replace_all('\\x00', '', literal=True)",
        )  # fmt: skip
    lengths = [pl.col(name).str.len_bytes() for name in keys if name in texts]
    if lengths:
        _refuse(
            version, frame, frame.select(pl.sum_horizontal(lengths) > KEY_BYTES).to_series(),
            f"an id of more than {KEY_BYTES:,} bytes, which PostgreSQL can't index",
            "identify entities by something shorter, such as a hash",
        )  # fmt: skip


def _refuse(version: StoredVersion, frame: pl.DataFrame, wrong: pl.Series, what: str, hint: str) -> None:
    if not wrong.any():
        return
    row = frame.row(wrong.arg_max() or 0, named=True)
    entity = ", ".join(f"{name}={str(row[name])[:60]!r}" for name in version.entity_type.key_names)
    raise FeatureError(
        f"the row of {entity} at {row['computed_at'].isoformat()}Z: {what}", where=version.id.feature, hint=hint
    )


def in_range(version: StoredVersion, key_range: KeyRange) -> str:
    """The condition that a row's entity is in a range of keys: one range of the primary key's index.

    The bounds are part of the statement, because the answer to one with parameters is not sent by COPY.
    """
    rows = ((keys, sign) for keys, sign in ((key_range.after, ">"), (key_range.up_to, "<=")) if keys is not None)
    clauses = [f"({key_list(version)}) {sign} ({', '.join(map(tables.constant, keys))})" for keys, sign in rows]
    return " AND ".join(clauses) or "TRUE"
