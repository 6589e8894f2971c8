"""The same on servers: no byte in a file of PostgreSQL's tables, no field, nothing in Redis, after the next command."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle

import psycopg
import pytest
import redis

from featurestore.offline.audit_log import SqlRun
from featurestore.offline.postgres import packed, purging
from featurestore.postgres.address import parse
from featurestore.postgres.connection import Connection
from featurestore.postgres.connection import Server as Database
from featurestore.workflows.erasure import completion
from tests.conftest import Folder
from tests.erasure.contents import naming_on_server
from tests.erasure.killing import Killer, line_in
from tests.erasure.test_killed import NEEDLES, NEXT, PARTS, WHO, leave_traces, left_in
from tests.services import Server, new_server, serve
from tests.services_postgres import PostgresServer

PACKED = {"LEAST_ROWS": 1}  # rows of a history are packed once more, as those of a large one are


@pytest.fixture
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    with Killer(tmp_path_factory.mktemp("killer"), settings={packed.__name__: PACKED}) as started:
        yield started


@pytest.fixture
def valkey() -> Iterator[Server]:
    yield from serve(new_server())


def bytes_of(client: redis.Redis) -> dict[bytes, bytes]:
    """All that a server holds, each value in its serialized form."""
    keys = [bytes(key) for key in client.scan_iter()]
    return {key: bytes(client.dump(key)) for key in keys}  # type: ignore[arg-type]


def left_on(postgres: PostgresServer, database: str, client: redis.Redis) -> list[str]:
    """What is left on the servers: in any file of the database, any field of its tables, any key or value."""
    postgres.run("CHECKPOINT")
    (found,) = postgres.sql(f"SELECT oid FROM pg_database WHERE datname = '{database}'")
    files = [path for path in (postgres.folder / "data" / "base" / str(found["oid"])).rglob("*") if path.is_file()]
    left = naming_on_server(url_of(postgres, database), NEEDLES)
    for path in files:
        with suppress(FileNotFoundError):  # the server removes and renames files at any time
            left += [f"{path.name}: {needle!r}" for needle in NEEDLES if needle in path.read_bytes()]
    hashes = {bytes(key): client.hgetall(key) for key in client.scan_iter(_type="hash")}
    return left + [
        f"redis {key!r}" for key, held in hashes.items() for needle in NEEDLES if needle in key + repr(held).encode()
    ]


def try_some(
    folder: Folder,
    killer: Killer,
    postgres: PostgresServer,
    valkey: Server,
    chosen: Callable[[Sequence[str]], Sequence[str]],
) -> int:
    """Kills an erasure at the steps ``chosen`` of all, each in copies of the folder, the database and the keys."""
    base, copy = folder.root, folder.root.parent / "copy"
    client = valkey.client()
    keys = bytes_of(client)

    def fresh() -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(base, copy)
        postgres.run("DROP DATABASE IF EXISTS trial")
        postgres.run("CREATE DATABASE trial TEMPLATE base")
        client.flushall()
        for key, dumped in keys.items():
            client.restore(key, 0, dumped)

    env = {"FEATURESTORE_OFFLINE_URL": url_of(postgres, "trial"), "FEATURESTORE_ONLINE_URL": valkey.url}
    fresh()
    assert left_on(postgres, "trial", client)
    whole = killer.run(copy, "delete", "patient", WHO, "--erase", "--yes", env=env, watch=True)
    assert whole.code == 0, whole.said
    assert left_in(copy) == []
    assert left_on(postgres, "trial", client) == []
    taken_up = 0
    points = chosen(whole.lines)
    # Erased by a second command, after a first one has made the server count the values of the tables that it empties.
    twice = (line_in(SqlRun.drop_errors), NEXT[-1])
    for point, command in [twice, *zip(points, cycle(NEXT), strict=False)]:
        fresh()
        assert killer.run(copy, "delete", "patient", WHO, "--erase", "--yes", before=point, env=env).code is None, point
        words = [str(copy / word) if word.endswith(".csv") else word for word in command]
        after = killer.run(copy, *words, env=env)
        assert after.code in (0, 3), f"{point}, {words}: {after.code}\n{after.said}"
        if killer.run(copy, "history", "said", WHO, env=env).said.count("quixotic"):
            assert killer.run(copy, "delete", "patient", WHO, "--erase", "--yes", env=env).code == 0, point
        else:
            taken_up += 1
        assert left_in(copy) == [], f"{point}, then {words}"
        assert left_on(postgres, "trial", client) == [], f"{point}, then {words}"
    return taken_up


@contextmanager
def passers_by(url: str) -> Iterator[None]:
    """Other clients of the database: at every moment one of them has a snapshot, and none of them stays for long."""
    address = parse(url, key="url", where="tests", application="passing by")
    here, gone = threading.Barrier(3), threading.Event()

    def come_and_go(connection: Connection) -> None:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        time.sleep(0.1)
        connection.execute("ROLLBACK")

    def pass_by(turn: int) -> None:
        with Database(address).connect() as connection:
            here.wait()
            time.sleep(0.05 * turn)
            while not gone.is_set():
                come_and_go(connection)

    threads = [threading.Thread(target=pass_by, args=(turn,)) for turn in range(2)]
    for thread in threads:
        thread.start()
    here.wait()
    try:
        yield
    finally:
        gone.set()
        for thread in threads:
            thread.join()


def url_of(postgres: PostgresServer, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={postgres.folder}&port={postgres.port}"


@pytest.fixture
def shared(folder: Folder, own_postgres: PostgresServer, valkey: Server, monkeypatch: pytest.MonkeyPatch) -> Folder:
    own_postgres.run("CREATE DATABASE base")
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", url_of(own_postgres, "base"))
    monkeypatch.setenv("FEATURESTORE_ONLINE_URL", valkey.url)
    for name, value in PACKED.items():
        monkeypatch.setattr(packed, name, value)
    leave_traces(folder)
    return folder


def test_the_traces_are_everywhere_before(shared: Folder, own_postgres: PostgresServer) -> None:
    with psycopg.connect(url_of(own_postgres, "base")) as connection:
        connection.execute("ANALYZE")
        connection.execute("SELECT lo_from_bytea(0, 'a quixotic object')")
        connection.commit()
    found = {entry.partition(".")[0] for entry in naming_on_server(url_of(own_postgres, "base"), NEEDLES)}
    assert {name for name in found if not name.startswith("h_")} == {
        "label_files", "packed_rows", "pg_largeobject", "pg_statistic", "rejected", "run_features", "samples",
    }  # fmt: skip


def test_an_erasure_that_is_killed_is_completed_by_the_next_command(
    shared: Folder, killer: Killer, own_postgres: PostgresServer, valkey: Server
) -> None:
    def three_and_the_last(lines: Sequence[str]) -> Sequence[str]:
        committed = line_in(completion._remove_derived)  # the first of them that surely comes after the commit
        return [*lines[:: max(len(lines) // 3, 1)], committed, lines[-1]]

    assert try_some(shared, killer, own_postgres, valkey, three_and_the_last) > 1


@pytest.mark.parametrize(
    "script", ["BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1", "BEGIN; SELECT * FROM fs_test.runs"]
)
def test_who_may_still_read_what_was_erased_is_named_until_they_are_gone(
    shared: Folder,
    own_postgres: PostgresServer,
    valkey: Server,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
) -> None:
    monkeypatch.setattr(purging, "WAIT_SECONDS", 0.1)
    address = parse(url_of(own_postgres, "base"), key="url", where="tests", application="a long report")
    with Database(address).connect() as other:
        for statement in script.split("; "):
            other.execute(statement)
        for _ in range(2):  # the second finds no row any more, and says it all the same
            said = shared.json("delete", "patient", WHO, "--erase", "--yes", code=3)["warnings"]
            assert any(
                "a transaction of a long report (pid" in line and "featurestore sync" in line for line in said
            ), said
        assert left_on(own_postgres, "base", valkey.client())
        other.rollback()
    shared.run("sync")
    assert left_on(own_postgres, "base", valkey.client()) == []


def test_who_only_passes_by_keeps_nothing_of_it(shared: Folder, own_postgres: PostgresServer, valkey: Server) -> None:
    with Database(parse(url_of(own_postgres, "base"), key="url", where="tests")).connect() as server:
        server.execute("ANALYZE")  # so that the server's statistics hold what is erased
    with passers_by(url_of(own_postgres, "base")):
        shared.run("delete", "patient", WHO, "--erase", "--yes")
    assert left_on(own_postgres, "base", valkey.client()) == []


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
def test_at_every_step(shared: Folder, killer: Killer, own_postgres: PostgresServer, valkey: Server, part: int) -> None:
    assert try_some(shared, killer, own_postgres, valkey, lambda lines: lines[part::PARTS]) > 2
