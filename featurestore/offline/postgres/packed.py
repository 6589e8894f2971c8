"""Rows of a table as one value for each column, packed by the server, instead of one for each field of each row.

The driver takes a third of a microsecond a row to tell fields apart, which is most of what it costs to fetch a
history. Fields of fixed width need no telling apart: the server strings them together, and here they are an array.
Their form is that of binary COPY: big-endian, times and dates counted from the year 2000
(https://www.postgresql.org/docs/current/sql-copy.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.errors import StoreError
from featurestore.offline.sql import quote
from featurestore.postgres.connection import Connection

# The rows of each part must come in one order, whichever columns are asked for.
_IN_ORDER = "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL synchronize_seqscans = off"

EPOCH_DAYS = 10_957  # from 1970 to 2000
EPOCH_MICROSECONDS = EPOCH_DAYS * 86_400_000_000


@dataclass(frozen=True, slots=True)
class _Form:
    """How a type is sent: the server's function, the layout of what it gives, and where it counts from."""

    function: str
    layout: str
    base: int = 0


_FORMS: Mapping[type[pl.DataType], _Form] = {
    pl.Int64: _Form("int8send", ">i8"),
    pl.Int8: _Form("int2send", ">i2"),  # the server has no smaller one
    pl.Float64: _Form("float8send", ">f8"),
    pl.Boolean: _Form("boolsend", "u1"),
    pl.Date: _Form("date_send", ">i4", EPOCH_DAYS),
    pl.Datetime: _Form("timestamp_send", ">i8", EPOCH_MICROSECONDS),
    pl.String: _Form("textsend", "u1"),
}
_CONSTANT = frozenset({"run_seq", "op"})  # mostly the same in rows that lie together
_NULLABLE = frozenset({"value", "known_at"})


def can_pack(types: pl.Schema) -> bool:
    """Whether the columns of a version can be packed: lists can't, and long texts would be too much for one value.

    (Texts of keys are short, since the server indexes them.)
    """
    return types["value"] != pl.String and all(kind.base_type() in _FORMS for kind in types.values())


def read_packed(connection: Connection, rows: str, types: pl.Schema) -> pl.DataFrame:
    """The columns ``types`` of the rows ``FROM … WHERE …`` of a table.

    Raises StoreError for a text that is not UTF-8.
    """
    connection.execute(_IN_ORDER)
    asked = ["count(*) AS n"]
    for at, name in enumerate(types):
        if name in _CONSTANT:
            asked += [f"min({name}) AS low{at}", f"max({name}) AS high{at}"]
        else:
            asked += _packing(at, name, types[name])
        if name in _NULLABLE:
            asked.append(f"count({name}) AS held{at}")
    found = _only(connection, asked, rows)
    if not found["n"]:
        return pl.DataFrame(schema=types)
    columns = []
    for at, (name, kind) in enumerate(types.items()):
        if name in _CONSTANT and found[f"low{at}"] == found[f"high{at}"]:
            columns.append(pl.repeat(found[f"low{at}"], found["n"], dtype=kind, eager=True).alias(name))
            continue
        packed = _only(connection, _packing(at, name, kind), rows) if name in _CONSTANT else found
        column = _unpacked(packed, at, kind)
        if name in _NULLABLE and found[f"held{at}"] < found["n"]:  # nulls are not among what was strung together
            column = _spread(connection, column, name, rows)
        columns.append(column.alias(name))
    return pl.DataFrame(columns)


def _packing(at: int, name: str, kind: pl.DataType) -> list[str]:
    sent = f"{_FORMS[kind.base_type()].function}({quote(name)})"
    asked = [f"string_agg({sent}, ''::bytea) AS p{at}"]
    if kind == pl.String:
        asked.append(f"string_agg(int4send(length({sent})), ''::bytea) AS l{at}")
    return asked


def _only(connection: Connection, asked: list[str], rows: str) -> dict[str, Any]:
    return connection.query(f"SELECT {', '.join(asked)} {rows}").row(0, named=True)


def _unpacked(packed: Mapping[str, Any], at: int, kind: pl.DataType) -> pl.Series:
    form = _FORMS[kind.base_type()]
    data = packed[f"p{at}"] or b""
    if kind == pl.String:
        return _texts(data, _integers(packed[f"l{at}"] or b"", ">i4"))
    if kind == pl.Float64:
        return pl.Series(np.frombuffer(data, form.layout).astype(np.float64))
    if kind == pl.Boolean:
        return pl.Series(np.frombuffer(data, form.layout).astype(np.bool_))
    numbers = _integers(data, form.layout)
    numbers += form.base
    return pl.Series(numbers.astype(np.int32) if kind == pl.Date else numbers).cast(kind)


def _integers(data: bytes, layout: str) -> NDArray[np.int64]:
    return np.frombuffer(data, layout).astype(np.int64)


def _texts(data: bytes, lengths: NDArray[np.int64]) -> pl.Series:
    import pyarrow as pa

    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    found = pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))
    try:
        found.validate(full=True)
    except pa.ArrowInvalid as exc:
        raise StoreError(
            "the history has a text that is not UTF-8", hint="set client_encoding=UTF8, or restore a backup"
        ) from exc
    return pl.Series(found)


def _spread(connection: Connection, column: pl.Series, name: str, rows: str) -> pl.Series:
    """What is not null, at its places among all rows."""
    (packed,) = connection.query(f"SELECT string_agg(boolsend({quote(name)} IS NOT NULL), ''::bytea) {rows}").row(0)
    held = pl.Series(np.frombuffer(packed, np.uint8).astype(np.bool_))
    places = held.cum_sum().cast(pl.Int64) - 1
    return column.gather(pl.select(pl.when(held).then(places)).to_series())
