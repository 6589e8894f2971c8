"""JSON lines: the fast path and the slow one give the same, and what `json` says of them."""

from __future__ import annotations

import io
import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.tables.batch import BOOLEAN, DECIMAL, INTEGER, NESTED, NULL, STRING
from featurestore.tables.json_texts import read_json_texts
from tests.often import examples

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.sampled_from(["", "007", "7", " u ", '"', "\\", "é☃😀", "\u2028"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
OBJECTS = st.one_of(
    st.fixed_dictionaries({"a": SCALARS, "b c": SCALARS, 'q"': SCALARS}),
    st.dictionaries(st.sampled_from(["a", "b c", "d"]), st.one_of(SCALARS, st.lists(SCALARS, max_size=2)), max_size=3),
)


def kind(value: object) -> int:
    if value is None:
        return NULL
    kinds = {str: STRING, bool: BOOLEAN, int: INTEGER, float: DECIMAL}
    return kinds.get(type(value), NESTED)


def text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(
    objects=st.lists(OBJECTS, min_size=1, max_size=12),
    ascii_only=st.booleans(),
    spaced=st.booleans(),
    quick=st.booleans(),
    block=st.sampled_from([17, 200, 1 << 16]),
)
@settings(deadline=None, max_examples=examples(60))
def test_every_value_keeps_its_text_and_its_kind(
    objects: list[dict[str, object]], ascii_only: bool, spaced: bool, quick: bool, block: int
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    lines = [json.dumps(each, ensure_ascii=ascii_only, separators=separators) for each in objects]
    stream, worth = io.BytesIO("\n".join(lines).encode()), 1 if quick else 1 << 30
    batches = list(read_json_texts(stream, "f", print, block_size=block, worth_a_layout=worth))
    found: dict[int, dict[str, tuple[str | None, int]]] = {}
    for batch in batches:
        assert batch.unreadable_count == 0
        for at in range(batch.frame.height):
            row = batch.frame.row(at, named=True)
            found[batch.row(at)] = {name: (value, batch.kinds[name][at]) for name, value in row.items()}
    for number, each in enumerate(objects, 1):
        for name, value in each.items():
            assert found[number][name] == (text(value), kind(value))
        assert all(pair == (None, NULL) for name, pair in found[number].items() if name not in each)


def test_lines_that_are_not_objects_are_unreadable_each_with_its_number_and_reason() -> None:
    data = b'{"a":1}\n\n{"a":}\n[1]\n{"a":"\xff"}\n{"a":"\\ud800"}\n{"a":2}\n{"a":3'
    warnings: list[str] = []
    (first, last) = read_json_texts(io.BytesIO(data), "f", warnings.append)
    assert [(row.row, row.reason) for row in (*first.unreadable, *last.unreadable)] == [
        (3, "is not JSON: Expecting value at character 6"),
        (4, "is not a JSON object"),
        (5, "is not UTF-8: byte 0xff"),
        (6, "holds half of a surrogate pair"),
        (8, "is not JSON: Expecting ',' delimiter at character 7"),
    ]
    assert [first.row(at) for at in range(2)] == [1, 7]
    assert warnings == ["f has no line end after its last row: was it cut?"]


def test_infinities_and_nan_keep_their_words() -> None:
    data = json.dumps({"x": math.inf, "y": math.nan, "z": "NaN"}).encode() + b"\n"
    (batch,) = [batch for batch in read_json_texts(io.BytesIO(data), "f", print) if batch.frame.height]
    assert batch.frame.row(0) == ("Infinity", "NaN", "NaN")
    assert [batch.kinds[name][0] for name in "xyz"] == [DECIMAL, DECIMAL, STRING]
