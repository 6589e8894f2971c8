"""Format 1 of an online store's contents: keys and packed values. Standard library only.

The number is the ``fs1`` in front of every key; another format gets another prefix, so two formats never mix.

Keys
    ``fs1:<project>:<entity type>:<id>`` is one entity: a hash of *fields*. ``<id>`` is the values of the entity's key
    columns in their declared order, each percent-encoded (all but ``A-Z a-z 0-9 _ . - ~``), joined by commas. Project
    and entity type are plain names, so keys can't collide, and no brace can choose a cluster's slot.
    ``fs1:<project>:@active`` is the table of pointers, ``fs1:<project>:@meta`` the table of markers.

Fields
    A field is a small decimal number, given to one version of one feature when it is loaded. The pointer in
    ``@active`` names it. A number, because a name in every entity would take more memory than the value.

Packed values, all numbers big-endian
    bytes 0-10   one unsigned integer of 88 bits: from the top, 59 bits of computed_at in microseconds since
                 0001-01-01 UTC (since 1970, plus 62,135,596,800,000,000), 27 bits of run_seq, 2 bits of op
                 (0 value, 1 null, 2 tombstone, 3 coming steps). run_seq is the run that last changed the entity's
                 answer. Of two values the one with the greater run_seq is the newer one, and of these the one whose
                 eleven bytes are greater, compared byte by byte. A value may go back in time: a later run may have
                 withdrawn one.
    bytes 11-16  the first 12 hex digits of the version's sha256, as 6 bytes.
    the rest     the value, where op is 0:
                 bool 1 byte, 0 or 1 · int 8 bytes, signed · float 8 bytes, IEEE 754 · string UTF-8 ·
                 date 4 bytes, signed days since 1970-01-01 · datetime 8 bytes, signed microseconds since 1970 UTC ·
                 list[float] 8 bytes for each element; an element that is null is the NaN 0x7FF80000000007A2.

Coming steps, where op is 3: the value of a window changes as time passes, and these are its next changes.
    bytes 17-24  until when the values are known, in signed microseconds since 1970 UTC (2**63 - 1: for ever).
    bytes 25-26  how many steps there are, n.
    n + 1 heads of 12 bytes, of the value itself and of each step: from when on it holds (8 bytes, signed microseconds
                 since 1970 UTC), and 4 bytes: where its bytes end, counted from the end of the heads, in 30 bits, and
                 its op (0 to 2) in the lowest 2.
    the rest     the bytes of the value and of each step, as above, one after another.
    The value at an instant is that of the last head that is not later, and the first one's before.

In Go: ``high := binary.BigEndian.Uint64(b)``; ``low := uint64(b[8])<<16 | uint64(b[9])<<8 | uint64(b[10])``; then
computed_at is ``int64(high>>5) - 62135596800000000``, run_seq ``(high&31)<<22 | low>>2``, op ``low & 3``, and a
float is ``math.Float64frombits(binary.BigEndian.Uint64(b[17:]))``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, unquote

from featurestore.errors import StoreError, UsageError
from featurestore.model import EntityType, Scalar

PREFIX = "fs1"
BIAS = 62_135_596_800_000_000
LAST = 315_537_897_599_999_999  # the end of year 9999, in microseconds since year 1
MAX_RUN_SEQ = 2**27 - 1
VALUE, NULL, TOMBSTONE, STEPS = 0, 1, 2, 3
HEADER = 17
FOR_EVER = 2**63 - 1
ORDER = 11  # the leading bytes, by which two values of a version are compared: see `order_of`

OnlineValue = None | bool | int | float | str | date | datetime | list[float | None]

_HEADER = struct.Struct(">QHB6s")
_LIST = struct.Struct(">qH")  # until when the steps are known, and how many there are
_HEAD = struct.Struct(">qI")
_FIXED = {"bool": struct.Struct(">?"), "int": struct.Struct(">q"), "float": struct.Struct(">d"),
          "date": struct.Struct(">i"), "datetime": struct.Struct(">q")}  # fmt: skip
NULL_ELEMENT = bytes.fromhex("7FF80000000007A2")
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)


class Unpacked(NamedTuple):
    """The parts of a packed value. ``computed_at`` is in microseconds since 1970 UTC.

    ``until`` is the instant from which on the value may be another one; None where there is none.
    """

    computed_at: int
    run_seq: int
    op: int
    sha12: str
    value: OnlineValue
    until: int | None = None


def active_key(project: str) -> str:
    return f"{PREFIX}:{project}:@active"


def meta_key(project: str) -> str:
    return f"{PREFIX}:{project}:@meta"


def key_prefix(project: str, entity_type: str) -> str:
    """The beginning of the keys of all entities of a type."""
    return f"{PREFIX}:{project}:{entity_type}:"


def entity_key(project: str, entity_type: EntityType, keys: Mapping[str, str | int]) -> str:
    """The key of the entity with these key columns. Raises UsageError for text that is not valid Unicode."""
    try:
        parts = [quote(str(keys[name]), safe="") for name in entity_type.key_names]
    except UnicodeEncodeError as exc:
        raise UsageError(f"{exc.object!r} is not the id of a {entity_type.name}: it is not valid Unicode") from None
    return key_prefix(project, entity_type.name) + ",".join(parts)


def entity_keys(project: str, entity_type: EntityType, entities: Sequence[Mapping[str, str | int]]) -> list[str]:
    """`entity_key` of many entities, with one check for all of them whether anything needs escaping."""
    prefix = key_prefix(project, entity_type.name)
    if len(entity_type.keys) == 1:
        name = entity_type.keys[0].name
        parts = [str(keys[name]) for keys in entities]
        if _PLAIN("".join(parts)):
            return [prefix + part for part in parts]
    return [entity_key(project, entity_type, keys) for keys in entities]


def entity_parts(entity_type: EntityType, key: str) -> dict[str, str | int]:
    """The key columns of an entity, from its key: the inverse of `entity_key`. Raises StoreError for any other key."""
    parts = key.split(":", 3)[-1].split(",")
    if len(parts) != len(entity_type.keys):
        raise StoreError(f"{key!r} is not the key of a {entity_type.name}")
    try:
        return {
            name: int(unquote(part)) if kind == "int" else unquote(part, errors="strict")
            for (name, kind), part in zip(((k.name, k.type) for k in entity_type.keys), parts, strict=True)
        }
    except ValueError as exc:
        raise StoreError(f"{key!r} is not the key of a {entity_type.name}") from exc


def unpack(kind: Scalar, packed: bytes, at: int = -FOR_EVER) -> Unpacked:
    """The parts of a packed value, of one with coming steps as it is at an instant (µs; default: before all steps).

    Raises StoreError where the bytes are not of format 1.
    """
    try:
        high, middle, low, sha = _HEADER.unpack_from(packed)
        op, computed_at, until, payload = low & 3, (high >> 5) - BIAS, None, packed[HEADER:]
        if op == STEPS:
            op, computed_at, until, payload = _step_at(packed, at)
        value = decode_value(kind, payload) if op == VALUE else None
    except (struct.error, OverflowError, ValueError) as exc:  # a UnicodeDecodeError is a ValueError
        raise _damaged(packed) from exc
    if op > TOMBSTONE or high >> 5 > LAST:
        raise _damaged(packed)
    return Unpacked(computed_at, (high & 31) << 22 | middle << 6 | low >> 2, op, sha.hex(), value, until)


def _step_at(packed: bytes, instant: int) -> tuple[int, int, int | None, bytes]:
    """What holds at an instant: its op, since when, until when all is known, and its bytes."""
    until, count = _LIST.unpack_from(packed, HEADER)
    heads = HEADER + _LIST.size
    values = heads + _HEAD.size * (count + 1)
    computed_at, word = _HEAD.unpack_from(packed, heads)
    begin, end = 0, word >> 2
    for at, later in _HEAD.iter_unpack(packed[heads + _HEAD.size : values]):
        if at > instant:
            break
        computed_at, word, begin, end = at, later, word >> 2, later >> 2
    if values + (_HEAD.unpack_from(packed, values - _HEAD.size)[1] >> 2) != len(packed):
        raise ValueError("its steps have other bytes than their heads say")
    return word & 3, computed_at, None if until == FOR_EVER else until, packed[values + begin : values + end]


def _damaged(packed: bytes) -> StoreError:
    return StoreError(f"an online value is damaged: {packed[:40].hex()}", hint="run featurestore verify --fix")


def run_seq_of(packed: bytes) -> int:
    """The run_seq of a packed value."""
    return (packed[7] & 31) << 22 | int.from_bytes(packed[8:11]) >> 2


def order_of(packed: bytes) -> tuple[int, int]:
    """What orders the values of a version: the greater is the newer one."""
    first = int.from_bytes(packed[:ORDER])
    return first & MAX_RUN_SEQ << 2, first


def op_of(packed: bytes) -> int:
    """The op of a packed value: VALUE, NULL, TOMBSTONE or STEPS."""
    return packed[10] & 3


def decode_value(kind: Scalar, payload: bytes) -> OnlineValue:
    """The value that these bytes encode. Raises struct.error or ValueError where they encode none.

    A time outside the years 1 to 9999, which early releases stored, is a text: no other value is to fail for it.
    """
    if kind == "string":
        return payload.decode()
    if kind == "list[float]":
        return _decode_list(payload)
    value = _FIXED[kind].unpack(payload)[0]
    try:
        if kind == "datetime":
            return _EPOCH + timedelta(microseconds=value)
        if kind == "date":
            return _EPOCH_DAY + timedelta(days=value)
    except OverflowError:
        return f"{value} {'us' if kind == 'datetime' else 'd'} after 1970"
    return value  # type: ignore[no-any-return]  # the struct's letter decides: bool, int or float


def _decode_list(payload: bytes) -> list[float | None]:
    count, rest = divmod(len(payload), 8)
    if rest:
        raise ValueError(f"{len(payload)} bytes are not a list of floats")
    items: list[float | None] = list(struct.unpack(f">{count}d", payload))
    if NULL_ELEMENT in payload:
        items = [None if payload[i * 8 : i * 8 + 8] == NULL_ELEMENT else item for i, item in enumerate(items)]
    return items
