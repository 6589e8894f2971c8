"""An erased id that is a part of the keys of other entities: these are said, with the commands that erase them."""

from __future__ import annotations

import shlex

from tests.conftest import Folder

TOML = """
[project]
name = "shop"
[entity_types.p]
keys = { pid = "string" }
[entity_types.pd]
keys = { pid = "string", doc = "string" }
[sources.events]
type = "csv"
path = "events.csv"
event_time = "at"
timezone = "UTC"
id = ["n"]
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="p", data_type="float", source="events")
def of_p() -> pl.Expr:
    return pl.col("x").last().over("pid", "at")


@feature(entity_type="pd", data_type="float", source="events")
def of_pd() -> pl.Expr:
    return pl.col("x")
"""
ROWS = "n,pid,doc,at,x\n1,A,d1,2024-01-01,1.5\n2,A,d2,2024-01-02,2.5\n3,B,d1,2024-01-03,3.5\n"


def test_entities_with_the_erased_keys_among_theirs_are_said_until_they_are_erased(folder: Folder) -> None:
    folder.write({"featurestore.toml": TOML, "features/f.py": FEATURES, "events.csv": ROWS})
    folder.run("ingest")
    folder.write({"events.csv": ROWS.splitlines()[0] + "\n" + ROWS.splitlines()[3] + "\n"})
    done = folder.json("delete", "p", "A", "--erase", "--yes", code=3)
    (line,) = done["namesakes"]
    assert line.startswith("pd has entities with the keys of p A, which are left: ")
    for command in line.partition("left: ")[2].split(" && "):
        folder.run(*shlex.split(command)[1:], "--yes")
    assert folder.json("delete", "p", "A", "--erase", "--yes")["namesakes"] == []
    assert folder.json("delete", "pd", "pid=B,doc=d1", "--erase", "--dry-run")["namesakes"] == []
