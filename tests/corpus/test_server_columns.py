"""Columns of a PostgreSQL server: each value is read as the server has it, set aside, or left out with a word."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from featurestore.errors import SourceError
from featurestore.sources.reading import SourceRows, read_rows
from tests.corpus.server_columns import SERVER_COLUMNS, TYPES, ServerColumn
from tests.services_postgres import PostgresServer
from tests.sources.conftest import STRING_KEY, Shop, Shops
from tests.sources.postgres import Tables, tables_of


@pytest.fixture(scope="module")
def types(postgres: PostgresServer) -> Iterator[Tables]:
    for tables in tables_of(postgres):
        tables.run(TYPES)
        yield tables


@pytest.fixture
def shops(tmp_path_factory: pytest.TempPathFactory) -> Shops:
    return Shops(tmp_path_factory.mktemp("corpus"))


def read(types: Tables, shops: Shops, column: ServerColumn) -> SourceRows:
    rows = " UNION ALL ".join(
        f"SELECT {number} AS n, ({value})::{column.type} AS x" for number, value in enumerate(column.values, 1)
    )
    query = (
        f"SELECT n::text AS id, timestamptz '2024-01-01Z' + n * interval '1 day' AS at, x FROM ({rows}) v ORDER BY n"
    )
    rules = f"columns.x = {column.rules}\n" if column.rules else ""
    shop: Shop = shops(types.source(f"query = '''{query}'''\nevent_time = \"at\"\n{rules}"))
    opened = shop.open()
    return read_rows(shop.project, shop.source, opened, opened.offer(), STRING_KEY, needed=["id"], latest=None)


def plain(value: object) -> object:
    if isinstance(value, list):
        return list(map(plain, value))
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


@pytest.mark.parametrize("name", SERVER_COLUMNS)
def test_each_column_becomes_what_the_table_says(name: str, types: Tables, shops: Shops) -> None:
    column = SERVER_COLUMNS[name]
    if column.refusal:
        with pytest.raises(SourceError) as refused:
            read(types, shops, column)
        assert column.refusal in str(refused.value)
        assert "cast" in str(refused.value.hint)
        return
    taken = read(types, shops, column)
    if column.left_out:
        assert "x" not in taken.frame.columns
        assert taken.warnings[0].endswith(f"left out, since they can't be carried: {column.left_out}")
        return
    assert [row.row for row in taken.rejected] == [number for number, _ in column.aside]
    for row, (_, reason) in zip(taken.rejected, column.aside, strict=True):
        assert reason in row.reason
    found = list(map(plain, taken.frame["x"].to_list())) if "x" in taken.frame.columns else []
    assert found == list(column.x)
    assert [type(value) for value in found] == [type(value) for value in column.x]
