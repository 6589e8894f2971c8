"""A history that was set back is noticed: read with a warning, and not written to until somebody says it is meant."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import AGE, PROJECT, Folder, Once
from tests.services_postgres import PostgresServer

MORE = "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n001,2024-03-01T00:00:00Z,75,1\n"


def history(folder: Folder) -> Path:
    return folder.root / ".featurestore" / "history.duckdb"


def make_two_runs(made: Folder) -> None:
    made.write(PROJECT)
    made.run("ingest")
    shutil.copy(history(made), made.root / "backup")
    made.write({"visits2.csv": MORE})
    made.run("ingest")


@pytest.fixture(params=["duckdb", "postgresql"])
def set_back(
    request: pytest.FixtureRequest, project: Folder, once: Once, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], object]]:
    """A project with two runs, and how its history goes back to the first: as a backup does it."""
    if request.param == "duckdb":
        once(make_two_runs, project)
        yield lambda: shutil.copy(project.root / "backup", history(project))
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", server.url)
    project.run("ingest")
    server.run("CREATE SCHEMA kept")
    tables = [row["t"] for row in server.sql("SELECT tablename AS t FROM pg_tables WHERE schemaname = 'fs_test'")]
    server.run(";".join(f'CREATE TABLE kept."{name}" AS TABLE fs_test."{name}"' for name in tables))
    project.write({"visits2.csv": MORE})
    project.run("ingest")

    def restore() -> None:
        copies = (f'DELETE FROM fs_test."{name}"; INSERT INTO fs_test."{name}" TABLE kept."{name}"' for name in tables)
        server.run(";".join(copies))

    yield restore
    server.run("DROP SCHEMA IF EXISTS fs_test CASCADE; DROP SCHEMA IF EXISTS kept CASCADE")


@pytest.mark.parametrize("command", ["ingest", "sync", "baseline age_share"])
def test_a_run_that_could_not_be_noted_is_noted_by_the_next_command(
    set_back: Callable[[], object], project: Folder, command: str
) -> None:
    note = project.root / ".featurestore" / "history.json"
    after_both = note.read_bytes()
    note.write_bytes(after_both.replace(b'"run_seq": 2', b'"run_seq": 0'))  # as a full disk leaves it: an older one
    project.run(*command.split())
    assert note.read_bytes() == after_both
    set_back()
    assert project.json("ingest", code=4)["error"]["code"] == "set_back"


def test_it_is_read_with_a_warning_and_not_written(set_back: Callable[[], object], project: Folder) -> None:
    set_back()
    ran = project.run("export", "age_share")
    assert len(ran.out.splitlines()) == 4
    assert ran.err.count("the history is older than run 2") == 1
    assert "history.json" in ran.err
    for words in (["export", "age_share"], ["history", "age_share", "001"], ["runs"]):
        (said,) = project.json(*words)["warnings"]
        assert "the history is older than run 2" in said
    for _ in range(2):  # nothing is written down that would keep the next command from looking
        for words in (["list"], ["show", "age_share"], ["plan"]):
            assert project.run(*words).err.count("the history is older than run 2") == 1
    error = project.json("ingest", code=4)["error"]
    assert error["code"] == "set_back"
    assert "run 2" in error["message"]
    for words in (["baseline", "age_share"], ["delete", "patient", "001", "--erase", "--yes"]):
        assert project.json(*words, code=4)["error"]["code"] == "set_back"
    assert [run["run_seq"] for run in project.json("runs")["runs"]] == [1]


def test_where_it_is_meant_it_goes_on_from_there(set_back: Callable[[], object], project: Folder) -> None:
    set_back()
    (project.root / ".featurestore" / "history.json").unlink()
    ran = project.run("ingest", "--json")
    assert ran.json["features"][0]["rows_written"] == 2
    assert "older" not in ran.err
    assert [run["run_seq"] for run in project.json("runs")["runs"]] == [2, 1]


def test_another_run_of_the_number_is_another_history(set_back: Callable[[], object], project: Folder) -> None:
    mark = project.root / ".featurestore" / "history.json"
    before = mark.read_text()
    set_back()
    mark.unlink()
    project.run("ingest")
    mark.write_text(before)
    assert "another one than that of run 2" in project.json("ingest", code=4)["error"]["message"]


def test_a_history_that_is_gone_is_noticed(project: Folder) -> None:
    project.run("ingest")
    history(project).unlink()
    for command in ("runs", "list", "plan"):
        assert "older than run 1" in project.run(command).err
    assert "error: nothing was compared" in project.run("verify", code=1).err
    assert project.json("ingest", code=4)["error"]["code"] == "set_back"
    assert not history(project).exists()


def test_a_run_leaves_no_write_ahead_log(project: Folder) -> None:
    project.run("ingest")
    assert not [path.name for path in (project.root / ".featurestore").iterdir() if path.suffix == ".wal"]


def test_a_lost_write_ahead_log_is_noticed(project: Folder) -> None:
    """Written by another program, or by a process that was killed before it could put the log into the file."""
    import duckdb

    project.run("ingest")
    project.write({"visits2.csv": MORE})
    before = history(project).read_bytes()
    project.run("ingest")
    history(project).write_bytes(before)  # what the file is without the log
    assert duckdb.connect(str(history(project)), read_only=True).execute("SELECT max(run_seq) FROM runs").fetchall()
    assert "write-ahead file lost" in project.json("ingest", code=4)["error"]["message"]


@pytest.mark.parametrize("text", ["", "{", '{"format": 99}', '{"format": 1, "stores": {"embedded": {}}}'])
def test_a_damaged_record_proves_nothing(project: Folder, text: str) -> None:
    project.run("ingest")
    (project.root / ".featurestore" / "history.json").write_text(text)
    project.write({"visits2.csv": MORE})
    project.run("ingest")


# --- the online store ------------------------------------------------------------------------------------


def version_files(project: Folder) -> dict[str, bytes]:
    files = (project.root / "features" / ".versions").rglob("*")
    return {str(path): path.read_bytes() for path in files if path.is_file()}


def served(project: Folder) -> object:
    return project.json("get", "patient", "001", "-f", "age_share")["entities"][0]["features"]["age_share"]["value"]


@pytest.fixture
def older(set_back: Callable[[], object], project: Folder) -> Folder:
    """A project whose online store has the values of run 2, while the history ends with run 1."""
    project.run("sync")
    set_back()
    assert served(project) == 0.75
    return project


@pytest.mark.parametrize(
    "words",
    [
        ["sync"], ["sync", "--full"], ["sync", "--full", "--dry-run"], ["sync", "--dry-run"],
        ["sync", "--no-auto-full"], ["sync", "--take-over"], ["verify", "--fix"], ["verify", "--fix", "--sample", "1"],
        ["promote", "age_share", "1"], ["promote", "age_share", "1", "--dry-run"],
    ],
)  # fmt: skip
def test_an_older_history_never_goes_online(older: Folder, words: list[str]) -> None:
    before = version_files(older)
    error = older.json(*words, code=4)["error"]
    assert error["code"] == "set_back"
    assert "history.json" in error["hint"]
    assert served(older) == 0.75
    assert version_files(older) == before


def test_a_feature_is_not_retired_by_an_older_history(older: Folder) -> None:
    (older.root / "features" / "cardiac.py").unlink()
    before = version_files(older)
    assert older.json("retire", "age_share", "--yes", code=4)["error"]["code"] == "set_back"
    assert version_files(older) == before
    older.write({"features/cardiac.py": AGE})
    assert served(older) == 0.75


def test_a_sync_replaces_what_is_online_once_the_older_history_is_meant(older: Folder) -> None:
    (older.root / ".featurestore" / "history.json").unlink()
    older.run("sync", code=12)
    (problem,) = older.json("status", code=1)["project_problems"]
    assert "run 2 is online, but the history ends at run 1" in problem
    assert "featurestore sync --full" in problem
    older.run("sync", "--full")
    assert older.json("status")["project_problems"] == []
    assert served(older) == 0.51
    older.run("verify")


def test_status_counts_it_as_a_problem(older: Folder) -> None:
    (problem,) = older.json("status", code=1)["project_problems"]
    assert "the history is older than run 2" in problem
    assert "put the newer one back" in problem
    assert "older than run 2" in older.run("status", "-q", code=1).err + older.run("status", code=1).out


def test_verify_and_doctor_advise_to_put_the_newer_one_back(older: Folder) -> None:
    page = " ".join(older.run("verify", code=1).out.split())
    assert "the history was set back: put the newer one back" in page
    assert "featurestore sync writes" not in page
    checks = older.json("doctor", code=1)["checks"]
    (hint,) = [item["hint"] for item in checks if "run 2 is online" in item["what"]]
    assert "put the newer one back" in hint


def test_a_run_says_that_its_mark_can_not_be_written(project: Folder) -> None:
    (project.root / ".featurestore" / "history.json").mkdir(parents=True)
    (said,) = [line for line in project.json("ingest")["warnings"] if "history.json" in line]
    assert "the run is committed" in said
    assert "is not noticed" in said
