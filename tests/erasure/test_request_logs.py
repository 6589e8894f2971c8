"""Logs of requests name entities and hold their values: an erasure cleans those that the project knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from featurestore.config import load_project
from featurestore.model import Json
from featurestore.render.json.get import log_text
from featurestore.workflows.request_logs import NOTED, append, note
from tests.conftest import Folder

TOML = """
[project]
name = "test"
[entity_types.shelf]
keys = { store = "string", product = "int" }
[entity_types.patient]
keys = { patient_id = "string" }
[sources.visits]
type = "csv"
path = "visits.csv"
event_time = "at"
"""
FEATURES = """
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="int", source="visits")
def age() -> pl.Expr:
    return pl.col("age")
"""


@pytest.fixture
def logging(folder: Folder) -> Folder:
    """A project that knows of a log outside of it, in which nothing is yet."""
    folder.write({"featurestore.toml": TOML, "features/f.py": FEATURES})
    folder.write({"visits.csv": "patient_id,at,age\np1,2024-01-01,31\np2,2024-01-01,32\n"})
    folder.run("ingest")
    folder.run("sync")
    assert note(load_project(folder.root), log_of(folder)) is None
    return folder


def log_of(folder: Folder) -> Path:
    return folder.root.parent / "requests.jsonl"


def line(entity_type: str, entity_id: Json, **request: Json) -> str:
    return log_text([{"entity_type": entity_type, "entity_id": entity_id, "request": request, "features": {}}])


def erase(folder: Folder, entity_type: str, entity: str, code: int = 0) -> Any:
    return folder.json("delete", entity_type, entity, "--erase", "--yes", code=code)


@pytest.mark.parametrize(
    ("entity_type", "entity", "about"),
    [
        (
            "patient",
            "p1",
            [line("patient", "p1"), line("shelf", {"store": "s", "product": "7"}, asked_by="p1 himself")],
        ),
        ("patient", 'q"\\é', [line("patient", 'q"\\é')]),
        ("shelf", "store=s,product=7", [line("shelf", {"store": "s", "product": "7"})]),
        ("patient", "p1", ['{"entity_type":"patient","entity_id":"p1","requ\n']),
    ],
)
def test_lines_that_name_the_entity_go_and_all_others_stay(
    logging: Folder, entity_type: str, entity: str, about: list[str]
) -> None:
    others = [
        line("patient", "p10"), line("shelf", {"store": "s", "product": "70"}), line("patient", "s"),
        "no line of ours\n", "alias p1='ls'  # nor this, of some other file\n",
        line("patient", "p2", amount=7, words=["p11", None]),
    ]  # fmt: skip
    log_of(logging).write_text("".join([others[0], *about, *others[1:]]), encoding="utf-8")
    assert logging.json("delete", entity_type, entity, "--erase", "--dry-run")["logged_requests"] == len(about)
    logging.root.joinpath("visits.csv").unlink()
    assert erase(logging, entity_type, entity)["logged_requests"] == len(about)
    assert log_of(logging).read_text(encoding="utf-8") == "".join(others)


def test_what_get_and_the_rotated_log_hold_goes_too(logging: Folder) -> None:
    inside = logging.root / "inside.jsonl"
    logging.run("get", "patient", "p1", "p2", "--log", str(inside))
    append(inside, line("patient", "p1").encode(), most_bytes=10)  # so that it is moved aside
    append(inside, line("patient", "p2").encode())
    logging.root.joinpath("visits.csv").unlink()
    assert erase(logging, "patient", "p1")["logged_requests"] == 2
    for path in (inside, Path(f"{inside}.1")):
        assert "p1" not in path.read_text()
        assert "p2" in path.read_text()
    assert (logging.root / ".featurestore" / NOTED).read_text().count("inside.jsonl") == 1


def test_a_log_that_can_not_be_cleaned_is_named_until_it_is(logging: Folder) -> None:
    log = logging.root / f"{'x' * 245}.log"  # nothing can be written beside it: the name would be too long
    log.write_text(line("patient", "p1") + line("patient", "p2"))
    assert note(load_project(logging.root), log) is None
    logging.root.joinpath("visits.csv").unlink()
    said = erase(logging, "patient", "p1", code=3)["warnings"]
    assert [text for text in said if f"log of requests {log} can't be cleaned" in text and "featurestore sync" in text]
    assert "erasure was broken off" in logging.run("get", "patient", "p2").err
    log.write_text(line("patient", "p2"))
    logging.run("sync")
    assert "erasure" not in logging.run("get", "patient", "p2").err
