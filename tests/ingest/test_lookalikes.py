"""A new entity that a person would take for one that is held is said once: spreadsheets make 7.0 of 7."""

from __future__ import annotations

import pytest

from tests.conftest import Folder

TOML = """
[project]
name = "test"
[entity_types.seat]
keys = { room = "string", row = "int" }
[sources.visits]
type = "csv"
path = "visits*.csv"
event_time = "at"
"""
FEATURES = """
import polars as pl
from featurestore import feature


@feature(entity_type="seat", data_type="int")
def taken() -> pl.Expr:
    return pl.col("taken")
"""


@pytest.mark.parametrize(
    ("held", "new", "said"),
    [
        ("7", "7.0", True), ("7.0", "7", True), ("ann", " Ann", True), ("ANN", "ann", True),
        ("jos\u00e9", "jose\u0301", True),
        ("7", "70", False), ("ann", "anna", False), ("7", "7", False),
    ],
)  # fmt: skip
def test_a_new_entity_that_looks_like_a_held_one_is_said_once(folder: Folder, held: str, new: str, said: bool) -> None:
    folder.write({"featurestore.toml": TOML, "features/f.py": FEATURES})
    folder.write({"visits-1.csv": f'room,row,at,taken\n"{held}",1,2024-01-01,1\n"other",1,2024-01-01,1\n'})
    assert "each is an entity" not in folder.run("ingest").err
    folder.write({"visits-2.csv": f'room,row,at,taken\n"{new}",1,2024-01-02,1\n"{new}",2,2024-01-02,1\n'})
    lines = [line for line in folder.json("ingest")["warnings"] if "is held" in line]
    assert len(lines) == said
    assert not said or (repr(new) in lines[0] and repr(held) in lines[0])
    folder.write({"visits-3.csv": f'room,row,at,taken\n"{new}",1,2024-01-03,1\n'})
    assert "is held" not in folder.run("ingest").err
