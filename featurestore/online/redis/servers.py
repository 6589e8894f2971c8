"""Connections to one Redis (or Valkey), or to the primaries of a cluster. Owns addresses, secrets and errors.

redis-py makes the connections (authentication, TLS, Unix sockets); pooling them and reading with hiredis is done here.
The protocol is RESP 2, in which a server never sends anything that it was not asked for.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import hiredis
from redis import exceptions as redis_errors
from redis.connection import ConnectionPool
from redis.crc import key_slot

from featurestore.errors import ConfigError, FeatureStoreError, StoreError
from featurestore.online.contract import RefusedError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
RECEIVE = 1 << 16

_TRANSIENT = (
    redis_errors.ConnectionError,  # refused, closed, LOADING
    redis_errors.TimeoutError,
    redis_errors.TryAgainError,
    redis_errors.ClusterDownError,
    redis_errors.NoScriptError,  # it has lost the script since it was loaded, in a restart for example
    redis_errors.MasterDownError,
    OSError,
)

_REPLY_ERRORS: dict[str, type[redis_errors.ResponseError | redis_errors.ConnectionError]] = {
    "MOVED": redis_errors.TryAgainError, "ASK": redis_errors.TryAgainError, "TRYAGAIN": redis_errors.TryAgainError,
    "CLUSTERDOWN": redis_errors.ClusterDownError, "LOADING": redis_errors.BusyLoadingError,
    "MASTERDOWN": redis_errors.MasterDownError, "NOSCRIPT": redis_errors.NoScriptError,
    "NOAUTH": redis_errors.AuthenticationError, "WRONGPASS": redis_errors.AuthenticationError,
}  # fmt: skip

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Retries:
    """How often an exchange is tried again, and how many seconds to wait before the first time; then twice as long."""

    count: int = 3
    first_pause: float = 0.05


DEFAULT_RETRIES = Retries()


class Connection:
    """One open connection: made and authenticated by redis-py, then used through its socket and a hiredis parser.

    redis-py would spend more time on an answer than the network does; here the answer is parsed in C and that is all.
    """

    def __init__(self, connection: Any) -> None:
        connection.connect()
        self._connection = connection
        self.socket: socket.socket = vars(connection)["_sock"]
        self._reader = hiredis.Reader()

    def send(self, packed: bytes) -> None:
        self.socket.sendall(packed)

    def read(self) -> Any:
        """The next answer. Raises redis-py's exception where it is an error."""
        return self.read_many(1)[0]

    def read_many(self, count: int) -> list[Any]:
        """The next answers. The first error among them is raised, and the connection can't be used any more then."""
        answers: list[Any] = []
        take, got = self._reader.gets, answers.append
        while len(answers) < count:
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
        return answers

    def close(self) -> None:
        self._connection.disconnect()


class RedisNode:
    """One server and its idle connections. Any thread may take one; after a failure it is closed, not given back."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
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
            return Connection(self._make())

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


def is_transient(exc: Exception) -> bool:
    """Whether trying again may help."""
    # To redis-py a refused login is a ConnectionError too.
    return isinstance(exc, _TRANSIENT) and not isinstance(exc, redis_errors.AuthenticationError)


def reply_error(text: str) -> redis_errors.ResponseError | redis_errors.ConnectionError:
    """The exception for an error reply; its type decides whether trying again may help."""
    return _REPLY_ERRORS.get(text.partition(" ")[0], redis_errors.ResponseError)(text)


def note_written(exc: redis_errors.RedisError, written: int) -> None:
    """Attaches to an error how many entities were written before it, for `Servers.explain`."""
    exc.written = written  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Which node owns which slots: each owner has the slots from its start up to the next start."""

    starts: tuple[int, ...]
    owners: tuple[RedisNode, ...]


class Servers:
    """The nodes behind a url, and which of them has a key."""

    def __init__(self, url: str, retries: Retries) -> None:
        self.cluster = url.partition("://")[0].endswith("+cluster")
        self.where = redact(url)
        self._retries = retries
        self._kind, self._options = self._parse(url.replace("+cluster", "", 1))
        self._nodes: dict[tuple[str, int], RedisNode] = {}
        self._slots: SlotMap | None = None  # threads share it, so it is replaced as a whole

    def _parse(self, url: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The class of connection that a url asks for, and its arguments. Raises ConfigError."""
        try:
            _check_database(url)
            pool = ConnectionPool.from_url(url)
            # redis-py must not try again by itself: `attempt` does, and is given only what may be done twice.
            options = {
                "socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS, **pool.connection_kwargs,
                "protocol": 2, "decode_responses": False, "retry": None, "retry_on_error": [],
            }  # fmt: skip
            pool.connection_class(**options)  # does not connect yet, but refuses unknown arguments
        except (ValueError, TypeError, redis_errors.RedisError):  # their messages may contain the password
            hint = "for example redis://localhost:6379/0; in a password write %40 for @, %2F for / and so on"
            raise ConfigError("online.url can't be read", where=self.where, hint=hint) from None
        return pool.connection_class, options

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
        for retry in range(self._retries.count + 1):
            try:
                return work()
            except (redis_errors.RedisError, hiredis.HiredisError, OSError) as exc:
                if retry == self._retries.count or not is_transient(exc):
                    raise self.explain(exc) from exc
                self.disconnect()
            # At random, so that clients that failed together don't come back together.
            time.sleep(self._retries.first_pause * 2**retry * (0.5 + random.random()))  # noqa: S311  (jitter)
        raise AssertionError("the last attempt returns or raises")

    def explain(self, exc: Exception) -> FeatureStoreError:
        """A server's error as one of ours: what happened, where, and what to do."""
        if isinstance(exc, redis_errors.AuthenticationError):
            return ConfigError(
                "the online store refuses the user or the password", where=self.where, hint="see [online] url"
            )
        message, hint = _diagnosis(exc)
        written: int | None = getattr(exc, "written", None)
        if written is None:
            return StoreError(message, where=self.where, hint=hint)
        return RefusedError(message, where=self.where, hint=hint, written=written)

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
                slots = seeds.popleft().ask("CLUSTER", "SLOTS")
                break
            except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError):
                if not seeds:
                    raise
        ranges = sorted(slots, key=lambda item: int(item[0]))
        if not ranges:
            raise redis_errors.ClusterDownError("no slots are served")
        owners = tuple(self._node(owner[0].decode() or host, owner[1]) for _, _, owner, *_ in ranges)
        return SlotMap(tuple(item[0] for item in ranges), owners)

    def _node(self, host: str, port: int) -> RedisNode:
        place = {"host": host, "port": port} if host else {}
        node = RedisNode(lambda: self._kind(**{**self._options, **place}))
        return self._nodes.setdefault((host, port), node)  # in one step: two threads must end up with the same node


@dataclass(frozen=True, slots=True)
class Cause:
    """A known error of a server: how to recognise it, what to report and what to advise."""

    words: tuple[str, ...]
    kinds: tuple[type[Exception], ...]
    message: str
    hint: str


CAUSES = (
    Cause(("OOM",), (redis_errors.OutOfMemoryError,), "is out of memory",
          "raise its maxmemory, or serve fewer features; then sync again"),
    Cause(("READONLY",), (redis_errors.ReadOnlyError,), "is a read-only replica", "name the primary in [online] url"),
    Cause(("NOPERM", "no permissions", "can't run this command"), (redis_errors.NoPermissionError,),
          "does not permit this user a command or a key", "see docs/online.md for the permissions it needs"),
    Cause(("LOADING",), (redis_errors.BusyLoadingError,), "is still loading its data",
          "wait until it has started, then try again"),
    Cause(("MISCONF",), (), "can't save to its disk and refuses writes", "free space where it keeps its dump"),
    Cause(("CLUSTERDOWN",), (redis_errors.ClusterDownError,), "is a cluster that is down",
          "wait until all its slots are served, then try again"),
    Cause(("CROSSSLOT", "MOVED"), (redis_errors.MovedError, redis_errors.AskError), "is a cluster that has moved a key",
          "write [online] url as redis+cluster:// if it is not; else try again"),
    Cause(("cluster support disabled",), (), "is not a cluster", "write [online] url as redis://"),
    Cause(("max number of clients",), (), "has reached its max number of clients", "close some, then try again"),
    Cause(("WRONGTYPE",), (), "holds something else under the key of an entity", "run featurestore verify --fix"),
    Cause(("CERTIFICATE_VERIFY_FAILED",), (), "shows a certificate that can't be trusted",
          "name the authority that signed it: [online] url with ?ssl_ca_certs=/path/to/ca.pem"),
    Cause(("Protocol error",), (redis_errors.InvalidResponse, hiredis.ProtocolError), "does not speak Redis' protocol",
          "is it the right host and port?"),
)  # fmt: skip


def _diagnosis(exc: Exception) -> tuple[str, str]:
    """What happened, and what to do about it."""
    text = _first_line(exc)
    for cause in CAUSES:
        if any(word in text for word in cause.words) or isinstance(exc, cause.kinds):
            return f"the online store {cause.message}", cause.hint
    if isinstance(exc, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        return "the online store can't be reached", "is it running? try again"
    return f"the online store refuses: {text}", "see the log of the server"


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]


def _check_database(url: str) -> None:
    """Raises ValueError where the database is not a number; redis-py would silently use database 0."""
    if not url.startswith("unix:") and not re.fullmatch(r"/?\d*", urlsplit(url).path):
        raise ValueError


def redact(url: str) -> str:
    """A url without user, password and options, even where the password is not percent-encoded as it must be."""
    scheme, _, rest = url.partition("://")
    place, _, options = rest.partition("?")
    return f"{scheme}://" + ("…" if "@" in options else place.rpartition("@")[2])
