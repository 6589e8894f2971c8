"""What a read costs a server: one round trip to each shard, counted by the servers themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from featurestore.client import OnlineReader
from featurestore.online.open import open_online
from featurestore.workflows.sync import sync
from tests.online.cases import History, make_project, make_version
from tests.services import Server

FEATURES = [make_version("age"), make_version("risk", kind="string"), make_version("steps", kind="int")]
NAMES = [version.id.feature for version in FEATURES]
PEOPLE = [f"p{n}" for n in range(100)]


def fill(root: Path, url: str) -> OnlineReader:
    """A reader of a store with three features of a hundred people, that has read once."""
    history = History(make_project(root, url=url))
    monday = datetime(2024, 1, 1)
    history.learn(
        {
            version: [(who, monday, value) for who in PEOPLE]
            for version, value in zip(FEATURES, (0.5, "x", 3), strict=True)
        }
    )
    store = open_online(history.project)
    sync(history.project, history.store, store, FEATURES)
    store.close()
    reader = OnlineReader(history.project)
    reader.values("patient", PEOPLE, NAMES)
    return reader


def asked(servers: Sequence[Server]) -> list[tuple[int, dict[str, int]]]:
    """Of each server: how often it had something to read, and how many commands of each name it has run."""
    found = []
    for server in servers:
        client = server.client()
        stats, commands = client.info("stats"), client.info("commandstats")
        client.close()
        calls = {name.removeprefix("cmdstat_"): item["calls"] for name, item in commands.items()}
        found.append(
            (stats["total_reads_processed"], {name: calls.get(name, 0) for name in ("hmget", "hget", "hgetall")})
        )
    return found


def cost(servers: Sequence[Server], reader: OnlineReader, people: Sequence[str]) -> list[tuple[int, dict[str, int]]]:
    """What one read adds to these, less what the asking itself adds."""
    first, idle = asked(servers), asked(servers)
    reader.get("patient", people, NAMES)
    return [
        (after - before - (before - start), {name: calls[name] - ran[name] for name in calls})
        for (start, _), (before, ran), (after, calls) in zip(first, idle, asked(servers), strict=True)
    ]


@pytest.mark.parametrize("count", [1, 100])
def test_any_number_of_entities_and_features_is_one_round_trip(own_server: Server, tmp_path: Path, count: int) -> None:
    with fill(tmp_path, own_server.url) as reader:
        assert cost([own_server], reader, PEOPLE[:count]) == [(1, {"hmget": count, "hget": 1, "hgetall": 0})]


def test_on_a_cluster_it_is_one_for_each_shard_that_holds_some(cluster: list[Server], tmp_path: Path) -> None:
    with fill(tmp_path, f"redis+cluster://127.0.0.1:{cluster[0].port}") as reader:
        costs = cost(cluster, reader, PEOPLE)
        assert [trips for trips, _ in costs] == [1, 1, 1]
        assert sum(ran["hmget"] for _, ran in costs) == 100
        assert sum(ran["hget"] for _, ran in costs) == 1
        one = cost(cluster, reader, PEOPLE[:1])
        assert sum(trips for trips, _ in one) <= 2, "its shard, and the one that holds the pointers"
