"""DuckDB files that are open for reading, each once a process.

To open a file takes 15 ms, and nearly all of that is DuckDB starting; a file is attached to one that runs already in
less than one. And it must not be opened twice: the lock on a file belongs to the process, and is gone for all of its
threads when one of them closes it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from featurestore.offline.duckdb import connect as duck
from featurestore.offline.sql import literal
from featurestore.signals import interrupt_on_signal

NAME = "history"  # of the attached file in SQL

_guard = threading.Lock()
_engines: dict[Path, Engine] = {}


class Engine:
    """A DuckDB in memory, to which one file is attached for as long as somebody reads it."""

    def __init__(self, path: Path, memory: int) -> None:
        self._path = path
        self._connection = duck.connect(memory=memory, spill=duck.spill_beside(path))
        self.users = 0
        self._readers = 0

    def attach(self) -> duckdb.DuckDBPyConnection:
        """A connection that reads the file. Raises duckdb.Error, also where the file is busy."""
        with _guard:
            if self._readers == 0:
                self._connection.execute(f"ATTACH {literal(self._path)} AS {NAME} (READ_ONLY)")
            self._readers += 1
        reader = self._connection.cursor()
        interrupt_on_signal(reader)
        reader.execute(f"USE {NAME}; SET TimeZone = 'UTC'")
        return reader

    def detach(self, reader: duckdb.DuckDBPyConnection) -> None:
        """Ends what `attach` gave; the last one lets go of the file."""
        reader.close()
        with _guard:
            self._readers -= 1
            if self._readers == 0:
                with suppress(duckdb.Error):  # a DuckDB that failed for good: it lets go as it is closed
                    self._connection.execute(f"DETACH {NAME}")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def engine_for(path: Path, memory: int) -> Iterator[Engine]:
    """The engine for a file, shared by all of the process who are here; the first decides on the bytes to work with."""
    place = path.resolve()  # one file, by whatever way it is named
    with _guard:
        engine = _engines.get(place)
        if engine is None:
            engine = _engines[place] = Engine(path, memory)
        engine.users += 1
    try:
        yield engine
    finally:
        with _guard:
            engine.users -= 1
            if engine.users == 0:
                del _engines[place]
                engine.close()
