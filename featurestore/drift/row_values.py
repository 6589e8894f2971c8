"""The values that a run wrote, with what statistics say of their rows; they need not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from featurestore.drift.large import SHARE_OF_MEMORY, describe_all
from featurestore.tables.searching import key_changes
from featurestore.tables.temporary import SpillingColumn
from featurestore.times import format_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featurestore.model import DataType, Json


class RowValues:
    """The values of rows that may come in parts, with what statistics say of the rows: entities and times.

    Each frame has the key columns, ``computed_at`` (µs, no zone) and ``value``; all together are sorted by the keys.
    Values that take more than their share of ``memory`` (bytes) go to a temporary file.
    """

    def __init__(self, keys: Sequence[str], *frames: pl.DataFrame, memory: int | None = None) -> None:
        self._keys = list(keys)
        self.values = SpillingColumn(None if memory is None else memory // SHARE_OF_MEMORY)
        self._last: tuple[object, ...] | None = None
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
        entities = rows.select(self._keys)
        self.entities += int(key_changes(entities).sum()) - int(entities.row(0) == self._last)
        self._last = entities.row(-1)
        times = rows["computed_at"].cast(pl.Datetime("us")).to_physical().drop_nulls()
        if len(times):
            bounds = [int(times.min()), int(times.max())]  # type: ignore[arg-type]  # of integers integers
            self.first = min(bounds[0], self.first if self.first is not None else bounds[0])
            self.last = max(bounds[1], self.last if self.last is not None else bounds[1])


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
