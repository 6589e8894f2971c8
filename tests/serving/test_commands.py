"""``sync`` and ``get`` through the executable's own entry: JSON, text, exit codes, words that help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import duckdb
import polars as pl
import pytest

from featurestore.config import load_project
from featurestore.online.open import open_online
from featurestore.serving.online_tables import OnlineTables
from tests.conftest import PROJECT, Folder, Once
from tests.services import Server


def make_synced(made: Folder) -> None:
    made.write(PROJECT)
    made.run("ingest")
    made.run("sync")


@pytest.fixture
def synced(folder: Folder, once: Once) -> Folder:
    return once(make_synced, folder)


def test_sync_reports_what_it_wrote(ingested: Folder) -> None:
    found = ingested.json("sync")
    assert (found["mode"], found["warnings"], found["dry_run"]) == ("incremental", [], False)
    (feature,) = found["features"]
    assert (feature["name"], feature["version"], feature["entities_written"]) == ("age_share", 1, 2)
    assert (feature["watermark"], len(feature["sha256"])) == (1, 64)


def test_a_second_sync_has_nothing_to_do(synced: Folder) -> None:
    said = synced.run("sync").out
    assert "nothing to do" in said
    assert next(line for line in said.splitlines() if "age_share" in line).split() == ["age_share", "1", "0", "1"]
    assert synced.json("sync", "--full")["features"][0]["entities_written"] == 0


def test_a_dry_run_counts_and_serves_nothing(ingested: Folder) -> None:
    assert "would write 2 values of 1 feature" in ingested.run("sync", "--dry-run").out
    assert "no feature 'age_share'" in ingested.run("get", "patient", "001", "-f", "age_share", code=2).err


def test_sync_without_history_says_what_to_do(project: Folder) -> None:
    assert "nothing to sync" in project.run("sync").out
    assert "featurestore ingest age_share" in project.run("sync", "--feature", "age_share", code=2).err


def test_sync_of_one_feature_leaves_the_others(synced: Folder) -> None:
    found = synced.json("sync", "--feature", "age_share")
    assert [item["name"] for item in found["features"]] == ["age_share"]


def test_full_and_incremental_exclude_each_other(project: Folder) -> None:
    assert "can't be combined" in project.run("sync", "--full", "--incremental", code=2).err


def test_get_has_value_time_version_and_status(synced: Folder) -> None:
    found = synced.json("get", "patient", "001", "nobody")
    assert found["entity_type"] == "patient"
    known, unknown = found["entities"]
    assert (known["entity_id"], unknown["entity_id"]) == ("001", "nobody")
    value = known["features"]["age_share"]
    assert (value["value"], value["computed_at"], value["version"]) == (0.51, "2024-02-01T00:00:00Z", 1)
    assert (value["status"], unknown["features"]["age_share"]["status"]) == ("ok", "missing")
    assert unknown["features"]["age_share"]["value"] is None


def test_null_missing_and_expired_are_different(project: Folder) -> None:
    project.edit("features/cardiac.py", 'data_type="float")', 'data_type="float", max_age="3650000d")')
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,,1\n"})
    project.run("ingest")
    project.run("sync")

    def answers(*ids: str) -> list[tuple[object, object, bool]]:
        found = [item["features"]["age_share"] for item in project.json("get", "patient", *ids)["entities"]]
        return [(item["status"], item["value"], item["computed_at"] is not None) for item in found]

    ids = ["001", "003", "nobody"]
    assert answers(*ids) == [("ok", 0.51, True), ("null", None, True), ("missing", None, False)]
    project.edit("features/cardiac.py", 'max_age="3650000d"', 'max_age="1d"')
    project.run("ingest")
    project.run("sync")
    assert answers(*ids) == [("expired", None, True), ("expired", None, True), ("missing", None, False)]


def test_get_shows_the_same_as_a_table(synced: Folder) -> None:
    text = synced.run("get", "patient", "001").out
    assert "0.51" in text
    assert "2024-02-01T00:00:00Z" in text


def test_get_helps_with_a_mistyped_word(synced: Folder) -> None:
    assert "did you mean 'patient'" in synced.run("get", "patiant", "001", code=2).err
    assert "did you mean 'age_share'" in synced.run("get", "patient", "001", "-f", "age_shar", code=2).err


def test_list_knows_what_is_online(synced: Folder) -> None:
    assert synced.json("list")["features"][0]["online"] is True


def test_code_put_back_to_an_older_text_does_not_step_back_unasked(synced: Folder) -> None:
    synced.edit("features/cardiac.py", "/ 100", "/ 10")
    synced.run("ingest")
    synced.run("sync")
    synced.edit("features/cardiac.py", "/ 10", "/ 100")
    synced.run("ingest")
    ran = synced.run("sync", code=3)
    assert "promote age_share 1" in ran.err
    quiet = synced.run("sync", "-q", code=3).err
    assert (quiet[:7], "promote age_share 1" in quiet) == ("error: ", True)  # why it is 3
    assert synced.json("get", "patient", "001")["entities"][0]["features"]["age_share"]["value"] == pytest.approx(5.1)


def test_an_unknown_scheme_is_refused(project: Folder) -> None:
    project.edit("featurestore.toml", "[entity_types", '[online]\nurl = "memcached://x"\n[entity_types')
    assert (
        "online.url is not the address of a store that this release supports"
        in project.run("get", "patient", "1", code=2).err
    )


def test_a_server_that_is_not_there_is_exit_12_without_the_password(project: Folder) -> None:
    url = 'url = "redis://u:s3cr3t@127.0.0.1:1/0"'
    project.edit("featurestore.toml", "[entity_types", f"[online]\n{url}\n[entity_types")
    ran = project.run("get", "patient", "1", code=12)
    assert "redis://127.0.0.1:1/0" in ran.err
    assert "s3cr3t" not in ran.out + ran.err


class Syncing:
    """``sync --every 1s`` in a process of its own, line by line."""

    def __init__(self, folder: Folder) -> None:
        command = [sys.executable, "-m", "featurestore", "-C", str(folder.root), "sync", "--every", "1s"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
        )

    def wait_for(self, words: str) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + 60
        seen = []
        while words not in (line := self.process.stdout.readline()):
            seen.append(line)
            assert time.monotonic() < deadline, seen
            assert self.process.poll() is None, seen


@pytest.fixture
def syncing(synced: Folder) -> Iterator[Syncing]:
    running = Syncing(synced)
    yield running
    running.process.kill()
    running.process.wait()


def test_sync_every_goes_on_until_it_is_stopped(synced: Folder, syncing: Syncing) -> None:
    syncing.wait_for("nothing to do")
    synced.write({"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n"})
    synced.run("ingest")
    syncing.wait_for("wrote 1 value of 1 feature")
    syncing.process.send_signal(signal.SIGTERM)
    assert syncing.process.wait(timeout=60) == 143
    store = open_online(load_project(synced.root))
    assert OnlineTables(store).pointers().features["age_share"].number == 1
    store.close()


def test_sync_every_survives_a_server_that_goes_and_comes_back_empty(project: Folder, own_server: Server) -> None:
    project.edit("featurestore.toml", "[entity_types", f'[online]\nurl = "{own_server.url}"\n[entity_types')
    project.run("ingest")
    syncing = Syncing(project)
    syncing.wait_for("wrote 2 values of 1 feature")
    own_server.stop()
    syncing.wait_for("can't be reached; trying again")
    own_server.start()
    syncing.wait_for("doing a full sync of age_share")
    syncing.wait_for("wrote 2 values of 1 feature")
    syncing.process.send_signal(signal.SIGINT)
    assert syncing.process.wait(timeout=60) == 130
    assert project.json("verify")["checked"] == 2


def test_verify_is_content_with_what_sync_wrote(synced: Folder) -> None:
    assert synced.json("verify") == {
        "checked": 2, "missing": 0, "stale": 0, "different": 0, "unexpected": 0, "examples": [], "fixed": False,
        "dry_run": False, "warnings": [],
    }  # fmt: skip
    assert "all match the history" in synced.run("verify").out


def test_verify_shows_what_is_damaged_beyond_reading(synced: Folder) -> None:
    store = open_online(load_project(synced.root))
    field = OnlineTables(store).pointers().features["age_share"].field
    damaged = [b"\xff" * 25, b"", b"\x00" * 17 + b"12345678"]
    keys = [f"fs1:test:patient:{name}" for name in ("001", "002", "a,b%zz")]
    store.discard(field, keys, 2**27 - 1)
    store.merge([pl.DataFrame({"key": keys, str(field): damaged})])
    store.close()
    found = synced.json("verify", code=1)
    assert (found["missing"], found["different"], found["unexpected"]) == (0, 2, 1)
    assert "damaged:" in synced.run("verify", code=1).out
    assert "damaged" in synced.run("get", "patient", "001", code=12).err
    assert "everything is fixed" in synced.run("verify", "--fix").err


@pytest.mark.parametrize("names", [[], ["age_share"]], ids=["all", "named"])
def test_verify_names_a_feature_whose_version_file_is_damaged(synced: Folder, names: list[str]) -> None:
    (file,) = (synced.root / "features/.versions/age_share").glob("0001-*.py")
    intact = file.read_bytes()
    file.write_bytes(intact + b"# x\n")
    found = synced.json("verify", *names, code=1)
    assert (found["checked"], found["missing"], found["unexpected"]) == (0, 0, 0)
    (said,) = found["warnings"]
    assert said.startswith(f"age_share was not compared: features/.versions/age_share/{file.name}: does not match")
    assert "1 feature not compared" in synced.run("verify", *names, code=1).out
    assert said in synced.run("verify", *names, "-q", code=1).err
    file.write_bytes(intact)
    assert synced.json("verify", *names)["checked"] == 2


def test_a_dry_run_of_verify_says_what_would_be_fixed(synced: Folder) -> None:
    assert "nothing to fix" in synced.run("verify", "--fix", "--dry-run").err
    synced.write({"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n"})
    synced.run("ingest")
    assert "would fix 1 difference; nothing was written" in synced.run("verify", "--fix", "--dry-run", code=1).err
    assert "differ: 1 missing" in synced.run("verify", "-q", code=1).err
    found = synced.json("verify", "--fix", "--dry-run", code=1)
    assert (found["missing"], found["fixed"], found["dry_run"]) == (1, False, True)
    assert synced.json("verify", "--fix")["missing"] == 1
    assert synced.json("verify")["missing"] == 0


def test_verify_finds_what_is_not_synced_and_fix_brings_it(synced: Folder) -> None:
    synced.write({"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n"})
    synced.run("ingest")
    found = synced.json("verify", code=1)
    assert (found["missing"], found["fixed"]) == (1, False)
    (example,) = found["examples"]
    assert (example["kind"], example["feature"], example["entity_id"]) == ("missing", "age_share", "003")
    assert example["history"]["value"] == pytest.approx(0.7)
    assert "missing" in synced.run("verify", code=1).out
    assert synced.json("verify", "--fix")["fixed"] is True
    assert synced.json("verify", "age_share", "--sample", "2")["missing"] == 0


def test_a_time_that_an_early_release_stored_out_of_range_fails_no_answer(project: Folder) -> None:
    code = (project.root / "features/cardiac.py").read_text().partition("@feature")[0]
    code += (
        '@feature(entity_type="patient", data_type="datetime")\ndef seen() -> pl.Expr:\n    return pl.col("visit_at")\n'
    )
    project.write({"features/seen.py": code})
    project.run("ingest")
    with duckdb.connect(str(project.root / ".featurestore/history.duckdb")) as connection:
        ((table,),) = connection.execute("SELECT table_name FROM versions WHERE feature = 'seen'").fetchall()
        connection.execute(
            f"UPDATE \"{table}\" SET value = make_timestamp(253402318799000000) WHERE patient_id = '001'"
        )
    project.run("sync")
    (entity,) = project.json("get", "patient", "001")["entities"]
    assert entity["features"]["seen"]["value"] == "253402318799000000 us after 1970"
    assert entity["features"]["age_share"]["status"] == "ok"
    assert "253402318799000000 us after 1970" in project.run("history", "seen", "001").out
    assert project.json("verify")["stale"] == 0
