"""The packed format: what is written down is what is written, by value and by column alike."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.errors import StoreError
from featurestore.model import DataType, EntityType, Key, Scalar, StoredVersion, VersionId
from featurestore.online import format as layout
from featurestore.online import packing as columns
from featurestore.online.packed_steps import STEPS, STEPS_AT, UNTIL, pack_rows
from featurestore.tables.types import INSTANT, history_schema
from tests.often import examples
from tests.online.packed import pack, pack_steps

SHA = "1f2e3d4c5b6a" + "0" * 52
EPOCH = datetime(1970, 1, 1)
PAIR = EntityType("pair", (Key("a", "string"), Key("b", "int")))

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(),
    "string": st.text(),
    "date": st.dates(),
    "datetime": st.datetimes(timezones=st.just(UTC)),
    "list[float]": st.lists(st.none() | st.floats(), max_size=4),
}
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))


def version(kind: str) -> StoredVersion:
    return StoredVersion(VersionId("f", SHA), 1, PAIR, DataType.parse(kind))


def micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and type(one) is type(other)


def test_a_float_is_these_bytes() -> None:
    packed = pack("float", 1_700_000_000_000_000, 41, layout.VALUE, SHA[:12], 0.25)
    number = int.from_bytes(packed[:11])
    assert number == (1_700_000_000_000_000 + layout.BIAS) << 29 | 41 << 2
    assert packed[11:].hex() == "1f2e3d4c5b6a" + "3fd0000000000000"


@pytest.mark.parametrize(
    ("kind", "value", "payload"),
    [
        ("bool", True, "01"),
        ("int", -2, "fffffffffffffffe"),
        ("string", "é", "c3a9"),
        ("date", date(1970, 1, 2), "00000001"),
        ("datetime", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "00000000000f4240"),
        ("list[float]", [1.0, None], "3ff0000000000000" + "7ff80000000007a2"),
        ("float", float("nan"), "7ff8000000000000"),
    ],
)
def test_each_type_is_these_bytes(kind: str, value: layout.OnlineValue, payload: str) -> None:
    assert pack(kind, 0, 1, layout.VALUE, SHA[:12], value)[layout.HEADER :].hex() == payload  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", list(VALUES))
@settings(deadline=None, max_examples=examples(15), suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_packing_by_column_is_packing_one_by_one(data: st.DataObject, kind: str) -> None:
    row = st.tuples(TIMES, st.integers(1, layout.MAX_RUN_SEQ), st.sampled_from([0, 1]), st.none() | VALUES[kind])
    rows = data.draw(st.lists(row, max_size=5))
    frame = pl.DataFrame(
        [("x", 1, at, run, op, value if value is None or kind != "datetime" else value.replace(tzinfo=None))
         for at, run, op, value in rows],
        schema=history_schema(version(kind)), orient="row",
    )  # fmt: skip
    packed = columns.pack_column(version(kind), frame).to_list()
    for (at, run, op, value), found in zip(rows, packed, strict=True):
        micros = (at - EPOCH) // timedelta(microseconds=1)
        shown = layout.unpack(kind, found)  # type: ignore[arg-type]
        expected = layout.TOMBSTONE if op else layout.NULL if value is None else layout.VALUE
        assert (shown.computed_at, shown.run_seq, shown.op, shown.sha12) == (micros, run, expected, SHA[:12])
        assert same(shown.value, None if op else value)
        assert layout.run_seq_of(found) == run
        if not (kind == "float" and isinstance(value, float) and math.isnan(value)) and kind != "list[float]":
            assert found == pack(kind, micros, run, layout.TOMBSTONE if op else 0, SHA[:12], value)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", list(VALUES))
@settings(deadline=None, max_examples=examples(10), suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_steps_by_column_are_steps_one_by_one(data: st.DataObject, kind: Scalar) -> None:
    value = st.none() | (st.floats(allow_nan=False) if kind == "float" else VALUES[kind])
    times = st.lists(TIMES, min_size=1, max_size=4, unique=True).map(sorted)
    drawn = data.draw(
        st.lists(st.tuples(st.booleans(), st.none() | TIMES, st.booleans(), times), min_size=1, max_size=4)
    )
    rows = [(deleted, until, listed, [(at, data.draw(value)) for at in held]) for deleted, until, listed, held in drawn]
    stored = replace(version(kind), steps=True)
    schema = history_schema(stored)
    lists = {UNTIL: INSTANT, STEPS_AT: pl.List(INSTANT), STEPS: pl.List(schema["value"])}
    frame = pl.DataFrame(
        [("x", 1, held[0][0], 7, int(deleted), naive(held[0][1]), until,
          *(([at for at, _ in held[1:]], [naive(each) for _, each in held[1:]]) if listed else (None, None)))
         for deleted, until, listed, held in rows],
        schema={**schema, **lists}, orient="row",
    )  # fmt: skip
    for (deleted, until, listed, held), packed in zip(rows, pack_rows(stored, frame).to_list(), strict=True):
        own = micros(held[0][0]), None if deleted else held[0][1]
        entries = [own, *((micros(at), each) for at, each in held[1:])]
        if kind != "list[float]":  # of which a NaN may have other bits
            one = pack(kind, own[0], 7, layout.TOMBSTONE if deleted else 0, SHA[:12], own[1])
            end = None if until is None else micros(until)
            assert packed == (pack_steps(kind, 7, SHA[:12], entries, end, deleted=deleted) if listed else one)
        for number, (at, each) in enumerate(entries if listed else entries[:1]):
            shown = layout.unpack(kind, packed, at)
            gone = deleted and not number
            assert shown.op == (layout.TOMBSTONE if gone else layout.NULL if each is None else layout.VALUE)
            assert (shown.computed_at, shown.run_seq) == (at, 7)
            assert same(shown.value, each)
            assert number == 0 or layout.unpack(kind, packed, at - 1).computed_at == entries[number - 1][0]


@given(st.tuples(TIMES, st.integers(1, layout.MAX_RUN_SEQ)), st.tuples(TIMES, st.integers(1, layout.MAX_RUN_SEQ)))
def test_bytes_order_as_time_and_run_do(one: tuple[datetime, int], other: tuple[datetime, int]) -> None:
    first, second = (
        pack("int", (at - EPOCH) // timedelta(microseconds=1), run, 0, SHA[:12], 5)[: layout.ORDER]
        for at, run in (one, other)
    )
    assert (first < second) == (one < other)


@given(st.lists(st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=4))
def test_keys_by_column_are_keys_one_by_one(ids: list[tuple[str, int]]) -> None:
    frame = pl.DataFrame(ids, schema={"a": pl.String, "b": pl.Int64}, orient="row")
    keys = columns.entity_keys("heart", PAIR, frame).to_list()
    for key, (a, b) in zip(keys, ids, strict=True):
        assert key == layout.entity_key("heart", PAIR, {"a": a, "b": b})
        assert layout.entity_parts(PAIR, key) == {"a": a, "b": b}


@given(st.lists(st.text(), max_size=4))
def test_keys_of_many_are_keys_one_by_one(ids: list[str]) -> None:
    single = EntityType("one", (Key("a", "string"),))
    entities = [{"a": name} for name in ids]
    assert layout.entity_keys("heart", single, entities) == [
        layout.entity_key("heart", single, entity) for entity in entities
    ]


def test_a_key_is_readable_and_can_not_be_forged() -> None:
    key = layout.entity_key("heart", PAIR, {"a": "u,1:{x}%\n007", "b": 7})
    assert key == "fs1:heart:pair:u%2C1%3A%7Bx%7D%25%0A007,7"


@pytest.mark.parametrize("packed", [b"", b"short", bytes(17), bytes(17) + b"1234567"])
def test_damaged_bytes_are_reported(packed: bytes) -> None:
    with pytest.raises(StoreError, match="damaged"):
        layout.unpack("float", packed)


@pytest.mark.parametrize(
    ("kind", "count", "shown"),
    [
        ("datetime", 253_402_318_799_000_000, "253402318799000000 us after 1970"),
        ("datetime", -62_135_600_400_000_000, "-62135600400000000 us after 1970"),
        ("date", 2_932_897, "2932897 d after 1970"),
    ],
)
def test_a_time_outside_the_years_is_a_text(kind: Scalar, count: int, shown: str) -> None:
    assert layout.decode_value(kind, struct.pack(">q" if kind == "datetime" else ">i", count)) == shown


def test_a_run_beyond_the_format_is_refused() -> None:
    frame = pl.DataFrame([("x", 1, EPOCH, 2**27, 0, 1.0)], schema=history_schema(version("float")), orient="row")
    with pytest.raises(StoreError, match="beyond"):
        columns.pack_column(version("float"), frame)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_steps_that_are_cut_off_are_damaged(cut: int) -> None:
    packed = pack_steps("float", 7, SHA[:12], [(0, 1.0), (10, 2.0)])
    assert layout.unpack("float", packed).value == 1.0
    with pytest.raises(StoreError, match="damaged"):
        layout.unpack("float", packed[:-cut])
