"""Where columns lie in memory: what lies at the same place is the same, without looking at a single value."""

from __future__ import annotations

import polars as pl

Place = list[tuple[int, int, tuple[int | None, ...]]]


def place_of(column: pl.Series) -> Place:
    """Where a column lies, chunk by chunk: (length, offset, addresses). It holds as long as the column does."""
    chunks = (chunk.to_arrow(compat_level=pl.CompatLevel.newest()) for chunk in column.get_chunks())
    return [
        (len(chunk), chunk.offset, tuple(None if each is None else each.address for each in chunk.buffers()))
        for chunk in chunks
        if len(chunk)
    ]
