"""Loading columns into Redis: commands are built column by column and sent while the next ones are built.

A million commands through a client library are a million calls; as one buffer they are as fast as the server.
"""

from __future__ import annotations

import selectors
import ssl
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from redis import exceptions as redis_errors

from featurestore.online.packing import bytes_of
from featurestore.online.redis.servers import Node, complaint, note_written

SLICE = 1 << 20  # bytes of one send: a timeout is for one of them
RECEIVE = 1 << 18
BACKLOG = 1 << 24  # bytes that wait to be sent, a tenth of a second's work: the time to read more of the history

_PING = b"*1\r\n$4\r\nPING\r\n"
_PONG = b"+PONG\r\n"
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_WIDE = pa.large_binary()
_EMPTY, _DOLLAR, _LINE_END = (pa.scalar(text, _WIDE) for text in (b"", b"$", b"\r\n"))


def hset_commands(frame: pl.DataFrame) -> list[memoryview]:
    """HSET of each row's values into its key, as the bytes of a RESP stream.

    ``frame`` has ``key`` and a Binary column for each field. Rows without any value are left out.
    """
    fields = [name for name in frame.columns if name != "key"]
    if not any(frame[name].null_count() for name in fields):
        return [_hset(frame, fields)] if frame.height else []
    held = np.column_stack([frame[name].is_not_null().to_numpy() for name in fields])
    buffers = []
    for pattern in np.unique(held, axis=0):
        rows = frame.filter(pl.Series((held == pattern).all(axis=1)))
        some = [name for name, there in zip(fields, pattern, strict=True) if there]
        if some:
            buffers.append(_hset(rows, some))
    return buffers


def _hset(frame: pl.DataFrame, fields: Sequence[str]) -> memoryview:
    parts: list[bytes | pl.Series] = [b"*%d\r\n$4\r\nHSET\r\n" % (2 + 2 * len(fields)), frame["key"].cast(pl.Binary)]
    for name in fields:
        parts += [b"$%d\r\n%b\r\n" % (len(name), name.encode()), frame[name]]
    return _commands(parts)


def hdel_commands(keys: pl.Series, fields: Sequence[str]) -> memoryview:
    """HDEL of the same fields from each key."""
    tail = b"".join(b"$%d\r\n%b\r\n" % (len(name), name.encode()) for name in fields)
    return _commands([b"*%d\r\n$4\r\nHDEL\r\n" % (2 + len(fields)), keys.cast(pl.Binary), tail])


def _commands(parts: Sequence[bytes | pl.Series]) -> memoryview:
    """One command a row: the same bytes in each, and columns whose values are sent as bulk strings."""
    columns = [part if isinstance(part, bytes) else part.to_arrow().cast(_WIDE) for part in parts]
    lengths = [None if isinstance(column, bytes) else pc.min_max(pc.binary_length(column)) for column in columns]
    if all(length is None or length["min"] == length["max"] for length in lengths):
        return _of_one_width(columns)
    joined: list[Any] = []
    for column in columns:
        if isinstance(column, bytes):
            joined.append(pa.scalar(column, _WIDE))
        else:
            digits = pc.cast(pc.cast(pc.binary_length(column), pa.large_string()), _WIDE)
            joined += [_DOLLAR, digits, _LINE_END, column, _LINE_END]
    return bytes_of(pc.binary_join_element_wise(*joined, _EMPTY)).data


def _of_one_width(columns: Sequence[bytes | pa.LargeBinaryArray]) -> memoryview:
    """The same where every value of a column is as long as the others: equal rows with holes to be filled."""
    template = bytearray()
    holes: list[tuple[int, np.ndarray]] = []
    for column in columns:
        if isinstance(column, bytes):
            template += column
        else:
            data = bytes_of(column)
            width = len(data) // len(column)
            template += b"$%d\r\n" % width
            if width:
                holes.append((len(template), data.view(f"V{width}")))
            template += bytes(width) + b"\r\n"
    rows = np.full(len(holes[0][1]), np.void(bytes(template)))
    for at, values in holes:
        rows.view(_hole(at, values.dtype, len(template)))["hole"] = values
    return rows.view(np.uint8).data


def _hole(at: int, values: np.dtype[np.void], width: int) -> np.dtype[np.void]:
    """A row of so many bytes of which one part is named."""
    return np.dtype({"names": ["hole"], "formats": [values], "offsets": [at], "itemsize": width})


class StreamEndedError(Exception):
    """Nothing more need be sent: the complaint is raised on leaving the stream."""


class Stream:
    """A pipe to each node that is sent to. Leaving waits for all answers and raises the first complaint."""

    def __init__(self) -> None:
        self._pipes: dict[Node, Pipe] = {}

    def __enter__(self) -> Stream:
        return self

    def send(self, node: Node, commands: memoryview) -> None:
        if node not in self._pipes:
            self._pipes[node] = Pipe(node)
        if self._pipes[node].in_vain:
            raise StreamEndedError
        self._pipes[node].send(commands)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        complaints = [complaint for pipe in self._pipes.values() if (complaint := pipe.finish())]
        if complaints and (exc is None or isinstance(exc, StreamEndedError)):
            first = complaints[0]
            if isinstance(first, redis_errors.RedisError):
                note_written(first, sum(pipe.accepted for pipe in self._pipes.values()))
            raise first from None


class Pipe:
    """One connection on which commands stream, sent and their answers read by a thread of its own.

    Every command must be answered by a single line. One thread does both, since a TLS connection can't be read
    and written by two. What goes wrong is kept for `finish`.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._line = node.take()
        self._socket = self._line.socket
        self._backlog = Backlog()
        self._answers = Answers()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def in_vain(self) -> bool:
        """Whether a complaint is known already."""
        return self._failure is not None or self._answers.refused > 0

    @property
    def accepted(self) -> int:
        """How many commands the server has said that it did."""
        return self._answers.accepted

    def send(self, buffer: memoryview) -> None:
        """Queues commands; waits while too much is still to be sent."""
        self._backlog.put(buffer)

    def finish(self) -> Exception | None:
        """Waits for every answer: what the connection or the server complained of first, if they did."""
        self._backlog.put(memoryview(_PING))
        self._backlog.put(None)
        self._thread.join()
        if self._failure is not None:
            self._line.close()
            return self._failure
        self._node.give(self._line)
        return complaint(self._answers.first_refusal) if self._answers.refused else None

    def _run(self) -> None:
        timeout = self._socket.gettimeout()
        buffer: memoryview | None = None
        try:
            self._socket.setblocking(False)
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_WRITE)
                while (buffer := self._backlog.take()) is not None:
                    self._send(buffer, selector, timeout)
                selector.modify(self._socket, selectors.EVENT_READ)
                while not self._answers.complete:
                    self._wait(selector, timeout)
                    self._take_in()
        except OSError as exc:
            self._failure = exc
            while buffer is not None:  # nobody may wait for room
                buffer = self._backlog.take()
        finally:
            self._socket.settimeout(timeout)

    def _send(self, buffer: memoryview, selector: selectors.BaseSelector, timeout: float | None) -> None:
        """Sends all of it. Answers are taken in between two sends only: being woken by each would slow the server."""
        sent = 0
        while sent < len(buffer):
            self._wait(selector, timeout)
            with suppress(*_NOT_YET):
                sent += self._socket.send(buffer[sent : sent + SLICE])
            self._take_in()

    def _wait(self, selector: selectors.BaseSelector, timeout: float | None) -> None:
        if not selector.select(timeout):
            raise TimeoutError("the server does not answer")

    def _take_in(self) -> None:
        """Takes in the answers that are there."""
        with suppress(*_NOT_YET):
            while True:
                data = self._socket.recv(RECEIVE)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                self._answers.take(data)


class Backlog:
    """Buffers from one thread to another, `BACKLOG` bytes at most; a larger one when it is alone. None is the end."""

    def __init__(self) -> None:
        self._buffers: deque[memoryview | None] = deque()
        self.bytes = 0
        self._changed = threading.Condition()

    def put(self, buffer: memoryview | None) -> None:
        size = len(buffer or b"")
        with self._changed:
            self._changed.wait_for(lambda: not self.bytes or self.bytes + size <= BACKLOG)
            self._buffers.append(buffer)
            self.bytes += size
            self._changed.notify()

    def take(self) -> memoryview | None:
        with self._changed:
            self._changed.wait_for(lambda: self._buffers)
            buffer = self._buffers.popleft()
            self.bytes -= len(buffer or b"")
            self._changed.notify()
        return buffer


class Answers:
    """Counts a stream of one-line answers that ends with PONG, and keeps those that refuse."""

    def __init__(self) -> None:
        self.accepted = 0
        self.refused = 0
        self.first_refusal = ""
        self.complete = False
        self._rest = b""

    def take(self, data: bytes) -> None:
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest, data = data[end:], data[:end]
        self.complete = data.endswith(_PONG)
        self.accepted += data.count(b"\n") - self.complete
        if b"-" in data:
            refused = [line for line in data.split(b"\n") if line.startswith(b"-")]
            self.accepted -= len(refused)
            self.refused += len(refused)
            self.first_refusal = self.first_refusal or refused[0][1:].decode(errors="replace").strip()
