"""A column that one file has as text and another as numbers: nothing of it depends on their order in silence."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import permutations

import pytest

from tests.conftest import Folder

TOML = """
[project]
name = "test"
[entity_types.user]
keys = { id = "string" }
[sources.events]
type = "ndjson"
path = "*.ndjson"
event_time = "at"
timezone = "UTC"
"""
FEATURE = """
import polars as pl
from featurestore import feature


@feature(entity_type="user", data_type="string", scope="row")
def x(df: pl.DataFrame) -> pl.DataFrame:
    return df.select("id", value=pl.col("x").cast(pl.String))
"""
LARGE = (1 << 60) + 1


def lines(name: str, day: int, values: list[object]) -> str:
    rows = [{"id": f"{name}{at}", "at": f"2024-01-0{day}", "x": value} for at, value in enumerate(values)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def held(folder: Folder) -> dict[str, str]:
    ids = [f"{name}{at}" for name in "ab" for at in range(2)]
    folder.write({"labels/l.csv": "id,at\n" + "".join(f"{one},2024-02-01\n" for one in ids)})
    folder.run("join", "labels/l.csv", "-f", "x", "--timestamp-column", "at", "--output", "o.ndjson")
    found = [json.loads(line) for line in (folder.root / "o.ndjson").read_text().splitlines()]
    return {row["id"]: row["x"] for row in found}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(permutations([("a", ["1.50", "x"]), ("b", [1.5, 2.0])])))
def test_numbers_in_a_column_of_texts_are_said_whichever_file_comes_first(
    folder: Folder, order: tuple[tuple[str, list[object]], ...], together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root)
    folder.write({"featurestore.toml": TOML, "features/events.py": FEATURE})
    said = ""
    for number, (name, values) in enumerate(order):
        folder.write({f"{number}.ndjson": lines(name, number + 1, values)})
        if not together or number:
            ran = folder.run("ingest", code=3 if not together and number and order[0][0] == "b" else 0)
            said = " ".join((ran.out + ran.err).split())
    if order[0][0] == "b" and not together:
        assert "b.ndjson" not in said
        assert "'1.50' is not a float; its type is pinned" in said
        assert held(folder) == {"a0": None, "a1": None, "b0": "1.5", "b1": "2.0"}
    else:
        assert "column 'x' is text, and has values that are none and are read as they are written" in said
        assert f"{[name for name, _ in order].index('b')}.ndjson line 1: '1.5'" in said
        assert held(folder) == {"a0": "1.50", "a1": "x", "b0": "1.5", "b1": "2.0"}


def test_integers_that_no_float_holds_stay_as_they_are_where_floats_come(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root)
    folder.write({"featurestore.toml": TOML, "features/events.py": FEATURE, "a.ndjson": lines("a", 1, [LARGE, 1])})
    folder.run("ingest")
    folder.write({"b.ndjson": lines("b", 2, [1.5, 2.5])})
    ran = folder.run("ingest", code=3)
    said = " ".join((ran.out + ran.err).split())
    assert "column 'x' was int and is float from now on" in said
    assert f"'{LARGE}' is not a float" in said
    assert held(folder) == {"a0": str(LARGE), "a1": "1.0", "b0": "1.5", "b1": "2.5"}
    assert {item["rows_written"] for item in folder.features("--full", code=3).values()} == {0}


@pytest.mark.parametrize("kind", ["csv", "sqlite"])
def test_a_column_that_is_text_for_one_large_integer_is_said(
    folder: Folder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root)
    folder.write({"featurestore.toml": TOML.replace("*.ndjson", f"events.{kind}").replace("ndjson", kind)})
    folder.write({"features/events.py": FEATURE})
    rows = [("a0", "2024-01-01", 1.5), ("a1", "2024-01-02", LARGE), ("b0", "2024-01-03", 2)]
    if kind == "csv":
        folder.write({"events.csv": "id,at,x\n" + "".join(f"{one},{at},{x}\n" for one, at, x in rows)})
    else:
        with closing(sqlite3.connect(folder.root / "events.sqlite")) as database, database:
            database.execute("CREATE TABLE t (id TEXT, at TEXT, x)")
            database.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    if kind == "sqlite":
        folder.edit("featurestore.toml", 'event_time = "at"', 'event_time = "at"\ntable = "t"')
    ran = folder.run("ingest")
    said = " ".join((ran.out + ran.err).split())
    assert f"text because no float holds {LARGE}" in said if kind == "csv" else "column 'x' is text, and has" in said
    assert held(folder) == {"a0": "1.5", "a1": str(LARGE), "b0": "2", "b1": None}
