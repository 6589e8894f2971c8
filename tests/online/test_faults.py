"""What goes wrong with a real server, and that nothing is lost, taken back or hidden by it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from featurestore.config import Project
from featurestore.errors import ConfigError, StoreError
from featurestore.offline.duckdb import DuckDBStore
from featurestore.online import servers
from featurestore.online.directory import Directory
from featurestore.online.open import open_online
from featurestore.online.reader import Reader
from featurestore.online.store import OnlineStore
from featurestore.workflows.sync import SyncResult, sync

from ..services import Server, refusing
from .cases import PATIENT, History, commit, learn_for_all, make_project, make_version

AGE, RISK = make_version("age"), make_version("risk", kind="string")
FEATURES = (AGE, RISK)
MONDAY, TUESDAY = datetime(2024, 1, 1), datetime(2024, 1, 2)
NOW = 1_704_300_000_000_000
PEOPLE = 300
ROOT = Path(__file__).parents[2]


class Shop:
    """A project on a server of its own, with a history of some people."""

    def __init__(self, root: Path, server: Server) -> None:
        self.server = server
        self.project = make_project(root, url=server.url)
        self.history = History(self.project)
        self.learn(MONDAY, range(PEOPLE))

    def learn(self, at: datetime, people: range) -> None:
        ages = [(f"p{n}", at, n + at.day / 100) for n in people]
        risks = [(f"p{n}", at, f"risk {n} {at.day}") for n in people]
        self.history.learn({AGE: ages, RISK: risks})

    def open(self) -> OnlineStore:
        return open_online(self.project)

    def sync(self, store: OnlineStore | None = None, *, full: bool = False) -> SyncResult:
        chosen = store or self.open()
        return sync(self.project, self.history.store, chosen, FEATURES, "full" if full else "incremental")

    def differences(self) -> list[tuple[str, str, object, object]]:
        """Where what is served is not the history's latest: (who, feature, served, should be)."""
        rows = {version: self.history.rows.latest(version) for version in FEATURES}
        expected = {
            (who, version.id.feature): value
            for version, frame in rows.items()
            for who, value in frame["patient_id", "value"].iter_rows()
        }
        people = sorted({who for who, _ in expected})
        reader = Reader(self.project.name, self.open())
        served = reader.read(PATIENT, [{"patient_id": who} for who in people], [v.id.feature for v in FEATURES], NOW)
        return [
            (who, item.name, item.value, expected[who, item.name])
            for who, row in zip(people, served, strict=True)
            for item in row
            if item.value != expected[who, item.name]
        ]


@pytest.fixture
def shop(tmp_path: Path, own_server: Server, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(servers, "FIRST_PAUSE", 0.01)
    return Shop(tmp_path / "shop", own_server)


# --- F03: the store has lost what it held ----------------------------------------------------------------


def flush(shop: Shop) -> None:
    shop.server.client().flushall()


def restart_empty(shop: Shop) -> None:
    shop.server.stop()
    shop.server.start()


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
def test_a_loss_is_noticed_repaired_and_told_once(shop: Shop, lose: Callable[[Shop], None]) -> None:
    shop.sync()
    lose(shop)
    shop.learn(TUESDAY, range(3))
    result = shop.sync()
    assert len(result.warnings) == 1
    assert "doing a full sync of 2 features" in result.warnings[0]
    assert shop.differences() == []
    assert shop.sync().warnings == ()


def test_an_older_dump_is_noticed_and_repaired(shop: Shop) -> None:
    shop.sync()
    shop.server.client().save()
    shutil.copy(shop.server.folder / "dump.rdb", shop.server.folder / "old.rdb")
    shop.learn(TUESDAY, range(100))
    shop.sync()
    shop.server.stop()
    shutil.copy(shop.server.folder / "old.rdb", shop.server.folder / "dump.rdb")
    shop.server.start()
    assert len(shop.differences()) == 200
    result = shop.sync()
    assert len(result.warnings) == 1
    assert shop.differences() == []


def test_another_database_is_filled(shop: Shop) -> None:
    shop.sync()
    before = shop.project
    shop.project = make_project(before.root, before.name, shop.server.url[:-1] + "1")
    result = shop.sync()
    assert len(result.warnings) == 1
    assert shop.differences() == []


def test_a_server_that_restarts_with_all_its_data_is_trusted(shop: Shop) -> None:
    shop.sync()
    shop.server.client().save()
    restart_empty(shop)
    result = shop.sync()
    assert (result.entities_written, result.warnings) == (0, ())


def test_a_server_restarted_in_the_middle_is_written_again(shop: Shop) -> None:
    """Batch one is lost with the restart, batch two is not: the markers alone would not tell."""
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


# --- F04, F24: the server refuses, or dies ----------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("break_it", "word"),
    [(run_out_of_memory, "out of memory"), (become_a_replica, "read-only"), (forbid_writing, "permit")],
)
@pytest.mark.parametrize("loaded", [False, True])
def test_a_refusal_moves_no_watermark_and_the_next_sync_mends(
    shop: Shop, break_it: Callable[[Shop], Callable[[], object]], word: str, loaded: bool
) -> None:
    if loaded:
        shop.sync()
        shop.learn(TUESDAY, range(PEOPLE))
    store = shop.open()
    before = Directory(store).meta().loaded
    mend = break_it(shop)
    with pytest.raises(StoreError, match=word) as caught:
        shop.sync(store)
    assert caught.value.exit_code == 12
    mend()
    assert Directory(store).meta().loaded == before
    shop.sync()
    assert shop.differences() == []


def test_a_refusal_in_the_middle_of_a_load_tells_how_far_it_came(shop: Shop) -> None:
    store = shop.open()
    load = store.load

    def load_forbidden(batches: object) -> None:
        forbid_writing(shop)
        load(batches)  # type: ignore[arg-type]

    store.load = load_forbidden  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreError, match=r"does not permit .* \(wrote 0 of 300 entities before that\)"):
        shop.sync(store)


def test_a_server_killed_in_the_middle_is_exit_12_and_then_mended(shop: Shop) -> None:
    store = shop.open()
    load = store.load

    def load_while_it_dies(batches: object) -> None:
        shop.server.stop()
        load(batches)  # type: ignore[arg-type]

    store.load = load_while_it_dies  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreError, match="can't be reached") as caught:
        shop.sync(store)
    assert caught.value.exit_code == 12
    shop.server.start()
    shop.sync()
    assert shop.differences() == []


def test_a_server_that_is_back_in_time_is_not_an_error(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FIRST_PAUSE", 0.2)
    shop.sync()
    shop.server.client().save()
    store = shop.open()
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
def test_each_refusal_is_said_in_our_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, error: type[Exception], words: str
) -> None:
    monkeypatch.setattr(servers, "FIRST_PAUSE", 0.001)
    with refusing(answer) as port:
        store = open_online(make_project(tmp_path, url=f"redis://u:s3cr3t@127.0.0.1:{port}/0"))
        with pytest.raises(error, match=words) as caught:
            store.table("meta")
    assert "s3cr3t" not in f"{caught.value!r} {caught.value} {getattr(caught.value, 'hint', '')}"


def test_a_server_that_hangs_is_given_up(tmp_path: Path, own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FIRST_PAUSE", 0.001)
    store = open_online(make_project(tmp_path, url=own_server.url + "?socket_timeout=0.1"))
    store.table("meta")
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(StoreError, match="can't be reached"):
        store.table("meta")
    assert time.monotonic() - started < 5
    own_server.process.send_signal(signal.SIGCONT)


# --- F01: whoever runs beside, and whoever is killed ------------------------------------------------------

LOADER = """
import sys
from pathlib import Path
from tests.online.cases import History, learn_for_all, make_project, make_version
from featurestore.online.open import open_online
from featurestore.workflows.sync import sync

project = make_project(Path(sys.argv[1]), sys.argv[3], sys.argv[2])
history, age = History(project), make_version("age")
learn_for_all(history, age, 1)
print("ready", flush=True)
sync(project, history.store, open_online(project), [age])
"""
SYNCER = """
import sys
from pathlib import Path
from tests.online.cases import make_project, make_version
from featurestore.offline.duckdb import DuckDBStore
from featurestore.online.open import open_online
from featurestore.workflows.sync import sync

project = make_project(Path(sys.argv[1]), sys.argv[3], sys.argv[2])
print("ready", flush=True)
for turn in range(int(sys.argv[4])):
    mode = "full" if turn % 3 else "incremental"
    sync(project, DuckDBStore(project), open_online(project), [make_version("age")], mode)
"""


def start(code: str, project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Starts a process on a project, and waits until it is ready to go."""
    command = [sys.executable, "-c", code, str(project.root), str(project.online_url), project.name, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def check_ages(project: Project, expected: dict[str, float]) -> None:
    reader = Reader(project.name, open_online(project))
    rows = reader.read(PATIENT, [{"patient_id": who} for who in expected], ["age"], NOW)
    assert {who: row[0].value for who, row in zip(expected, rows, strict=True)} == expected


def test_syncs_beside_a_growing_history_and_one_killed_end_with_the_latest(tmp_path: Path, own_server: Server) -> None:
    project = make_project(tmp_path, url=own_server.url)
    plain = History(project)
    syncers = [start(SYNCER, project, "5") for _ in range(2)]
    doomed = start(SYNCER, project, "1000")
    for run in range(6):
        rows = learn_for_all(plain, AGE, 1, first=run)
        commit(project, AGE, rows)
        if run == 3:
            doomed.kill()
    assert [process.wait() for process in (*syncers, doomed)] == [0, 0, -signal.SIGKILL]
    sync(project, DuckDBStore(project), open_online(project), [AGE])
    check_ages(project, dict(plain.rows.latest(AGE)["patient_id", "value"].iter_rows()))


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_sync_killed_in_the_middle_leaves_nothing_half_served(
    tmp_path: Path, own_server: Server, after: float
) -> None:
    project = make_project(tmp_path / "here", url=own_server.url)
    process = start(LOADER, project)
    time.sleep(after)
    process.kill()
    process.wait()
    history = History(project)
    learn_for_all(history, AGE, 1)
    store = open_online(project)
    sync(project, history.store, store, [AGE])
    check_ages(project, dict(history.rows.latest(AGE)["patient_id", "value"].iter_rows()))
    assert Directory(store).meta().loading == {}
    assert {len(held) for batch in store.scan("patient") for _, held in batch} == {1}
