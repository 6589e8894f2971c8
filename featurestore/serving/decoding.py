"""From packed bytes to what a reader gets: the value, its time and version, and why there is no value.

Whether a value has expired is decided here, on reading, and never by the store.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from featurestore.frozen import frozen
from featurestore.model import Scalar
from featurestore.online import format as layout
from featurestore.online.format import OnlineValue
from featurestore.times import EPOCH

Status = Literal["ok", "null", "missing", "expired", "stale"]


class ServedValue(NamedTuple):
    """One feature of one entity as it is served. ``computed_at`` is in microseconds since 1970 UTC.

    ``value`` is None where it is null, missing, or older than the feature's max_age; ``status`` says which. A *stale*
    one is of a window whose coming steps are used up: it may be another one by now. ``inputs``
    is None but for a request-time feature: the inputs that it was computed without, or that are stale, with why.
    """

    name: str
    status: Status
    value: OnlineValue
    computed_at: int | None
    version: int
    sha256: str
    inputs: tuple[tuple[str, Status], ...] | None = None

    @property
    def time(self) -> datetime | None:
        """``computed_at`` as a datetime in UTC."""
        return None if self.computed_at is None else EPOCH + timedelta(microseconds=self.computed_at)


@frozen
class FeatureField:
    """The version that a reference stands for: the field to ask the store for, and how to read the value.

    The age of a window's values is counted from its ``horizon`` (µs), of all others from their computed_at.
    """

    reference: str
    field: int
    kind: Scalar
    number: int
    sha256: str
    max_age: int | None
    horizon: int | None = None

    @property
    def sha(self) -> bytes:
        """The version's hash as it is in packed values."""
        return bytes.fromhex(self.sha256[:12])


def decode(feature: FeatureField, packed: bytes | None, now: int) -> ServedValue:
    """What a packed value serves at an instant (µs); None is a missing value. Raises StoreError for damaged bytes."""
    if packed is None:
        return _without_value(feature, "missing", None)
    unpacked = layout.unpack(feature.kind, packed, now)
    if unpacked.op == layout.TOMBSTONE or not feature.sha256.startswith(unpacked.sha12):
        return _without_value(feature, "missing", None)
    if feature.max_age is not None:
        since = unpacked.computed_at if feature.horizon is None else feature.horizon
        if now - since > feature.max_age:
            return _without_value(feature, "expired", unpacked.computed_at)
    if unpacked.until is not None and unpacked.until <= now:
        number, sha256 = feature.number, feature.sha256
        return ServedValue(feature.reference, "stale", unpacked.value, unpacked.computed_at, number, sha256)
    if unpacked.op == layout.NULL:
        return _without_value(feature, "null", unpacked.computed_at)
    return ServedValue(feature.reference, "ok", unpacked.value, unpacked.computed_at, feature.number, feature.sha256)


# A whole packed value as one struct, for the types of a fixed width that need no conversion.
_WHOLE: Mapping[Scalar, struct.Struct] = {
    "float": struct.Struct(">QHB6sd"), "int": struct.Struct(">QHB6sq"), "bool": struct.Struct(">QHB6s?"),
}  # fmt: skip
_VALUE = {kind: f"{layout.HEADER}x{whole.format[-1]}" for kind, whole in _WHOLE.items()}
_LAST = layout.LAST << 5 | 31  # the greatest first eight bytes of an undamaged value
_VALUE_BYTES = bytes(byte for byte in range(256) if byte & 3 == layout.VALUE)  # of byte 10, which ends with the op


def decode_column(feature: FeatureField, column: Sequence[bytes | None], now: int) -> list[ServedValue]:
    """`decode` for the same feature of many entities; values of a fixed width are unpacked in one call."""
    joined = _join(feature, column)
    if joined is None:
        return [decode(feature, packed, now) for packed in column]
    oldest, sha, new, bias = _oldest(feature, now), feature.sha, tuple.__new__, layout.BIAS
    name, number, sha256 = feature.reference, feature.number, feature.sha256
    return [
        new(ServedValue, (name, "ok", value, (high >> 5) - bias, number, sha256, None))
        if not low & 3 and oldest <= high <= _LAST and stored_sha == sha
        else decode(feature, column[at], now)
        for at, (high, _, low, stored_sha, value) in enumerate(_WHOLE[feature.kind].iter_unpack(joined))
    ]


def decode_values(feature: FeatureField, column: Sequence[bytes | None], now: int) -> list[OnlineValue]:
    """The values of `decode_column` alone."""
    joined = _join(feature, column)
    if joined is None or not _are_all_served(feature, joined, now):
        return [item.value for item in decode_column(feature, column, now)]
    return list(struct.unpack(">" + _VALUE[feature.kind] * len(column), joined))  # a sixth of the time of one by one


def _join(feature: FeatureField, column: Sequence[bytes | None]) -> bytes | None:
    """All packed values as one, where none is missing and all are of the same width; else None."""
    whole = _WHOLE.get(feature.kind)
    if whole is None or None in column or set(map(len, column)) != {whole.size}:  # type: ignore[arg-type]
        return None
    return b"".join(column)  # type: ignore[arg-type]  # none of them is None


def _are_all_served(feature: FeatureField, joined: bytes, now: int) -> bool:
    """Whether each is a value of the version, undamaged and not expired.

    It checks the n-th bytes of all values together, since a loop over the values would take the time that it saves.
    """
    whole = _WHOLE[feature.kind]
    size, count = whole.size, len(joined) // whole.size
    has_other_version = any(
        joined[layout.ORDER + at :: size].count(byte) < count for at, byte in enumerate(feature.sha)
    )
    if (
        has_other_version
        or joined[layout.ORDER - 1 :: size].translate(None, _VALUE_BYTES)
        or max(joined[::size]) >= _LAST >> 56
    ):
        return False
    oldest = _oldest(feature, now)
    return not oldest or all(high >= oldest for high, *_ in whole.iter_unpack(joined))


def _oldest(feature: FeatureField, now: int) -> int:
    """The smallest first eight bytes of a value that has not expired."""
    if feature.max_age is None:
        return 0
    if feature.horizon is not None:  # all have expired, or none has
        return _LAST + 1 if now - feature.horizon > feature.max_age else 0
    return now - feature.max_age + layout.BIAS << 5


def _without_value(feature: FeatureField, status: Status, computed_at: int | None) -> ServedValue:
    return ServedValue(feature.reference, status, None, computed_at, feature.number, feature.sha256)
