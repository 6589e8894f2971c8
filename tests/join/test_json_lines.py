"""JSON lines in pieces: the types and the values that Polars finds in the whole file, and errors that name the line."""

import io
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import SourceError
from featurestore.tables.json_types import read_json_types

numbers = st.integers(-3, 3) | st.sampled_from([2**63, -(2**70)]) | st.sampled_from([0.5, -0.0, 1e300])
leaves = st.none() | st.booleans() | numbers | st.text(max_size=3)
names = st.sampled_from("ab")
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2))
columns = {"a": st.none() | numbers, "b": st.text(max_size=3), "c": st.lists(st.none() | numbers, max_size=2)}
tidy = st.lists(st.fixed_dictionaries({}, optional=columns), min_size=1)
untidy = st.lists(st.dictionaries(names, values, max_size=2), min_size=1, max_size=6)


def read(raw: bytes, size: int = 1 << 20, longest: int = 64 << 20) -> pl.DataFrame:
    return pl.concat(read_json_types(io.BytesIO(raw), "labels.jsonl", block_size=size, longest=longest))


@given(tidy | untidy, st.sampled_from([b"\n", b"\r\n", b"\n \n"]), st.integers(1, 60), st.booleans())
def test_in_pieces_it_is_the_table_that_it_is_at_once(
    rows: list[dict[str, object]], between: bytes, size: int, ascii_only: bool
) -> None:
    raw = between.join(json.dumps(row, ensure_ascii=ascii_only).encode() for row in rows)
    try:
        whole = pl.read_ndjson(io.BytesIO(raw), infer_schema_length=None)
    except pl.exceptions.PolarsError:
        with pytest.raises(SourceError, match=r"labels\.jsonl line \d"):
            read(raw, size)
        return
    found = read(raw, size)
    assert found.schema == whole.schema
    assert found.equals(whole)


@pytest.mark.parametrize(("last", "kind"), [
    ("1.5", pl.Float64), ('"x"', pl.String), ("null", pl.Int64), ("99999999999999999999", pl.Int128),
])  # fmt: skip
def test_the_last_line_settles_the_type_of_the_first(last: str, kind: type[pl.DataType]) -> None:
    raw = b'{"a":1}\n' * 100 + f'{{"a":{last},"late":[{{}},{{"x":1}}]}}\n'.encode()
    frames = list(read_json_types(io.BytesIO(raw), "labels.jsonl", block_size=64))
    assert len(frames) > 10
    assert {str(frame.schema) for frame in frames} == {
        str(pl.Schema({"a": kind(), "late": pl.List(pl.Struct({"x": pl.Int64}))}))
    }


@pytest.mark.parametrize(("text", "said"), [
    (b"", "labels.jsonl: is empty"),
    (b"\n \n", "labels.jsonl: is empty"),
    (b'[{"a":1}]', "labels.jsonl: is one JSON document"),
    (b'{"a":1}\n\n{"a":\n', "labels.jsonl line 3: is not JSON"),
    (b'{"a":1}\n{"a":1} {"a":2}\n', "labels.jsonl line 2: is not JSON"),
    (b'{"a":1e-300}\n{"a":[{"b":-1e-400}]}\n', "labels.jsonl line 2: holds -1e-400, which would become 0"),
    (b'{"a":1}\n{"a":NaN}\n', 'labels.jsonl line 2: is not JSON: NaN is not a JSON value; write null or "NaN"'),
    (b'{"a":1}\n{"a":"\xff"}\n', "labels.jsonl line 2: is not UTF-8: byte 0xff"),
    (b'{"a":1}\n{"a":1E400}\n', "labels.jsonl line 2: can't be read as JSON: InvalidNumber"),
    (b'{"a":1}\n{"a":2}\n{"a":true}\n', "labels.jsonl line 3: does not have one type per column"),
    (b'{"a":true}\n{"a":2}\n', "labels.jsonl line 1: does not have one type per column"),
    (b'{"a":1}\n\n{"a":[1]}\n{"a":2}\n', "labels.jsonl line 3: does not have one type per column"),
    (b'{"e":"\\ud83d\\ude00","a":"\\\\ud800"}\n{"a":"\\udc00"}', "labels.jsonl line 2: holds half of a"),
])  # fmt: skip
@pytest.mark.parametrize("size", [3, 1 << 20])
def test_a_line_that_is_wrong_is_named(text: bytes, said: str, size: int) -> None:
    with pytest.raises(SourceError) as failed:
        read(text, size)
    assert str(failed.value).startswith(said)


def test_a_byte_order_mark_is_not_part_of_it() -> None:
    assert read(b'\xef\xbb\xbf{"a":1}\n').rows() == [(1,)]


def test_a_line_without_end_is_refused_before_memory_is_full() -> None:
    with pytest.raises(SourceError, match=r"labels\.jsonl line 2: is longer than 1 MiB"):
        read(b'{"a":1}\n[' + b" " * (3 << 20), 1 << 18, longest=1 << 20)
