"""Rows that the server packs are the rows of the table, bit for bit."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.offline.postgres.packed import can_pack
from featurestore.offline.postgres.store import PostgresStore
from featurestore.tables.types import history_schema
from tests.offline.conftest import postgres_project
from tests.offline.history import PAIR, learn, version
from tests.services_postgres import PostgresServer

VALUES: dict[str, st.SearchStrategy[object]] = {
    "float": st.floats(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)),
    "datetime": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)),
    "string": st.text(max_size=5),
    "list[float]": st.lists(st.floats(), max_size=3),
}
KEYS = st.tuples(
    st.integers(-(2**31), 2**31 - 1), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=4)
)


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_batches_are_what_a_scan_gives(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    made = postgres_project(postgres, tmp_path_factory.mktemp("store"))
    values = VALUES[kind].filter(lambda value: not (isinstance(value, str) and "\0" in value)) | st.none()
    of, store = version(kind, entity_type=PAIR), PostgresStore(made)
    rows = st.dictionaries(st.tuples(KEYS, st.integers(0, 3)), values, min_size=1, max_size=8)
    runs = data.draw(st.lists(rows, min_size=1, max_size=3))
    for number, run in enumerate(runs):
        learn(store, of, [(*keys, day, value) for (keys, day), value in run.items()], f"r{number}")
    expected = store.scan(of)
    batches = list(store.batches(of))
    postgres.run(f'DROP SCHEMA "fs_{made.name}" CASCADE')
    found = pl.concat(batches).sort("store", "product", "computed_at", "run_seq")
    assert found.schema == history_schema(of)
    assert found.equals(expected, null_equal=True)
    if kind == "float":  # -0.0 equals 0.0
        assert (
            found["value"]
            .reinterpret(signed=False)
            .equals(expected["value"].reinterpret(signed=False), null_equal=True)
        )


@pytest.mark.parametrize("kind", VALUES)
def test_what_is_packed(kind: str) -> None:
    assert can_pack(history_schema(version(kind))) == (kind not in ("string", "list[float]"))
