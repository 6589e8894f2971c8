"""A server in a thread of the tests' process, on a free port, over a project that was ingested and synced."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn

from featurestore.serve.app import make_app
from featurestore.serve.run import Place, open_socket
from featurestore.serve.settings import Settings
from tests.conftest import Folder, uncaptured

TOML = """
[project]
name = "test"
[entity_types.patient]
keys = { patient_id = "string" }
[entity_types.shelf]
keys = { store = "string", product = "int" }
[sources.visits]
type = "csv"
path = "visits*.csv"
event_time = "visit_at"
[sources.visits.columns]
age = { type = "int", min = 0, max = 120 }
chol = { type = "float" }
[sources.stock]
type = "csv"
path = "stock.csv"
event_time = "at"
[sources.stock.columns]
product = { type = "int" }
count = { type = "int" }
[models.risk]
features = ["age_share", "chol_level", "stock"]
[feature_sets.all_of_patient]
features = ["age_share", "chol_level"]
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", source="visits")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="float", source="visits")
def chol_level() -> pl.Expr:
    return pl.col("chol")


@feature(entity_type="patient", data_type="int", source="visits", max_age="1d")
def age_lately() -> pl.Expr:
    return pl.col("age")


@feature(entity_type="shelf", data_type="int", source="stock")
def stock() -> pl.Expr:
    return pl.col("count")
"""
VISITS = """
patient_id,visit_at,age,chol
001,2024-01-01T00:00:00Z,50,200.5
001,2024-02-01T00:00:00Z,51,210
002,2024-01-15T00:00:00Z,60,
"""
STOCK = """
store,product,at,count
s1,7,2024-01-01T00:00:00Z,3
s/2,8,2024-01-01T00:00:00Z,4
"""
PROJECT = {
    "featurestore.toml": TOML, "features/cardiac.py": FEATURES, "visits.csv": VISITS, "stock.csv": STOCK,
}  # fmt: skip
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def _served_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Folder(tmp_path_factory.mktemp("served"), uncaptured)
    made.write(PROJECT)
    made.run("ingest")
    made.run("sync")
    return made.root


@pytest.fixture
def synced(folder: Folder, _served_once: Path) -> Folder:
    """A copy of a project with two entity types, ingested and synced."""
    shutil.copytree(_served_once, folder.root, dirs_exist_ok=True)
    folder.run("list")
    return folder


@contextmanager
def serving(root: Path, settings: Settings | None = None, *, listening: socket.socket | None = None) -> Iterator[str]:
    """The url of a server over a project. It is stopped as a signal stops it: requests in flight are answered."""
    settings = replace(settings or Settings(root, access_log=False), root=root)
    url = ""
    if listening is None:
        listening, url = open_socket(Place(port=0))
    config = uvicorn.Config(make_app(settings), access_log=False, log_level="warning", lifespan="on", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        yield url
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server(_served_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of a server that the tests of a module share; they change nothing."""
    root = tmp_path_factory.mktemp("server") / "project"
    shutil.copytree(_served_once, root)
    Folder(root, uncaptured).run("list")
    with serving(root) as url:
        yield url


@pytest.fixture(scope="module")
def http(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=20) as client:
        yield client
