"""Loading columns into Redis: commands are built column by column, and sent while the next ones are built.

A client library makes one call per command; one buffer with all the commands is as fast as the server.
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
from featurestore.online.redis.errors import note_written, reply_error
from featurestore.online.redis.servers import RedisNode

SEND_BYTES = 1 << 20  # of one send; the timeout is for each send
RECEIVE_BYTES = 1 << 18
BACKLOG_BYTES = 1 << 24  # that wait to be sent: a tenth of a second's work, enough time to read more of the history

_PING = b"*1\r\n$4\r\nPING\r\n"
_PONG = b"+PONG\r\n"
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_WIDE = pa.large_binary()
_EMPTY, _DOLLAR, _LINE_END = (pa.scalar(text, _WIDE) for text in (b"", b"$", b"\r\n"))


def hset_commands(frame: pl.DataFrame) -> list[memoryview]:
    """One HSET per row, as the bytes of a RESP stream.

    ``frame`` has ``key`` and a Binary column for each field. Rows without any value are left out.
    """
    fields = [name for name in frame.columns if name != "key"]
    if not any(frame[name].null_count() for name in fields):
        return [_hset(frame, fields)] if frame.height else []
    present = np.column_stack([frame[name].is_not_null().to_numpy() for name in fields])
    buffers = []
    for pattern in np.unique(present, axis=0):
        rows = frame.filter(pl.Series((present == pattern).all(axis=1)))
        some = [name for name, has_value in zip(fields, pattern, strict=True) if has_value]
        if some:
            buffers.append(_hset(rows, some))
    return buffers


def _hset(frame: pl.DataFrame, fields: Sequence[str]) -> memoryview:
    parts: list[bytes | pl.Series] = [b"*%d\r\n$4\r\nHSET\r\n" % (2 + 2 * len(fields)), frame["key"].cast(pl.Binary)]
    for name in fields:
        parts += [b"$%d\r\n%b\r\n" % (len(name), name.encode()), frame[name]]
    return _commands(parts)


def hdel_commands(keys: pl.Series, fields: Sequence[str]) -> memoryview:
    """One HDEL of the same fields per key."""
    tail = b"".join(b"$%d\r\n%b\r\n" % (len(name), name.encode()) for name in fields)
    return _commands([b"*%d\r\n$4\r\nHDEL\r\n" % (2 + len(fields)), keys.cast(pl.Binary), tail])


def _commands(parts: Sequence[bytes | pl.Series]) -> memoryview:
    """One command per row: bytes are the same in each, the values of a column are sent as bulk strings."""
    columns = [part if isinstance(part, bytes) else part.to_arrow().cast(_WIDE) for part in parts]
    lengths = [None if isinstance(column, bytes) else pc.min_max(pc.binary_length(column)) for column in columns]
    if all(length is None or length["min"] == length["max"] for length in lengths):
        return _fixed_width_commands(columns)
    joined: list[Any] = []
    for column in columns:
        if isinstance(column, bytes):
            joined.append(pa.scalar(column, _WIDE))
        else:
            digits = pc.cast(pc.cast(pc.binary_length(column), pa.large_string()), _WIDE)
            joined += [_DOLLAR, digits, _LINE_END, column, _LINE_END]
    return bytes_of(pc.binary_join_element_wise(*joined, _EMPTY)).data


def _fixed_width_commands(columns: Sequence[bytes | pa.LargeBinaryArray]) -> memoryview:
    """`_commands` where all values of a column have the same length: copies of a template, then filled in."""
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
    """A row of ``width`` bytes with one named part, at ``at``."""
    return np.dtype({"names": ["hole"], "formats": [values], "offsets": [at], "itemsize": width})


class StreamEndedError(Exception):
    """Sending is pointless, since a pipe has failed; the failure itself is raised on leaving the stream."""


class Stream:
    """A pipe to each node that is sent to. Leaving waits for all answers and raises the first error."""

    def __init__(self) -> None:
        self._pipes: dict[RedisNode, Pipe] = {}

    def __enter__(self) -> Stream:
        return self

    def send(self, node: RedisNode, commands: memoryview) -> None:
        if node not in self._pipes:
            self._pipes[node] = Pipe(node)
        if self._pipes[node].has_failed:
            raise StreamEndedError
        self._pipes[node].send(commands)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        errors = [error for pipe in self._pipes.values() if (error := pipe.finish())]
        if errors and (exc is None or isinstance(exc, StreamEndedError)):
            first = errors[0]
            if isinstance(first, redis_errors.RedisError):
                note_written(first, sum(pipe.accepted for pipe in self._pipes.values()))
            raise first from None


class Pipe:
    """One connection to which a thread of its own sends commands and from which it reads the answers.

    Every command must have an answer of a single line. One thread both sends and reads, since two threads can't use one
    TLS connection. `finish` returns what went wrong.
    """

    def __init__(self, node: RedisNode) -> None:
        self._node = node
        self._connection = node.take()
        self._socket = self._connection.socket
        self._backlog = Backlog()
        self._answers = Answers()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def has_failed(self) -> bool:
        """Whether an error has come already."""
        return self._failure is not None or self._answers.refused > 0

    @property
    def accepted(self) -> int:
        """How many commands the server has confirmed."""
        return self._answers.accepted

    def send(self, buffer: memoryview) -> None:
        """Queues commands; waits while the backlog is full."""
        self._backlog.put(buffer)

    def finish(self) -> Exception | None:
        """Waits for every answer. Returns the first error of the connection or the server, if any."""
        # No other command has its answer, so that marks the end.
        self._backlog.put(memoryview(_PING))
        self._backlog.put(None)
        self._thread.join()
        if self._failure is not None:
            self._connection.close()
            return self._failure
        self._node.give(self._connection)
        return reply_error(self._answers.first_refusal) if self._answers.refused else None

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
                    self._receive()
        except OSError as exc:
            self._failure = exc
            while buffer is not None:  # else a sender would wait for room for ever
                buffer = self._backlog.take()
        finally:
            self._socket.settimeout(timeout)

    def _send(self, buffer: memoryview, selector: selectors.BaseSelector, timeout: float | None) -> None:
        """Sends the buffer. Answers are read between two sends only: waking up for each would slow down the server."""
        sent = 0
        while sent < len(buffer):
            self._wait(selector, timeout)
            with suppress(*_WOULD_BLOCK):
                sent += self._socket.send(buffer[sent : sent + SEND_BYTES])
            self._receive()

    def _wait(self, selector: selectors.BaseSelector, timeout: float | None) -> None:
        if not selector.select(timeout):
            raise TimeoutError("the server does not answer")

    def _receive(self) -> None:
        """Reads the answers that have arrived."""
        with suppress(*_WOULD_BLOCK):
            while True:
                data = self._socket.recv(RECEIVE_BYTES)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                self._answers.take(data)


class Backlog:
    """Buffers from one thread to another, at most ``limit`` bytes, or a single larger buffer. None is the end."""

    def __init__(self, limit: int = BACKLOG_BYTES) -> None:
        self._limit = limit
        self._buffers: deque[memoryview | None] = deque()
        self.bytes = 0
        self._changed = threading.Condition()

    def put(self, buffer: memoryview | None) -> None:
        size = len(buffer or b"")
        with self._changed:
            self._changed.wait_for(lambda: not self.bytes or self.bytes + size <= self._limit)
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
    """Counts a stream of one-line answers that ends with PONG, and remembers the first error."""

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
