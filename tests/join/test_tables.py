"""Tables in and out of files: cells as they came, files whole or untouched."""

import csv
import io
import json
import math
import os
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import FeatureStoreError, SourceError, UsageError
from featurestore.tables.files import Format
from featurestore.tables.values import json_value
from tests.join.tables import read_table, write_table


def as_text(frame: pl.DataFrame, form: Format = "csv") -> str:
    stream = io.BytesIO()
    write_table(frame, stream, form=form)
    return stream.getvalue().decode()


def read_text(text: str, form: Format = "csv") -> pl.DataFrame:
    return read_table(io.BytesIO(text.encode()), name="labels.csv", form=form)


def test_the_cells_of_a_csv_come_out_as_they_went_in() -> None:
    text = 'id,amount,note,empty\n007,1.50,"a,b",\n 7 ,1e3,"say ""hi""",""\nNULL,NaN,"two\nlines",x\n'
    frame = read_text(text)
    assert frame.row(1) == (" 7 ", "1e3", 'say "hi"', "")
    assert frame["empty"].to_list() == [None, "", "x"]
    assert as_text(frame) == text


cells = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(st.lists(st.tuples(cells, cells), max_size=6))
def test_any_text_survives_a_csv(rows: list[tuple[str | None, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "é,": pl.String}, orient="row")
    assert read_text(as_text(frame)).rows() == rows


def test_a_byte_order_mark_and_windows_line_ends_are_not_part_of_the_cells() -> None:
    frame = read_table(io.BytesIO(b"\xef\xbb\xbfid,a\r\n1,x\r\n2,y"))
    assert (frame.columns, frame.rows()) == (["id", "a"], [("1", "x"), ("2", "y")])


def test_a_csv_with_nothing_but_a_header_is_a_table_without_rows() -> None:
    assert read_text("a,b").schema == {"a": pl.String, "b": pl.String}


@pytest.mark.parametrize(("text", "said"), [
    ("", "labels.csv: is empty"),
    ("a,b\n1,2\n3\n", "labels.csv row 2: has 1 field where the header has 2"),
    ("a,b\n1,2\n3,4,5\n", "labels.csv row 2: has 3 fields where the header has 2"),
    ('a,b\n1,"x\n2,3\n', "labels.csv row 1: a quoted field begins here and never ends"),
    ('a,b\n1,x\n"3,2\n"3,2\n', "labels.csv row 2: has text after a closing quote"),
    ("a,b,a\n1,2,3\n", "labels.csv: the header names 'a' 2 times"),
])  # fmt: skip
def test_a_malformed_csv_is_refused_with_its_row(text: str, said: str) -> None:
    with pytest.raises(SourceError) as failed:
        read_text(text)
    assert str(failed.value).startswith(said)


@pytest.mark.parametrize(("raw", "said"), [
    (b"a,b\n1,\xff\n", "row 1: is not UTF-8: byte 0xff"),
    ("a,b\n1,é\n".encode("latin-1"), "row 1: is not UTF-8: byte 0xe9"),
])  # fmt: skip
def test_a_csv_that_is_not_utf8_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_table(io.BytesIO(raw))


VALUES = pl.DataFrame({
    "number": [1.5, math.nan, math.inf, -math.inf, None, 0.1 + 0.2],
    "text": ["", "a", None, 'q"', "a,b", "é"],
    "list": [[1.0, None], [math.nan, -math.inf], [], None, [1e-7], [0.5]],
    "at": [datetime(2024, 1, 1), datetime(2024, 1, 1, microsecond=5), None, *[datetime(1969, 12, 31)] * 3],
    "day": [date(2024, 2, 29), *[None] * 5],
    "flag": [True, False, None, True, True, True],
}).with_columns(pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York"))  # fmt: skip


def test_the_csv_of_every_type_is_as_the_contract_spells_it() -> None:
    assert as_text(VALUES).splitlines() == [
        "number,text,list,at,day,flag",
        '1.5,"","[1.0,null]",2024-01-01T00:00:00Z,2024-02-29,true',
        'NaN,a,"[""NaN"",""-Infinity""]",2024-01-01T00:00:00.000005Z,,false',
        "Infinity,,[],,,",
        '-Infinity,"q""",,1969-12-31T00:00:00Z,,true',
        ',"a,b",[1e-7],1969-12-31T00:00:00Z,,true',
        "0.30000000000000004,é,[0.5],1969-12-31T00:00:00Z,,true",
    ]


def test_json_lines_spell_values_as_json_does_one_by_one() -> None:
    found = [json.loads(line) for line in as_text(VALUES, "ndjson").splitlines()]
    assert found == [{name: json_value(value) for name, value in row.items()} for row in VALUES.iter_rows(named=True)]
    assert found[1]["number"] == "NaN"
    assert found[0]["at"] == "2024-01-01T00:00:00Z"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_float_reads_back_as_the_same_bits(values: list[float]) -> None:
    rows = list(csv.reader(io.StringIO(as_text(pl.DataFrame({"v": values})))))[1:]
    assert [float(row[0]).hex() for row in rows] == [value.hex() for value in values]


def test_other_types_that_a_label_table_may_have_are_spelled_too() -> None:
    frame = pl.DataFrame({
        "naive": [datetime(2024, 1, 1)],
        "kind": pl.Series(["x"], dtype=pl.Categorical),
        "price": pl.Series(["1.50"]).cast(pl.Decimal(10, 2)),
        "length": [timedelta(days=1)],
        "inner": [{"a": 1}],
    })  # fmt: skip
    assert as_text(frame).splitlines()[1] == '2024-01-01T00:00:00,x,1.50,PT86400S,"{""a"":1}"'
    with pytest.raises(UsageError, match="column 'raw' holds Binary"):
        as_text(pl.DataFrame({"raw": [b"x"]}))


@pytest.mark.parametrize("name", ["t.parquet", "t.pq", "t.arrow", "t.feather", "t.ipc"])
def test_typed_formats_give_the_same_table_back(name: str, tmp_path: Path) -> None:
    write_table(VALUES, tmp_path / name)
    assert read_table(tmp_path / name).equals(VALUES)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_an_arrow_stream_is_read_like_an_arrow_file() -> None:
    stream = io.BytesIO()
    VALUES.write_ipc_stream(stream)
    assert read_table(io.BytesIO(stream.getvalue()), form="arrow").equals(VALUES)


@pytest.mark.parametrize(("text", "said"), [
    ('[{"a":1}]', "labels.csv: is one JSON document, not a JSON object on each line"),
    ('{"a":1}\n\n{"a":\n', "labels.csv line 3: is not JSON"),
    ("", "labels.csv: is empty"),
    ('{"a":{"x":1}}\n{"a":5}\n', "labels.csv line 2: does not have one type per column"),
])  # fmt: skip
def test_malformed_json_lines_are_refused_with_their_line(text: str, said: str) -> None:
    with pytest.raises(SourceError) as failed:
        read_text(text, "ndjson")
    assert str(failed.value).startswith(said)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_file_that_is_something_else_is_refused(form: Format) -> None:
    with pytest.raises(SourceError, match="can't be read as"):
        read_text("not that", form)


def test_a_missing_file_and_an_unknown_format_are_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_table(tmp_path / "labels.csv")
    with pytest.raises(UsageError, match=r"\.xlsx says no format"):
        read_table(tmp_path / "labels.xlsx")
    with pytest.raises(UsageError, match="no such folder"):
        write_table(VALUES, tmp_path / "out" / "t.csv")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"
    target.write_text("old")
    with pytest.raises(UsageError):
        write_table(pl.DataFrame({"raw": [b"x"]}), target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    target, link = tmp_path / "t.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_table(pl.DataFrame({"a": [1]}), link)
    assert link.is_symlink()
    assert target.read_text() == "a\n1\n"
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_table(pl.DataFrame({"a": [1]}), pipe)
    assert os.read(reader, 100) == b"a\n1\n"
    os.close(reader)


def test_what_the_system_refuses_is_said_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(FeatureStoreError, match=r"t\.csv: can't be"):
        write_table(VALUES, tmp_path / "t.csv")
    with pytest.raises(SourceError, match=r"t\.csv: can't be read"):
        read_table(tmp_path / "t.csv")
