"""One packed value at a time, written from the description of the format: what packing by column is compared with."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta

from featurestore.model import Scalar
from featurestore.online.format import BIAS, NULL, NULL_ELEMENT, VALUE, OnlineValue

_HEADER = struct.Struct(">QHB6s")
_FIXED = {"bool": struct.Struct(">?"), "int": struct.Struct(">q"), "float": struct.Struct(">d"),
          "date": struct.Struct(">i"), "datetime": struct.Struct(">q")}  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pack(kind: Scalar, computed_at: int, run_seq: int, op: int, sha12: str, value: OnlineValue) -> bytes:
    """One packed value; a value of None makes ``op`` null."""
    if value is None and op == VALUE:
        op = NULL
    low = (run_seq << 2 | op) & 0xFFFFFF
    high = (computed_at + BIAS) << 5 | run_seq >> 22
    header = _HEADER.pack(high, low >> 8, low & 0xFF, bytes.fromhex(sha12))
    return header + (encode_value(kind, value) if op == VALUE else b"")


def encode_value(kind: Scalar, value: OnlineValue) -> bytes:
    """The bytes of a value that is not null."""
    if isinstance(value, list):
        return b"".join(NULL_ELEMENT if item is None else struct.pack(">d", item) for item in value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        value = (value.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    elif isinstance(value, date):
        value = (value - _EPOCH.date()).days
    return _FIXED[kind].pack(value)
