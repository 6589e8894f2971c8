"""A broker of one topic that answers what reading asks, with logs that a test lays down record by record.

It is for what no broker that a test can start does: transactions that are aborted or never end, and a log from which
compaction has taken records. It speaks ApiVersions, Metadata, ListOffsets and Fetch over a socket, so that librdkafka
itself sorts out what was committed.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

FETCH, LIST_OFFSETS, METADATA, COORDINATOR, VERSIONS = 1, 2, 3, 10, 18
# By the number of a request: the versions that are spoken. Nothing is produced here, but the client takes a broker that
# does not say so for one that has no batches of the second form.
SPOKEN = {0: (0, 3), FETCH: (4, 4), LIST_OFFSETS: (1, 2), METADATA: (0, 4), COORDINATOR: (0, 0), VERSIONS: (0, 0)}
UNSUPPORTED_VERSION, OUT_OF_RANGE, NO_COORDINATOR = 35, 1, 15
TRANSACTIONAL, CONTROL = 0x10, 0x20
ABORT, COMMIT = 0, 1
EARLIEST, LATEST = -2, -1


@dataclass
class Log:
    """One partition: batches by their first offset, and what is known of transactions.

    ``start`` is the first offset that is there, ``high`` the one after the last; offsets in between may have no record.
    """

    start: int = 0
    high: int = 0
    batches: list[tuple[int, int, bytes]] = field(default_factory=list)
    aborted: list[tuple[int, int, int]] = field(
        default_factory=list
    )  # the producer, its first offset, that of its mark
    pending: dict[int, int] = field(default_factory=dict)  # the first offset of each transaction that has not ended
    times: list[tuple[int, int]] = field(default_factory=list)  # the timestamp (ms) and offset of each record

    @property
    def stable(self) -> int:
        return min([self.high, *self.pending.values()])

    def add(self, *values: str, producer: int | None = None, at: int = 1_000) -> None:
        """Records, in a transaction of that producer where one is named."""
        if producer is not None:
            self.pending.setdefault(producer, self.high)
        self.times += [(at, self.high + delta) for delta in range(len(values))]
        records: list[tuple[int, bytes | None, bytes]] = [
            (delta, None, value.encode()) for delta, value in enumerate(values)
        ]
        self._append(records, len(values), at, producer, 0 if producer is None else TRANSACTIONAL)

    def end(self, producer: int, mark: int) -> None:
        """Ends the transaction of a producer, with a mark that has an offset of its own."""
        first = self.pending.pop(producer)
        if mark == ABORT:
            self.aborted.append((producer, first, self.high))
        control = struct.pack(">hh", 0, mark)
        self._append([(0, control, struct.pack(">hi", 0, 0))], 1, 1_000, producer, TRANSACTIONAL | CONTROL)

    def skip(self, count: int) -> None:
        """Offsets whose batches compaction has taken."""
        self.high += count

    def empty(self, count: int) -> None:
        """A batch that compaction has emptied, as it leaves the last one of a log."""
        self._append([], count, 1_000, None, 0)

    def _append(
        self,
        records: Sequence[tuple[int, bytes | None, bytes]],
        span: int,
        at: int,
        producer: int | None,
        attributes: int,
    ) -> None:
        first = self.high
        body = b"".join(_record(delta, key, value) for delta, key, value in records)
        who = -1 if producer is None else producer
        head = struct.pack(">hiqqqhii", attributes, span - 1, at, at, who, 0, -1, len(records))
        rest = struct.pack(">ibI", 0, 2, 0) + head + body  # the checksum is not looked at
        self.batches.append((first, first + span - 1, struct.pack(">qi", first, len(rest)) + rest))
        self.high += span

    def offset_at(self, instant: int) -> tuple[int, int]:
        """The first record at or after an instant (ms), as its timestamp and offset."""
        return next(((at, offset) for at, offset in self.times if at >= instant), (-1, -1))


def _varint(number: int) -> bytes:
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def _sized(data: bytes | None) -> bytes:
    return _varint(-1) if data is None else _varint(len(data)) + data


def _record(delta: int, key: bytes | None, value: bytes) -> bytes:
    body = b"\0" + _varint(0) + _varint(delta) + _sized(key) + _sized(value) + _varint(0)
    return _varint(len(body)) + body


def _text(text: str | None) -> bytes:
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text)) + text.encode()


class _Reader:
    """The fields of a request, one after another."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, form: str) -> int:
        (found,) = struct.unpack_from(f">{form}", self._data, self._at)
        self._at += struct.calcsize(f">{form}")
        return int(found)

    def text(self) -> str:
        size = max(0, self.take("h"))
        self._at += size
        return self._data[self._at - size : self._at].decode()


class Broker:
    """Listens on a port of its own. ``asked`` are the isolation levels of the fetches that came."""

    def __init__(self, topic: str, logs: list[Log]) -> None:
        self.topic, self.logs = topic, logs
        self.asked: set[int] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, struct.error):  # the client has gone
            stream = connection.makefile("rb")
            while True:
                (size,) = struct.unpack(">i", stream.read(4))
                data = _Reader(stream.read(size))
                kind, version, number = data.take("h"), data.take("h"), data.take("i")
                data.text()  # the client's name
                answer = struct.pack(">i", number) + self._answer(kind, version, data)
                connection.sendall(struct.pack(">i", len(answer)) + answer)

    def _answer(self, kind: int, version: int, data: _Reader) -> bytes:
        if kind == VERSIONS:
            spoken = b"".join(struct.pack(">hhh", each, *between) for each, between in SPOKEN.items())
            return struct.pack(">hi", UNSUPPORTED_VERSION if version > 0 else 0, len(SPOKEN)) + spoken
        if kind == METADATA:
            return self._metadata(version)
        if kind == COORDINATOR:
            return struct.pack(">hi", NO_COORDINATOR, -1) + _text("") + struct.pack(">i", -1)
        return self._offsets(version, data) if kind == LIST_OFFSETS else self._fetch(data)

    def _metadata(self, version: int) -> bytes:
        out = struct.pack(">i", 0) if version >= 3 else b""
        out += struct.pack(">ii", 1, 1) + _text("127.0.0.1") + struct.pack(">i", self.port)
        out += _text(None) if version >= 1 else b""  # the rack
        out += _text("cluster") if version >= 2 else b""
        out += struct.pack(">i", 1) if version >= 1 else b""  # the controller
        out += struct.pack(">ih", 1, 0) + _text(self.topic) + (b"\0" if version >= 1 else b"")
        parts = [struct.pack(">hiiiiii", 0, at, 1, 1, 1, 1, 1) for at in range(len(self.logs))]
        return out + struct.pack(">i", len(parts)) + b"".join(parts)

    def _offsets(self, version: int, data: _Reader) -> bytes:
        data.take("i")  # the replica
        committed = bool(data.take("b")) if version >= 2 else False
        out = struct.pack(">i", 0) if version >= 2 else b""
        out += struct.pack(">i", data.take("i"))
        out += _text(data.text())
        count = data.take("i")
        out += struct.pack(">i", count)
        for _ in range(count):
            part, instant = data.take("i"), data.take("q")
            log = self.logs[part]
            at, offset = (-1, log.start) if instant == EARLIEST else log.offset_at(instant)
            if instant == LATEST:
                at, offset = -1, log.stable if committed else log.high
            out += struct.pack(">ihqq", part, 0, at, offset)
        return out

    def _fetch(self, data: _Reader) -> bytes:
        data.take("i"), data.take("i"), data.take("i"), data.take("i")  # replica, wait, least and most bytes
        self.asked.add(data.take("b"))
        out = struct.pack(">ii", 0, data.take("i"))
        out += _text(data.text())
        count = data.take("i")
        out += struct.pack(">i", count)
        for _ in range(count):
            part, offset, _most = data.take("i"), data.take("q"), data.take("i")
            out += struct.pack(">i", part) + self._part(self.logs[part], offset)
        return out

    def _part(self, log: Log, offset: int) -> bytes:
        if not log.start <= offset <= log.high:
            return struct.pack(">hqqii", OUT_OF_RANGE, log.high, log.stable, -1, 0)
        # One batch an answer, so that a transaction is begun in one and ended in another.
        batch = next((data for _, last, data in log.batches if offset <= last < log.stable), b"")
        gone = [(who, first) for who, first, mark in log.aborted if mark >= offset]
        out = struct.pack(">hqqi", 0, log.high, log.stable, len(gone))
        out += b"".join(struct.pack(">qq", *each) for each in gone)
        return out + struct.pack(">i", len(batch)) + batch


@contextmanager
def broker(*logs: Log, topic: str = "orders") -> Iterator[Broker]:
    """A broker of these partitions."""
    found = Broker(topic, list(logs))
    try:
        yield found
    finally:
        found.close()
