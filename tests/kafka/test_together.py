"""Several processes, a history on a server, and a group that is told the offsets."""

import subprocess
import sys

from confluent_kafka import Consumer, TopicPartition

from tests.kafka.conftest import Shop
from tests.services_postgres import PostgresServer


def test_runs_at_once_take_each_record_once(shop: Shop) -> None:
    shop.send(*(("a", day, 1) for day in range(1, 21)))
    command = [sys.executable, "-m", "featurestore", "-C", str(shop.folder.root), "--lock-timeout", "120", "ingest"]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    shop.send(*(("b", day, 1) for day in range(1, 11)))
    assert [process.wait(180) for process in processes] == [0, 0, 0]
    shop.folder.features()
    assert (shop.values("amount", "a"), shop.values("amount", "b")) == ([1] * 20, [1] * 10)
    assert shop.values("total", "b")[-1] == 10


def test_a_history_on_a_server_keeps_the_records_and_the_offsets(shop: Shop, own_postgres: PostgresServer) -> None:
    toml = shop.folder.root / "featurestore.toml"
    toml.write_text(f'{toml.read_text()}\n[offline]\nurl = "{own_postgres.url}"\n')
    shop.send(("a", 1, 10))
    shop.folder.features()
    shop.send(("a", 2, 20))
    own_postgres.stop()
    shop.folder.run("ingest", code=12)
    own_postgres.start()
    assert shop.folder.features()["total"]["rows_written"] == 1
    for path in (shop.folder.root / ".featurestore" / "rows").rglob("*"):
        path.unlink() if path.is_file() else None
    shop.send(("a", 3, 30))
    shop.folder.features()
    assert shop.values("total", "a") == [10, 30, 60]


def test_a_group_is_told_how_far_the_source_was_read(shop: Shop) -> None:
    shop.edit('start = "earliest"', 'start = "earliest"\ngroup = "lag"')
    shop.send(("a", 1, 10), ("a", 2, 20))
    assert shop.folder.json("ingest")["warnings"] == []
    consumer = Consumer({"bootstrap.servers": shop.kafka.brokers, "group.id": "lag"})
    (found,) = consumer.committed([TopicPartition(shop.topic, 0)], timeout=20)
    assert found.offset == 2
    consumer.close()
