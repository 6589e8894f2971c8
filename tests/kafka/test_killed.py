"""Whatever ends a run, the next one goes on: every record is taken once."""

import json
from collections.abc import Iterator
from typing import cast

import pytest

from featurestore.config import load_project
from featurestore.offline.open import open_offline
from tests.erasure.killing import Killer
from tests.kafka.conftest import Shop

WATCHED = (
    "atomic.py", "offline/audit_log.py", "offline/duckdb/", "offline/last_run.py", "offline/raw_rows.py",
    "sources/kafka/source.py", "sources/kafka/topic.py", "versioning/folder/files.py", "workflows/ingest/record.py",
    "workflows/ingest/streams.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    with Killer(tmp_path_factory.mktemp("killer"), WATCHED) as started:
        yield started


def send(shop: Shop, number: int) -> None:
    """One order a partition, each worth 1, and each of a minute of its own."""
    for partition in (0, 1):
        at = f"2026-01-0{partition + 1}T{number // 60:02}:{number % 60:02}:00Z"
        value = json.dumps({"customer_id": "a", "at": at, "amount": 1})
        shop.kafka.send(shop.topic, [value], partition=partition)


def taken(shop: Shop) -> dict[int, list[int]]:
    """The offsets of all raw rows, by partition."""
    found: dict[int, list[int]] = {}
    for batch in open_offline(load_project(shop.folder.root)).raw_batches("orders"):
        facts = cast("dict[str, int]", batch.facts)
        assert batch.rows == facts["last"] - facts["first"] + 1
        found.setdefault(facts["partition"], []).extend(range(facts["first"], facts["last"] + 1))
    return found


def kill_at(shop: Shop, killer: Killer, most: int) -> tuple[int, int]:
    """Kills one run after another, each at another point, new records before each; (how many died, how many came).

    A line that only the first run of a project comes to kills nobody.
    """
    send(shop, 0)
    whole = killer.run(shop.folder.root, "ingest", watch=True)
    assert whole.code == 0, whole.said
    every = max(1, len(whole.lines) // most)
    points, died = whole.lines[every // 2 :: every], 0
    for number, point in enumerate(points, 1):
        send(shop, number)
        died += killer.run(shop.folder.root, "ingest", before=point).code is None
    return died, len(points) + 1


def check_once(shop: Shop, came: int) -> None:
    shop.folder.run("ingest")
    assert taken(shop) == {0: list(range(came)), 1: list(range(came))}
    assert shop.values("amount", "a") == [1.0] * 2 * came
    found = shop.folder.features("--full")
    assert (found["total"]["rows_unchanged"], found["total"]["rows_written"]) == (2 * came, 0)
    (last,) = shop.folder.json("latest", "customer", "-f", "total")["rows"]
    assert last["total"] == 2 * came


def test_runs_that_are_killed_lose_and_double_nothing(shop: Shop, killer: Killer) -> None:
    died, came = kill_at(shop, killer, most=4)
    assert died >= 2
    check_once(shop, came)


@pytest.mark.nightly
def test_runs_that_are_killed_at_every_line_lose_and_double_nothing(shop: Shop, killer: Killer) -> None:
    died, came = kill_at(shop, killer, most=100_000)
    assert died >= 100
    check_once(shop, came)
