"""``doctor`` on real servers: what would lose or refuse values is found before it does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore.model import Check
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.online.open import open_online
from featurestore.workflows.doctor import examine
from featurestore.workflows.sync import sync
from tests.online.cases import commit, make_project
from tests.online.shop import AGE, MONDAY, TUESDAY, Shop
from tests.online.test_refusals import become_a_replica, fail_to_save, forbid_writing
from tests.services import Server


@pytest.fixture
def doctor(shop: Shop) -> Callable[[], list[Check]]:
    """What is found about the online store."""
    (shop.project.root / "featurestore.toml").write_text(
        f'[project]\nname = "{shop.project.name}"\n[online]\nurl = "{shop.server.url}"\n'
        '[entity_types.patient]\nkeys = { patient_id = "string" }\n'
    )
    return lambda: [check for check in examine(shop.project.root) if check.area == "online"]


def have_no_memory(shop: Shop) -> Callable[[], object]:
    shop.server.client().config_set("maxmemory", 1)
    return lambda: shop.server.client().config_set("maxmemory", 0)


def states(checks: list[Check]) -> set[str]:
    return {check.state for check in checks}


def test_a_server_that_is_as_it_should_be(shop: Shop, doctor: Callable[[], list[Check]]) -> None:
    shop.sync()
    found = doctor()
    assert states(found) == {"ok"}
    assert any("features served: 2, up to run 1" in check.what for check in found)
    assert shop.differences() == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_policy_that_drops_entities_fails(shop: Shop, doctor: Callable[[], list[Check]], policy: str) -> None:
    shop.server.client().config_set("maxmemory-policy", policy)
    wrong = [check for check in doctor() if check.state == "fail"]
    assert [policy in check.what and "noeviction" in str(check.hint) for check in wrong] == [True]
    for good in ("noeviction", "volatile-lru"):  # no key of ours expires, so none is dropped
        shop.server.client().config_set("maxmemory-policy", good)
        assert states(doctor()) == {"ok"}


def test_what_was_evicted_and_what_soon_might_be_is_warned_of(shop: Shop, doctor: Callable[[], list[Check]]) -> None:
    shop.sync()
    client = shop.server.client()
    client.config_set("maxmemory-policy", "allkeys-random")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - 20_000)
    client.set("one more", "x")
    assert client.info("stats")["evicted_keys"] > 0
    client.config_set("maxmemory-policy", "noeviction")
    warned = " ".join(check.what for check in doctor() if check.state == "warn")
    assert "evicted" in warned
    assert "of maxmemory is used" in warned


@pytest.mark.parametrize(
    ("break_it", "words"),
    [(become_a_replica, "read-only"), (forbid_writing, "permit"), (fail_to_save, "save"),
     (have_no_memory, "out of memory")],
)  # fmt: skip
def test_a_server_that_would_refuse_a_sync_fails(
    shop: Shop, doctor: Callable[[], list[Check]], break_it: Callable[[Shop], Callable[[], object]], words: str
) -> None:
    shop.sync()
    restore = break_it(shop)
    wrong = [check for check in doctor() if check.state == "fail"]
    assert any(words in check.what for check in wrong)
    assert all(check.hint for check in wrong)
    restore()


def test_a_server_that_is_gone_fails_and_the_rest_is_looked_at(shop: Shop, doctor: Callable[[], list[Check]]) -> None:
    shop.server.stop()
    (gone,) = doctor()
    assert gone.state == "fail"
    assert "can't be reached" in gone.what
    assert {check.area for check in examine(shop.project.root)} >= {"offline", "git", "disk"}


def test_what_comes_from_another_history_fails(tmp_path: Path, own_server: Server) -> None:
    """Of the stranger, of a history that was set back, and of one that ends before what is online."""
    project = make_project(tmp_path / "shop", url=own_server.url)
    (project.root / "featurestore.toml").write_text(
        f'[project]\nname = "{project.name}"\n[online]\nurl = "{own_server.url}"\n'
        '[entity_types.patient]\nkeys = { patient_id = "string" }\n'
    )

    def online() -> list[Check]:
        return [check for check in examine(project.root) if check.area == "online" and "histor" in check.what]

    older = tmp_path / "older"
    commit(project, AGE, [("a", MONDAY, 1.0)])
    sync(project, DuckDBStore(project), open_online(project), [AGE])
    first = DuckDBStore(project).committed_runs()[0].run_id
    assert [(check.state, check.what) for check in online()] == [
        ("ok", f"belongs to this history, which began with run {first}")
    ]
    shutil.copytree(project.state, older)
    commit(project, AGE, [("a", TUESDAY, 2.0)])
    sync(project, DuckDBStore(project), open_online(project), [AGE])
    shutil.copy(older / "history.duckdb", project.state)
    (project.state / "history.json").unlink()  # the older one is meant
    assert [(check.state, check.what) for check in online()] == [
        ("fail", "run 2 is online, but the history ends at run 1")
    ]
    commit(project, AGE, [("a", TUESDAY, 3.0)])
    (set_back,) = online()
    assert (set_back.state, "was set back" in set_back.what) == ("fail", True)
    (project.state / "history.duckdb").unlink()
    (project.state / "history.json").unlink()
    commit(project, AGE, [("a", MONDAY, 1.0)])
    (foreign,) = online()
    assert (foreign.state, first in foreign.what, "--take-over" in str(foreign.hint)) == ("fail", True, True)
