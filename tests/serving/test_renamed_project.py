"""A project under another name is another key space: sync fills it, and doctor names the old one."""

from __future__ import annotations

import pytest

from featurestore.config import load_project
from featurestore.online.open import open_online
from tests.conftest import Folder
from tests.services import Server


@pytest.fixture(params=["embedded", "server"])
def synced(project: Folder, request: pytest.FixtureRequest) -> Folder:
    if request.param == "server":
        server: Server = request.getfixturevalue("own_server")
        text = (project.root / "featurestore.toml").read_text()
        project.write({"featurestore.toml": f'{text}\n[online]\nurl = "{server.url}"\n'})
    project.run("ingest")
    project.run("sync")
    project.edit("featurestore.toml", 'name = "test"', 'name = "clinic"')
    return project


def online_checks(folder: Folder) -> list[str]:
    checks = folder.json("doctor", code=0)["checks"]
    return [item["what"] for item in checks if item["area"] == "online" and item["state"] == "warn"]


def test_a_renamed_project_is_filled_again(synced: Folder) -> None:
    assert "run featurestore sync" in synced.run("get", "patient", "001", "-f", "age_share", code=2).err
    ran = synced.run("sync", "--json")
    assert ran.json["features"][0]["entities_written"] == 2
    assert "called test before" in ran.err
    value = synced.json("get", "patient", "001")["entities"][0]["features"]["age_share"]
    assert (value["status"], value["value"]) == ("ok", pytest.approx(0.51))
    again = synced.run("sync", "--json")
    assert (again.json["features"][0]["entities_written"], again.err) == (0, "")
    assert synced.json("verify")["missing"] == 0


def test_doctor_names_the_old_one(synced: Folder) -> None:
    (old,) = online_checks(synced)
    assert "earlier name test" in old
    synced.run("sync")
    is_embedded = load_project(synced.root).online_url is None
    assert [("earlier name test" in what) for what in online_checks(synced)] == ([] if is_embedded else [True])


def test_a_name_that_comes_back_is_filled_again(synced: Folder) -> None:
    synced.run("sync")
    synced.edit("featurestore.toml", 'name = "clinic"', 'name = "test"')
    synced.run("sync")
    assert synced.json("get", "patient", "001")["entities"][0]["features"]["age_share"]["status"] == "ok"
    assert synced.json("verify")["missing"] == 0
    assert len(online_checks(synced)) in (0, 1)


def test_nothing_is_written_by_looking(synced: Folder) -> None:
    synced.run("sync", "--dry-run")
    synced.run("verify", code=1)
    synced.edit("featurestore.toml", 'name = "clinic"', 'name = "test"')
    with_old_name = load_project(synced.root)
    store = open_online(with_old_name)
    assert set(store.table("active")) == {"@generation", "age_share"}
    store.close()
