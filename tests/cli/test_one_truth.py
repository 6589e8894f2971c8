"""Every command names the same active version, whatever ran beside and whatever became of the derived file."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore.config import Project, find_root, load_project
from featurestore.locking import write_lock
from featurestore.offline.duckdb.place import history_path, stamp_of
from featurestore.offline.open import open_offline
from featurestore.registry.summary import Summary, read_summary, write_summary
from featurestore.workflows.summaries import summarize
from tests.conftest import Folder
from tests.services_postgres import PostgresServer

LABELS = "patient_id,at\n001,2024-03-01T00:00:00Z\n"


def loaded(project: Folder) -> Project:
    return load_project(find_root(named=str(project.root)))


def stored(project: Folder) -> Summary | None:
    return read_summary(project.root / ".featurestore" / "summary.json")


def active_everywhere(project: Folder) -> set[int]:
    """The number of the active version as each command that tells it says: one number, if all agree."""
    (listed,) = project.json("list")["features"]
    shown = project.json("show", "age_share")
    (planned,) = project.json("plan")["features"]
    history = project.json("history", "age_share", "001")
    (synced,) = project.json("sync", "--dry-run")["features"]
    project.write({"labels.csv": LABELS})
    labels = str(project.root / "labels.csv")
    joined = project.run("join", labels, "-f", "age_share", "--timestamp-column", "at").out.splitlines()[1]
    value = float(joined.rpartition(",")[2])
    numbers = {
        listed["active_version"], shown["active_version"], planned["old_version"], history["version"],
        synced["version"], 1 if value < 1 else 2,
    }  # fmt: skip
    if planned["change"] == "changed":
        numbers.add(project.json("diff", "age_share", "--code")["old"]["version"])
    return numbers


def fits(project: Folder) -> bool:
    """Whether the summary's file is whole and says what the store says."""
    found, truth = stored(project), summarize(open_offline(loaded(project)))
    return found is not None and (found.stamp, found.features) == (truth.stamp, truth.features)


def test_every_step_leaves_one_answer(two_versions: Folder) -> None:
    assert (active_everywhere(two_versions), fits(two_versions)) == ({2}, True)
    two_versions.run("ingest")
    assert fits(two_versions), "a run that finds nothing new keeps the summary"
    two_versions.run("promote", "age_share", "1")
    assert active_everywhere(two_versions) == {1}
    two_versions.write({"visits2.csv": "patient_id,visit_at,age,chol\n002,2024-03-01T00:00:00Z,70,\n"})
    two_versions.run("ingest")
    assert (active_everywhere(two_versions), fits(two_versions)) == ({1}, True), "both versions were fed"
    (two_versions.root / "features" / ".versions" / "age_share" / "active").unlink()
    assert active_everywhere(two_versions) == {2}
    two_versions.run("delete", "patient", "002", "--yes")
    assert active_everywhere(two_versions) == {2}
    two_versions.edit("features/cardiac.py", "/ 50", "/ pl.col('nothing_like_it')")
    two_versions.run("ingest", code=4)
    two_versions.edit("features/cardiac.py", "/ pl.col('nothing_like_it')", "/ 100")
    assert active_everywhere(two_versions) == {2}
    two_versions.run("ingest", "--full")
    assert (active_everywhere(two_versions), fits(two_versions)) == ({1}, True), "the older code again"


def remove(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def change_a_digit(path: Path) -> None:
    data = path.read_bytes()
    place = data.index(b'"committed_sha256": "') + 25
    path.write_bytes(data[:place] + (b"0" if data[place : place + 1] != b"0" else b"1") + data[place + 1 :])


def as_the_release_before(path: Path) -> None:
    """The file without a stamp, and what it said before the last run."""
    path.write_text(json.dumps({"written_at": "x", "features": {"age_share": {"active_sha256": "0" * 64}}}))


def of_a_later_format(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"format": 2', b'"format": 9'))


@pytest.mark.parametrize("damage", [remove, cut_short, empty, change_a_digit, as_the_release_before, of_a_later_format])
def test_a_summary_that_is_gone_or_damaged_changes_no_answer(
    two_versions: Folder, damage: Callable[[Path], None]
) -> None:
    before = two_versions.json("list"), two_versions.json("show", "age_share"), two_versions.json("plan")
    path = two_versions.root / ".featurestore" / "summary.json"
    damage(path)
    assert (two_versions.json("list"), two_versions.json("show", "age_share"), two_versions.json("plan")) == before
    assert fits(two_versions), "the first command wrote it anew"
    damage(path)
    assert active_everywhere(two_versions) == {2}


def test_the_summary_of_an_earlier_run_or_of_another_store_is_not_believed(project: Folder) -> None:
    project.run("ingest")
    path = project.root / ".featurestore" / "summary.json"
    earlier = path.read_bytes()
    kept = project.root.with_name("kept")
    shutil.copytree(project.root / ".featurestore", kept)
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    project.run("ingest")
    path.write_bytes(earlier)  # as after a kill between the commit and the rename
    assert active_everywhere(project) == {2}
    later = path.read_bytes()
    shutil.rmtree(project.root / ".featurestore")
    shutil.copytree(kept, project.root / ".featurestore")  # the history from before, its times and all
    path.write_bytes(later)
    assert active_everywhere(project) == {1}


KILLED = """
import os, signal
from featurestore.workflows.ingest import ingest
ingest.summarize_run = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from featurestore.cli.app import run
run(["-C", {root!r}, "ingest"])
"""


def test_a_run_that_is_killed_after_its_commit_is_seen_by_all(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    done = subprocess.run([sys.executable, "-c", KILLED.format(root=str(project.root))], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert active_everywhere(project) == {2}
    assert fits(project)


CRASHED = """
import os
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.cli.app import run

DuckDBStore._settle = lambda *_: os._exit(9)  # right after the commit
run(["-C", {root!r}, "ingest"])
"""


def test_a_commit_that_is_still_in_the_log_beside_the_file_is_seen_by_all(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    done = subprocess.run([sys.executable, "-c", CRASHED.format(root=str(project.root))], capture_output=True)
    assert done.returncode == 9, done.stderr
    assert history_path(loaded(project)).with_suffix(".duckdb.wal").stat().st_size
    before = stamp_of(history_path(loaded(project)))
    assert active_everywhere(project) == {2}
    assert stamp_of(history_path(loaded(project))) == before, "reading moves nothing"
    project.run("ingest")
    assert fits(project)


def test_sync_leaves_the_summary_alone(two_versions: Folder) -> None:
    path = two_versions.root / ".featurestore" / "summary.json"
    before = path.read_bytes()
    assert two_versions.json("list")["features"][0]["online"] is False
    two_versions.run("sync")
    assert two_versions.json("list")["features"][0]["online"] is True
    assert two_versions.json("get", "patient", "001")["entities"][0]["features"]["age_share"]["version"] == 2
    assert path.read_bytes() == before
    (two_versions.root / ".featurestore" / "online.sqlite").unlink()
    assert two_versions.json("list")["features"][0]["online"] is False


def test_while_a_run_is_going_on_the_answer_is_right_and_nothing_is_written(two_versions: Folder) -> None:
    path = two_versions.root / ".featurestore" / "summary.json"
    path.unlink()
    with write_lock(loaded(two_versions)):
        assert two_versions.json("list")["features"][0]["active_version"] == 2
        assert not path.exists()
    assert two_versions.json("list")["features"][0]["active_version"] == 2
    assert path.exists()


def test_a_summary_that_can_t_be_written_fails_no_run(two_versions: Folder) -> None:
    path = two_versions.root / ".featurestore" / "summary.json"
    path.unlink()
    path.mkdir()
    two_versions.write({"visits2.csv": "patient_id,visit_at,age,chol\n002,2024-03-01T00:00:00Z,70,\n"})
    assert two_versions.features()["age_share"]["rows_written"] == 1
    assert active_everywhere(two_versions) == {2}
    assert [item.name for item in path.parent.iterdir() if item.name.endswith(".tmp")] == []


HYGIENE = """
import sys
from featurestore.cli.app import run
code = run(["-C", {root!r}, *{arguments!r}])
heavy = {{"duckdb", "polars", "numpy", "pyarrow", "redis", "sqlite3", "scipy"}} & set(sys.modules)
sys.exit(f"{{code}} {{heavy}}" if code or heavy else 0)
"""


@pytest.mark.parametrize("arguments", [["list", "--json"], ["plan", "--json"], ["show", "age_share", "--json"]])
def test_a_summary_that_fits_is_all_that_is_read(two_versions: Folder, arguments: list[str]) -> None:
    two_versions.run("sync")
    code = HYGIENE.format(root=str(two_versions.root), arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_summary_is_one_json_document_with_the_stamp_of_the_store(two_versions: Folder) -> None:
    path = two_versions.root / ".featurestore" / "summary.json"
    document = json.loads(path.read_text())
    assert document["stamp"] == stamp_of(history_path(loaded(two_versions)))
    assert list(document["features"]) == ["age_share"]
    assert path.stat().st_mode & 0o077 == 0
    summary = stored(two_versions)
    assert summary is not None
    write_summary(path, summary)
    assert stored(two_versions) == summary


# --- PostgreSQL: another machine may commit, and the server may be away -----------------------------------------


@pytest.fixture
def shared(project: Folder, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", own_postgres.url)
    project.run("ingest")
    return project


def test_what_another_machine_commits_is_seen_at_once(shared: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Folder(tmp_path_factory.mktemp("other") / "checkout", shared._capture)
    shutil.copytree(shared.root, other.root, ignore=shutil.ignore_patterns(".featurestore"))
    assert active_everywhere(other) == {1}, "it has no summary yet"
    shared.edit("features/cardiac.py", "/ 100", "/ 50")
    shared.run("ingest")
    shutil.copytree(shared.root / "features", other.root / "features", dirs_exist_ok=True)
    assert active_everywhere(other) == active_everywhere(shared) == {2}
    assert fits(other)
    assert fits(shared)


def test_a_server_that_is_away_is_said_and_the_last_answer_given(shared: Folder, own_postgres: PostgresServer) -> None:
    before = shared.json("list")
    own_postgres.stop()
    try:
        ran = shared.run("list", "--json")
        (said,) = ran.json["warnings"]
        assert "can't be reached" in said
        assert ran.json == {**before, "warnings": [said]}
        assert "can't be reached" in ran.err
        assert "as of 20" in ran.err
        (shared.root / ".featurestore" / "summary.json").unlink()
        shared.run("list", code=12)
    finally:
        own_postgres.start()
    assert shared.json("list") == before


def test_the_folder_of_the_state_has_no_leftovers(two_versions: Folder) -> None:
    names = {path.name for path in (two_versions.root / ".featurestore").iterdir()}
    names.add("hashes")  # only there once the source's file is older than a moment: younger ones are hashed again
    assert names == {".gitignore", "hashes", "history.duckdb", "history.json", "lock", "rows", "summary.json"}
