"""Commands as bytes, and exchanges of them. Every read comes through here, so it is kept short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice
from typing import Any

import hiredis
from redis import exceptions as redis_errors

from featurestore.online.contract import UNREADABLE
from featurestore.online.redis import answers
from featurestore.online.redis.servers import Connection, RedisNode

COMMANDS_PER_SEND = 20


def command(*words: str) -> bytes:
    """One command in RESP."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def hmget(keys: Sequence[str], fields: tuple[int, ...]) -> bytes:
    """One HMGET of the same fields per key; no bytes where there are no fields."""
    if not fields:
        return b""
    head, tail = _hmget_frame(fields)
    commands = [f"{head}{len(key)}\r\n{key}{tail}" for key in keys]  # a key is ASCII: see format.entity_key
    return "".join(commands).encode()


@lru_cache(maxsize=1024)
def _hmget_frame(fields: tuple[int, ...]) -> tuple[str, str]:
    """The bytes before the length of the key, and those after the key."""
    tail = "".join(f"\r\n${len(str(field))}\r\n{field}" for field in fields) + "\r\n"
    return f"*{2 + len(fields)}\r\n$5\r\nHMGET\r\n$", tail


def exchange(asked: Mapping[RedisNode, tuple[bytes, int]], tolerate: str | None = None) -> dict[RedisNode, list[Any]]:
    """Sends all nodes their commands, and only then reads the answers. Each comes with its commands and their number.

    An error reply that begins with ``tolerate`` is answered as a hash with the one field `UNREADABLE`.
    """

    def read(connection: Connection) -> Any:
        try:
            return connection.read()
        except redis_errors.ResponseError as exc:
            if tolerate is None or not str(exc).startswith(tolerate):
                raise
            return [UNREADABLE.encode(), b""]

    with ExitStack() as stack:
        connections = {node: stack.enter_context(node.connection()) for node in asked}
        for node, (commands, _) in asked.items():
            connections[node].send(commands)
        return {node: [read(connections[node]) for _ in range(count)] for node, (_, count) in asked.items()}


def pipeline(node: RedisNode, commands: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """The answers to commands, in order. Each batch of commands is sent before the answers to the last one are read."""
    pending = 0
    with node.connection() as connection:
        for batch in _batches(commands):
            connection.send(b"".join(map(hiredis.pack_command, batch)))
            for _ in range(pending):
                yield connection.read()
            pending = len(batch)
        for _ in range(pending):
            yield connection.read()


def entries(items: Mapping[str, str | None]) -> list[str]:
    """Entries as the arguments of a script: name, 1 for present or 0 for absent, text."""
    return [word for name, text in items.items() for word in (name, "0" if text is None else "1", text or "")]


def info(node: RedisNode) -> dict[str, str]:
    """The answer of INFO."""
    text = answers.text("INFO", node.ask("INFO", "default"))
    return dict(line.split(":", 1) for line in text.decode(errors="replace").splitlines() if ":" in line)


def _batches(commands: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    items = iter(commands)
    while batch := list(islice(items, COMMANDS_PER_SEND)):
        yield batch
