"""TLS and a login, in front of a broker that has neither: the client's own, with its settings handed through."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.conftest import Folder
from tests.kafka.conftest import FEATURES, TOML, order
from tests.services import free_port, pump
from tests.services_kafka import start_broker
from tests.services_tls import Authority, context_of, front

USER, PASSWORD = "reader", "geheim"
SETTINGS = """
[sources.orders.kafka]
security.protocol = "SASL_SSL"
sasl.mechanisms = "PLAIN"
sasl.username = "reader"
sasl.password = "${SHOP_PASSWORD}"
ssl.ca.location = "ca.crt"
[sources.orders]"""
_SASL_HANDSHAKE, _SASL_AUTHENTICATE = 17, 36
_REFUSED = 58


@dataclass(frozen=True)
class Secured:
    """A broker behind TLS and a login; ``root`` is the certificate of who vouches for it."""

    brokers: str
    root: Path

    @property
    def client(self) -> dict[str, str | int | float | bool]:
        return {
            "bootstrap.servers": self.brokers, "security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN",
            "sasl.username": USER, "sasl.password": PASSWORD, "ssl.ca.location": str(self.root),
        }  # fmt: skip


def text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


async def log_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: asyncio.StreamWriter) -> bool:
    """Answers what a client says of itself, as a broker does; other requests go on. Whether it is let in."""
    while True:
        head = await reader.readexactly(4)
        request = await reader.readexactly(*struct.unpack(">i", head))
        key, _version, number = struct.unpack_from(">hhi", request)
        if key not in (_SASL_HANDSHAKE, _SASL_AUTHENTICATE):
            behind.write(head + request)
            continue
        known = request.endswith(f"\0{USER}\0{PASSWORD}".encode())
        if key == _SASL_HANDSHAKE:
            answer = struct.pack(">ihi", number, 0, 1) + text("PLAIN")
        elif known:
            answer = struct.pack(">ihhiq", number, 0, -1, 0, 0)
        else:
            answer = struct.pack(">ih", number, _REFUSED) + text("unknown user or password") + struct.pack(">iq", 0, 0)
        writer.write(struct.pack(">i", len(answer)) + answer)
        await writer.drain()
        if key == _SASL_AUTHENTICATE:
            return known


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    authority = Authority(tmp_path_factory.mktemp("tls"), "ca")
    port = free_port()
    broker = start_broker(f"localhost:{port}")
    assert broker.process is not None

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, behind = await asyncio.open_connection(*broker.brokers.split(":"))
        answering = asyncio.create_task(pump(answers, writer))
        if await log_in(reader, writer, behind):
            await pump(reader, behind)
        answering.cancel()

    with front(serve_one, port, context_of(authority.issue("localhost"))):
        yield Secured(f"localhost:{port}", authority.root)
    broker.process.kill()
    broker.process.wait()


@pytest.fixture
def shop(folder: Folder, secured: Secured, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A project whose source logs in; two orders are there."""
    topic = f"t{folder.root.name.replace('[', '_').replace(']', '_')}"
    admin = AdminClient(secured.client)  # it must live until it has its answer
    for made in admin.create_topics([NewTopic(topic, 1, 1)]).values():
        made.result(20)
    producer = Producer({**secured.client, "batch.num.messages": 1, "linger.ms": 0})
    for day in (1, 2):
        producer.produce(topic, order("a", day, day * 10), partition=0)
    assert producer.flush(20) == 0
    toml = TOML.format(brokers=secured.brokers, topic=topic)
    folder.write({
        "featurestore.toml": toml.replace("[sources.orders]", SETTINGS.strip()).replace('"5s"', '"3s"'),
        "features/shop.py": FEATURES, "ca.crt": secured.root.read_text(),
    })  # fmt: skip
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    return folder


def test_records_come_through_tls_and_a_login(shop: Folder) -> None:
    assert shop.features()["amount"]["rows_written"] == 2
    assert [each["value"] for each in shop.json("history", "total", "a")["values"]] == [10, 30]


def test_a_wrong_password_is_said_and_never_shown(shop: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "geheimnis")
    ran = shop.run("ingest", code=4)
    assert "uthentication" in ran.err
    assert "geheim" not in ran.out + ran.err


def test_a_broker_that_nobody_vouches_for_is_not_talked_to(shop: Folder, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    shop.write({"ca.crt": other.root.read_text()})
    ran = shop.run("ingest", code=4)
    assert "certificate verify failed" in ran.err
