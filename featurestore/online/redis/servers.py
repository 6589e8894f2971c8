"""Connections to one Redis (or Valkey), or to the primaries of a cluster. Owns addresses and secrets.

redis-py makes the connections (authentication, TLS, Unix sockets); pooling them and reading with hiredis is done here.
The protocol is RESP 2, in which a server never sends anything that it was not asked for.
"""

from __future__ import annotations

import os
import random
import socket
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import hiredis
from redis import exceptions as redis_errors
from redis.connection import ConnectionPool
from redis.crc import key_slot

from featurestore.frozen import frozen
from featurestore.hosts import name_server
from featurestore.online.redis import answers
from featurestore.online.redis.errors import error_of, is_transient, reply_error
from featurestore.online.redis.url import check_url, unreadable

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
RECEIVE = 1 << 16

_PING = b"*1\r\n$4\r\nPING\r\n"

Result = TypeVar("Result")


@frozen
class Retries:
    """How often an exchange is tried again, and how many seconds to wait before the first time; then twice as long."""

    count: int = 3
    first_pause: float = 0.05


DEFAULT_RETRIES = Retries()


class Connection:
    """One open connection: made and authenticated by redis-py, then used through its socket and a hiredis parser.

    redis-py would spend more time on an answer than the network does; here the answer is parsed in C and that is all.
    Each answer is waited for ``answer_seconds``; while the connection is made, each step for as long as redis-py was
    told.
    """

    def __init__(self, connection: Any, answer_seconds: float) -> None:
        connection.connect()
        self._connection = connection
        self.socket: socket.socket = vars(connection)["_sock"]
        self._reader = hiredis.Reader()
        # Whoever accepts and says nothing is found out now, and not at the first command, for which there is more time.
        self.send(_PING)
        with suppress(redis_errors.ResponseError):  # a user who may not ask has an answer too
            self.read()
        self.socket.settimeout(answer_seconds)

    def send(self, packed: bytes) -> None:
        self.socket.sendall(packed)

    def read(self) -> Any:
        """The next answer. Raises redis-py's exception where it is an error."""
        return self.read_many(1)[0]

    def read_many(self, count: int) -> list[Any]:
        """The next answers. The first error among them is raised, and the connection can't be used any more then."""
        found: list[Any] = []
        take, got = self._reader.gets, found.append
        while len(found) < count:
            answer = take()
            if answer is False:  # incomplete: RESP 2 has no false
                data = self.socket.recv(RECEIVE)
                if not data:
                    raise redis_errors.ConnectionError("the server closed the connection")
                self._reader.feed(data)
            elif isinstance(answer, hiredis.ReplyError):
                raise reply_error(str(answer))
            else:
                got(answer)
        return found

    def close(self) -> None:
        self._connection.disconnect()


class RedisNode:
    """One server and its idle connections. Any thread may take one; after a failure it is closed, not given back."""

    def __init__(self, make: Callable[[], Any], answer_seconds: float) -> None:
        self._make, self._answer_seconds = make, answer_seconds
        self._idle: deque[Connection] = deque()
        self._process = os.getpid()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for one exchange; closed if the exchange ends in an exception."""
        connection = self.take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self.give(connection)

    def take(self) -> Connection:
        if self._process != os.getpid():  # a forked child may not use its parent's connections
            self._idle, self._process = deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return Connection(self._make(), self._answer_seconds)

    def give(self, connection: Connection) -> None:
        self._idle.append(connection)

    def ask(self, *words: str | bytes | int) -> Any:
        """One command and its answer."""
        with self.connection() as connection:
            connection.send(hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub allows one word only
            return connection.read()

    def close(self) -> None:
        with suppress(IndexError):  # another thread may take the last one
            while True:
                self._idle.pop().close()


@frozen
class SlotMap:
    """Which node owns which slots: each owner has the slots from its start up to the next start."""

    starts: tuple[int, ...]
    owners: tuple[RedisNode, ...]


class Servers:
    """The nodes behind a url, and which of them has a key.

    ``seconds`` is how long to wait for a connection, all attempts together, and at least how long for an answer.
    """

    def __init__(self, url: str, retries: Retries, seconds: float = CONNECT_SECONDS) -> None:
        self._scheme = url.partition("://")[0]
        self.cluster = self._scheme.endswith("+cluster")
        self._retries, self._seconds = retries, seconds
        self._kind, self._options = self._parse(url.replace("+cluster", "", 1))
        self._nodes: dict[tuple[str, int], RedisNode] = {}
        self._slots: SlotMap | None = None  # threads share it, so it is replaced as a whole

    def _parse(self, url: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The class of connection that a url asks for, and its arguments. Raises ConfigError."""
        check_url(url, cluster=self.cluster)
        try:
            pool = ConnectionPool.from_url(url)
            # redis-py must not try again by itself: `attempt` does, and is given only what may be done twice.
            given = pool.connection_kwargs
            # Until a connection is made, the answers to TLS and to the login are part of it.
            connecting = given.get("socket_connect_timeout", self._seconds)
            answering = given.get("socket_timeout")
            self._answer_seconds = float(answering or max(ANSWER_SECONDS, self._seconds))
            step = min(connecting, answering or connecting)
            options = {
                **given, "socket_connect_timeout": connecting, "socket_timeout": step,
                # Not every release knows the command for it, and it would be one more to be permitted.
                "driver_info": None,
                "protocol": 2, "decode_responses": False, "retry": None, "retry_on_error": [],
            }  # fmt: skip
            pool.connection_class(**options)  # does not connect yet, but refuses unknown arguments
        except (ValueError, TypeError, redis_errors.RedisError):  # their messages may contain the password
            raise unreadable() from None
        return pool.connection_class, options

    @property
    def where(self) -> str:
        """How messages call the servers: by host and port, or by the setting where those may be something else."""
        if "path" in self._options:
            return name_server("unix", ((str(self._options["path"]), ""),), "online.url")
        place = (str(self._options.get("host", "localhost")), str(self._options.get("port", 6379)))
        name = name_server(self._scheme, (place,), "online.url")
        return name if self.cluster or name == "online.url" else f"{name}/{self._options.get('db') or 0}"

    def _secrets(self) -> list[str]:
        return [str(self._options[name]) for name in ("password", "username") if self._options.get(name)]

    def nodes(self) -> list[RedisNode]:
        """Every server that stores values."""
        return list(dict.fromkeys(self._slot_map().owners))

    def node_of(self, key: bytes) -> RedisNode:
        return self.node_of_slot(key_slot(key) if self.cluster else 0)

    def node_of_slot(self, slot: int) -> RedisNode:
        slots = self._slot_map()
        return slots.owners[bisect_right(slots.starts, slot) - 1]

    def attempt(self, work: Callable[[], Result]) -> Result:
        """Runs an idempotent exchange, again after each failure that may pass. Raises StoreError or ConfigError."""
        deadline = time.monotonic() + self._seconds
        for retry in range(self._retries.count + 1):
            try:
                return work()
            except (redis_errors.RedisError, hiredis.HiredisError, OSError) as exc:
                if retry == self._retries.count or not is_transient(exc) or time.monotonic() >= deadline:
                    raise error_of(exc, self.where, self._secrets()) from None
                self.disconnect()
            # At random, so that clients that failed together don't come back together.
            time.sleep(self._retries.first_pause * 2**retry * (0.5 + random.random()))  # noqa: S311  (jitter)
        raise AssertionError("the last attempt returns or raises")

    def disconnect(self) -> None:
        """Closes idle connections and drops the slot map: the next call connects and asks for the slots again."""
        self._slots = None
        for node in list(self._nodes.values()):
            node.close()

    def _slot_map(self) -> SlotMap:
        slots = self._slots
        if slots is None:
            self._slots = slots = self._ask_for_slots() if self.cluster else SlotMap((0,), (self._node("", 0),))
        return slots

    def _ask_for_slots(self) -> SlotMap:
        """The slots as the url's server reports them, or, where it is gone, another server that was used before."""
        host = self._options.get("host", "localhost")
        seeds = deque(dict.fromkeys([self._node("", 0), *self._nodes.values()]))
        while True:
            try:
                ranges = answers.slot_ranges("CLUSTER SLOTS", seeds.popleft().ask("CLUSTER", "SLOTS"))
                break
            except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError):
                if not seeds:
                    raise
        if not ranges:
            raise redis_errors.ClusterDownError("no slots are served")
        owners = tuple(self._node(owner.decode(errors="replace") or host, port) for _, owner, port in ranges)
        return SlotMap(tuple(first for first, _, _ in ranges), owners)

    def _node(self, host: str, port: int) -> RedisNode:
        place = {"host": host, "port": port} if host else {}
        node = RedisNode(lambda: self._kind(**{**self._options, **place}), self._answer_seconds)
        return self._nodes.setdefault((host, port), node)  # in one step: two threads must end up with the same node
