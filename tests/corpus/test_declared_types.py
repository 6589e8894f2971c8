"""Every type of a database, declared as every one of ours: its value, its row set aside, or a refusal.

The table says which values there are; whatever it does not say must be refused or set aside.
"""
# ruff: noqa: E501  # tables: a few values a line

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from featurestore.errors import SourceError
from featurestore.sources.reading import read_rows
from tests.services_postgres import PostgresServer
from tests.sources.conftest import STRING_KEY, Shops
from tests.sources.postgres import Tables, tables_of

OURS = ("bool", "int", "float", "string", "date", "datetime", "list[float]")
Meant = Mapping[str, object]


class Of(NamedTuple):
    """A value as SQL writes it, of a type, and what it is in each of our types that can have it."""

    type: str
    value: str
    meant: Meant


def number(value: float, text: str | None = None, **more: object) -> Meant:
    """A number, in each type that holds it; ``text`` where it is a text that is declared as a number."""
    whole = {"int": int(value)} if value == int(value) else {}
    return {"float": float(value), **whole, **({} if text is None else {"string": text}), **more}


ONE = number(1, "1", bool=True)
DAY, NOON = date(2024, 1, 2), datetime(2024, 1, 2, 12, tzinfo=UTC)
MIDNIGHT = datetime(2024, 1, 2, tzinfo=UTC)
OF_DAY: Meant = {"date": DAY, "datetime": MIDNIGHT}
TEXTS_OF_ALL = (
    ("'1'", ONE), ("'007'", number(7, "007")), ("'1.50'", number(1.5, "1.50")), ("'true'", {"bool": True, "string": "true"}),
    ("'2024-01-02'", {**OF_DAY, "string": "2024-01-02"}), ("'[1,2]'", {"list[float]": [1.0, 2.0], "string": "[1,2]"}),
    ("'12:00'", {"string": "12:00"}), ("''", {"string": ""}), ("'9007199254740993'", {"int": 2**53 + 1, "string": "9007199254740993"}),
    ("'1e400'", {"string": "1e400"}),
)  # fmt: skip
JSON_OF_ALL = (
    ("'1.50'", number(1.5, "1.50")), ("'true'", {"bool": True, "string": "true"}), ("'\"5\"'", {"string": '"5"'}),
    ("'\"2024-01-02\"'", {"string": '"2024-01-02"'}), ("'[1,2]'", {"list[float]": [1.0, 2.0], "string": "[1,2]"}),
    ("'null'", {"string": "null"}), ("'{}'", {"string": "{}"}),
)  # fmt: skip
# Of bits nobody may make a hundred and one.
BITS = (("'101'", {"string": "101"}), ("'1'", {"string": "1", "bool": True}), ("'00000001'", {"string": "00000001"}))
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"

POSTGRESQL: Sequence[Of] = (
    Of("bool", "true", {"bool": True}),
    *(Of(kind, "1", ONE) for kind in ("int2", "int4", "int8", "positive")),
    Of("int8", "9007199254740993", {"int": 2**53 + 1, "string": "9007199254740993"}),
    *(Of(kind, "1.0", number(1)) for kind in ("float4", "float8", "numeric(4,1)")),
    Of("float4", "0.1", number(0.10000000149011612)), Of("float8", "20240102", number(20240102)),
    Of("float8", "'Infinity'", {"float": float("inf")}), Of("numeric(20,0)", "20240102", number(20240102)),
    Of("numeric(20,0)", "9007199254740993", {"int": 2**53 + 1}), Of("numeric(19,0)", "-9223372036854775808", {"int": -(2**63)}),
    Of("numeric(20,0)", "9223372036854775808", {}), Of("numeric(20,2)", "9007199254740993.50", {}),
    Of("numeric", "'1.10'", number(1.1, "1.10")), Of("numeric", "3", number(3, "3")),
    Of("money", "12.5", number(12.5, "12.50")),
    *(Of(kind, value, meant) for kind in ("text", "varchar") for value, meant in TEXTS_OF_ALL),
    *(Of(kind, "'1'", ONE) for kind in ("char(5)", "name", '"char"', "digits", "oid", "xid", "cid")),
    Of("digits", "'ok'", {"string": "ok"}),
    Of("date", "'2024-01-02'", OF_DAY), Of("timestamp", "'2024-01-02'", OF_DAY),
    Of("timestamp", "'2024-01-02 12:00'", {"datetime": NOON}), Of("timestamptz", "'2024-01-02 12:00Z'", {"datetime": NOON}),
    Of("timestamptz", "'2024-01-02Z'", {"datetime": MIDNIGHT}),
    Of("time", "'12:00'", {"string": "12:00:00"}), Of("timetz", "'12:00+01'", {"string": "12:00:00+01"}),
    Of("interval", "'1 day'", {}), Of("uuid", f"'{UUID}'", {"string": UUID}),
    *(Of("json", value, meant) for value, meant in JSON_OF_ALL), Of("jsonb", "'1e2'", number(100, "100")),
    *(Of("varbit", value, meant) for value, meant in BITS), Of("bit(3)", "B'101'", {"string": "101"}),
    Of("bit(1)", "B'0'", {"string": "0", "bool": False}), Of("bit(8)", "B'10100101'", {"string": "10100101"}),
    Of("flags", "B'11'", {"string": "11"}),
    Of("inet", "'10.0.0.1'", {"string": "10.0.0.1/32"}), Of("cidr", "'10.0.0.0/8'", {"string": "10.0.0.0/8"}),
    Of("macaddr", "'08:00:2b:01:02:03'", {"string": "08:00:2b:01:02:03"}),
    Of("int4range", "'[1,3]'", {"string": "[1,4)"}), Of("int4multirange", "'{}'", {"string": "{}"}),
    Of("float8[]", "'{1,2}'", {"list[float]": [1.0, 2.0]}), Of("int4[]", "'{1}'", {"list[float]": [1.0]}),
    Of("int8[]", "'{9007199254740993}'", {}), Of("text[]", "'{1}'", {}), Of("bool[]", "'{t}'", {}),
    Of("bit(3)[]", "'{101}'", {}), Of("numeric[]", "'{1.5}'", {}), Of("date[]", "'{2024-01-01}'", {}),
    *(Of(kind, value, {}) for kind, value in (("bytea", "'1'"), ("point", "'(1,2)'"), ("pair", "ROW(1,'a')"))),
)  # fmt: skip
DUCKDB: Sequence[Of] = (
    Of("BOOLEAN", "true", {"bool": True}),
    *(Of(kind, "1", ONE) for kind in ("TINYINT", "USMALLINT", "INTEGER", "UBIGINT", "UHUGEINT")),
    Of("HUGEINT", "1", number(1)), Of("BIGNUM", "'12'", number(12, "12")),
    Of("UBIGINT", "18446744073709551615", {"string": "18446744073709551615"}),
    Of("HUGEINT", "170141183460469231731687303715884105727", {}),
    Of("UHUGEINT", "340282366920938463463374607431768211455", {"string": "340282366920938463463374607431768211455"}),
    Of("BIGINT", "9007199254740993", {"int": 2**53 + 1, "string": "9007199254740993"}),
    Of("FLOAT", "0.1", number(0.10000000149011612)), Of("DOUBLE", "20240102", number(20240102)),
    Of("DECIMAL(4,1)", "1.5", number(1.5)), Of("DECIMAL(4,1)", "2.0", number(2)), Of("DECIMAL(38,0)", "'9'::VARCHAR", number(9)),
    *(Of("VARCHAR", value, meant) for value, meant in TEXTS_OF_ALL), *(Of("JSON", value, meant) for value, meant in JSON_OF_ALL),
    *(Of("BIT", value, meant) for value, meant in BITS), Of("digits", "'1'", ONE), Of("digits", "'ok'", {"string": "ok"}),
    *(Of(kind, "'2024-01-02'", OF_DAY) for kind in ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")),
    Of("TIMESTAMP_NS", "'2024-01-02 00:00:00.000000001'", {"datetime": MIDNIGHT.replace(microsecond=1)}),
    Of("TIMESTAMPTZ", "'2024-01-02 12:00+00'", {"datetime": NOON}), Of("TIME", "'12:00'", {}), Of("INTERVAL", "'1 day'", {}),
    Of("UUID", f"'{UUID}'", {"string": UUID}), Of("BLOB", "'1'", {}),
    Of("DOUBLE[]", "[1, 2]", {"list[float]": [1.0, 2.0]}), Of("INTEGER[1]", "[1]", {"list[float]": [1.0]}),
    Of("DECIMAL(4,1)[]", "[1.5]", {"list[float]": [1.5]}), Of("BIGINT[]", "[9007199254740993]", {}),
    *(Of(f"{kind}[]", f"[{value}]", {}) for kind, value in (("VARCHAR", "'1'"), ("BOOLEAN", "true"), ("BIT", "'101'"), ("DOUBLE[]", "[1]"))),
    Of("STRUCT(a INT)", "{'a': 1}", {}), Of("MAP(VARCHAR, INT)", "MAP {'a': 1}", {}), Of("UNION(a INT, b VARCHAR)", "1", {}),
)  # fmt: skip
SQLITE: Sequence[Of] = (
    Of("INTEGER", "1", ONE), Of("INTEGER", "20240102", number(20240102, "20240102")), Of("BOOLEAN", "true", ONE),
    Of("INTEGER", "9007199254740993", {"int": 2**53 + 1, "string": "9007199254740993"}), Of("REAL", "1", number(1)),
    Of("REAL", "1.5", number(1.5)), Of("DECIMAL(4,1)", "'1.10'", number(1.1)), Of("NUMERIC", "'007'", number(7, "7")),
    Of("BIT", "101", number(101, "101")), Of("DATETIME", "1704067200", number(1704067200, "1704067200")),
    Of("DATE", "'2024-01-02'", {**OF_DAY, "string": "2024-01-02"}), Of("BLOB", "x'31'", {}),
    *(Of("TEXT", value, meant) for value, meant in TEXTS_OF_ALL),
)  # fmt: skip


@pytest.fixture
def shops(tmp_path: Path) -> Shops:
    return Shops(tmp_path)


def read(shops: Shops, source: str, kind: str) -> tuple[list[object], str]:
    """The values of column x, declared as one of our types, and the refusal or the reason of the row set aside."""
    shop = shops(f'{source}event_time = "at"\ntimezone = "UTC"\ncolumns.x = {{ type = "{kind}" }}\n')
    opened = shop.open()
    try:
        taken = read_rows(shop.project, shop.source, opened, opened.offer(), STRING_KEY, needed=["id"])
    except SourceError as exc:
        return [], str(exc)
    return taken.frame["x"].to_list(), "".join(f"{row.column}: {row.reason}" for row in taken.rejected)


def check(shops: Shops, source: str, of: Of) -> None:
    for kind in OURS:
        values, refused = read(shops, source, kind)
        if kind not in of.meant:
            assert not values, kind
            assert "x" in refused
            continue
        assert values == [of.meant[kind]], kind
        assert type(values[0]) is type(of.meant[kind])


def name(of: Of) -> str:
    return f"{of.type} {of.value}"


@pytest.fixture(scope="module")
def types(postgres: PostgresServer) -> Iterator[Tables]:
    for tables in tables_of(postgres):
        tables.run(
            "CREATE TYPE digits AS ENUM ('1', 'ok'); CREATE TYPE pair AS (a int, b text);"
            "CREATE DOMAIN positive AS int; CREATE DOMAIN flags AS bit(2);"
        )
        yield tables


@pytest.mark.parametrize("of", POSTGRESQL, ids=name)
def test_types_of_postgresql(of: Of, types: Tables, shops: Shops) -> None:
    query = f"SELECT text '1' AS id, timestamptz '2024-01-01Z' AS at, ({of.value})::{of.type} AS x"
    check(shops, types.source(f"query = '''{query}'''\n"), of)


@pytest.mark.parametrize("of", DUCKDB, ids=name)
def test_types_of_duckdb(of: Of, shops: Shops) -> None:
    with closing(duckdb.connect(str(shops.root / "file"))) as connection:
        connection.execute("CREATE TYPE digits AS ENUM ('1', 'ok')")
        row = f"SELECT '1' AS id, TIMESTAMP '2024-01-01' AS at, ({of.value})::{of.type} AS x"
        connection.execute(f"CREATE TABLE t AS {row}")
    check(shops, 'type = "duckdb"\npath = "file"\ntable = "t"\n', of)


@pytest.mark.parametrize("of", SQLITE, ids=name)
def test_types_of_sqlite(of: Of, shops: Shops) -> None:
    with closing(sqlite3.connect(Path(shops.root / "file"))) as connection:
        connection.execute(f"CREATE TABLE t (id TEXT, at TEXT, x {of.type})")
        connection.execute(f"INSERT INTO t VALUES ('1', '2024-01-01', {of.value})")
        connection.commit()
    check(shops, 'type = "sqlite"\npath = "file"\ntable = "t"\n', of)
