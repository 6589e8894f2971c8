"""Fresh online stores of every kind, for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.config import Project
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from tests import services
from tests.online.cases import Fresh, History, make_project
from tests.online.shop import Shop


@pytest.fixture(params=["sqlite", "valkey"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str | None:
    """What `[online] url` would say; None for the embedded store."""
    if kind == "sqlite":
        return None
    if kind == "guarded":
        return str(request.getfixturevalue("guarded"))
    if kind == "cluster":
        servers = request.getfixturevalue("cluster")
        return f"redis+cluster://127.0.0.1:{servers[0].port}"
    server = request.getfixturevalue("redis_server" if kind == "redis" else "valkey")
    return str(server.unix if kind == "redis" else server.url)


@pytest.fixture
def fresh(url: str | None, tmp_path: Path) -> Iterator[Fresh]:
    """Gives an empty store, of another project each time it is called."""
    opened: list[OnlineStore] = []

    def open_one() -> tuple[Project, OnlineStore]:
        project = make_project(tmp_path / f"project{len(opened)}", url=url)
        store = open_online(project)
        opened.append(store)
        return project, store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def place(fresh: Fresh) -> tuple[Project, OnlineStore]:
    return fresh()


@pytest.fixture
def project(place: tuple[Project, OnlineStore]) -> Project:
    return place[0]


@pytest.fixture
def store(place: tuple[Project, OnlineStore]) -> OnlineStore:
    return place[1]


@pytest.fixture
def history(project: Project) -> History:
    return History(project)


@pytest.fixture
def shop(tmp_path: Path, own_server: services.Server) -> Shop:
    return Shop(tmp_path / "shop", own_server)
