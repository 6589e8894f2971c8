"""Columns of a PostgreSQL server, type by type, and what becomes of each value."""
# ruff: noqa: E501  # tables: a column a line

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN day_of AS date;
CREATE DOMAIN moods AS mood[];
"""
FLOAT, INT, TEXT = (f'{{ type = "{kind}" }}' for kind in ("float", "int", "string"))


@dataclass(frozen=True)
class ServerColumn:
    """A column x of a type: its values as SQL writes them, and what is read of the accepted rows.

    ``aside`` are rows that are set aside, from 1 on, each with a part of its reason. With ``left_out`` the column is not
    carried, and it is said. ``rules`` are its line in the settings.
    """

    type: str
    values: Sequence[str]
    x: Sequence[object] = ()
    aside: Sequence[tuple[int, str]] = ()
    left_out: str = ""
    rules: str = ""
    refusal: str = ""


FAR = "holds infinity, or a time that is too far off"
SERVER_COLUMNS = {
    "numeric of known digits": ServerColumn(
        "numeric(6,2)", ["1.5", "-0.01", "NULL"], [Decimal("1.50"), Decimal("-0.01"), None]
    ),
    "numeric of 38 digits": ServerColumn("numeric(38,0)", ["9" * 38], [Decimal("9" * 38)]),
    "numeric of 39 digits": ServerColumn("numeric(39,0)", ["9" * 39], ["9" * 39]),
    "numeric of 39 digits as text": ServerColumn("numeric(39,0)", ["9" * 39], ["9" * 39], rules=TEXT),
    "numeric rounded before its point": ServerColumn("numeric(3,-2)", ["12345"], [12300]),
    "numeric with more decimals than digits": ServerColumn("numeric(2,4)", ["0.0012"], [0.0012]),
    "numeric of any digits": ServerColumn("numeric", ["1.1", "2", "NULL"], [1.1, 2.0, None]),
    "numeric of any digits, all whole": ServerColumn("numeric", ["1", "2"], [1, 2]),
    "numeric that is no number": ServerColumn(
        "numeric(4,1)", ["1.5", "'NaN'"], [Decimal("1.5")], aside=[(2, "column 'x' is no number")]
    ),
    "numeric of any digits that is no number": ServerColumn(
        "numeric", ["1.5", "'NaN'", "'Infinity'"], [1.5, "NaN", "Infinity"]
    ),
    "numeric declared as float, more digits than that": ServerColumn(
        "numeric(20,3)", ["0.125", "12345678901234567.125"], [0.125], rules=FLOAT, aside=[(2, "")]
    ),
    "numeric declared as int, with a part": ServerColumn(
        "numeric(4,1)", ["2.0", "2.5"], [2], rules=INT, aside=[(2, "")]
    ),
    "money": ServerColumn("money", ["12.5", "'-1234.50'"], [12.5, -1234.5]),
    "float of any kind": ServerColumn(
        "float8", ["'NaN'", "'-Infinity'", "'-0'", "5e-324"], ["NaN", "-Infinity", -0.0, 5e-324]
    ),
    "float of four bytes": ServerColumn("float4", ["0.1", "16777217"], [0.10000000149011612, 16777216.0]),
    "largest integers": ServerColumn("int8", ["9223372036854775807", "'-9223372036854775808'"], [2**63 - 1, -(2**63)]),
    "object ids": ServerColumn("oid", ["4294967295"], [4294967295]),
    "truth": ServerColumn("bool", ["true", "NULL", "false"], [True, None, False]),
    "text, and the empty one": ServerColumn("text", ["''", "NULL", "E'a\\nb'", "'ü'"], ["", None, "a\nb", "ü"]),
    "texts of digits": ServerColumn("text", ["'007'", "'8'"], ["007", "8"]),
    "texts of whole numbers": ServerColumn("varchar(5)", ["'7'", "NULL", "'8'"], ["7", None, "8"]),
    "texts of digits, declared": ServerColumn("text", ["'7'", "'8'"], [7, 8], rules=INT),
    "text filled up with blanks": ServerColumn("char(5)", ["'ab'", "'abcde'"], ["ab", "abcde"]),
    "instants of other zones": ServerColumn(
        "timestamptz",
        ["'2024-02-29 23:00+05:30'", "'2024-06-01 00:00:00.000001 Europe/Berlin'"],
        [datetime(2024, 2, 29, 17, 30, tzinfo=UTC), datetime(2024, 5, 31, 22, 0, 0, 1, tzinfo=UTC)],
    ),
    "instants that are none": ServerColumn(
        "timestamptz",
        ["'infinity'", "'-infinity'", "'2024-01-01Z'"],
        [datetime(2024, 1, 1, tzinfo=UTC)],
        aside=[(1, FAR), (2, FAR)],
    ),
    "an instant beyond 64 bits": ServerColumn("timestamp", ["'294276-12-31'"], aside=[(1, FAR)]),
    "days": ServerColumn("date", ["'2024-02-29'", "'0001-01-01'", "NULL"], [date(2024, 2, 29), date(1, 1, 1), None]),
    "days before our era": ServerColumn(
        "date", ["'0044-03-15 BC'", "'2024-01-01'"], [date(2024, 1, 1)], aside=[(1, "'-0043-03-15' is not a date")]
    ),
    "instants before our era": ServerColumn(
        "timestamp", ["'0044-03-15 12:00 BC'"], aside=[(1, "is not a datetime: ISO 8601, years 1 to 9999")]
    ),
    "a day that is none": ServerColumn("date", ["'infinity'"], aside=[(1, FAR)]),
    "time of day": ServerColumn("time", ["'23:59:59.5'", "'24:00'"], ["23:59:59.5", "24:00:00"]),
    "uuid": ServerColumn("uuid", ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"], ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    "json as it is written": ServerColumn("json", ["""'{"b":  1, "a": 2, "a": 3}'"""], ['{"b":  1, "a": 2, "a": 3}']),
    "jsonb as the server keeps it": ServerColumn(
        "jsonb", ["""'{"b":  1, "a": 2, "a": 3}'""", "'null'"], ['{"a": 3, "b": 1}', "null"]
    ),
    "enum": ServerColumn("mood", ["'ok'", "NULL"], ["ok", None]),
    "domain": ServerColumn("positive", ["3"], [3]),
    "domain over days": ServerColumn("day_of", ["'2024-01-01'"], [date(2024, 1, 1)]),
    "range": ServerColumn("int4range", ["'[1,3]'", "'empty'"], ["[1,4)", "empty"]),
    "range of instants": ServerColumn("tstzrange", ["'[2024-01-01 00:00+01,)'"], ['["2023-12-31 23:00:00+00",)']),
    "several ranges": ServerColumn("int4multirange", ["'{[1,3),[5,6)}'"], ["{[1,3),[5,6)}"]),
    "addresses": ServerColumn("inet", ["'10.0.0.0/8'", "'::1'"], ["10.0.0.0/8", "::1/128"]),
    "list of numbers": ServerColumn("float8[]", ["'{1.5,NULL,NaN}'", "'{}'", "NULL"], [[1.5, None, "NaN"], [], None]),
    "list of texts": ServerColumn("text[]", ["""'{a,"b,c",NULL,"NULL"}'"""], [["a", "b,c", None, "NULL"]]),
    "list of enums": ServerColumn("mood[]", ["'{ok,sad}'"], [["ok", "sad"]]),
    "list that does not begin at one": ServerColumn("int4[]", ["'[5:6]={1,2}'"], [[1, 2]]),
    "list of lists": ServerColumn("int4[]", ["'{{1},{2}}'", "'{3}'"], [[3]], aside=[(1, "holds an array of arrays")]),
    "list of instants": ServerColumn(
        "timestamptz[]", ["'{2024-01-01 00:00+01}'"], [[datetime(2023, 12, 31, 23, tzinfo=UTC)]]
    ),
    "list of decimals": ServerColumn("numeric(5,2)[]", ["'{1.50}'"], [["1.50"]]),
    "bytes": ServerColumn("bytea", ["'x'"], left_out="x (bytea)"),
    "bytes that are needed": ServerColumn(
        "bytea", ["'x'"], rules=TEXT, refusal="column x (bytea) is of a type that can't be read exactly"
    ),
    "interval": ServerColumn("interval", ["'1 month'"], left_out="x (interval)"),
    "composite": ServerColumn("pair", ["ROW(1,'a')"], left_out="x (pair)"),
    "geometry": ServerColumn("point", ["'(1,2)'"], left_out="x (point)"),
    "list of bytes": ServerColumn("bytea[]", ["'{}'"], left_out="x (bytea[])"),
}
