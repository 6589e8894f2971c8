"""F03: the store has lost values. The loss is noticed, repaired and reported once, or left to a person."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from featurestore.workflows.sync import sync
from tests.online.cases import make_project, make_version
from tests.online.shop import FEATURES, PEOPLE, TUESDAY, Shop, restart_empty
from tests.services import new_server


def flush(shop: Shop) -> None:
    shop.server.client().flushall()


def lose_half(shop: Shop) -> None:
    """Fills the server until it evicts."""
    client = shop.server.client()
    client.config_set("maxmemory-policy", "allkeys-random")
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 200_000)
    for n in range(3_000):
        client.set(f"filler{n}", "x" * 1_000)
    client.config_set("maxmemory", 0)
    for key in client.scan_iter("filler*", 1_000):
        client.delete(key)
    assert client.info("stats")["evicted_keys"] > 0


@pytest.mark.parametrize("lose", [flush, restart_empty, lose_half])
def test_a_loss_is_noticed_repaired_and_reported_once(shop: Shop, lose: Callable[[Shop], None]) -> None:
    shop.sync()
    lose(shop)
    shop.learn(TUESDAY, range(3))
    result = shop.sync()
    assert len(result.warnings) == 1
    assert "doing a full sync of 2 features" in result.warnings[0]
    assert shop.differences() == []
    assert shop.sync().warnings == ()


def restore_an_older_dump(shop: Shop) -> None:
    shop.server.client().save()
    shutil.copy(shop.server.folder / "dump.rdb", shop.server.folder / "old.rdb")
    shop.learn(TUESDAY, range(100))
    shop.sync()
    shop.server.stop()
    shutil.copy(shop.server.folder / "old.rdb", shop.server.folder / "dump.rdb")
    shop.server.start()


def test_an_older_dump_is_noticed_and_repaired(shop: Shop) -> None:
    shop.sync()
    restore_an_older_dump(shop)
    assert len(shop.differences()) == 200
    result = shop.sync()
    assert len(result.warnings) == 1
    assert shop.differences() == []


def move_to_another_database(shop: Shop) -> None:
    shop.project = make_project(shop.project.root, shop.project.name, shop.server.url[:-1] + "1")


def test_another_database_is_filled(shop: Shop) -> None:
    shop.sync()
    move_to_another_database(shop)
    result = shop.sync()
    assert len(result.warnings) == 1
    assert shop.differences() == []


def test_another_server_is_filled(shop: Shop) -> None:
    shop.sync()
    other = new_server()
    shop.project = make_project(shop.project.root, shop.project.name, other.url)
    result = shop.sync()
    left = shop.differences()
    other.stop()
    shutil.rmtree(other.folder)
    assert (len(result.warnings), left) == (1, [])


LOSSES = [flush, restart_empty, lose_half, restore_an_older_dump, move_to_another_database]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_loss_may_be_left_to_a_person(shop: Shop, lose: Callable[[Shop], None]) -> None:
    """Without the automatic repair nothing is written, however often, until somebody asks for it."""
    shop.sync()
    lose(shop)
    shop.learn(TUESDAY, range(3))
    stored = contents(shop)
    for _ in range(2):
        result = shop.sync(repair=False)
        assert (result.unrepaired, result.features) == (("age", "risk"), ())
        (warning,) = result.warnings
        assert warning.endswith(
            "nothing was written for 2 features: run featurestore sync --full --feature age --feature risk"
        )
        assert contents(shop) == stored
    assert len(shop.sync(full=True, repair=False).features) == 2
    assert shop.differences() == []
    assert shop.sync(repair=False).warnings == ()


def test_without_repair_what_was_not_lost_is_synced(shop: Shop) -> None:
    shop.sync()
    flush(shop)
    steps = make_version("steps", kind="int")
    shop.history.learn({steps: [("p1", TUESDAY, 7)]})
    result = sync(shop.project, shop.history.store, shop.open(), [*FEATURES, steps], repair=False)
    assert [feature.name for feature in result.features] == ["steps"]
    assert result.unrepaired == ("age", "risk")
    assert "doing a full sync of 2 features" in shop.sync().warnings[0]
    assert shop.differences() == []


def contents(shop: Shop) -> dict[str, dict[str, bytes]]:
    """Everything but the store's own book-keeping."""
    store = shop.open()
    values = {key: stored for batch in store.scan("patient") for key, stored in batch}
    return {**values, "active": {name: text.encode() for name, text in store.table("active").items()}}


def test_a_server_that_restarts_with_all_its_data_is_trusted(shop: Shop) -> None:
    shop.sync()
    shop.server.client().save()
    restart_empty(shop)
    result = shop.sync()
    assert (result.entities_written, result.warnings) == (0, ())


def test_a_server_restarted_in_the_middle_is_written_again(shop: Shop) -> None:
    """Batch one is lost with the restart, batch two is not: the markers alone would not show it."""
    shop.sync()
    shop.server.client().save()
    shop.learn(TUESDAY, range(PEOPLE))
    store = shop.open()
    merge = store.merge

    def merge_then_restart(batches: object) -> object:
        store.merge = merge  # type: ignore[method-assign]
        merge(batches)  # type: ignore[arg-type]
        restart_empty(shop)
        return {}

    store.merge = merge_then_restart  # type: ignore[method-assign, assignment]
    shop.sync(store)
    assert shop.differences() == []
