"""A name that is mistyped is wrong usage in every command: one code, one exit code, and the name that was meant."""

from __future__ import annotations

import pytest

from tests.conftest import Folder

LABELS = {"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"}
FEATURE = [
    ["show", "age_shar"],
    ["lineage", "age_shar"],
    ["plan", "age_shar"],
    ["lock", "age_shar"],
    ["diff", "age_shar"],
    ["promote", "age_shar", "1"],
    ["rename", "age_shar", "other"],
    ["retire", "age_shar"],
    ["ingest", "age_shar"],
    ["runs", "--feature", "age_shar"],
    ["join", "labels.csv", "-f", "age_shar", "--timestamp-column", "at"],
    ["latest", "patient", "-f", "age_shar"],
    ["get", "patient", "001", "-f", "age_shar"],
    ["history", "age_shar", "001"],
    ["export", "age_shar"],
    ["sync", "--feature", "age_shar"],
    ["verify", "age_shar"],
    ["stats", "age_shar"],
    ["drift", "age_shar"],
    ["baseline", "age_shar"],
]
ENTITY_TYPE = [
    ["list", "--entity-type", "patinet"],
    ["new", "other", "--entity-type", "patinet"],
    ["get", "patinet", "001"],
    ["latest", "patinet", "-f", "age_share"],
    ["delete", "patinet", "001"],
    ["join", "labels.csv", "-f", "age_share", "--timestamp-column", "at", "--entity", "patinet=patient_id"],
    ["join", "labels.csv", "-f", "age_share", "--timestamp-column", "at", "--entity-type", "patinet"],
]
SOURCE = [
    ["list", "--source", "visit"],
    ["new", "other", "--source", "visit"],
    ["preview", "visit"],
    ["ingest", "--source", "visit"],
    ["ingest", "--restart-source", "visit"],
]


@pytest.mark.parametrize(
    ("kind", "meant", "commands"),
    [("feature", "age_share", FEATURE), ("entity type", "patient", ENTITY_TYPE), ("source", "visits", SOURCE)],
    ids=["feature", "entity-type", "source"],
)
def test_a_mistyped_name_is_the_same_error_in_every_command(
    ingested: Folder, monkeypatch: pytest.MonkeyPatch, kind: str, meant: str, commands: list[list[str]]
) -> None:
    ingested.write(LABELS)
    monkeypatch.chdir(ingested.root)
    ingested.run("sync")
    before = ingested.json("runs")["runs"]
    for command in commands:
        error = ingested.json(*command, code=2)["error"]
        assert (error["code"], error["hint"]) == ("usage", f"did you mean {meant!r}?"), command
        assert error["message"].startswith(f"there is no {kind} ") or command[0] == "get", command
    assert ingested.json("runs")["runs"] == before  # none of it was a run


def test_a_name_that_a_broken_file_may_declare_is_no_usage_error(ingested: Folder) -> None:
    ingested.write({"features/broken.py": "from featurestore import feature\n\n\ndef (:\n"})
    for command in (["show", "other"], ["diff", "other"], ["runs", "--feature", "other"], ["history", "other", "1"]):
        error = ingested.json(*command, code=2)["error"]
        assert error["code"] == "declaration", command
        assert "broken.py" in error["where"], command


def test_runs_of_a_feature_that_has_none_yet_are_none(project: Folder) -> None:
    assert project.json("runs", "--feature", "age_share") == {"runs": []}
    error = project.json("runs", "--status", "faild", code=2)["error"]
    assert error["hint"] == "did you mean 'failed'?"
