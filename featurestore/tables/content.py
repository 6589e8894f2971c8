"""One hash of a table's content, independent of file format, library and batches.

Recipe 1. Each column has a SHA-256 over its rows in blocks of 65,536 (the last one shorter). A block is one
byte per row, 1 where there is a value, followed by the values, with zero or nothing in place of nulls:

- integers, dates (days), times, durations and datetimes (both in their unit): 8 bytes each, little-endian
- floats: 8 bytes IEEE 754, little-endian; −0.0 as 0.0 and one NaN
- booleans: one byte each
- text and bytes: all lengths in bytes (8 bytes each, little-endian), then all bytes; text is UTF-8
- lists: all lengths likewise, then the items of all rows as one block
- structs: the blocks of the fields, one after the other
- decimals and whatever else has an exact text: as text

The table's hash is the SHA-256 of a JSON document: recipe, row count, and name, type and hash of every column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import polars as pl

RECIPE = 1
BLOCK_ROWS = 65_536


class ContentHash:
    """Takes a table in frames of any height, one after the other.

    Recipe 1 has blocks of ``block_rows`` = 65,536 rows; another number gives other hashes.
    """

    def __init__(self, block_rows: int = BLOCK_ROWS) -> None:
        self._block_rows = block_rows
        self._columns: list[hashlib._Hash] = []
        self._schema: pl.Schema | None = None
        self._rest: pl.DataFrame | None = None
        self._rows = 0

    def update(self, frame: pl.DataFrame) -> None:
        """Adds the next rows. All frames have the same columns."""
        if self._schema is None:
            self._schema = frame.schema
            self._columns = [hashlib.sha256() for _ in frame.columns]
        self._rows += len(frame)
        waiting = frame if self._rest is None or not len(self._rest) else pl.concat([self._rest, frame])
        whole = len(waiting) // self._block_rows * self._block_rows
        for begin in range(0, whole, self._block_rows):
            self._block(waiting.slice(begin, self._block_rows))
        self._rest = waiting.slice(whole)

    def hexdigest(self) -> str:
        """The hash of all frames so far. Call it once, last."""
        if self._rest is not None and len(self._rest):
            self._block(self._rest)
            self._rest = None
        schema = self._schema or pl.Schema()
        columns = [
            [name, _type_name(kind), digest.hexdigest()]
            for (name, kind), digest in zip(schema.items(), self._columns, strict=True)
        ]
        text = json.dumps({"recipe": RECIPE, "rows": self._rows, "columns": columns}, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _block(self, frame: pl.DataFrame) -> None:
        for column, digest in zip(frame.get_columns(), self._columns, strict=True):
            for part in _parts(column):
                digest.update(part)


def _type_name(kind: pl.DataType) -> str:
    if isinstance(kind, pl.Datetime):
        return f"datetime[{kind.time_unit}, {kind.time_zone or 'no zone'}]"
    if isinstance(kind, pl.Duration):
        return f"duration[{kind.time_unit}]"
    if isinstance(kind, pl.List | pl.Array):
        return f"list[{_type_name(kind.inner)}]"  # type: ignore[arg-type]  # an inner type is an instance
    if isinstance(kind, pl.Struct):
        fields = ", ".join(f"{json.dumps(field.name)}: {_type_name(field.dtype)}" for field in kind.fields)  # type: ignore[arg-type]
        return f"struct[{fields}]"
    if kind.is_integer():
        return "int" if kind.is_signed_integer() else "uint"
    if kind.is_float():
        return "float"
    simple = {pl.Boolean: "bool", pl.Date: "date", pl.Time: "time", pl.Binary: "bytes", pl.Null: "null"}
    return next((name for known, name in simple.items() if kind == known), "text")


def _parts(column: pl.Series) -> Iterator[bytes | memoryview]:
    kind = column.dtype
    yield column.is_not_null().cast(pl.UInt8).to_numpy().data
    if kind == pl.Boolean:
        yield column.fill_null(value=False).cast(pl.UInt8).to_numpy().data
    elif kind.is_integer() and kind not in (pl.Int128, pl.UInt128):
        wide = pl.Int64 if kind.is_signed_integer() else pl.UInt64
        yield column.cast(wide).fill_null(0).to_numpy().astype("<u8" if wide == pl.UInt64 else "<i8").data
    elif kind.is_float():
        numbers = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0  # −0.0 + 0.0 is 0.0
        yield np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").data
    elif kind.is_temporal():
        yield column.to_physical().cast(pl.Int64).fill_null(0).to_numpy().astype("<i8").data
    elif isinstance(kind, pl.List | pl.Array):
        lists = column.arr.to_list() if isinstance(kind, pl.Array) else column
        yield lists.list.len().fill_null(0).cast(pl.UInt64).to_numpy().astype("<u8").data
        nonempty = lists.filter(lists.list.len().fill_null(0) > 0)
        yield from _parts(nonempty.explode() if len(nonempty) else pl.Series(dtype=kind.inner))
    elif isinstance(kind, pl.Struct):
        for field in column.struct.fields:
            yield from _parts(column.struct.field(field))
    elif kind != pl.Null:
        raw = (column if kind in (pl.String, pl.Binary) else column.cast(pl.String)).cast(pl.Binary)
        yield raw.bin.size().fill_null(0).cast(pl.UInt64).to_numpy().astype("<u8").data
        yield b"".join(raw.drop_nulls().to_list())
