"""F04, F24: the server refuses, hangs or dies. No watermark moves, the error is ours, and the next sync repairs it."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import redis

from featurestore.errors import ConfigError, FeatureStoreError, StoreError
from featurestore.online.contract import OnlineStore, WriteCounts
from featurestore.online.open import open_online
from featurestore.online.redis.servers import Retries, Servers
from featurestore.online.redis.store import RedisStore
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import Reader
from featurestore.serving.request import SyncSizes
from featurestore.workflows.sync import sync
from tests.online.cases import PATIENT, make_project
from tests.online.shop import FEATURES, NOW, PEOPLE, QUICK, TUESDAY, Shop
from tests.services import Server, refusing


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def error_of(client: redis.Redis) -> str:
    """The kind of error that a server answers with, if it does."""
    try:
        client.ping()
    except redis.RedisError as exc:
        return type(exc).__name__
    return ""


def run_out_of_memory(shop: Shop) -> Callable[[], object]:
    client = shop.server.client()
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]))
    return lambda: client.config_set("maxmemory", 0)


def become_a_replica(shop: Shop) -> Callable[[], object]:
    client = shop.server.client()
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def forbid_writing(shop: Shop) -> Callable[[], object]:
    client = shop.server.client()
    client.execute_command("ACL", "SETUSER", "default", "-hset")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+@all")


def fail_to_save(shop: Shop) -> Callable[[], object]:
    """Lets a background save fail: Redis refuses writes then, for it could lose them."""
    client = shop.server.client()
    in_its_place = shop.server.folder / "dump.rdb"
    in_its_place.mkdir()
    client.config_set("save", "3600 1000000")
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] != "ok")

    def restore() -> None:
        client.config_set("save", "")
        in_its_place.rmdir()

    return restore


def ask_for_a_password(shop: Shop) -> Callable[[], object]:
    client = shop.server.client()
    client.config_set("requirepass", "s3cr3t")
    return lambda: client.config_set("requirepass", "")


@pytest.mark.parametrize(
    ("break_it", "word", "exit_code"),
    [(run_out_of_memory, "out of memory", 12), (become_a_replica, "read-only", 12), (forbid_writing, "permit", 12),
     (fail_to_save, "refuses writes", 12), (ask_for_a_password, "user or the password", 2)],
)  # fmt: skip
@pytest.mark.parametrize("loaded", [False, True])
def test_a_refusal_moves_no_watermark_and_the_next_sync_repairs(
    shop: Shop, break_it: Callable[[Shop], Callable[[], object]], word: str, exit_code: int, loaded: bool
) -> None:
    if loaded:
        shop.sync()
        shop.learn(TUESDAY, range(PEOPLE))
    before = OnlineTables(shop.open()).markers().versions
    restore = break_it(shop)
    with pytest.raises(FeatureStoreError, match=word) as caught:
        shop.sync()
    assert caught.value.exit_code == exit_code
    restore()
    assert OnlineTables(shop.open()).markers().versions == before
    shop.sync()
    assert shop.differences() == []


def test_a_server_that_is_still_loading_is_exit_12_and_has_lost_nothing(shop: Shop) -> None:
    shop.sync()
    shop.server.client().save()
    shop.server.stop()
    shop.server.options = ("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
    starting = threading.Thread(target=shop.server.start)
    starting.start()
    client = shop.server.client(retry=None)
    wait_until(lambda: error_of(client) == "BusyLoadingError")
    with pytest.raises(StoreError, match="still loading") as caught:
        shop.sync()
    starting.join()
    assert caught.value.exit_code == 12
    result = shop.sync()
    assert (result.entities_written, result.warnings) == (0, ())


@pytest.mark.parametrize("loaded", [False, True])
def test_a_full_server_reports_how_far_the_sync_came(shop: Shop, loaded: bool) -> None:
    if loaded:
        shop.sync()
    shop.learn(TUESDAY, range(20_000))
    client = shop.server.client()
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 1_500_000)
    with pytest.raises(StoreError, match=r"out of memory \(wrote [\d,]+ of 20,000 entities before that\)") as caught:
        shop.sync()
    reported = int(re.findall(r"wrote ([\d,]+)", caught.value.message)[0].replace(",", ""))
    there = {key for batch in shop.open().scan("patient") for key, _ in batch}
    assert 0 < reported <= len(there) < 20_000
    client.config_set("maxmemory", 0)
    shop.sync()
    assert shop.differences() == []


def test_what_was_written_in_earlier_batches_counts(shop: Shop) -> None:
    shop.sync()
    shop.learn(TUESDAY, range(PEOPLE))
    store = shop.open()
    merge = store.merge

    def merge_some(batches: Iterable[pl.DataFrame]) -> dict[int, WriteCounts]:
        def some() -> Iterator[pl.DataFrame]:
            for at, batch in enumerate(batches):
                if at == 2:
                    forbid_writing(shop)
                yield batch

        return merge(some())

    store.merge = merge_some  # type: ignore[method-assign]
    with pytest.raises(StoreError, match=r"does not permit .* \(wrote 200 of 300 entities before that\)"):
        sync(shop.project, shop.history.store, store, FEATURES, sizes=SyncSizes(batch_rows=100))


def test_something_else_under_the_key_of_an_entity_is_reported(shop: Shop) -> None:
    shop.server.client().set(f"fs1:{shop.project.name}:patient:p7", "text")
    with pytest.raises(StoreError, match="something else under the key") as caught:
        shop.sync()
    assert caught.value.hint == "run featurestore verify --fix"


def test_a_server_killed_in_the_middle_is_exit_12_and_repaired_later(shop: Shop) -> None:
    store = shop.open()
    load = store.load

    def load_while_it_dies(batches: Iterable[pl.DataFrame]) -> None:
        shop.server.stop()
        load(batches)

    store.load = load_while_it_dies  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="can't be reached") as caught:
        shop.sync(store)
    assert caught.value.exit_code == 12
    shop.server.start()
    shop.sync()
    assert shop.differences() == []


def test_a_server_that_is_back_in_time_is_not_an_error(shop: Shop) -> None:
    shop.sync()
    shop.server.client().save()
    store = shop.open(Retries(first_pause=0.2))
    reader = Reader(shop.project.name, store)
    assert reader.read(PATIENT, [{"patient_id": "p1"}], ["age"], NOW)[0][0].value == 1.01
    shop.server.stop()
    back = threading.Timer(0.2, shop.server.start)
    back.start()
    assert reader.read(PATIENT, [{"patient_id": "p1"}], ["age"], NOW)[0][0].value == 1.01
    back.join()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ("-LOADING Redis is loading the dataset in memory", StoreError, "still loading"),
        ("-MISCONF Redis is configured to save RDB snapshots, but it's unable to", StoreError, "refuses writes"),
        ("-CLUSTERDOWN The cluster is down", StoreError, "cluster that is down"),
        ("-MOVED 1 127.0.0.1:1", StoreError, "has moved a key"),
        ("-NOAUTH Authentication required.", ConfigError, "user or the password"),
        ("-WRONGPASS invalid username-password pair", ConfigError, "user or the password"),
        ("-ERR max number of clients reached", StoreError, "max number of clients"),
        ("this is not Redis", StoreError, "speak Redis"),
    ],
)
def test_each_refusal_is_reported_in_our_words(tmp_path: Path, answer: str, error: type[Exception], words: str) -> None:
    with refusing(answer) as port:
        store = RedisStore(make_project(tmp_path), f"redis://u:s3cr3t@127.0.0.1:{port}/0", QUICK)
        with pytest.raises(error, match=words) as caught:
            store.table("meta")
    assert "s3cr3t" not in f"{caught.value!r} {caught.value} {getattr(caught.value, 'hint', '')}"


@contextmanager
def silent() -> Iterator[tuple[int, list[socket.socket]]]:
    """A server that accepts every connection and never says a word: its port, and the connections so far."""
    accepted: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1]), accepted
    for connection in accepted:
        connection.close()


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "rediss+cluster"])
def test_a_server_that_stays_silent_is_waited_for_once(tmp_path: Path, scheme: str) -> None:
    with silent() as (port, accepted):
        project = replace(make_project(tmp_path, url=f"{scheme}://127.0.0.1:{port}"), online_timeout=0.2)
        calls: list[Callable[[OnlineStore], object]] = [
            lambda store: store.table("meta"), lambda store: store.pulse(), lambda store: list(store.checks()),
        ]  # fmt: skip
        for ask in calls:
            accepted.clear()
            with pytest.raises(StoreError, match="does not answer") as caught:
                ask(open_online(project))
            assert (caught.value.exit_code, len(accepted)) == (12, 1)


def test_a_server_without_tls_is_not_waited_for_again_and_again(tmp_path: Path, own_server: Server) -> None:
    url = f"rediss://localhost:{own_server.port}/0"
    project = replace(make_project(tmp_path, url=url), online_timeout=0.2)
    with pytest.raises(StoreError) as caught:
        open_online(project).table("meta")
    assert "TLS" in (caught.value.hint or "")


def test_a_connection_that_is_refused_is_tried_again(tmp_path: Path) -> None:
    """For as long as a server takes to come back; it is there at once, or not at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    tried: list[None] = []
    servers = Servers(f"redis://127.0.0.1:{port}/0", QUICK)

    def ask() -> object:
        tried.append(None)
        return servers.nodes()[0].ask("PING")

    with pytest.raises(StoreError, match="can't be reached"):
        servers.attempt(ask)
    assert len(tried) == 4


FOREIGN = {
    "a status": "+OK", "nothing": "$-1", "no list": "*-1", "a number": ":7", "an empty list": "*0",
    "another list": "*1\r\n:3", "a text": "$3\r\nabc",
}  # fmt: skip


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.parametrize("answer", FOREIGN)
def test_an_answer_of_the_wrong_kind_is_refused_and_shown(tmp_path: Path, answer: str, scheme: str) -> None:
    """By every call; an empty list is what an empty table is, so there a call may be answered."""
    calls: dict[str, Callable[[OnlineStore], object]] = {
        "fetch": lambda store: store.fetch(["fs1:p:patient:a"], [0, 1]),
        "table": lambda store: store.table("meta"),
        "swap": lambda store: store.swap("meta", {}, {"a": "b"}),
        "merge": lambda store: store.merge([pl.DataFrame({"key": ["fs1:p:patient:a"], "0": [b"x" * 25]})]),
        "discard": lambda store: store.discard(0, ["fs1:p:patient:a"], 1),
        "keys": lambda store: list(store.keys("patient", [0])),
        "scan": lambda store: list(store.scan("patient")),
        "pulse": lambda store: store.pulse(),
        "checks": lambda store: list(store.checks()),
    }
    refused = {}
    with refusing(FOREIGN[answer]) as port:
        for name, call in calls.items():
            store = RedisStore(make_project(tmp_path), f"{scheme}://127.0.0.1:{port}", QUICK)
            try:
                call(store)
            except StoreError as exc:
                refused[name] = exc
    assert all(exc.exit_code == 12 for exc in refused.values())
    assert "fetch" in refused
    if answer != "an empty list":
        assert {"fetch", "table", "merge", "discard", "keys", "scan", "checks"} <= set(refused)
        assert any("was answered with" in exc.message for exc in refused.values())


def test_a_server_that_hangs_is_given_up(tmp_path: Path, own_server: Server) -> None:
    store = RedisStore(make_project(tmp_path), own_server.url + "?socket_timeout=0.1", QUICK)
    store.table("meta")
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(StoreError, match="can't be reached"):
        store.table("meta")
    assert time.monotonic() - started < 5
    own_server.process.send_signal(signal.SIGCONT)
