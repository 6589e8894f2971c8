"""No id collides with another or means anything to a store: from the source to what is served, byte for byte."""

from __future__ import annotations

import json

import polars as pl
import pytest

from tests.conftest import Folder
from tests.services import Server

NASTY = [
    "", " ", "a", "A", " a", "a ", "007", "7", "+7", "7.0", "a,b", "a%2Cb", "a%2cb", "%", "%%", "%00", "a:b",
    "fs1:test:@meta", "@active", "@meta", "{a}", "{", "}", "*", "?", "[a-z]", "\\", "\\x00", "a\x00b", "\x00", "a\nb",
    "a\r\nb", "a\rb", "\r", "a\r", "\n",
    "a\tb", "\x1b[2J", "é", "e\u0301", "日本語", "😀", "\u200b", "\ufeffa", "\u202eabc", "ﬁ", "'", '"',
    '{"patient_id": "a"}', "patient_id=a", "../../etc/passwd", "$(id)", "'; DROP TABLE entities; --",
    "*3\r\n$3\r\nSET\r\n", "=cmd()", "[/x]", "null", "NaN", "a" * 4_000, "é" * 1_000,
]  # fmt: skip


@pytest.fixture(params=["sqlite", "valkey"])
def served(request: pytest.FixtureRequest, project: Folder) -> Folder:
    """A feature with a different value for every nasty id, on each kind of online store."""
    if request.param == "valkey":
        server: Server = request.getfixturevalue("own_server")
        project.edit("featurestore.toml", "[entity_types", f'[online]\nurl = "{server.url}"\n[entity_types')
    project.edit("featurestore.toml", 'type = "csv"\npath = "visits*.csv"', 'type = "ndjson"\npath = "visits.ndjson"')
    rows = [{"patient_id": name, "visit_at": "2024-01-01T00:00:00Z", "age": at} for at, name in enumerate(NASTY)]
    project.write({"visits.ndjson": "".join(json.dumps({**row, "chol": 1.0}) + "\n" for row in rows)})
    project.run("ingest")
    return project


def test_each_id_is_served_its_own_value(served: Folder) -> None:
    assert served.json("sync")["features"][0]["entities_written"] == len(NASTY)
    found = served.json("verify")
    assert (found["checked"], found["missing"], found["unexpected"], found["different"]) == (len(NASTY), 0, 0, 0)
    typed = [json.dumps({"patient_id": name}) if name.startswith("{") or "\x00" in name else name for name in NASTY]
    answers = served.json("get", "patient", *typed)["entities"]
    assert [item["entity_id"] for item in answers] == NASTY
    values = [item["features"]["age_share"]["value"] for item in answers]
    assert values == pytest.approx([at / 100 for at in range(len(NASTY))])
    assert "\x1b" not in served.run("get", "patient", "\x1b[2J").out


def test_line_breaks_in_an_id_are_found_everywhere(served: Folder) -> None:
    """By a history, and by labels in CSV, where they are in quotes."""
    names = [name for name in NASTY if "\r" in name or "\n" in name]
    labels = "".join(f'"{name}",2024-03-01T00:00:00Z\n' for name in names)
    (served.root / "labels.csv").write_bytes(f"patient_id,at\n{labels}".encode())
    output = str(served.root / "joined.parquet")
    served.run(
        "join", str(served.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at", "--output", output
    )
    joined = pl.read_parquet(output)
    assert joined["patient_id"].to_list() == names
    assert joined["age_share"].to_list() == pytest.approx([NASTY.index(name) / 100 for name in names])
    for name in names:
        (value,) = served.json("history", "age_share", name)["values"]
        assert value["value"] == pytest.approx(NASTY.index(name) / 100)


def test_deleting_one_leaves_the_others(served: Folder) -> None:
    served.run("sync")
    gone = ["a,b", "*", "e\u0301", "%"]
    for name in gone[:2]:
        served.run("delete", "patient", name)
    for name in gone[2:]:
        served.run("delete", "patient", name, "--erase", "--yes", code=3)  # the source still names it
    served.run("sync")
    answers = served.json(
        "get", "patient", *(name for name in NASTY if "\x00" not in name and not name.startswith("{"))
    )
    missing = [item["entity_id"] for item in answers["entities"] if item["features"]["age_share"]["status"] != "ok"]
    assert sorted(missing) == sorted(gone)


def test_what_is_not_unicode_is_exit_2(served: Folder) -> None:
    served.run("sync")
    assert "not valid Unicode" in served.run("get", "patient", "\udcff", code=2).err
