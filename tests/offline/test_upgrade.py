"""Positions and rejected rows as the previous release stored them: read as they are, and after the migration."""

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from featurestore.model import RejectedRow
from featurestore.offline import schema
from featurestore.offline.contract import OfflineStore, Position
from tests.conftest import Folder
from tests.offline.conftest import Factory, postgres_project
from tests.offline.history import run_of, version
from tests.offline.older import TO_FORMAT_2
from tests.services_postgres import PostgresServer

FILES = {"data/visits.csv": "1faa8e89", 'an "odd" name.csv': "68ee9786"}
ROW = RejectedRow("visits", "data/visits.csv", 7, "age", "'430' is above 120", {"age": "430"}, "data/visits.csv row 7")

RunScript = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def script(request: pytest.FixtureRequest, new_store: Factory, tmp_path: Path) -> RunScript:
    """Runs SQL in the store beneath the folder, past our own code."""

    def in_duckdb(text: str) -> list[tuple[object, ...]]:
        with duckdb.connect(tmp_path / ".featurestore" / "history.duckdb") as connection:
            return connection.execute(text).fetchall()

    def in_postgres(text: str) -> list[tuple[object, ...]]:
        server: PostgresServer = request.getfixturevalue("postgres")
        name = postgres_project(server, tmp_path).name
        server.run(f'SET search_path = "fs_{name}"; {text}')
        return [tuple(row.values()) for row in server.sql(f'SELECT files FROM "fs_{name}".positions')]

    return in_postgres if request.node.callspec.params["new_store"] == "postgresql" else in_duckdb


def test_what_the_previous_release_stored_is_read_before_and_after_the_migration(
    new_store: Factory, tmp_path: Path, script: RunScript
) -> None:
    of = version()
    store: OfflineStore = new_store(tmp_path)
    with store.writing("r1") as run:
        run.set_position(Position(of.id, "visits", "print", {"files": FILES}, run.run_seq))
        run.reject([ROW])
        run.finish(run_of((run.run_seq, run.learned_at), "r1"))
    script(TO_FORMAT_2)
    assert FILES.keys() <= _stored_files(script).keys()

    def check() -> None:
        position = new_store(tmp_path).position(of.id, "visits")
        assert position == Position(of.id, "visits", "print", {"files": FILES}, 1)
        assert new_store(tmp_path).rejected("r1") == [ROW]

    check()
    topic = RejectedRow("topic", None, None, None, "too short", {}, "topic[3] offset 17")
    new_store(tmp_path).log(run_of(None, "r2", status="failed"), [topic])  # a write migrates
    check()
    assert new_store(tmp_path).rejected("r2") == [topic]


def _stored_files(script: RunScript) -> dict[str, str]:
    ((text,),) = script("SELECT files FROM positions")
    assert isinstance(text, str)
    files: dict[str, str] = json.loads(text)
    return files


def test_the_second_ingest_after_the_upgrade_says_unchanged(project: Folder) -> None:
    project.run("ingest")
    path = project.root / ".featurestore" / "history.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(TO_FORMAT_2)
    assert project.features()["age_share"]["status"] == "unchanged"
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT format FROM meta").fetchall() == [(schema.FORMAT,)]
    assert project.features()["age_share"]["status"] == "unchanged"
    (project.root / "visits.csv").rename(project.root / "visits2.csv")
    assert project.features()["age_share"]["rows_unchanged"] == 3, "a renamed file is not missing"
