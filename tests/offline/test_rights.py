"""A role that lacks a right is told the statement to have run, by `doctor` beforehand; with it, all goes on."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Folder
from tests.services_postgres import PostgresServer


@pytest.fixture
def clerk(own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> PostgresServer:
    """A server on which the project is a role without any rights."""
    own_postgres.run("CREATE ROLE clerk LOGIN")
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", own_postgres.url.replace("postgres@", "clerk@"))
    return own_postgres


def offline_check(project: Folder, state: str, code: int) -> dict[str, str]:
    checks = project.json("doctor", code=code)["checks"]
    return next(item for item in checks if item["area"] == "offline" and item["state"] == state)


def test_the_statement_to_run_is_named(project: Folder, clerk: PostgresServer) -> None:
    statement = 'CREATE SCHEMA "fs_test" AUTHORIZATION "clerk"'
    check = offline_check(project, "fail", code=1)
    assert "clerk may not create a schema" in check["what"]
    assert check["hint"].endswith(statement)
    error = project.json("ingest", code=2)["error"]
    assert "clerk may not create a schema" in error["message"]
    assert error["hint"].endswith(statement)
    clerk.run(statement)
    assert project.features()["age_share"]["rows_written"] == 3


def test_each_right_that_is_missing_on_a_schema_is_named_with_its_grant(project: Folder, clerk: PostgresServer) -> None:
    own = clerk.url
    clerk_url = os.environ["FEATURESTORE_OFFLINE_URL"]
    os.environ["FEATURESTORE_OFFLINE_URL"] = own  # monkeypatch puts back what was there before the test
    project.run("ingest")
    os.environ["FEATURESTORE_OFFLINE_URL"] = clerk_url
    to_read, to_write = (
        'GRANT USAGE ON SCHEMA "fs_test" TO "clerk"',
        'GRANT USAGE, CREATE ON SCHEMA "fs_test" TO "clerk"',
    )
    assert to_read in project.json("export", "age_share", code=12)["error"]["hint"]
    assert to_read in offline_check(project, "fail", code=1)["hint"]
    clerk.run(to_read)
    tables = 'GRANT SELECT ON ALL TABLES IN SCHEMA "fs_test" TO "clerk"'
    assert tables in project.json("export", "age_share", code=12)["error"]["hint"]
    clerk.run(tables)
    assert "001" in project.run("export", "age_share").out
    check = offline_check(project, "warn", code=0)
    assert "clerk may not write in the schema fs_test" in check["what"]
    assert to_write in check["hint"]
    assert to_write in project.json("ingest", "--full", code=12)["error"]["hint"]
    clerk.run(to_write)
    tables = 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "fs_test" TO "clerk"'
    assert tables in offline_check(project, "warn", code=0)["hint"]
    assert tables in project.json("ingest", "--full", code=12)["error"]["hint"]
    clerk.run(tables)
    project.run("ingest", "--full")
    assert all(item["state"] != "fail" for item in project.json("doctor")["checks"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_named_by_doctor(project: Folder) -> None:
    project.run("ingest")
    path = project.root / ".featurestore/history.duckdb"
    path.chmod(0o400)
    check = offline_check(project, "warn", code=0)
    assert str(path) in check["what"]
    assert "can't be written" in check["what"]
