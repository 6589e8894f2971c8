"""Rows as DuckDB takes them fastest: a text that repeats from row to row is handed over once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from featurestore.tables.identity import Place, place_of

if TYPE_CHECKING:
    import pyarrow as pa

_WORTH_IT = 20_000  # rows
_LARGE_TEXT = pl.CompatLevel.oldest()


class ArrowRows:
    """Frames as Arrow tables. The keys of features of one source are mostly the very same: they are prepared once."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[pl.Series, Place, pa.Array | None]] = {}

    def of(self, frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame | pa.Table:
        """The same rows; texts of the key columns as a dictionary, where they repeat."""
        texts = [name for name in keys if frame.schema[name] == pl.String]
        if frame.height < _WORTH_IT or not texts:
            return frame
        made = {name: self._dictionary(frame[name]) for name in texts}
        table = frame.drop(name for name, array in made.items() if array is not None).to_arrow()
        for at, name in enumerate(frame.columns):
            array = made.get(name)
            if array is not None:
                table = table.add_column(at, name, array)
        return table

    def _dictionary(self, column: pl.Series) -> pa.Array | None:
        place = place_of(column)
        if column.name not in self._made or self._made[column.name][1] != place:
            # With the column, so that no other one comes to lie at its place.
            self._made[column.name] = column, place, _dictionary(column)
        return self._made[column.name][2]


def _dictionary(column: pl.Series) -> pa.Array | None:
    """A text for each row that has another one than the row before it, and its number for each row; None where most
    rows have their own.
    """
    import pyarrow as pa

    run = column.rle_id()
    count = int(run[-1]) + 1
    if count > column.len() // 2:
        return None
    texts = column.filter((run != run.shift(1)).fill_null(value=True)).to_arrow(compat_level=_LARGE_TEXT)
    return pa.DictionaryArray.from_arrays(run.cast(pl.Int32).to_arrow(), texts)
