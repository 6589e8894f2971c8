"""Offline stores under test. A new store joins by adding its factory to `STORES`; the promises stay the same."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import pytest

from featurestore.config import DriftSettings, Project
from featurestore.offline.contract import OfflineStore
from featurestore.offline.duckdb import together
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.offline.postgres import packed
from featurestore.offline.postgres.store import PostgresStore
from tests.services_postgres import PostgresServer


class Factory(Protocol):
    """Makes a store in a folder."""

    def __call__(self, folder: Path) -> OfflineStore: ...


def duckdb_stores(request: pytest.FixtureRequest) -> Iterator[Factory]:
    def make(folder: Path) -> OfflineStore:
        return DuckDBStore(Project(folder, "test", {}, {}, DriftSettings()))

    yield make


def together_stores(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Stores that write first rows to tables of several versions, however few the rows and the versions are."""
    request.getfixturevalue("all_together")
    yield from duckdb_stores(request)


def postgres_stores(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """One server for all, one project for each folder; dropped at the end, since a driver reads the whole catalogue.

    Rows are packed however few they are.
    """
    request.getfixturevalue("pack_all")
    server: PostgresServer = request.getfixturevalue("postgres")
    made: set[str] = set()

    def make(folder: Path) -> OfflineStore:
        project = postgres_project(server, folder)
        made.add(project.name)
        return PostgresStore(project)

    yield make
    server.run(";".join(f'DROP SCHEMA IF EXISTS "fs_{name}" CASCADE' for name in made))


@pytest.fixture
def all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes DuckDB stores write all first rows as those of several versions."""
    monkeypatch.setattr(together, "LEAST_ROWS", 1)
    monkeypatch.setattr(together, "LEAST_VERSIONS", 1)


@pytest.fixture
def pack_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes PostgreSQL stores pack whatever they learn, in small parts."""
    monkeypatch.setattr(packed, "LEAST_ROWS", 1)
    monkeypatch.setattr(packed, "PART_ROWS", 3)


def postgres_project(server: PostgresServer, folder: Path) -> Project:
    """A project of its own for a folder, on the server."""
    name = sha256(str(folder).encode()).hexdigest()[:16]
    return Project(folder, name, {}, {}, DriftSettings(), offline_url=server.url, lock_timeout=10.0)


STORES = {"duckdb": duckdb_stores, "duckdb, together": together_stores, "postgresql": postgres_stores}


@pytest.fixture(params=STORES)
def new_store(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Makes an empty store in a folder."""
    yield from STORES[request.param](request)


@pytest.fixture
def store(new_store: Factory, tmp_path: Path) -> OfflineStore:
    return new_store(tmp_path)
