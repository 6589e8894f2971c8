"""The values that a run wrote, with what statistics say of their rows; they need not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from featurestore.drift.large import SHARE_OF_MEMORY, describe_all
from featurestore.frozen import frozen
from featurestore.tables.identity import Place, place_of
from featurestore.tables.searching import key_changes
from featurestore.tables.temporary import SpillingColumn
from featurestore.times import format_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurestore.model import DataType, Json


@frozen
class _Rows:
    """What statistics say of rows: how many entities, the first and the last one of them, and the times (µs)."""

    entities: int
    first_entity: tuple[object, ...]
    last_entity: tuple[object, ...]
    first: int | None
    last: int | None


class RowsOnce:
    """What statistics say of rows, looked at once for features whose rows have the very same keys and times."""

    def __init__(self) -> None:
        # Of the rows that were looked at last, held so that their place stays theirs.
        self._columns: list[pl.Series] = []
        self._places: list[Place] = []
        self._rows: _Rows | None = None

    def of(self, rows: pl.DataFrame, keys: Sequence[str]) -> _Rows:
        """Of at least one row; see `RowValues`."""
        columns = [rows[name] for name in (*keys, "computed_at")]
        places = [place_of(column) for column in columns]
        if self._rows is None or places != self._places:
            self._columns, self._places, self._rows = columns, places, _look_at(rows, keys)
        return self._rows


class RowValues:
    """The values of rows that may come in parts, with what statistics say of the rows: entities and times.

    Each frame has the key columns, ``computed_at`` (µs, no zone) and ``value``; all together are sorted by the keys.
    Values that take more than their share of ``memory`` (bytes) go to a temporary file.
    """

    def __init__(
        self, keys: Sequence[str], *frames: pl.DataFrame, memory: int | None = None, once: RowsOnce | None = None
    ) -> None:
        self._keys = list(keys)
        self.values = SpillingColumn(None if memory is None else memory // SHARE_OF_MEMORY)
        self._last: tuple[object, ...] | None = None
        self._once = once
        self.memory = memory
        self.entities = 0
        self.first: int | None = None
        self.last: int | None = None
        for frame in frames:
            self.add(frame)

    def add(self, rows: pl.DataFrame) -> None:
        """Raises StoreError where the disk is full."""
        self.values.add(rows["value"])
        if not rows.height:
            return
        found = _look_at(rows, self._keys) if self._once is None else self._once.of(rows, self._keys)
        self.entities += found.entities - int(found.first_entity == self._last)
        self._last = found.last_entity
        if found.first is not None and found.last is not None:
            self.first = found.first if self.first is None else min(found.first, self.first)
            self.last = found.last if self.last is None else max(found.last, self.last)


def _look_at(rows: pl.DataFrame, keys: Sequence[str]) -> _Rows:
    entities, times = rows.select(keys), rows["computed_at"].cast(pl.Datetime("us")).to_physical()
    first, last = times.min(), times.max()  # None where all are null
    return _Rows(
        int(key_changes(entities).sum()), entities.row(0), entities.row(-1),
        None if first is None else int(first), None if last is None else int(last),  # type: ignore[arg-type]  # integers
    )  # fmt: skip


def describe_rows(
    rows: RowValues,
    data_type: DataType,
    *,
    learned_at: int | None = None,
    edges: Sequence[float] | None = None,
) -> dict[str, Json]:
    """`describe` for values of a history, with the statistics of their rows.

    Adds ``entities``, ``event_time`` (first and last computed_at) and, with ``learned_at`` (µs), ``freshness_s``: how
    old the newest value was when it was learned, in seconds.
    """
    statistics = describe_all(rows.values, data_type, rows.memory, edges=edges)
    statistics["entities"] = rows.entities
    if rows.first is not None and rows.last is not None:
        statistics["event_time"] = {"min": format_instant(rows.first), "max": format_instant(rows.last)}
        if learned_at is not None:
            statistics["freshness_s"] = (learned_at - rows.last) / 1_000_000
    return statistics
