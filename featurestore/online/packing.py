"""Packing by column: a frame of latest values becomes entity keys and packed values (see `online.format`)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import StoreError
from featurestore.model import EntityType, Key, Scalar, StoredVersion
from featurestore.online import format as layout

_VALUE = 0  # the op of a value in the history; a tombstone and a withdrawn row say that there is none
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-"
_ESCAPES = {chr(code): quote(chr(code), safe="") for code in range(128) if quote(chr(code), safe="") != chr(code)}
_HEADER = [("high", ">u8"), ("middle", ">u2"), ("low", "u1"), ("sha", "V6")]
_WIDTHS: Mapping[Scalar, str] = {"bool": "u1", "int": ">i8", "float": ">f8", "date": ">i4", "datetime": ">i8"}


def entity_keys(project: str, entity_type: EntityType, frame: pl.DataFrame) -> pl.Series:
    """The entity key of each row, as `format.entity_key` makes it."""
    first, *more = [_escaped(frame[key.name], key) for key in entity_type.keys]
    # With Arrow, which works in this thread: Polars would start others, and the server beside needs the cores.
    keys = pc.binary_join_element_wise(_text(layout.key_prefix(project, entity_type.name)), first, _text(""))
    if more:
        keys = pc.binary_join_element_wise(keys, *more, _text(","))
    return pl.Series("key", keys, dtype=pl.String)


def _text(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _escaped(column: pl.Series, key: Key) -> pa.LargeStringArray:
    text = column.cast(pl.String)
    whole = text.to_arrow()
    if key.type == "int" or not bytes_of(whole).tobytes().translate(None, _PLAIN):
        return whole
    if text.str.contains(r"[^\x00-\x7F]").any():
        return text.map_elements(lambda part: quote(part, safe=""), return_dtype=pl.String).to_arrow()
    # In one pass: one after another, the % of an escape would be escaped again.
    return text.str.replace_many(_ESCAPES).to_arrow()


def bytes_of(values: pa.LargeBinaryArray | pa.LargeStringArray) -> np.ndarray:
    """The bytes of all values, one after another, without a copy."""
    _, offsets, data = values.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    places = np.frombuffer(offsets, np.int64)
    first, last = places[values.offset], places[values.offset + len(values)]
    return np.frombuffer(data, np.uint8)[first:last]


def pack_column(version: StoredVersion, frame: pl.DataFrame) -> pl.Series:
    """The packed value of each row, as Binary. ``frame`` has computed_at, run_seq, op and value.

    Raises StoreError for a time or a run_seq outside the format's range.
    """
    kind = version.data_type.kind
    value, op = frame["value"], ops_of(frame)
    empty = op != layout.VALUE
    rows = np.empty(len(op), _HEADER if kind not in _WIDTHS else [*_HEADER, ("value", _WIDTHS[kind])])
    fill_headers(rows, version, frame, op)
    if kind not in _WIDTHS:
        return joined(
            binary(np.arange(len(rows) + 1) * layout.HEADER, matrix(rows)), binary(*payloads(value, kind, empty))
        )
    rows["value"] = _numbers(value, kind)
    return binary(*_without_missing(rows, empty, layout.HEADER))


def ops_of(frame: pl.DataFrame) -> np.ndarray:
    """The op of each row of history, as it is packed."""
    value = frame["value"]
    deleted = (frame["op"] != _VALUE).to_numpy()
    empty = value.is_null().to_numpy() | deleted if value.null_count() else deleted
    return np.where(deleted, layout.TOMBSTONE, np.where(empty, layout.NULL, layout.VALUE)).astype(np.uint32)


def payloads(value: pl.Series, kind: Scalar, empty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of all values, one after another, and where each begins and ends; ``empty`` ones have none."""
    if kind in _WIDTHS:
        rows = np.empty(len(value), [("value", _WIDTHS[kind])])
        rows["value"] = _numbers(value, kind)
        return _without_missing(rows, empty, 0)
    payload = value.cast(pl.Binary) if kind == "string" else _lists(value)
    payload = payload.set(pl.Series(empty, dtype=pl.Boolean), b"").fill_null(b"")
    return _offsets(payload.bin.size().to_numpy().astype(np.int64)), bytes_of(
        payload.to_arrow().cast(pa.large_binary())
    )


def fill_headers(rows: np.ndarray, version: StoredVersion, frame: pl.DataFrame, op: np.ndarray) -> None:
    computed_at = frame["computed_at"].cast(pl.Int64).to_numpy() + layout.BIAS
    run_seq = frame["run_seq"].to_numpy()
    if frame.height and (computed_at.min() < 0 or int(computed_at.max()) > layout.LAST):
        raise StoreError(f"{version.id.feature}: a computed_at is outside the years 1 to 9999")
    if frame.height and run_seq.max() > layout.MAX_RUN_SEQ:
        raise StoreError(f"{version.id.feature}: run {run_seq.max()} is beyond the range of the online format")
    low = ((run_seq & 0x3FFFFF) << 2).astype(np.uint32) | op
    rows["high"] = computed_at.astype(np.uint64) << np.uint64(5) | (run_seq >> 22).astype(np.uint64)
    rows["middle"], rows["low"] = low >> 8, low & 0xFF
    rows["sha"] = np.void(bytes.fromhex(version.id.short))


def _numbers(value: pl.Series, kind: Scalar) -> np.ndarray:
    """Values of a fixed width; where there is none, any number."""
    plain = value.cast(pl.Int32) if kind == "date" else value.cast(pl.Int64) if kind == "datetime" else value
    return (plain.fill_null(False if kind == "bool" else 0) if plain.null_count() else plain).to_numpy()


def _without_missing(rows: np.ndarray, empty: np.ndarray, header: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each row begins and ends, and its bytes: only the first ``header`` ones where it is empty."""
    data = matrix(rows)
    if not empty.any():
        return np.arange(len(data) + 1) * data.shape[1], data
    used = np.ones(data.shape, np.bool_)
    used[empty, header:] = False
    return _offsets(np.where(empty, header, data.shape[1])), data[used]


def joined(*parts: pl.Series) -> pl.Series:
    """The parts of each row as one."""
    wide = pa.large_binary()
    arrays = [part.to_arrow().cast(wide) for part in parts]
    return pl.Series(pc.binary_join_element_wise(*arrays, pa.scalar(b"", wide)))


def _lists(value: pl.Series) -> pl.Series:
    """The bytes of each list's elements."""
    items = value.explode(keep_nulls=False, empty_as_null=False) if value.len() else pl.Series([], dtype=pl.Float64)
    flat = matrix(items.fill_null(0.0).to_numpy().astype(">f8"))
    flat[items.is_null().to_numpy()] = np.frombuffer(layout.NULL_ELEMENT, np.uint8)
    return binary(_offsets(value.list.len().fill_null(0).to_numpy().astype(np.int64) * 8), flat)


def matrix(rows: np.ndarray) -> np.ndarray:
    """The bytes of an array, one item per row."""
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])


def binary(offsets: np.ndarray, data: np.ndarray) -> pl.Series:
    """The bytes between each two offsets, without a copy."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(data))]
    return pl.Series(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers))
