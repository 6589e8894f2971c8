"""The SQL of raw rows: what came of sources that can't be read again, and how far each of them has been read.

A batch is what one run took of one source: bytes of an Arrow file that only its writer understands, cut into small
rows as label files are (`offline.datasets`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from featurestore.model import Json
from featurestore.offline.contract import DroppedBatch, RawBatch
from featurestore.offline.datasets import PART_BYTES, ROW_BYTES, cut
from featurestore.offline.sql import SqlConnection, Values

SINCE_FORMAT = 6
DROPPED_SINCE = 9
_COLUMNS = ("source", "sequence", "run_seq", "rows", "content", "facts")


class SqlRawRows(ABC):
    """The reading half of `RawRows`, the same for DuckDB and PostgreSQL. A store gives it ``_rows``."""

    @abstractmethod
    def _rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        """Queries the tables; no rows where the store does not exist yet."""

    def raw_batches(self, source: str | None = None, *, after: int = 0) -> list[RawBatch]:
        if not self._has_raw_rows():
            return []
        where, values = ("TRUE", [after]) if source is None else ("source = $2", [after, source])
        query = f"SELECT {', '.join(_COLUMNS)} FROM raw_batches WHERE sequence > $1 AND {where}"
        return [_batch(row) for row in self._rows(f"{query} ORDER BY source, sequence", values)]

    def raw_bytes(self, batch: RawBatch) -> Iterator[bytes]:
        if not self._has_raw_rows():
            return
        named = [batch.source, batch.sequence]
        count = self._rows("SELECT count(*) AS rows FROM raw_parts WHERE source = $1 AND sequence = $2", named)
        query = (
            "SELECT bytes FROM raw_parts WHERE source = $1 AND sequence = $2 AND position >= $3 AND position < $4 "
            "ORDER BY position"
        )
        at_once = PART_BYTES // ROW_BYTES
        for begin in range(0, count[0]["rows"], at_once):
            yield b"".join(bytes(row["bytes"]) for row in self._rows(query, [*named, begin, begin + at_once]))

    def dropped_batches(self, source: str) -> list[DroppedBatch]:
        if not self._has_raw_rows(DROPPED_SINCE):
            return []
        query = "SELECT source, sequence, content, high FROM raw_dropped WHERE source = $1 ORDER BY sequence"
        return [DroppedBatch(**row) for row in self._rows(query, [source])]

    def source_position(self, source: str) -> Json:
        if not self._has_raw_rows():
            return None
        rows = self._rows("SELECT cursor FROM source_positions WHERE source = $1", [source])
        return json.loads(rows[0]["cursor"]) if rows else None

    def _has_raw_rows(self, since: int = SINCE_FORMAT) -> bool:
        """Readers do not migrate: a store of an earlier release has none."""
        found = self._rows("SELECT format FROM meta")
        return bool(found) and int(found[0]["format"]) >= since


def insert_raw(connection: SqlConnection, batch: RawBatch, parts: Iterable[bytes]) -> None:
    """Stores a batch, in place of one of its source and sequence; inside the caller's transaction."""
    delete_raw(connection, batch.source, batch.sequence - 1, batch.sequence)
    row = (batch.source, batch.sequence, batch.run_seq, batch.rows, batch.content, json.dumps(batch.facts))
    connection.insert("raw_batches", _COLUMNS, [row])
    position = 0
    for part in parts:
        cuts = cut(part)
        rows = [(batch.source, batch.sequence, position + number, piece) for number, piece in enumerate(cuts)]
        if rows:
            connection.insert("raw_parts", ("source", "sequence", "position", "bytes"), rows)
        position += len(rows)


def delete_raw(connection: SqlConnection, source: str, after: int, up_to: int) -> None:
    """Removes the batches of a source after one sequence, up to another; inside the caller's transaction."""
    for table in ("raw_batches", "raw_parts"):
        connection.rows(
            f"DELETE FROM {table} WHERE source = $1 AND sequence > $2 AND sequence <= $3 RETURNING 1",
            [source, after, up_to],
        )


def drop_raw_batches(connection: SqlConnection, batches: Iterable[DroppedBatch]) -> None:
    """Removes batches and records that they were there; inside the caller's transaction."""
    for batch in batches:
        delete_raw(connection, batch.source, batch.sequence - 1, batch.sequence)
        row = (batch.source, batch.sequence, batch.content, batch.high)
        connection.insert("raw_dropped", ("source", "sequence", "content", "high"), [row])


def put_source_position(connection: SqlConnection, source: str, cursor: Json, run_seq: int) -> None:
    """Stores how far a source has been read, in place of what was stored before; None forgets it."""
    connection.rows("DELETE FROM source_positions WHERE source = $1 RETURNING 1", [source])
    if cursor is not None:
        row = (source, json.dumps(cursor), run_seq)
        connection.insert("source_positions", ("source", "cursor", "run_seq"), [row])


def _batch(row: dict[str, Any]) -> RawBatch:
    return RawBatch(**{**row, "facts": json.loads(row["facts"])})
