"""DuckDB files that are open, each once per process.

Opening a file takes 15 ms, nearly all of it to start DuckDB, and closing it takes five; attaching a file to a DuckDB
that runs already takes less than one. So the DuckDB that was used last goes on running, without the file, for whoever
opens a file next. And a file must not be opened twice: its lock belongs to the process, and closing the file in one
thread releases the lock for all.
"""

from __future__ import annotations

import os
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
_idle: Engine | None = None  # no thread uses it


class Engine:
    """A DuckDB in memory, to which one file is attached while any thread reads it, or one writes it.

    Readers share it; a writer has one alone.
    """

    def __init__(self, path: Path, memory: int) -> None:
        self._path = path
        self.memory = memory
        self.place = path.resolve()  # the same file, whichever path leads to it
        self.sound = True  # an error may be one that this DuckDB does not recover from
        self._connection = duck.connect(memory=memory, spill=duck.spill_beside(path))
        self.users = 0
        self._attached = 0  # connections to the file

    def attach(self, *, writing: bool = False) -> duckdb.DuckDBPyConnection:
        """A connection to the file, which a writer makes where it is missing.

        Raises duckdb.Error, also where the file is busy.
        """
        with _guard:
            if self._attached == 0:
                self.sound = False
                how = "READ_WRITE" if writing else "READ_ONLY"
                self._connection.execute(f"ATTACH {literal(self._path)} AS {NAME} ({how})")
            self._attached += 1
            connection = self._connection.cursor()
        try:
            interrupt_on_signal(connection)
            # A cursor is a connection of its own, with its own settings.
            connection.execute(f"USE {NAME}; SET TimeZone = 'UTC'")
        except BaseException:
            self.detach(connection)
            raise
        return connection

    def detach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Closes a connection from `attach`; the last one detaches the file."""
        connection.close()
        with _guard:
            self._attached -= 1
            if self._attached == 0:
                with suppress(duckdb.Error):  # after a fatal error DuckDB releases the file only when it is closed
                    self._connection.execute(f"DETACH {NAME}")
                    self.sound = True

    def move(self, path: Path) -> None:
        """Has the next user attach another file. Raises duckdb.Error where something has spilled beside this one."""
        if path.resolve() != self.place:
            self._connection.execute(f"SET temp_directory = {literal(duck.spill_beside(path))}")
        self._path, self.place = path, path.resolve()

    def close(self) -> None:
        self._connection.close()


class EngineLease:
    """A store's share in the engine of its file: taken when first needed, returned when no thread needs it."""

    def __init__(self, path: Path, memory: int) -> None:
        self._path = path
        self._memory = memory
        self._lock = threading.Lock()
        self._users = 0
        self._engine: Engine | None = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keeps the engine for as long as any thread is inside."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._engine is not None:
                    _return(self._engine)
                    self._engine = None

    def engine(self) -> Engine:
        """The engine; only inside `hold`. Raises duckdb.Error."""
        with self._lock:
            assert self._users, "call it inside `hold`"
            if self._engine is None:
                self._engine = _borrow(self._path, self._memory)
            return self._engine


@contextmanager
def writer_engine(path: Path, memory: int) -> Iterator[Engine]:
    """An engine for a writer of the file, who shares it with nobody. Raises duckdb.Error."""
    duck.check_path(path)
    with _guard:
        engine = _take_idle(path, memory)
    engine = engine or Engine(path, memory)
    try:
        yield engine
    finally:
        if duck.spill_beside(path).exists():  # which goes away with the DuckDB that has spilled
            engine.sound = False
        with _guard:
            _keep_if_sound(engine)


def _borrow(path: Path, memory: int) -> Engine:
    """The engine of a file, shared by all stores of the process; the first one sets its memory."""
    duck.check_path(path)
    place = path.resolve()
    with _guard:
        engine = _engines.get(place)
        if engine is None:
            engine = _engines[place] = _take_idle(path, memory) or Engine(path, memory)
        engine.users += 1
        return engine


def _return(engine: Engine) -> None:
    with _guard:
        engine.users -= 1
        if engine.users:
            return
        del _engines[engine.place]
        _keep_if_sound(engine)


def _keep_if_sound(engine: Engine) -> None:
    """Has the engine go on running for whoever is next, in place of another one that did."""
    global _idle
    done: Engine | None = engine
    if engine.sound:
        done, _idle = _idle, engine
    if done is not None:
        done.close()


def _take_idle(path: Path, memory: int) -> Engine | None:
    """The idle engine if it fits."""
    global _idle
    if _idle is None or _idle.memory != memory:
        return None
    engine, _idle = _idle, None
    try:
        engine.move(path)
    except duckdb.Error:
        engine.close()
        return None
    return engine


def _close_idle() -> None:
    """Before a fork: a child has none of the threads of a DuckDB, and could neither use nor close it."""
    global _idle
    with _guard:
        engine, _idle = _idle, None
        if engine is not None:
            engine.close()


os.register_at_fork(before=_close_idle)
