"""From packed bytes to what a reader is told: the value, its time and version, and which kind of nothing.

Whether a value is too old is decided here, on reading, and never by the store.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from featurestore.model import Scalar
from featurestore.online import format as layout
from featurestore.online.format import OnlineValue
from featurestore.times import EPOCH

Status = Literal["ok", "null", "missing", "expired"]


class Served(NamedTuple):
    """One feature of one entity as it is served. ``computed_at`` is microseconds since the epoch.

    A value is None where it is null, missing, or older than its max_age; ``status`` says which.
    """

    name: str
    status: Status
    value: OnlineValue
    computed_at: int | None
    version: int
    sha256: str

    @property
    def time(self) -> datetime | None:
        """``computed_at`` as a datetime in UTC."""
        return None if self.computed_at is None else EPOCH + timedelta(microseconds=self.computed_at)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A feature reference, resolved: what to ask the store for, and how to read the answer."""

    reference: str
    field: int
    kind: Scalar
    number: int
    sha256: str
    max_age: int | None

    @property
    def sha(self) -> bytes:
        """The version as packed values carry it."""
        return bytes.fromhex(self.sha256[:12])


def serve(wanted: Wanted, packed: bytes | None, now: int) -> Served:
    """What is told of one packed value at an instant (µs). Raises StoreError for damaged bytes."""
    if packed is None:
        return _nothing(wanted, "missing", None)
    found = layout.unpack(wanted.kind, packed)
    if found.op == layout.TOMBSTONE or not wanted.sha256.startswith(found.sha12):
        return _nothing(wanted, "missing", None)
    if wanted.max_age is not None and now - found.computed_at > wanted.max_age:
        return _nothing(wanted, "expired", found.computed_at)
    if found.op == layout.NULL:
        return _nothing(wanted, "null", found.computed_at)
    return Served(wanted.reference, "ok", found.value, found.computed_at, wanted.number, wanted.sha256)


# One value in one go, of the types that Python's own tuples hold as they are.
_WHOLE: Mapping[Scalar, struct.Struct] = {
    "float": struct.Struct(">QHB6sd"), "int": struct.Struct(">QHB6sq"), "bool": struct.Struct(">QHB6s?"),
}  # fmt: skip
_VALUE = {kind: f"{layout.HEADER}x{whole.format[-1]}" for kind, whole in _WHOLE.items()}
_LAST = layout.LAST << 5 | 31  # the greatest first eight bytes of a value that is not damaged
_OF_VALUES = bytes(byte for byte in range(256) if byte & 3 == layout.VALUE)  # the last byte of what orders them


def serve_column(wanted: Wanted, column: Sequence[bytes | None], now: int) -> list[Served]:
    """`serve` for the same feature of many entities; values of one width are taken apart together."""
    joined = _join(wanted, column)
    if joined is None:
        return [serve(wanted, packed, now) for packed in column]
    oldest, sha, new, bias = _oldest(wanted, now), wanted.sha, tuple.__new__, layout.BIAS
    name, number, sha256 = wanted.reference, wanted.number, wanted.sha256
    return [
        new(Served, (name, "ok", value, (high >> 5) - bias, number, sha256))
        if not low & 3 and oldest <= high <= _LAST and found == sha
        else serve(wanted, column[at], now)
        for at, (high, _, low, found, value) in enumerate(_WHOLE[wanted.kind].iter_unpack(joined))
    ]


def value_column(wanted: Wanted, column: Sequence[bytes | None], now: int) -> list[OnlineValue]:
    """The values of `serve_column` alone."""
    joined = _join(wanted, column)
    if joined is None or not _are_all_served(wanted, joined, now):
        return [item.value for item in serve_column(wanted, column, now)]
    return list(struct.unpack(">" + _VALUE[wanted.kind] * len(column), joined))  # all at once: a sixth of one by one


def _join(wanted: Wanted, column: Sequence[bytes | None]) -> bytes | None:
    """All packed values in one piece, where all are there and of one width."""
    whole = _WHOLE.get(wanted.kind)
    if whole is None or None in column or set(map(len, column)) != {whole.size}:  # type: ignore[arg-type]
        return None
    return b"".join(column)  # type: ignore[arg-type]  # none of them is None


def _are_all_served(wanted: Wanted, joined: bytes, now: int) -> bool:
    """Whether each is a value of the version, undamaged and not expired: byte by byte, not value by value."""
    whole = _WHOLE[wanted.kind]
    size, count = whole.size, len(joined) // whole.size
    of_another = any(joined[layout.ORDER + at :: size].count(byte) < count for at, byte in enumerate(wanted.sha))
    if of_another or joined[layout.ORDER - 1 :: size].translate(None, _OF_VALUES) or max(joined[::size]) >= _LAST >> 56:
        return False
    oldest = _oldest(wanted, now)
    return not oldest or all(high >= oldest for high, *_ in whole.iter_unpack(joined))


def _oldest(wanted: Wanted, now: int) -> int:
    """The least first eight bytes of a value that has not expired."""
    return 0 if wanted.max_age is None else now - wanted.max_age + layout.BIAS << 5


def _nothing(wanted: Wanted, status: Status, computed_at: int | None) -> Served:
    return Served(wanted.reference, status, None, computed_at, wanted.number, wanted.sha256)
