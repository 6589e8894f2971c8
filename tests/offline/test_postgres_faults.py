"""What breaks between a run and its PostgreSQL server: all of a run is kept, or nothing, and the words are ours."""

import _thread
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from featurestore.config import Project
from featurestore.errors import ConfigError, FeatureStoreError, StoreError, TransientStoreError
from featurestore.offline.open import open_offline
from featurestore.offline.postgres.store import PostgresStore
from featurestore.postgres.connection import _interruptible
from tests.offline.conftest import postgres_project
from tests.offline.history import frame, learn, run_of, version
from tests.services import free_port
from tests.services_postgres import PASSWORD, PostgresServer

MANY = pl.DataFrame({"patient_id": [f"p{at:07}" for at in range(200_000)], "value": [1.0] * 200_000}).with_columns(
    pl.lit(0, pl.Int64).cast(pl.Datetime("us")).alias("computed_at")
)


@pytest.fixture
def project(postgres: PostgresServer, tmp_path: Path) -> Iterator[Project]:
    made = postgres_project(postgres, tmp_path)
    yield made
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{made.name}" CASCADE')


def at_a_backend(server: PostgresServer, name: str) -> None:
    """Calls a function of PostgreSQL with the process that has the project's transaction open."""
    server.sql(f"SELECT {name}(pid) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()")


def test_a_run_whose_connection_is_cut_leaves_nothing(postgres: PostgresServer, project: Project) -> None:
    store = PostgresStore(project)
    learn(store, version(), [("a", 0, 1.0)], "r1")
    with pytest.raises(StoreError, match="connection was lost") as caught, store.writing("r2") as run:
        run.write(version(), MANY)
        at_a_backend(postgres, "pg_terminate_backend")
        run.write(version(digit="b"), MANY)
    assert caught.value.exit_code == 12
    assert caught.value.hint == "run the same command again"
    assert store.scan(version()).height == 1
    assert learn(store, version(), [("b", 0, 1.0)], "r2").new == 1
    assert [item.run_seq for item in store.committed_runs()] == [1, 2]


def test_a_run_that_meets_a_crash_of_the_server_leaves_nothing(own_postgres: PostgresServer, tmp_path: Path) -> None:
    store = PostgresStore(postgres_project(own_postgres, tmp_path))
    learn(store, version(), [("a", 0, 1.0)], "r1")
    with pytest.raises(StoreError) as caught, store.writing("r2") as run:
        run.write(version(), MANY)
        own_postgres.stop()
        own_postgres.start()
        run.finish(run_of((run.run_seq, run.learned_at), "r2"))
    assert caught.value.exit_code == 12
    assert store.scan(version()).height == 1
    assert [item.run_id for item in store.committed_runs()] == ["r1"]
    own_postgres.stop()
    with pytest.raises(StoreError, match="can't be reached") as caught:
        store.committed_runs()
    assert caught.value.hint


def test_a_read_that_breaks_off_is_an_error_and_no_shorter_answer(postgres: PostgresServer, project: Project) -> None:
    store = PostgresStore(project)
    with store.writing("r1") as run:
        run.write(version(), MANY)
        run.finish(run_of((run.run_seq, run.learned_at), "r1"))
    with pytest.raises(StoreError), store.reading():
        store.committed_runs()
        at_a_backend(postgres, "pg_terminate_backend")
        store.scan(version())


class Wire:
    """A wire to the server that is cut at its first COMMIT: before the server hears it, or before its answer is heard.

    ``last``: and nobody is let through from then on.
    """

    def __init__(self, port: int, *, heard: bool) -> None:
        self.cut = threading.Event()
        self.last = False
        self._port, self._heard = port, heard
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._outward, args=(client, server), daemon=True).start()

    def _outward(self, client: socket.socket, server: socket.socket) -> None:
        deaf = threading.Event()
        threading.Thread(target=self._inward, args=(client, server, deaf), daemon=True).start()
        while data := _receive(client):
            if b"COMMIT\0" in data and not self.cut.is_set():
                if self.last:
                    self.close()
                self.cut.set()
                if self._heard:
                    deaf.set()
                    server.sendall(data)
                    time.sleep(0.2)
                break
            server.sendall(data)
        for end in (client, server):
            _hang_up(end)

    def _inward(self, client: socket.socket, server: socket.socket, deaf: threading.Event) -> None:
        with suppress(OSError):
            while data := _receive(server):
                if not deaf.is_set():
                    client.sendall(data)

    def close(self) -> None:
        _hang_up(self._listener)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)  # closing alone would wait for whoever reads from it
    end.close()


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(1 << 16)
    except OSError:
        return b""


@pytest.fixture
def wire(postgres: PostgresServer) -> Iterator[Callable[[bool], Wire]]:
    made: list[Wire] = []

    def make(heard: bool) -> Wire:
        made.append(Wire(postgres.port, heard=heard))
        return made[-1]

    yield make
    for each in made:
        each.close()


def through(server: PostgresServer, project: Project, wire: Wire) -> Project:
    return replace(project, offline_url=server.tcp.replace(f":{server.port}/", f":{wire.port}/"))


def test_a_commit_whose_answer_was_lost_is_looked_up_and_not_repeated(
    postgres: PostgresServer, project: Project, wire: Callable[[bool], Wire]
) -> None:
    cut = wire(True)
    store = PostgresStore(through(postgres, project, cut))
    learn(store, version(), [("a", 0, 1.0)], "r1")
    assert cut.cut.is_set()
    assert [item.run_id for item in store.committed_runs()] == ["r1"]
    assert store.scan(version()).height == 1


def test_a_commit_that_never_arrived_is_an_error_and_leaves_nothing(
    postgres: PostgresServer, project: Project, wire: Callable[[bool], Wire]
) -> None:
    cut = wire(False)
    store = PostgresStore(through(postgres, project, cut))
    with pytest.raises(StoreError, match="connection was lost") as caught:
        learn(store, version(), [("a", 0, 1.0)], "r1")
    assert caught.value.exit_code == 12
    assert cut.cut.is_set()
    assert store.committed_runs() == []
    learn(store, version(), [("a", 0, 1.0)], "r2")
    assert [item.run_seq for item in store.committed_runs()] == [1]


def test_where_nobody_can_be_asked_the_doubt_is_said(
    postgres: PostgresServer, project: Project, wire: Callable[[bool], Wire]
) -> None:
    cut = wire(True)
    store = PostgresStore(through(postgres, project, cut), doubt_seconds=0.2)
    with (
        pytest.raises(StoreError, match="whether the run was committed is not known") as caught,
        store.writing("r1") as run,
    ):
        run.write(version(), frame(version(), [("a", 0, 1.0)]))
        run.finish(run_of((run.run_seq, run.learned_at), "r1"))
        cut.close()
    assert "not written twice" in str(caught.value.hint)


def test_a_failed_statement_is_never_taken_for_a_commit(project: Project) -> None:
    store = PostgresStore(project)
    with pytest.raises(StoreError, match="an earlier statement of the transaction failed"), store.writing("r1") as run:
        run.write(version(), frame(version(), [("a", 0, 1.0)]))
        with pytest.raises(FeatureStoreError):
            run._sql.rows("SELECT nothing_of_the_kind")
    assert store.scan(version()).is_empty()


def test_an_interrupt_stops_the_server_too(postgres: PostgresServer, project: Project) -> None:
    script = (
        "import sys\nfrom featurestore.postgres.address import parse\n"
        "from featurestore.postgres.connection import Server\n"
        "with Server(parse(sys.argv[1], key='', where='')).connect() as connection:\n"
        "    print('ready', flush=True)\n    connection.query('SELECT pg_sleep(60)::text')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, postgres.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert b"KeyboardInterrupt" in said
    assert (
        postgres.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY (SELECT pg_sl%'") == []
    )


class Idle:
    """A connection with nothing to cancel."""

    def cancel(self) -> None:
        pass


def slow_call(ended: threading.Event, interrupts: int) -> Callable[[], None]:
    """Takes a while, in which the main thread is interrupted."""

    def call() -> None:
        for _ in range(interrupts):
            time.sleep(0.05)
            _thread.interrupt_main()
        time.sleep(0.2)
        ended.set()

    return call


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT: a shell's background job, which the tests may be, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("interrupts", [1, 2, 3])
@pytest.mark.usefixtures("interruptible")
def test_no_interrupt_leaves_a_call_running(interrupts: int) -> None:
    ended = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        _interruptible(Idle(), slow_call(ended, interrupts))  # type: ignore[arg-type]
    assert ended.is_set()


@pytest.mark.parametrize("begun", [True, False])
def test_an_interrupt_as_a_call_begins_waits_for_it_or_keeps_it_from_beginning(
    monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    ended, start, late = threading.Event(), threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        if begun:
            start(thread)
            time.sleep(0.05)
        else:
            late.append(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupted)
        _interruptible(Idle(), slow_call(ended, 0))  # type: ignore[arg-type]
    for thread in late:
        thread.start()
        thread.join()
    assert ended.is_set() == begun


def test_a_statement_timeout_of_the_servers_is_said(postgres: PostgresServer, project: Project) -> None:
    url = postgres.url + "&options=-c%20statement_timeout%3D1ms"
    with pytest.raises(StoreError) as caught:
        learn(PostgresStore(replace(project, offline_url=url)), version(), [("a", 0, 1.0)], "r1")
    assert caught.value.exit_code == 12
    assert "statement_timeout" in caught.value.message


def refused_to_write(project: Project) -> StoreError:
    with pytest.raises(StoreError) as caught:
        learn(PostgresStore(project), version(), [("b", 0, 1.0)], "r2")
    assert not isinstance(caught.value, TransientStoreError), "it would be the same the next time"
    return caught.value


def test_a_server_that_was_set_to_be_read_is_not_written_to(postgres: PostgresServer, project: Project) -> None:
    learn(PostgresStore(project), version(), [("a", 0, 1.0)], "r1")
    url = postgres.url + "&options=-c%20default_transaction_read_only%3Don"
    error = refused_to_write(replace(project, offline_url=url))
    assert error.exit_code == 12
    assert "is read-only" in error.message
    assert "primary" in str(error.hint)
    assert PostgresStore(replace(project, offline_url=url)).scan(version()).height == 1


def test_a_standby_is_read_and_says_that_it_can_t_be_written_to(own_postgres: PostgresServer, tmp_path: Path) -> None:
    project = postgres_project(own_postgres, tmp_path)
    learn(PostgresStore(project), version(), [("a", 0, 1.0)], "r1")
    standby = own_postgres.standby()
    try:
        away = replace(project, offline_url=standby.url)
        error = refused_to_write(away)
        assert error.exit_code == 12
        assert "is read-only (a standby?)" in error.message
        assert PostgresStore(away).scan(version()).height == 1
    finally:
        standby.stop()
        shutil.rmtree(standby.folder, ignore_errors=True)


CANARY = "s3cr3t-CANARY"


@pytest.mark.parametrize("slot", ["url", "file", "environment", "query"])
def test_no_error_shows_a_password(
    postgres: PostgresServer, project: Project, slot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pw").write_text(CANARY)
    bare = f"postgresql://ml@127.0.0.1:{postgres.port}/postgres"
    url = {"url": bare.replace("ml@", f"ml:{CANARY}@"), "query": f"{bare}?password={CANARY}"}.get(slot, bare)
    if slot == "environment":
        monkeypatch.setenv("PGPASSWORD", CANARY)
    changed = replace(project, offline_url=url, offline_password_file=tmp_path / "pw" if slot == "file" else None)
    dead = replace(changed, offline_url=url.replace(str(postgres.port), str(free_port())))
    for each, expected in ((changed, ConfigError), (dead, StoreError)):
        with pytest.raises(expected) as caught:
            open_offline(each).committed_runs()
        error: BaseException | None = caught.value
        assert caught.value.hint
        while error is not None:
            assert CANARY not in f"{error!s}{error!r}{vars(error)}"
            error = error.__cause__


def test_the_password_may_come_from_each_of_its_places(
    postgres: PostgresServer, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(project, offline_url=f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres")
    assert open_offline(replace(project, offline_url=postgres.tcp)).committed_runs() == []
    (tmp_path / "pw").write_text(f"{PASSWORD}\n")
    assert open_offline(replace(bare, offline_password_file=tmp_path / "pw")).committed_runs() == []
    with monkeypatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        assert open_offline(bare).committed_runs() == []
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:postgres:" + PASSWORD.replace(":", "\\:") + "\n")
    passfile.chmod(0o600)
    with monkeypatch.context() as patch:
        patch.setenv("PGPASSFILE", str(passfile))
        assert open_offline(bare).committed_runs() == []
    services = tmp_path / "services"
    services.write_text(f"[here]\nhost={postgres.folder}\nport={postgres.port}\nuser=postgres\ndbname=postgres\n")
    with monkeypatch.context() as patch:
        patch.setenv("PGSERVICEFILE", str(services))
        assert open_offline(replace(project, offline_url="postgresql:///?service=here")).committed_runs() == []


def test_without_its_package_the_extra_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("featurestore.offline.postgres", "featurestore.postgres"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(ConfigError, match="adbc-driver-postgresql") as caught:
        open_offline(project)
    assert caught.value.hint == "pip install 'featurestore[postgres]'"


def test_an_unknown_store_is_refused_without_quoting_its_url(project: Project) -> None:
    with pytest.raises(ConfigError) as caught:
        open_offline(replace(project, offline_url=f"mysql://ml:{CANARY}@db/f"))
    assert CANARY not in str(caught.value)


def test_a_killed_writer_leaves_nothing_and_no_lock(postgres: PostgresServer, project: Project) -> None:
    script = (
        "import os, sys\nfrom dataclasses import replace\nfrom pathlib import Path\n"
        "from tests.offline.test_postgres_faults import MANY\nfrom tests.offline.history import version\n"
        "from featurestore.config import DriftSettings, Project\n"
        "from featurestore.offline.postgres.store import PostgresStore\n"
        "store = PostgresStore(Project(Path('.'), sys.argv[1], {}, {}, DriftSettings(), offline_url=sys.argv[2]))\n"
        "with store.writing('killed') as run:\n    run.write(version(), MANY)\n    os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", script, project.name, postgres.url],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert ended.returncode == -signal.SIGKILL
    store = PostgresStore(project)
    assert store.committed_runs() == []
    learn(store, version(), [("a", 0, 1.0)], "r1")
    assert store.scan(version()).height == 1
