"""A type of source that is not files: one module and one line in the table are all that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl
import pytest

from featurestore.model import Json, Source
from featurestore.sources import types
from featurestore.sources.contract import Choose, Cursor, Offer, OpenSource, Place, ProjectFolders, Report, SourceType
from featurestore.tables.batch import Batch
from featurestore.toml import TomlTable
from tests.conftest import Folder

KEYS = ("topic",)
MESSAGES: list[dict[str, object]] = []

TOML = """
[project]
name = "test"
[entity_types.patient]
keys = { patient_id = "string" }
[sources.visits]
type = "topic"
topic = "visits"
event_time = "visit_at"
[sources.visits.columns]
age = { type = "int", max = 120 }
"""


@dataclass(frozen=True)
class TopicSettings:
    topic: str

    @property
    def location(self) -> str:
        return self.topic

    @property
    def identity(self) -> Mapping[str, Json]:
        return {}


class Topic:
    """`OpenSource` on a list of messages, whose cursor is an offset."""

    complete = True

    def __init__(self, name: str) -> None:
        self._name = name

    def offer(self) -> Offer:
        return Offer(content={"end": len(MESSAGES)}, cursor=len(MESSAGES), handle=len(MESSAGES))

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        return []

    def read(
        self, offer: Offer, *, since: Cursor = None, columns: Choose | None = None, report: Report
    ) -> Iterator[Batch]:
        start = since if isinstance(since, int) else 0
        assert isinstance(offer.handle, int)
        yield Batch(self._name, pl.DataFrame(MESSAGES[start : offer.handle]), first=start)

    def place(self, origin: str, row: int) -> Place:
        return Place(f"{origin} offset {row}")


def read_settings(table: TomlTable) -> TopicSettings:
    return TopicSettings(table.required_text("topic"))


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    assert isinstance(source.settings, TopicSettings)
    return Topic(source.settings.topic)


@pytest.fixture
def topic(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(types, "SOURCE_TYPES", MappingProxyType({**types.SOURCE_TYPES, "topic": __name__}))
    MESSAGES[:] = [{"patient_id": "001", "visit_at": "2024-01-01T00:00:00Z", "age": "50"}]
    folder.write({"featurestore.toml": TOML, "features/cardiac.py": FEATURE})
    return folder


FEATURE = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="int")
def age() -> pl.Expr:
    return pl.col("age")
"""


def test_this_module_is_a_type_of_source(topic: Folder) -> None:
    found: SourceType = types.find_type("topic")
    assert found.KEYS == ("topic",)


def test_a_source_that_is_not_files_goes_through_a_run(topic: Folder) -> None:
    assert topic.features()["age"]["rows_written"] == 1
    assert topic.features()["age"]["status"] == "unchanged"
    MESSAGES.append({"patient_id": "002", "visit_at": "2024-01-02T00:00:00Z", "age": "430"})
    feature = topic.features(code=3)["age"]
    assert (feature["rows_read"], feature["rows_rejected"], feature["rows_unchanged"]) == (2, 1, 1)
    (rejected,) = topic.json("runs", "2")["runs"][0]["rejected"]
    assert (rejected["place"], rejected["file"], rejected["row"]) == ("visits offset 1", None, None)
    assert rejected["reason"] == "'430' is above the maximum 120"
    assert "visits offset 1" in topic.run("runs", "2").out
    assert topic.json("lineage", "age")["source"] == {"name": "visits", "type": "topic", "path": "visits"}


def test_its_keys_are_its_own(topic: Folder) -> None:
    topic.edit("featurestore.toml", 'topic = "visits"', 'path = "visits"')
    error = topic.json("list", code=2)["error"]
    assert error["message"] == "sources.visits.path is not a known key"
    assert json.dumps(error)
