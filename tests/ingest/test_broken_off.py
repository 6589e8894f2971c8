"""A store that lets go in the middle of a run: the run is made once more, never a third time, and never kept twice."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.errors import StoreError
from featurestore.offline.open import open_offline
from featurestore.offline.postgres.store import PostgresStore
from featurestore.workflows.ingest.ingest import IngestRequest, ingest
from tests.conftest import Folder
from tests.offline.test_postgres_faults import Wire, wire
from tests.services_postgres import PostgresServer

__all__ = ["wire"]

SCHEMA = "fs_test"
MORE = "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n004,2024-03-02T00:00:00Z,71,2\n"
# What the server does to a run in the middle of its rows, and what is said of it.
CUTS = {
    "terminate": ("PERFORM pg_terminate_backend(pg_backend_pid())", "terminating connection"),
    "deadlock": ("RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'", "deadlock with another transaction"),
    "serialization": (
        "RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'",
        "conflict with another transaction",
    ),
}


def cut(server: PostgresServer, act: str, when: str = "= 1") -> None:
    """From now on the server does this at the n-th row that is written to a feature's table."""
    (table,) = server.sql(
        f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}' AND tablename LIKE 'h!_%' ESCAPE '!'"
    )
    # A sequence goes on counting whatever is rolled back.
    server.run(
        f"CREATE SEQUENCE {SCHEMA}.met; CREATE FUNCTION {SCHEMA}.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('{SCHEMA}.met') {when} THEN {act}; END IF; RETURN NEW; END $$;"
        f'CREATE TRIGGER cut BEFORE INSERT ON {SCHEMA}."{table["tablename"]}" FOR EACH ROW '
        f"EXECUTE FUNCTION {SCHEMA}.cut()"
    )


@pytest.fixture
def shared(project: Folder, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """The project on PostgreSQL, with one run in it and two rows to come."""
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", postgres.url)
    project.run("ingest")
    project.write({"visits2.csv": MORE})
    yield project
    postgres.run(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def values(project: Folder) -> int:
    return len(project.run("export", "age_share").out.splitlines()) - 1


@pytest.mark.parametrize("kind", CUTS)
def test_a_run_that_is_broken_off_is_made_once_more(shared: Folder, postgres: PostgresServer, kind: str) -> None:
    act, said = CUTS[kind]
    cut(postgres, act)
    ran = shared.run("ingest", "--json")
    (feature,) = ran.json["features"]
    assert (feature["status"], feature["rows_written"], feature["rows_unchanged"]) == ("ok", 2, 0)
    assert ran.err.count("warning: ") == 1
    assert said in ran.err
    assert "the run was made again" in ran.err
    assert [(run["run_seq"], run["status"]) for run in shared.json("runs")["runs"]] == [(2, "ok"), (1, "ok")]
    assert values(shared) == 5


@pytest.mark.parametrize("kind", CUTS)
def test_a_run_that_is_broken_off_again_is_an_error(shared: Folder, postgres: PostgresServer, kind: str) -> None:
    act, said = CUTS[kind]
    cut(postgres, act, "> 0")
    error = shared.json("ingest", code=12)["error"]
    assert said in error["message"]
    assert "for the second time in one run" in error["message"]
    assert error["hint"]
    assert postgres.sql(f"SELECT last_value FROM {SCHEMA}.met") == [{"last_value": 2}]
    assert [(run["run_seq"], run["status"]) for run in shared.json("runs")["runs"]] == [(None, "failed"), (1, "ok")]
    assert values(shared) == 3


def test_what_the_server_refuses_for_good_is_not_tried_again(shared: Folder, postgres: PostgresServer) -> None:
    cut(postgres, "RAISE EXCEPTION 'no' USING ERRCODE = '53100'", "> 0")
    assert "disk is full" in shared.json("ingest", code=12)["error"]["message"]
    assert postgres.sql(f"SELECT last_value FROM {SCHEMA}.met") == [{"last_value": 1}]


def test_a_run_lives_through_a_crash_of_the_server(
    project: Folder, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", own_postgres.url)
    project.run("ingest")
    project.write({"visits2.csv": MORE})
    cut(own_postgres, "PERFORM pg_sleep(2)", "> 0")

    def crash() -> None:
        while not own_postgres.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            time.sleep(0.02)
        own_postgres.stop()
        time.sleep(0.5)
        own_postgres.start()

    crashing = threading.Thread(target=crash)
    crashing.start()
    ran = project.run("ingest", "--json")
    crashing.join()
    assert ran.json["features"][0]["rows_written"] == 2
    assert "the run was made again" in ran.err
    assert [run["run_seq"] for run in project.json("runs")["runs"]] == [2, 1]
    assert values(project) == 5


def test_a_server_that_does_not_come_back_is_an_error(
    project: Folder, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", own_postgres.url)
    project.run("ingest")
    project.write({"visits2.csv": MORE})
    cut(own_postgres, "PERFORM pg_sleep(30)", "> 0")

    def crash() -> None:
        while not own_postgres.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            time.sleep(0.02)
        own_postgres.stop()

    crashing = threading.Thread(target=crash)
    crashing.start()
    loaded = load_project(project.root)
    with pytest.raises(StoreError, match="connection was lost"):
        ingest(loaded, open_offline(loaded), IngestRequest(wait_seconds=0.3))
    crashing.join()


def test_what_came_by_a_pipe_is_still_there_for_the_second_time(
    shared: Folder, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cut(postgres, CUTS["terminate"][0])
    pipe, end = os.pipe()
    os.write(end, MORE.encode())
    os.close(end)
    with os.fdopen(pipe) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        ran = shared.run("ingest", "--source", "visits", "--input", "-", "--json")
    assert ran.json["features"][0]["rows_written"] == 2
    assert "the run was made again" in ran.err
    assert values(shared) == 5


def test_a_large_run_that_has_let_its_frames_go_is_computed_again(shared: Folder, postgres: PostgresServer) -> None:
    shared.edit(
        "features/cardiac.py",
        "@feature",
        "@feature(name='again', entity_type='patient', data_type='float')\n"
        "def again() -> pl.Expr:\n    return pl.col('age')\n\n\n@feature",
    )
    cut(postgres, CUTS["terminate"][0])
    loaded = load_project(shared.root)
    result = ingest(loaded, open_offline(loaded), IngestRequest(pending_bytes=0))
    features = {item.name: item for item in result.run.features}
    assert (features["age_share"].rows_written, features["again"].rows_written) == (2, 5)
    assert features["again"].new_version


@pytest.fixture
def cut_wire(
    project: Folder, postgres: PostgresServer, wire: Callable[[bool], Wire], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bool], Wire]]:
    """A wire to the server for the project, cut at its first commit."""

    def make(heard: bool) -> Wire:
        made = wire(heard)
        monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", postgres.tcp.replace(f":{postgres.port}/", f":{made.port}/"))
        return made

    yield make
    postgres.run(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def test_a_commit_that_never_arrived_is_looked_up_and_then_made_again(
    project: Folder, cut_wire: Callable[[bool], Wire]
) -> None:
    made = cut_wire(False)
    ran = project.run("ingest", "--json")
    assert made.cut.is_set()
    (feature,) = ran.json["features"]
    assert (feature["status"], feature["rows_written"], feature["new_version"]) == ("ok", 3, True)
    assert "the run was made again" in ran.err
    assert [run["run_seq"] for run in project.json("runs")["runs"]] == [1]


def test_a_commit_whose_answer_was_lost_is_looked_up_and_not_made_again(
    project: Folder, cut_wire: Callable[[bool], Wire]
) -> None:
    made = cut_wire(True)
    ran = project.run("ingest", "--json")
    assert made.cut.is_set()
    assert ran.err == ""
    assert [run["run_seq"] for run in project.json("runs")["runs"]] == [1]
    assert values(project) == 3


def test_a_commit_that_nobody_can_be_asked_about_is_not_made_again(
    project: Folder, postgres: PostgresServer, cut_wire: Callable[[bool], Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cut_wire(True)
    made.last = True
    opened = load_project(project.root)
    with pytest.raises(StoreError, match="whether the run was committed is not known"):
        ingest(opened, PostgresStore(opened, doubt_seconds=0.2), IngestRequest())
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", postgres.url)
    assert project.features()["age_share"]["status"] == "unchanged"
    assert values(project) == 3
