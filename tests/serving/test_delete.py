"""``delete``: deleted values stay deleted, earlier values stay, and erasing leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from featurestore.config import load_project
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.online.open import open_online
from featurestore.point_in_time.entities import parse_entity
from featurestore.workflows.erasure.erase import erase
from featurestore.workflows.sync import active_features, sync
from tests.conftest import PROJECT, Folder, Once

LABELS = "patient_id,at\n001,2024-01-20T00:00:00Z\n001,2024-03-01T00:00:00Z\n002,2024-03-01T00:00:00Z\n"


def make_synced(made: Folder) -> None:
    made.write({**PROJECT, "labels.csv": LABELS})
    made.run("ingest")
    made.run("sync")


@pytest.fixture
def synced(folder: Folder, once: Once) -> Folder:
    return once(make_synced, folder)


def joined(folder: Folder, *options: str) -> list[str]:
    out = folder.run(
        "join", str(folder.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at", *options
    ).out
    return [line.rsplit(",", 1)[1] for line in out.splitlines()[1:]]


def served(folder: Folder, *ids: str) -> list[Any]:
    found = folder.json("get", "patient", *ids, "-f", "age_share")["entities"]
    return [item["features"]["age_share"]["value"] for item in found]


def test_from_then_on_there_is_no_value(synced: Folder) -> None:
    found = synced.json("delete", "patient", "001", "--at", "2024-02-15")
    assert (found["entity_id"], found["erased"], found["at"]) == ("001", False, "2024-02-15T00:00:00Z")
    assert found["features"] == [{"name": "age_share", "rows": 1}]
    assert joined(synced) == ["0.5", "", "0.6"]
    assert served(synced, "001", "002") == [0.51, 0.6], "until the next sync"
    assert synced.json("sync")["features"][0]["entities_written"] == 1
    assert served(synced, "001", "002") == [None, 0.6]
    assert synced.json("get", "patient", "001")["entities"][0]["features"]["age_share"]["status"] == "missing"


def test_later_values_are_deleted_too(synced: Folder) -> None:
    assert synced.json("delete", "patient", "001", "--at", "2024-01-10")["features"] == [
        {"name": "age_share", "rows": 2}
    ]
    assert joined(synced) == ["", "", "0.6"]


def test_now_is_the_default(synced: Folder) -> None:
    synced.run("delete", "patient", "001")
    assert joined(synced) == ["0.5", "0.51", "0.6"]
    synced.run("sync")
    assert served(synced, "001") == [None]


def test_a_second_time_there_is_nothing_to_do(synced: Folder) -> None:
    synced.run("delete", "patient", "001")
    assert "nothing to do" in synced.run("delete", "patient", "001").out
    assert "nothing to do" in synced.run("delete", "patient", "nobody").out
    assert len(synced.json("runs")["runs"]) == 2


def test_a_dry_run_deletes_nothing(synced: Folder) -> None:
    assert "would delete patient 001" in synced.run("delete", "patient", "001", "--dry-run").out
    assert "would erase patient 001: 2 rows" in synced.run("delete", "patient", "001", "--erase", "--dry-run").out
    assert joined(synced) == ["0.5", "0.51", "0.6"]
    assert served(synced, "001") == [0.51]


def test_as_of_before_the_deletion_the_values_are_there(synced: Folder) -> None:
    before = synced.json("runs")["runs"][0]["finished_at"]
    synced.run("delete", "patient", "001", "--at", "2024-01-01")
    assert joined(synced) == ["", "", "0.6"]
    assert joined(synced, "--as-of", before) == ["0.5", "0.51", "0.6"]


def test_reading_rows_again_does_not_undo_a_deletion(synced: Folder) -> None:
    synced.run("delete", "patient", "001", "--at", "2024-02-15")
    assert synced.features("--full")["age_share"]["rows_written"] == 0
    assert joined(synced) == ["0.5", "", "0.6"]


def test_what_is_held_after_the_instant_is_withdrawn_and_later_rows_bring_the_entity_back(synced: Folder) -> None:
    synced.run("delete", "patient", "001", "--at", "2024-01-10")
    run = synced.json("runs")["runs"][0]["features"][0]
    assert (run["rows_written"], run["rows_withdrawn"]) == (1, 1)
    values = synced.json("history", "age_share", "001")["values"]
    assert [(item["tombstone"], item["withdrawn"]) for item in values].count((False, True)) == 1
    assert joined(synced) == ["", "", "0.6"]
    synced.features("--full")
    assert joined(synced) == ["", "0.51", "0.6"], "what is dated after the deletion is made of later rows"


def test_a_later_version_knows_of_the_deletion(synced: Folder) -> None:
    synced.run("delete", "patient", "001", "--at", "2024-02-15")
    synced.edit("features/cardiac.py", "/ 100", "/ 10")
    assert synced.features()["age_share"]["version"] == 2
    assert joined(synced) == ["5.0", "", "6.0"]
    synced.run("sync")
    assert served(synced, "001", "002") == [None, 6.0]
    synced.json("delete", "patient", "001", "--erase", "--yes", code=3)
    assert synced.features("--full")["age_share"]["rows_written"] == 2
    assert joined(synced) == ["5.0", "5.1000000000000005", "6.0"], "an erasure forgets that it was deleted too"


def test_a_late_row_from_before_does_not_come_online(synced: Folder) -> None:
    synced.run("delete", "patient", "001")
    synced.write({"visits2.csv": "patient_id,visit_at,age,chol\n001,2024-02-10T00:00:00Z,52,1\n"})
    synced.run("ingest")
    synced.run("sync")
    assert served(synced, "001") == [None]


def test_a_later_row_comes_online(synced: Folder) -> None:
    synced.run("delete", "patient", "001", "--at", "2024-02-15")
    synced.write({"visits2.csv": "patient_id,visit_at,age,chol\n001,2024-02-20T00:00:00Z,52,1\n"})
    synced.run("ingest")
    synced.run("sync")
    assert joined(synced) == ["0.5", "0.52", "0.6"]
    assert served(synced, "001") == [0.52]


def test_without_event_times_an_unchanged_row_does_not_come_back(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"\n', "")
    project.write({"visits.csv": "patient_id,age\n001,50\n002,60\n"})
    project.edit("featurestore.toml", 'chol = { type = "float" }\n', "")
    project.run("ingest")
    project.run("delete", "patient", "001")
    project.write({"visits.csv": "patient_id,age\n001,50\n002,61\n"})
    assert project.features()["age_share"]["rows_written"] == 1
    project.run("sync")
    assert served(project, "001", "002") == [None, 0.61]


def test_every_version_is_deleted_and_the_active_one_stays_active(synced: Folder) -> None:
    synced.edit("features/cardiac.py", "/ 100", "/ 10")
    synced.run("ingest")
    synced.run("sync")
    synced.run("delete", "patient", "001", "--at", "2024-01-01")
    assert synced.json("show", "age_share")["active_version"] == 2
    synced.run("sync")
    assert served(synced, "001", "002") == [None, 6.0]
    assert synced.json("verify")["missing"] == 0


def test_a_deletion_is_in_the_audit_log(synced: Folder) -> None:
    run_id = synced.json("delete", "patient", "001")["run_id"]
    run = synced.json("runs")["runs"][0]
    assert (run["run_id"], run["source"], run["features"][0]["note"]) == (run_id, "delete", "1 entity deleted")
    assert synced.json("ingest")["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["patinet", "1"], "did you mean 'patient'"),
        (["patient", "1", "--at", "yesterday"], "is not a time"),
        (["patient", "1", "--at", "2999-01-01"], "lies in the future"),
        (["patient", "1", "--erase", "--at", "2024-01-01"], "whatever their time"),
    ],
)
def test_wrong_words_change_nothing(synced: Folder, arguments: list[str], words: str) -> None:
    assert words in synced.run("delete", *arguments, code=2).err


def test_erasing_leaves_nothing_anywhere(project: Folder) -> None:
    project.write({"visits.csv": "patient_id,visit_at,age,chol\nzz-unmistakable-zz,2024-01-01T00:00:00Z,50,1\n"
                                 "002,2024-01-01T00:00:00Z,60,1\nzz-unmistakable-zz,2024-01-02T00:00:00Z,500,1\n",
                   "labels.csv": LABELS})  # fmt: skip
    project.run("ingest", code=3)
    project.run("sync")
    (project.root / "labels.csv").write_text("patient_id,at\nzz-unmistakable-zz,2024-03-01T00:00:00Z\n")
    joined(project, "--dataset", "trial")
    assert project.json("runs", "1")["runs"][0]["rejected"][0]["values"]["patient_id"] == "zz-unmistakable-zz"
    found = project.json("delete", "patient", "zz-unmistakable-zz", "--erase", "--yes", code=3)
    assert (found["erased"], found["features"]) == (True, [{"name": "age_share", "rows": 1}])
    assert found["named_in"] == ["visits.csv"]
    assert served(project, "zz-unmistakable-zz", "002") == [None, 0.6]
    assert project.json("runs", "1")["runs"][0]["rejected"] == []
    assert holding(project.root / ".featurestore", b"unmistakable") == []
    project.run("sync")
    assert project.json("verify")["checked"] == 1
    project.edit("visits.csv", "zz-unmistakable-zz", "003")
    assert "nothing to do" in project.run("delete", "patient", "zz-unmistakable-zz", "--erase", "--yes").out


def test_stored_labels_are_erased_with_the_entity_they_name(synced: Folder) -> None:
    trial, others = synced.root / "trial.csv", synced.root / "others.csv"
    trial.write_text(LABELS)
    others.write_text("patient_id,at\n002,2024-03-01T00:00:00Z\n")
    for name, path in (("trial", trial), ("again", trial), ("others", others)):
        synced.run("join", str(path), "-f", "age_share", "--timestamp-column", "at", "--dataset", name)
    planned = synced.run("delete", "patient", "001", "--erase", "--dry-run").out
    assert "would erase patient 001: 2 rows" in planned
    assert (
        "would erase the labels stored for 2 data sets, which name patient 001; trial, again can't be rebuilt then"
        in planned
    )
    synced.run("dataset", "trial", "--verify")
    synced.edit("visits.csv", "001", "003")
    found = synced.json("delete", "patient", "001", "--erase", "--yes")
    assert found["datasets"] == ["trial", "again"]
    assert synced.json("runs")["runs"][0]["features"][0]["note"] == "1 entity erased, and the labels of trial, again"
    assert synced.json("dataset", "trial")["labels"]["kept"] is False
    assert "erased" in synced.run("dataset", "trial").out
    failed = synced.run("dataset", "trial", "--rebuild", code=4).err
    assert "the copy of its labels named an entity that was erased" in failed
    assert "can't be made again" in synced.run("dataset", "again", "--verify", code=4).err
    # With the file that its owner may still have, it is said what else is gone.
    named = synced.run("dataset", "trial", "--rebuild", "--labels", str(trial), code=4).err
    assert "age_share: 2 of 3 rows of history were erased since" in named
    assert synced.json("dataset", "others", "--verify")["same"] is True
    assert "nothing to do" in synced.run("delete", "patient", "001", "--erase", "--yes").out


def test_stored_labels_are_erased_though_there_is_no_value(synced: Folder) -> None:
    labels = synced.root / "labels.csv"
    labels.write_text("who,at\n404,2024-03-01T00:00:00Z\n002,2024-03-01T00:00:00Z\n")
    synced.run("join", str(labels), "-f", "age_share", "--timestamp-column", "at", "--entity-column", "who",
               "--dataset", "trial")  # fmt: skip
    found = synced.json("delete", "patient", "404", "--erase", "--yes")
    assert (found["features"], found["datasets"], found["run_id"] is None) == ([], ["trial"], False)
    assert synced.json("dataset", "trial", "--verify", code=4)["error"]["code"]


def holding(folder: Path, what: bytes) -> list[Path]:
    """The files that contain some bytes."""
    return [path for path in folder.rglob("*") if path.is_file() and what in path.read_bytes()]


def test_the_next_sync_erases_where_the_online_store_was_unreachable(synced: Folder) -> None:
    synced.edit("featurestore.toml", "[entity_types", '[online]\nurl = "redis://127.0.0.1:1/0"\n[entity_types')
    left = synced.run("delete", "patient", "001", "--erase", "--yes", "-q", code=3).err
    assert "the next command that writes erases the online values" in left
    assert {line.partition(" ")[0] for line in left.splitlines()} == {"error:"}
    synced.edit("featurestore.toml", '[online]\nurl = "redis://127.0.0.1:1/0"\n', "")
    assert served(synced, "001") == [0.51]
    assert "erased" in synced.run("sync").err
    assert served(synced, "001") == [None]


def test_a_running_sync_does_not_undo_an_erasure(synced: Folder) -> None:
    project = load_project(synced.root)
    offline, online = DuckDBStore(project), open_online(project)
    merge = online.merge

    def merge_late(batches: Any) -> Any:
        """What this sync has read is written only after the erasure."""
        online.merge = merge  # type: ignore[method-assign]
        kept = list(batches)
        entity_type = project.entity_types["patient"]
        erase(project, offline, online, entity_type, parse_entity(entity_type, "001"))
        return merge(kept)

    online.merge = merge_late  # type: ignore[method-assign]
    sync(project, offline, online, active_features(project, offline), "full")
    online.close()
    assert served(synced, "001", "002") == [None, 0.6]
    assert synced.json("verify")["unexpected"] == 0
