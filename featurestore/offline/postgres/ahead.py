"""Parts of a table read by several connections ahead of whoever takes them: one reads while another waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from typing import TypeVar

import polars as pl

from featurestore.errors import FeatureStoreError
from featurestore.offline.sql import literal
from featurestore.postgres.connection import Connection

READERS = 2

Begin = Callable[[], AbstractContextManager[Connection]]
Part = TypeVar("Part")


def read_ahead(
    snapshot: Connection, begin: Begin, ask: Callable[[Connection, Part], pl.DataFrame], parts: Sequence[Part]
) -> Iterator[pl.DataFrame]:
    """What ``ask`` reads of each part, in order, as ``snapshot`` sees the tables, whose transaction is open.

    ``begin`` opens a transaction of a connection of its own, REPEATABLE READ. Where no more can be had, as where the
    server lets in only so many, ``snapshot`` is asked. At most ``READERS`` answers wait to be taken.
    """
    with ExitStack() as opened:
        readers = _readers(snapshot, begin, opened) if len(parts) > 1 else []
        if not readers:
            for part in parts:
                yield ask(snapshot, part)
            return
        idle: SimpleQueue[Connection] = SimpleQueue()
        for reader in readers:
            idle.put(reader)

        def read(part: Part) -> pl.DataFrame:
            connection = idle.get()
            try:
                return ask(connection, part)
            finally:
                idle.put(connection)

        threads = opened.enter_context(ThreadPoolExecutor(len(readers), "reader"))
        waiting: deque[Future[pl.DataFrame]] = deque()
        try:
            for part in parts:
                waiting.append(threads.submit(read, part))
                if len(waiting) > len(readers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for answer in waiting:  # which are not taken any more
                answer.cancel()
            if waiting:
                for reader in readers:
                    reader.cancel()


def _readers(snapshot: Connection, begin: Begin, opened: ExitStack) -> list[Connection]:
    """Connections that see what ``snapshot`` sees; none where the server gives none."""
    try:
        with ExitStack() as opening:
            seen = snapshot.rows("SELECT pg_export_snapshot() AS name")[0]["name"]
            readers = []
            for _ in range(READERS):
                connection = opening.enter_context(begin())
                connection.execute(f"SET TRANSACTION SNAPSHOT {literal(seen)}")
                readers.append(connection)
            opened.enter_context(opening.pop_all())
    except FeatureStoreError:
        return []
    return readers
