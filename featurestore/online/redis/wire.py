"""Commands as bytes and exchanges over them: what a reader does a hundred thousand times a second, kept short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice
from typing import Any

import hiredis
from redis import exceptions as redis_errors

from featurestore.online.contract import UNREADABLE
from featurestore.online.redis.servers import Line, Node

CALLS_AT_ONCE = 20


def command(*words: str) -> bytes:
    """One command in RESP."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def hmget(keys: Sequence[str], fields: tuple[int, ...]) -> bytes:
    """HMGET of the same fields for each key; nothing where there are no fields."""
    if not fields:
        return b""
    head, tail = _hmget_frame(fields)
    return "".join(
        [f"{head}{len(key)}\r\n{key}{tail}" for key in keys]
    ).encode()  # a key is ASCII: see format.entity_key


@lru_cache(maxsize=1024)
def _hmget_frame(fields: tuple[int, ...]) -> tuple[str, str]:
    """What stands before the key's length and after the key."""
    tail = "".join(f"\r\n${len(str(field))}\r\n{field}" for field in fields) + "\r\n"
    return f"*{2 + len(fields)}\r\n$5\r\nHMGET\r\n$", tail


def exchange(asked: Mapping[Node, tuple[bytes, int]], bear: str | None = None) -> dict[Node, list[Any]]:
    """Sends each node its commands, and only then reads each node's answers (as many as are told).

    A complaint that begins with ``bear`` is no failure: its answer is that of an unreadable hash.
    """

    def read(line: Line) -> Any:
        try:
            return line.read()
        except redis_errors.ResponseError as exc:
            if bear is None or not str(exc).startswith(bear):
                raise
            return [UNREADABLE.encode(), b""]

    with ExitStack() as stack:
        lines = {node: stack.enter_context(node.line()) for node in asked}
        for node, (commands, _) in asked.items():
            lines[node].send(commands)
        return {node: [read(lines[node]) for _ in range(count)] for node, (_, count) in asked.items()}


def pipeline(node: Node, commands: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """The answers to commands, in order; some are sent at once, and the next before the last ones' answers are read."""
    waiting = 0
    with node.line() as line:
        for some in _windows(commands):
            line.send(b"".join(map(hiredis.pack_command, some)))
            for _ in range(waiting):
                yield line.read()
            waiting = len(some)
        for _ in range(waiting):
            yield line.read()


def pairs(flat: Sequence[bytes]) -> dict[str, bytes]:
    """The answer of HGETALL; a name that is not UTF-8 is shown as far as it goes."""
    return {flat[at].decode(errors="replace"): flat[at + 1] for at in range(0, len(flat), 2)}


def entries(items: Mapping[str, str | None]) -> list[str]:
    """Entries as the scripts take them: name, present or not, text."""
    return [word for name, text in items.items() for word in (name, "0" if text is None else "1", text or "")]


def info(node: Node) -> dict[str, str]:
    """What a server says of itself."""
    text: bytes = node.ask("INFO", "default")
    return dict(line.split(":", 1) for line in text.decode(errors="replace").splitlines() if ":" in line)


def _windows(commands: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    items = iter(commands)
    while some := list(islice(items, CALLS_AT_ONCE)):
        yield some
