"""Packing by column: a frame of latest values becomes keys and packed values, as `format.pack` would one by one."""

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

_DELETED = 1  # a history's op for a tombstone
_RESERVED = r"[^A-Za-z0-9_.~-]"
_ESCAPES = {chr(code): quote(chr(code), safe="") for code in range(128) if quote(chr(code), safe="") != chr(code)}
_WIDTHS: Mapping[Scalar, str] = {"bool": "u1", "int": ">i8", "float": ">f8", "date": ">i4", "datetime": ">i8"}


def entity_keys(project: str, entity_type: EntityType, frame: pl.DataFrame) -> pl.Series:
    """The key of each row: what `format.entity_key` says of it."""
    parts = frame.select(_escaped(frame[key.name], key) for key in entity_type.keys)
    prefix = pl.lit(layout.key_prefix(project, entity_type.name))
    ids = pl.concat_str(pl.all(), separator=",")
    return parts.select(key=pl.concat_str(prefix, ids)).to_series()


def _escaped(column: pl.Series, key: Key) -> pl.Series:
    text = column.cast(pl.String)
    if key.type == "int" or not text.str.contains(_RESERVED).any():
        return text
    if text.str.contains(r"[^\x00-\x7F]").any():
        return text.map_elements(lambda part: quote(part, safe=""), return_dtype=pl.String)
    return text.str.replace_many(_ESCAPES)


def pack_column(version: StoredVersion, frame: pl.DataFrame) -> pl.Series:
    """The packed value of each row, as Binary. ``frame`` has computed_at, run_seq, op and value.

    Raises StoreError for a time or a run beyond what the format holds.
    """
    kind = version.data_type.kind
    value = frame["value"]
    deleted = (frame["op"] == _DELETED).to_numpy()
    empty = value.is_null().to_numpy() | deleted
    op = np.where(deleted, layout.TOMBSTONE, np.where(empty, layout.NULL, layout.VALUE)).astype(np.uint32)
    header = _headers(frame, op, version)
    if kind in _WIDTHS:
        return _fixed(header, value, kind, empty)
    return _variable(header, value, kind, empty)


def _headers(frame: pl.DataFrame, op: np.ndarray, version: StoredVersion) -> np.ndarray:
    computed_at = frame["computed_at"].cast(pl.Int64).to_numpy() + layout.BIAS
    run_seq = frame["run_seq"].to_numpy()
    if frame.height and (computed_at.min() < 0 or int(computed_at.max()) > layout.LAST):
        raise StoreError(f"{version.id.feature}: a computed_at is outside the years 1 to 9999")
    if frame.height and run_seq.max() > layout.MAX_RUN_SEQ:
        raise StoreError(f"{version.id.feature}: run {run_seq.max()} is beyond what the online format holds")
    high = computed_at.astype(np.uint64) << np.uint64(5) | (run_seq >> 22).astype(np.uint64)
    low = ((run_seq & 0x3FFFFF) << 2).astype(np.uint32) | op
    header = np.empty((frame.height, layout.HEADER), np.uint8)
    header[:, :8] = _bytes(high, ">u8")
    header[:, 8:11] = _bytes(low, ">u4")[:, 1:]
    header[:, 11:] = np.frombuffer(bytes.fromhex(version.id.short), np.uint8)
    return header


def _bytes(values: np.ndarray, kind: str) -> np.ndarray:
    big_endian = np.ascontiguousarray(values.astype(kind))
    return big_endian.view(np.uint8).reshape(len(values), big_endian.dtype.itemsize)


def _fixed(header: np.ndarray, value: pl.Series, kind: Scalar, empty: np.ndarray) -> pl.Series:
    """Rows of one width: a matrix of bytes, with the value's bytes left out where there is none."""
    plain = value.cast(pl.Int32) if kind == "date" else value.cast(pl.Int64) if kind == "datetime" else value
    payload = _bytes(plain.fill_null(False if kind == "bool" else 0).to_numpy(), _WIDTHS[kind])
    matrix = np.hstack([header, payload])
    if not empty.any():
        return _binary(np.arange(len(matrix) + 1) * matrix.shape[1], matrix)
    keep = np.ones(matrix.shape, np.bool_)
    keep[empty, layout.HEADER :] = False
    return _binary(_offsets(np.where(empty, layout.HEADER, matrix.shape[1])), matrix[keep])


def _variable(header: np.ndarray, value: pl.Series, kind: Scalar, empty: np.ndarray) -> pl.Series:
    """Text and lists: header and payload joined row by row."""
    payload = value.cast(pl.Binary) if kind == "string" else _lists(value)
    payload = payload.set(pl.Series(empty), b"").fill_null(b"")
    heads = _binary(np.arange(len(header) + 1) * layout.HEADER, header)
    wide = pa.large_binary()
    joined = pc.binary_join_element_wise(
        heads.to_arrow().cast(wide), payload.to_arrow().cast(wide), pa.scalar(b"", wide)
    )
    return pl.Series(joined)


def _lists(value: pl.Series) -> pl.Series:
    """Each list as the bytes of its elements."""
    items = value.explode(keep_nulls=False, empty_as_null=False) if value.len() else pl.Series([], dtype=pl.Float64)
    flat = _bytes(items.fill_null(0.0).to_numpy(), ">f8")
    flat[items.is_null().to_numpy()] = np.frombuffer(layout.NULL_ELEMENT, np.uint8)
    return _binary(_offsets(value.list.len().fill_null(0).to_numpy().astype(np.int64) * 8), flat)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])


def _binary(offsets: np.ndarray, data: np.ndarray) -> pl.Series:
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(np.ascontiguousarray(data))]
    return pl.Series(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers))
