"""Rows of a table read by a cursor that are set aside: as many as the table holds now, however often each one came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Folder
from tests.often import nightly
from tests.sources.postgres import Tables, tables
from tests.sources.test_postgresql import use
from tests.sources.test_postgresql_cursor import CURSOR, TABLE

__all__ = ["tables"]

RULE = "[sources.visits.columns]\nn = { type = 'int', min = 0 }"
# A row changes: what makes it one that is set aside, and how many of the table are.
BROKEN = {
    "a rule": ("n = -1 - n * n", "n < 0"),
    "no key": ("id = NULL", "id IS NULL"),
    "no time": ("at = NULL", "at IS NULL"),
    "ahead of the clock": ("at = now() + interval '1 year'", "at > now()"),
}


@pytest.fixture
def visits(request: pytest.FixtureRequest, tables: Tables, folder: Folder) -> Iterator[Folder]:
    tables.run(f"{TABLE} INSERT INTO visits SELECT i, i, '2024-01-01'::timestamptz, i FROM generate_series(1, 20) i")
    store = ""
    if request.param == "postgresql":
        store = f'[offline]\nurl = "{tables.server.url}"\n'
    yield use(folder, f"{tables.source(CURSOR)}\n{RULE}\n{store}")
    tables.server.run("DROP SCHEMA IF EXISTS fs_shop CASCADE")


def change(tables: Tables, what: str, keys: str) -> None:
    tables.run(f"UPDATE visits SET {what}, changed = clock_timestamp() WHERE key IN ({keys})")


def set_aside(project: Folder) -> list[Any]:
    """The ids of rows that the last run set aside, which is what every count says."""
    run = project.json("ingest", code=3)
    rejected = project.json("runs", run["run_id"], "--rejected")["rejected"]
    assert [one["rows_rejected"] for one in run["features"]] == [len(rejected)]
    checks = [check["what"] for check in project.json("doctor")["checks"] if "set aside" in check["what"]]
    assert [what.partition(" row")[0] for what in checks] == [str(len(rejected))]
    assert [one["rows_rejected"] for one in project.json("status")["features"]] == [len(rejected)]
    return sorted(row["values"]["key"] for row in rejected)


@pytest.mark.parametrize(
    ("visits", "why"),
    [
        *(("duckdb", why) for why in BROKEN),
        ("postgresql", "a rule"),
        *nightly(("postgresql", why) for why in BROKEN if why != "a rule"),
    ],
    indirect=["visits"],
)
def test_a_row_that_comes_again_counts_once_until_it_is_accepted(tables: Tables, visits: Folder, why: str) -> None:
    what, where = BROKEN[why]
    change(tables, what, "3, 4")
    assert set_aside(visits) == [3, 4]
    for _ in range(2):
        change(tables, "n = n - 1", "3, 5")
        assert set_aside(visits) == [3, 4]
    change(tables, "n = 1, id = 'x', at = '2024-01-02'", "3")
    assert set_aside(visits) == [4]
    change(tables, what, "3, 4, 7")
    assert set_aside(visits) == [key for (key,) in tables.rows(f"SELECT key FROM visits WHERE {where} ORDER BY 1")]


@pytest.mark.parametrize("visits", ["duckdb", "postgresql"], indirect=True)
def test_a_value_that_does_not_fit_its_pin_counts_once_until_it_is_accepted(tables: Tables, visits: Folder) -> None:
    visits.edit("featurestore.toml", RULE, "")
    visits.run("ingest")
    tables.run("ALTER TABLE visits ALTER COLUMN n TYPE text USING n::text")
    change(tables, "n = 'none'", "3, 4")
    assert set_aside(visits) == [3, 4]
    change(tables, "n = 'nothing'", "3")
    assert set_aside(visits) == [3, 4]
    change(tables, "n = '1'", "3")
    assert set_aside(visits) == [4]
    change(tables, "n = '1'", "4")
    assert "set aside" not in visits.run("ingest").err + visits.run("doctor").out
