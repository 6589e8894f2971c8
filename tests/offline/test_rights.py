"""A role that may not create a schema is told what to have run; with the schema made for it, all goes on."""

from __future__ import annotations

import pytest

from tests.conftest import Folder
from tests.services_postgres import PostgresServer


def test_the_statement_to_run_is_named(
    project: Folder, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_postgres.run("CREATE ROLE clerk LOGIN")
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", own_postgres.url.replace("postgres@", "clerk@"))
    error = project.json("ingest", code=2)["error"]
    assert "clerk may not create a schema" in error["message"]
    statement = 'CREATE SCHEMA "fs_test" AUTHORIZATION "clerk"'
    assert error["hint"].endswith(statement)
    own_postgres.run(statement)
    assert project.features()["age_share"]["rows_written"] == 3
