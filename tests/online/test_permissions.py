"""The permissions that docs/online.md lists are accepted by each server at hand, and are enough for everything."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import redis

from featurestore.errors import StoreError
from featurestore.online.open import open_online
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import sync
from featurestore.workflows.verify.verify import verify
from tests import services
from tests.online.cases import PATIENT, History, make_project, make_version

DOC = (Path(__file__).parents[2] / "docs" / "online.md").read_text(encoding="utf-8")
FOUND = {services.redis_binary(), services.valkey_binary(), shutil.which("redis-server"), shutil.which("valkey-server")}
BINARIES = sorted(path for path in FOUND if path is not None)
CLUSTER = "+cluster|slots"
AGE = make_version("age")
MONDAY, TUESDAY = datetime(2024, 1, 1), datetime(2024, 1, 2)


@pytest.fixture(params=BINARIES)
def server(request: pytest.FixtureRequest) -> Iterator[services.Server]:
    yield from services.serve(services.new_server(request.param))


def line() -> list[str]:
    (found,) = re.findall(r"^ACL SETUSER app on >PASSWORD (.*)$", DOC, re.MULTILINE)
    return str(found).split()


def readers() -> list[str]:
    (found,) = re.findall(r"a reader needs only\s+`([^`]*)`", DOC)
    return ["~fs1:*", "-@all", *str(found).split()]


def test_the_line_is_enough_for_every_command(server: services.Server, tmp_path: Path) -> None:
    server.client().execute_command("ACL", "SETUSER", "app", "on", ">s3cr3t", *line())
    project = make_project(tmp_path, url=f"redis://app:s3cr3t@127.0.0.1:{server.port}/2?client_name=shop")
    history = History(project)
    history.learn({AGE: [("a", MONDAY, 0.1), ("b", MONDAY, 0.2)]})
    store = open_online(project)
    sync(project, history.store, store, [AGE])
    history.learn({AGE: [("a", TUESDAY, 0.3)]})
    sync(project, history.store, store, [AGE])
    sync(project, history.store, store, [AGE], "full")
    store.remove([f"fs1:{project.name}:patient:b"])
    assert verify(project, history.store, store, [AGE], fix=True).left == 0
    assert {check.state for check in store.checks()} == {"ok"}


def test_readers_need_no_more_than_is_said(server: services.Server, tmp_path: Path) -> None:
    project = make_project(tmp_path, url=server.url)
    history = History(project)
    history.learn({AGE: [("a", MONDAY, 0.1)]})
    sync(project, history.store, open_online(project), [AGE])
    server.client().execute_command("ACL", "SETUSER", "reader", "on", ">s3cr3t", *readers())
    store = open_online(replace(project, online_url=f"redis://reader:s3cr3t@127.0.0.1:{server.port}/0"))
    assert Reader(project.name, store).read(PATIENT, [{"patient_id": "a"}], ["age"], 0)[0][0].value == 0.1
    with pytest.raises(StoreError, match="does not permit"):
        store.swap("meta", {}, {"a": "b"})


def test_what_a_cluster_needs_too_is_accepted(server: services.Server) -> None:
    assert CLUSTER in DOC.replace("cluster`", "")
    server.client().execute_command("ACL", "SETUSER", "app", "on", ">s3cr3t", *line(), CLUSTER)
    with pytest.raises(redis.ResponseError):
        server.client().execute_command("ACL", "SETUSER", "other", "+no|such")
