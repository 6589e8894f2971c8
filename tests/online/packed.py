"""One packed value at a time, written from the description of the format: what packing by column is compared with."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from featurestore.model import Scalar
from featurestore.online.format import BIAS, FOR_EVER, NULL, NULL_ELEMENT, STEPS, TOMBSTONE, VALUE, OnlineValue

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


def pack_steps(
    kind: Scalar,
    run_seq: int,
    sha12: str,
    held: Sequence[tuple[int, OnlineValue]],
    until: int | None = None,
    *,
    deleted: bool = False,
) -> bytes:
    """A packed value with coming steps: ``held`` are the value and each step, with since when it holds."""
    ops = [TOMBSTONE if deleted else NULL if held[0][1] is None else VALUE]
    ops += [NULL if value is None else VALUE for _, value in held[1:]]
    values = [b"" if value is None else encode_value(kind, value) for _, value in held]
    packed = pack(kind, held[0][0], run_seq, STEPS, sha12, 0)
    packed += struct.pack(">qH", FOR_EVER if until is None else until, len(held) - 1)
    for number, (at, _) in enumerate(held):
        packed += struct.pack(">qI", at, sum(map(len, values[: number + 1])) << 2 | ops[number])
    return packed + b"".join(values)


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
