"""The rows of a large history once more, packed: some 100,000 of them as one value, in a table of their own.

To send a row by itself costs the server and the driver more than half a microsecond, whichever way it is asked for,
and a join that reads a history for the first time asks for all of them. A packed part is sent at the speed of the
network. Parts are derived from what a run adds to a history table, in the run's own transaction. ``packed_rows`` says
how many rows of which runs a part has; only runs of which a history table has exactly as many are read from parts.

A part is an Arrow file (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format) of the columns of
`History.scan`, compressed with LZ4. Its texts lie one after another: in Arrow's newer layout, of views, they lie in
buffers that rows which are not among its own may share, so that what was erased of those would stay. From the first
large addition on, whatever a version learns is packed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from featurestore.frozen import frozen
from featurestore.offline.postgres.tables import has_table
from featurestore.offline.sql import literal
from featurestore.postgres.connection import Connection

TABLE = "packed_rows"
PART_ROWS = 250_000
COMPRESSION: Literal["lz4", "uncompressed"] = "lz4"
LEAST_ROWS = 50_000  # of one run, before a version's rows are worth packing


@dataclass(slots=True)
class Packing:
    """What a run adds to history tables, packed as it comes. Nothing is packed for certain before `end`."""

    connection: Connection
    _table: str = ""
    _frames: list[pl.DataFrame] = field(default_factory=list)
    _rows: int = 0
    _begun: bool = False  # the table has parts

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Takes rows that were added to a table, with all of its columns."""
        if table != self._table:
            self.end()
            self._table, self._begun = table, _has_parts(self.connection, table)
        self._frames.append(rows)
        self._rows += rows.height
        if self._rows >= PART_ROWS:
            self._write()

    def end(self) -> None:
        """Packs what is left, where that is worth it or belongs to what is packed."""
        if self._rows and (self._begun or self._rows >= LEAST_ROWS):
            self._write()
        self._table, self._frames, self._rows = "", [], 0

    def _write(self) -> None:
        for part in pl.concat(self._frames).iter_slices(PART_ROWS):
            _insert(self.connection, self._table, part)
        self._frames, self._rows, self._begun = [], 0, True


@frozen
class PackedRuns:
    """Which runs of a history table can be read from parts, and which must be read from the table."""

    packed: tuple[int, ...]
    rest: tuple[int, ...]
    rest_rows: int


def packed_runs(connection: Connection, table: str, among: str) -> PackedRuns:
    """How the rows of a table can be read; ``among`` is a condition on ``run_seq``."""
    found = connection.rows(
        f"SELECT run_seq, sum(rows)::bigint AS rows FROM appended WHERE table_name = {literal(table)} AND {among} "
        "GROUP BY run_seq ORDER BY run_seq"
    )
    packed: dict[int, int] = {}
    if has_table(connection, TABLE):  # a schema of an earlier release has none
        counts = connection.rows(
            f"SELECT run_seq, sum(count)::bigint AS rows FROM {TABLE}, unnest(run_seqs, counts) AS c(run_seq, count) "
            f"WHERE table_name = {literal(table)} GROUP BY run_seq"
        )
        packed = {row["run_seq"]: row["rows"] for row in counts}
    rest = {row["run_seq"]: row["rows"] for row in found if packed.get(row["run_seq"]) != row["rows"]}
    whole = tuple(row["run_seq"] for row in found if row["run_seq"] not in rest)
    return PackedRuns(whole, tuple(rest), sum(rest.values()))


def list_parts(connection: Connection, table: str, runs: Sequence[int]) -> list[tuple[int, ...]]:
    """The parts with rows of some runs, in groups of at most ``PART_ROWS`` rows."""
    groups: list[list[int]] = []
    room = 0
    if not runs:
        return []
    for row in connection.rows(
        f"SELECT part, (SELECT sum(count) FROM unnest(counts) AS c(count))::bigint AS rows FROM {TABLE} "
        f"WHERE table_name = {literal(table)} AND run_seqs && {array(runs)} ORDER BY part"
    ):
        if not groups or row["rows"] > room:
            groups.append([])
            room = PART_ROWS
        groups[-1].append(row["part"])
        room -= row["rows"]
    return [tuple(group) for group in groups]


def read_parts(connection: Connection, parts: Sequence[int], runs: Sequence[int], types: pl.Schema) -> pl.DataFrame:
    """The rows of some runs that parts have, as the columns ``types``."""
    query = f"SELECT run_seqs <@ {array(runs)} AS whole, bytes FROM {TABLE} WHERE part = ANY({array(parts)})"
    frames = []
    for whole, packed in connection.query(query).iter_rows():
        rows = _unpack(packed)
        frames.append((rows if whole else rows.filter(pl.col("run_seq").is_in(runs))).select(types.names()).cast(types))
    return pl.concat(frames)


def erase_packed(connection: Connection, table: str, entities: pl.DataFrame) -> None:
    """Removes the rows of some entities, given by their keys, from a table's parts."""
    for row in connection.rows(f"SELECT part FROM {TABLE} WHERE table_name = {literal(table)}"):
        where = f"WHERE part = {row['part']:d}"
        (packed,) = connection.query(f"SELECT bytes FROM {TABLE} {where}").row(0)
        rows = _unpack(packed)
        left = rows.join(entities, on=entities.columns, how="anti", maintain_order="left")
        if left.height < rows.height or _has_views(packed):
            connection.execute(f"DELETE FROM {TABLE} {where}")
            if left.height:
                _insert(connection, table, left)


def drop_packed(connection: Connection, table: str) -> None:
    """Removes a table's parts: its rows are others now."""
    connection.execute(f"DELETE FROM {TABLE} WHERE table_name = {literal(table)}")


def copy_packed(connection: Connection, old: str, new: str) -> None:
    """Gives a table that has the very rows of another the same parts."""
    connection.execute(
        f"INSERT INTO {TABLE} (table_name, run_seqs, counts, bytes) SELECT {literal(new)}, run_seqs, counts, bytes "
        f"FROM {TABLE} WHERE table_name = {literal(old)}"
    )


def _has_parts(connection: Connection, table: str) -> bool:
    return bool(connection.rows(f"SELECT 1 FROM {TABLE} WHERE table_name = {literal(table)} LIMIT 1"))


def _insert(connection: Connection, table: str, rows: pl.DataFrame) -> None:
    packed = io.BytesIO()
    rows.write_ipc(packed, compression=COMPRESSION, compat_level=pl.CompatLevel.oldest())
    counts = rows.group_by("run_seq").len().sort("run_seq")
    row = {
        "table_name": [table],
        "run_seqs": [counts["run_seq"].to_list()],
        "counts": [counts["len"].cast(pl.Int64).to_list()],
        "bytes": [packed.getvalue()],
    }
    connection.copy(TABLE, pl.DataFrame(row))


def _has_views(packed: bytes) -> bool:
    """Whether a part was written by an earlier release, whose buffers may hold texts of other rows."""
    import pyarrow as pa

    return "_view" in str(pa.ipc.open_file(packed).schema.types)


def _unpack(packed: bytes) -> pl.DataFrame:
    return pl.read_ipc(io.BytesIO(packed))


def array(numbers: Sequence[int]) -> str:
    """Numbers as an array in SQL."""
    return f"ARRAY[{', '.join(f'{number:d}' for number in numbers)}]::bigint[]"
