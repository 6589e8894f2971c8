"""Entity ids come out of every format as they went in: byte for byte, or not at all."""

from __future__ import annotations

import csv
import io
import json

import polars as pl
import pytest

from featurestore.errors import SourceError
from tests.sources.conftest import Shops

NASTY = [
    "007",
    "7",
    "7.0",
    "7e0",
    "+7",
    "-7",
    "0x7",
    " 7",
    "7 ",
    "\t7",
    "7\n",
    "7\r\n8",
    "u1",
    "U1",
    " u1 ",
    "u 1",
    "",
    " ",
    "null",
    "NULL",
    "None",
    "NA",
    "nan",
    "inf",
    "true",
    "é",
    "e\u0301",
    "ß",
    "ẞ",
    "İ",
    "日本",
    "😀",
    "\u200b",
    "\ufeffx",
    "a,b",
    'a"b',
    '"',
    '""',
    "a;b",
    "'",
    "=cmd()",
    "-",
    "#1",
    "\\N",
    "\\",
    "9007199254740993",
    "123456789012345678901234567890",
    "2024-01-01",
    "a=b,c=d",
    "\x1b[31m",
    "%2C",
]


def as_csv(ids: list[str]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["id"])
    writer.writerows([each] for each in ids)
    return stream.getvalue().encode()


def as_ndjson(ids: list[str]) -> bytes:
    return "".join(json.dumps({"id": each}) + "\n" for each in ids).encode()


def as_parquet(ids: list[str]) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame({"id": ids}).write_parquet(stream)
    return stream.getvalue()


FORMATS = {"csv": as_csv, "ndjson": as_ndjson, "parquet": as_parquet}


@pytest.mark.parametrize("kind", FORMATS)
def test_nasty_ids_are_the_same_out_of_every_format(kind: str, shops: Shops) -> None:
    shop = shops(f'type = "{kind}"\npath = "visits.{kind}"')
    shop.write(f"visits.{kind}", FORMATS[kind](NASTY))
    taken = shop.read()
    assert taken.frame["id"].to_list() == NASTY
    assert taken.rejected_count == 0


def test_unquoted_ids_are_not_trimmed(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", "id,x\n u1 ,1\n007,2\n7,3\n'q',4\n")
    assert shop.read().frame["id"].to_list() == [" u1 ", "007", "7", "'q'"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("0", 0),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("007", None),
        ("+7", None),
        ("-0", None),
        (" 7", None),
        ("7 ", None),
        ("7.0", None),
        ("7e0", None),
        ("9223372036854775808", None),
        ("0x7", None),
        ("1_000", None),
        ("٧", None),
        ('""', None),
        ("x", None),
    ],
)
@pytest.mark.parametrize("declared", [False, True])
def test_an_int_key_is_written_in_one_way_only(text: str, value: int | None, declared: bool, shops: Shops) -> None:
    columns = '\n[sources.visits.columns]\nid = { type = "int" }' if declared else ""
    shop = shops('type = "csv"\npath = "visits.csv"' + columns)
    shop.write("visits.csv", f"id,x\n{text},1\n")
    taken = shop.read({"id": "int"})
    assert taken.frame["id"].to_list() == ([] if value is None else [value])
    if value is None:
        written = text.strip('"')
        assert shop.rejected(taken) == [
            (1, "id", f"{written!r} is not an int key: base 10, without plus, zeros or space in front")
        ]


@pytest.mark.parametrize(
    ("json_value", "as_string", "as_int"),
    [
        ("7", "7", 7),
        ('"7"', "7", 7),
        ('"007"', "007", None),
        ("7.0", None, None),
        ("7e0", None, None),
        ("true", None, None),
        ("[7]", None, None),
        ('{"a":7}', None, None),
        ("12345678901234567890", "12345678901234567890", None),
        ('"\\u00e9"', "é", None),
        ("null", None, None),
        ("NaN", None, None),
    ],
)
def test_json_ids_are_text_or_whole_numbers(
    json_value: str, as_string: str | None, as_int: int | None, shops: Shops
) -> None:
    shop = shops('type = "ndjson"\npath = "visits.ndjson"')
    shop.write("visits.ndjson", f'{{"id":{json_value}}}\n')
    assert shop.read({"id": "string"}).frame["id"].to_list() == [each for each in [as_string] if each is not None]
    assert shop.read({"id": "int"}).frame["id"].to_list() == [each for each in [as_int] if each is not None]


@pytest.mark.parametrize(
    ("column", "as_string", "as_int"),
    [
        (pl.Series([7, -7, None], dtype=pl.Int32), ["7", "-7"], [7, -7]),
        (pl.Series([2**64 - 1, 7], dtype=pl.UInt64), ["18446744073709551615", "7"], [7]),
        (pl.Series(["7", "007", None]), ["7", "007"], [7]),
        (pl.Series(["7", "a"], dtype=pl.Categorical), ["7", "a"], [7]),
    ],
)
def test_parquet_ids_come_from_text_and_integers(
    column: pl.Series, as_string: list[str], as_int: list[int], shops: Shops
) -> None:
    shop = shops('type = "parquet"\npath = "visits.parquet"')
    column.alias("id").to_frame().write_parquet(shop.root / "visits.parquet")
    assert shop.read({"id": "string"}).frame["id"].to_list() == as_string
    assert shop.read({"id": "int"}).frame["id"].to_list() == as_int


@pytest.mark.parametrize("key", ["string", "int"])
def test_a_float_is_never_an_id(key: str, shops: Shops) -> None:
    shop = shops('type = "parquet"\npath = "visits.parquet"')
    pl.DataFrame({"id": [7.0, None]}).write_parquet(shop.root / "visits.parquet")
    with pytest.raises(SourceError, match=f"column 'id': a column of type Float64 can't be read as {key}"):
        shop.read({"id": key})  # type: ignore[dict-item]


def test_a_row_without_its_key_is_rejected(shops: Shops) -> None:
    shop = shops('type = "ndjson"\npath = "visits.ndjson"')
    shop.write("visits.ndjson", '{"id":"a"}\n{"id":null}\n{"x":1}\n{}\n')
    taken = shop.read()
    assert shop.rejected(taken) == [(row, "id", "entity key is null") for row in (2, 3, 4)]


def test_a_source_may_do_without_the_key_where_the_feature_makes_it(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", "pid,x\n007,1\n")
    assert shop.read(needed=False).frame.rows() == [("007", 1)]
    with pytest.raises(SourceError, match="has no column 'id'"):
        shop.read()


def test_a_key_that_some_files_have_must_be_in_all(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "*.csv"')
    shop.write("a.csv", "x\n1\n")
    shop.write("b.csv", "id,x\na,1\n")
    with pytest.raises(SourceError, match=r"a\.csv: has no column 'id', which other files of the source have"):
        shop.read(needed=False)


def test_a_key_that_json_leaves_out_is_null(shops: Shops) -> None:
    shop = shops('type = "ndjson"\npath = "*.ndjson"')
    shop.write("a.ndjson", '{"x":1}\n')
    shop.write("b.ndjson", '{"id":"a","x":1}\n{"x":2}\n')
    taken = shop.read(needed=False)
    assert taken.frame["id"].to_list() == ["a"]
    assert [(row.file, row.row, row.reason) for row in taken.rejected] == [
        ("a.ndjson", 1, "entity key is null"),
        ("b.ndjson", 2, "entity key is null"),
    ]


def test_empty_ids_are_entities_and_said(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", 'id,x\n"",1\n" ",2\na,3\n')
    rows = shop.read()
    assert rows.frame["id"].to_list() == ["", " ", "a"]
    assert any(each.startswith("2 rows have an empty id, which is an entity like any other") for each in rows.warnings)
