"""Attributes that hold whatever the date: `valid` in a source without event times."""

from __future__ import annotations

import pytest

from tests.conftest import Folder

LABELS = "patient_id,at\n001,1999-01-01T00:00:00Z\n002,2024-03-01T00:00:00Z\n"


@pytest.fixture
def static(project: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    project.edit("featurestore.toml", 'event_time = "visit_at"\n', 'valid = "always"\n')
    project.edit("featurestore.toml", 'chol = { type = "float" }\n', "")
    project.write({"visits.csv": "patient_id,age\n001,50\n002,60\n", "labels.csv": LABELS})
    monkeypatch.chdir(project.root)
    return project


def joined(folder: Folder, *options: str, feature: str = "age_share") -> list[str]:
    words = ("join", "labels.csv", "-f", feature, "--timestamp-column", "at", *options)
    return [line.rsplit(",", 1)[1] for line in folder.run(*words).out.splitlines()[1:]]


def test_they_answer_for_any_label_and_go_online(static: Folder) -> None:
    assert static.features()["age_share"]["rows_written"] == 2
    assert joined(static) == ["0.5", "0.6"]
    (value,) = static.json("history", "age_share", "001")["values"]
    assert value["computed_at"] == "0001-01-01T00:00:00Z"
    static.run("sync")
    assert static.json("get", "patient", "001")["entities"][0]["features"]["age_share"]["value"] == 0.5
    assert static.json("verify")["checked"] == 2


def test_a_changed_one_is_a_correction_at_the_same_instant(static: Folder) -> None:
    static.run("ingest")
    before = static.json("runs")["runs"][0]["finished_at"]
    static.write({"visits.csv": "patient_id,age\n001,51\n002,60\n"})
    found = static.features()["age_share"]
    assert (found["rows_written"], found["rows_corrected"], found["rows_unchanged"]) == (0, 1, 1)
    assert joined(static) == ["0.51", "0.6"]
    assert joined(static, "--as-of", before) == ["0.5", "0.6"]
    assert joined(static, "--known") == ["", ""], "no run had learned it by then"
    assert static.features()["age_share"]["status"] == "unchanged"


def test_a_date_is_where_they_begin_and_part_of_the_version(static: Folder) -> None:
    static.run("ingest")
    static.edit("featurestore.toml", '"always"', '"2020-01-01"')
    planned = static.json("plan")["features"][0]
    assert planned["change"] == "changed"
    assert "source valid" in static.run("plan").out
    static.run("ingest")
    assert joined(static) == ["", "0.6"]
    assert joined(static, feature="age_share@1") == ["0.5", "0.6"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"always"', '"allways"', 'is neither "always" nor a date'),
        ('valid = "always"', 'valid = "always"\nevent_time = "at"', "dates the rows of a source without event_time"),
    ],
)
def test_what_it_can_not_be_is_refused(static: Folder, old: str, new: str, words: str) -> None:
    static.edit("featurestore.toml", old, new)
    ran = static.run("ingest", code=2)
    assert words in ran.err
    assert "sources.visits.valid" in ran.err


def test_max_age_on_them_is_refused(static: Folder) -> None:
    static.edit("features/cardiac.py", 'data_type="float"', 'data_type="float", max_age="30d"')
    assert "max_age= is for values that grow old" in static.run("ingest", "age_share", code=2).err
