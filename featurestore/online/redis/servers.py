"""Connections to one Redis (or Valkey), or to the primaries of a cluster. Owns addresses, secrets and errors.

Connections are redis-py's (authentication, TLS, Unix sockets); keeping them, and reading with hiredis, is done here.
RESP 2, so that nothing comes unasked.
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

RETRIES = 3
FIRST_PAUSE = 0.05
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
RECEIVE = 1 << 16

_TRANSIENT = (
    redis_errors.ConnectionError,  # refused, closed, LOADING
    redis_errors.TimeoutError,
    redis_errors.TryAgainError,
    redis_errors.ClusterDownError,
    redis_errors.NoScriptError,
    redis_errors.MasterDownError,
    OSError,
)

_KINDS: dict[str, type[redis_errors.ResponseError | redis_errors.ConnectionError]] = {
    "MOVED": redis_errors.TryAgainError, "ASK": redis_errors.TryAgainError, "TRYAGAIN": redis_errors.TryAgainError,
    "CLUSTERDOWN": redis_errors.ClusterDownError, "LOADING": redis_errors.BusyLoadingError,
    "MASTERDOWN": redis_errors.MasterDownError, "NOSCRIPT": redis_errors.NoScriptError,
    "NOAUTH": redis_errors.AuthenticationError, "WRONGPASS": redis_errors.AuthenticationError,
}  # fmt: skip

Result = TypeVar("Result")


class Line:
    """One open connection: redis-py's until it is logged in, then its socket and a parser of hiredis' own.

    redis-py spends more on an answer than the network does; what is read here is parsed in C and no more.
    """

    def __init__(self, connection: Any) -> None:
        connection.connect()
        self._connection = connection
        self.socket: socket.socket = vars(connection)["_sock"]
        self._reader = hiredis.Reader()

    def send(self, packed: bytes) -> None:
        self.socket.sendall(packed)

    def read(self) -> Any:
        """The next answer. Raises what redis-py would for one that refuses."""
        return self.read_many(1)[0]

    def read_many(self, count: int) -> list[Any]:
        """The next answers; the first that refuses is raised, and the line is of no more use then."""
        answers: list[Any] = []
        take, got = self._reader.gets, answers.append
        while len(answers) < count:
            answer = take()
            if answer is False:  # RESP 2 has no false: more must come
                data = self.socket.recv(RECEIVE)
                if not data:
                    raise redis_errors.ConnectionError("the server closed the connection")
                self._reader.feed(data)
            elif isinstance(answer, hiredis.ReplyError):
                raise complaint(str(answer))
            else:
                got(answer)
        return answers

    def close(self) -> None:
        self._connection.disconnect()


class Node:
    """One server, and the connections to it that are free. Any thread may take one; whoever fails drops it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._free: deque[Line] = deque()
        self._process = os.getpid()

    @contextmanager
    def line(self) -> Iterator[Line]:
        """A connection for one exchange; broken off if the exchange ends in an exception."""
        line = self.take()
        try:
            yield line
        except BaseException:
            line.close()
            raise
        self.give(line)

    def take(self) -> Line:
        if self._process != os.getpid():  # a fork may not share its parent's
            self._free, self._process = deque(), os.getpid()
        try:
            return self._free.pop()
        except IndexError:
            return Line(self._make())

    def give(self, line: Line) -> None:
        self._free.append(line)

    def ask(self, *words: str | bytes | int) -> Any:
        """One command and its answer."""
        with self.line() as line:
            line.send(hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub knows one word only
            return line.read()

    def close(self) -> None:
        with suppress(IndexError):  # another thread may take the last one
            while True:
                self._free.pop().close()


def can_pass(exc: Exception) -> bool:
    """Whether trying again may help."""
    return isinstance(exc, _TRANSIENT) and not isinstance(exc, redis_errors.AuthenticationError)


def complaint(text: str) -> redis_errors.ResponseError | redis_errors.ConnectionError:
    """An answer that refuses, as the exception that says whether trying again may help."""
    return _KINDS.get(text.partition(" ")[0], redis_errors.ResponseError)(text)


def note_written(exc: redis_errors.RedisError, written: int) -> None:
    """Lets a complaint know how many entities had been written before it, for `Servers.explain`."""
    exc.written = written  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which node owns which slots: from each start on, up to the next."""

    starts: tuple[int, ...]
    owners: tuple[Node, ...]


class Servers:
    """The nodes behind a url, and which of them a key lives on."""

    def __init__(self, url: str) -> None:
        self.cluster = url.partition("://")[0].endswith("+cluster")
        self.where = redacted(url)
        self._kind, self._options = self._read(url.replace("+cluster", "", 1))
        self._nodes: dict[tuple[str, int], Node] = {}
        self._layout: Layout | None = None  # replaced as a whole: threads share it

    def _read(self, url: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The kind of connection that a url stands for, and what it is made with. Raises ConfigError."""
        try:
            _check_database(url)
            pool = ConnectionPool.from_url(url)
            options = {
                "socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS, **pool.connection_kwargs,
                "protocol": 2, "decode_responses": False, "retry": None, "retry_on_error": [],
            }  # fmt: skip
            pool.connection_class(**options)  # connects to nothing yet: it only complains of words it doesn't know
        except (ValueError, TypeError, redis_errors.RedisError):  # their words may hold the password
            hint = "for example redis://localhost:6379/0; in a password write %40 for @, %2F for / and so on"
            raise ConfigError("online.url can't be read", where=self.where, hint=hint) from None
        return pool.connection_class, options

    def nodes(self) -> list[Node]:
        """Every server that holds values."""
        return list(dict.fromkeys(self._known().owners))

    def node_of(self, key: bytes) -> Node:
        return self.node_of_slot(key_slot(key) if self.cluster else 0)

    def node_of_slot(self, slot: int) -> Node:
        layout = self._known()
        return layout.owners[bisect_right(layout.starts, slot) - 1]

    def attempt(self, work: Callable[[], Result]) -> Result:
        """Does something that may be done twice, a few times over where the server was only briefly unable.

        Raises StoreError or ConfigError, in our words.
        """
        for retry in range(RETRIES + 1):
            try:
                return work()
            except (redis_errors.RedisError, hiredis.HiredisError, OSError) as exc:
                if retry == RETRIES or not can_pass(exc):
                    raise self.explain(exc) from exc
                self.forget()
            time.sleep(FIRST_PAUSE * 2**retry * (0.5 + random.random()))  # noqa: S311  (jitter)
        raise AssertionError("the last attempt returns or raises")

    def explain(self, exc: Exception) -> FeatureStoreError:
        """A server's complaint as an error of ours: what happened, where, and what to do."""
        if isinstance(exc, redis_errors.AuthenticationError):
            return ConfigError(
                "the online store refuses the user or the password", where=self.where, hint="see [online] url"
            )
        message, hint = _diagnosis(exc)
        written: int | None = getattr(exc, "written", None)
        if written is None:
            return StoreError(message, where=self.where, hint=hint)
        return RefusedError(message, where=self.where, hint=hint, written=written)

    def forget(self) -> None:
        """Drops connections and what is known of the cluster: the next use finds out anew."""
        self._layout = None
        for node in list(self._nodes.values()):
            node.close()

    close = forget

    def _known(self) -> Layout:
        layout = self._layout
        if layout is None:
            self._layout = layout = self._learn() if self.cluster else Layout((0,), (self._node("", 0),))
        return layout

    def _learn(self) -> Layout:
        """The cluster as the server of the url sees it, or another that was met before where that one is gone."""
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
        return Layout(tuple(item[0] for item in ranges), owners)

    def _node(self, host: str, port: int) -> Node:
        if (host, port) not in self._nodes:
            place = {"host": host, "port": port} if host else {}
            self._nodes[host, port] = Node(lambda: self._kind(**{**self._options, **place}))
        return self._nodes[host, port]


@dataclass(frozen=True, slots=True)
class Cause:
    """A complaint that has a name: how to tell it, and what to say."""

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
    """What happened and what to do, in our words."""
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
    """redis-py takes database 0 where it can't read the number."""
    if not url.startswith("unix:") and not re.fullmatch(r"/?\d*", urlsplit(url).path):
        raise ValueError


def redacted(url: str) -> str:
    """A url without user, password and options, even where the password is not written as it must be."""
    scheme, _, rest = url.partition("://")
    place, _, options = rest.partition("?")
    return f"{scheme}://" + ("…" if "@" in options else place.rpartition("@")[2])
