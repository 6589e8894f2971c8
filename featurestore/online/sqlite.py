"""The embedded online store: one SQLite file in ``.featurestore/``, so that everything works without a server.

The rows are clustered by (field, key), so loading or removing a version touches neighbouring rows. In WAL mode readers
are not blocked by a writer; a writer locks the file for one batch at a time. Each thread has its own connection.

The file names its project. Under another name it reads as an empty store, as the keys of a server would, and whoever
writes first under the new name removes what there was.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from heapq import merge as merge_sorted
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from featurestore.atomic import is_there
from featurestore.config import Project
from featurestore.errors import DamagedError, NewerFormatError, StoreError, os_reason
from featurestore.locking import prepare_state
from featurestore.model import Check
from featurestore.online import format as layout
from featurestore.online.contract import Pulse, TableName, WriteCounts
from featurestore.online.tables import GENERATION

if TYPE_CHECKING:
    import polars as pl

FILE = "online.sqlite"
FORMAT = 1
BATCH = 10_000
BUSY_SECONDS = 30.0
_BESIDE = 1 << 20
KEYS_PER_SELECT = 500

AFRESH = "remove the file and run featurestore sync --full: the history has all that was in it"
RIGHTS = "check who may write there"
HINTS = {
    sqlite3.SQLITE_FULL: "free some disk space and try again",
    sqlite3.SQLITE_IOERR: "see how much space the disk has, and whether it is sound; then try again",
    sqlite3.SQLITE_BUSY: "another process is writing; try again",
    sqlite3.SQLITE_LOCKED: "another process is writing; try again",
}

# Connections that a fork inherited. They are never closed: closing one would remove locks that the parent relies on.
_INHERITED: list[object] = []

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entities
    (field INTEGER, key TEXT, packed BLOB NOT NULL, PRIMARY KEY (field, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tables
    (name TEXT, entry TEXT, text TEXT NOT NULL, PRIMARY KEY (name, entry)) WITHOUT ROWID;
"""
_PROJECT = "SELECT text FROM tables WHERE name = 'file' AND entry = 'project'"
_ANY_KEY = "SELECT key FROM entities LIMIT 1"
_GENERATION = f"SELECT text FROM tables WHERE name = 'active' AND entry = '{GENERATION}'"  # noqa: S608  (our own constant)
_INSERT = "INSERT OR IGNORE INTO entities VALUES (?, ?, ?)"
_REPLACE = f"""
INSERT INTO entities VALUES (?, ?, ?) ON CONFLICT (field, key) DO UPDATE SET packed = excluded.packed
WHERE excluded.packed <> packed AND is_newer(excluded.packed, packed)
   OR substr(excluded.packed, {layout.ORDER} + 1, 6) <> substr(packed, {layout.ORDER} + 1, 6)
"""  # noqa: S608  (our own constants)


@dataclass(slots=True, eq=False, weakref_slot=True)
class _ThreadConnection:
    """The connection of one thread, closed when the thread ends.

    ``inode`` is that of the file it has open; ``project`` is whose values the file has, empty where it has none.
    """

    connection: sqlite3.Connection
    inode: int
    project: str

    def __del__(self) -> None:
        self.connection.close()


class SQLiteStore:
    """`OnlineStore` in a file; a missing file reads as an empty store."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._path = project.state / FILE
        self._local = threading.local()
        self._opened: WeakSet[_ThreadConnection] = WeakSet()
        # A WeakSet may not be iterated while another thread adds to it.
        self._opening = threading.Lock()
        self._process = os.getpid()

    def fetch(self, keys: Sequence[str], fields: Sequence[int]) -> tuple[str, list[list[bytes | None]]]:
        connection = self._reading()
        if connection is None:
            return "", [[None] * len(fields) for _ in keys]
        values: dict[str, dict[int, bytes]] = {key: {} for key in keys}
        with _TranslatedErrors(self._path):
            for start in range(0, len(keys), KEYS_PER_SELECT):
                some = keys[start : start + KEYS_PER_SELECT]
                for key, field, packed in connection.execute(_select(len(fields), len(some)), (*fields, *some)):
                    if key not in values or type(packed) is not bytes:
                        raise self._damaged()
                    values[key][field] = packed
            # Last: if it is the expected one, no field was given up while its values were read.
            generation = connection.execute(_GENERATION).fetchone()
        return generation[0] if generation else "", [[values[key].get(field) for field in fields] for key in keys]

    def table(self, name: TableName) -> dict[str, str]:
        connection = self._reading()
        if connection is None:
            return {}
        with _TranslatedErrors(self._path):
            return self._entries(connection, name)

    def _entries(self, connection: sqlite3.Connection, name: TableName) -> dict[str, str]:
        entries = dict(connection.execute("SELECT entry, text FROM tables WHERE name = ?", (name,)))
        if not {*map(type, entries), *map(type, entries.values())} <= {str}:
            raise self._damaged()
        return entries

    def swap(self, name: TableName, expected: Mapping[str, str | None], updates: Mapping[str, str | None]) -> bool:
        with self._writing() as connection:
            entries = self._entries(connection, name)
            if any(entries.get(entry) != text for entry, text in expected.items()):
                return False
            for entry, text in updates.items():
                if text is None:
                    connection.execute("DELETE FROM tables WHERE name = ? AND entry = ?", (name, entry))
                else:
                    connection.execute("INSERT OR REPLACE INTO tables VALUES (?, ?, ?)", (name, entry, text))
        return True

    def load(self, batches: Iterable[pl.DataFrame]) -> None:
        self.merge(batches)

    def merge(self, batches: Iterable[pl.DataFrame]) -> dict[int, WriteCounts]:
        totals: dict[int, WriteCounts] = {}
        for batch in batches:
            for name in batch.columns[1:]:
                total, counts = totals.get(int(name), WriteCounts()), self._merge(int(name), batch.select("key", name))
                totals[int(name)] = WriteCounts(total.written + counts.written, total.created + counts.created)
        return totals

    def _merge(self, field: int, column: pl.DataFrame) -> WriteCounts:
        written = created = 0
        for batch in column.drop_nulls().iter_slices(BATCH):
            rows = [(field, key, packed) for key, packed in batch.iter_rows()]
            with self._writing() as connection:
                # Two statements, because SQLite does not say of an upsert whether it has inserted or updated.
                fresh = connection.executemany(_INSERT, rows).rowcount
                changed = connection.executemany(_REPLACE, rows).rowcount if fresh < len(rows) else 0
            created += fresh
            written += fresh + changed
        return WriteCounts(written, created)

    def discard(self, field: int | str, keys: Sequence[str], up_to_run: int) -> int:
        removed = 0
        for start in range(0, len(keys), KEYS_PER_SELECT):
            some = keys[start : start + KEYS_PER_SELECT]
            with self._writing() as connection:
                marks = _placeholders(some)
                sql = f"SELECT key, packed FROM entities WHERE field = ? AND key IN ({marks})"  # noqa: S608  (question marks)
                gone = [
                    (field, key)
                    for key, packed in connection.execute(sql, (field, *some))
                    if type(packed) is not bytes or len(packed) < layout.ORDER or layout.run_seq_of(packed) <= up_to_run
                ]
                removed += connection.executemany("DELETE FROM entities WHERE field = ? AND key = ?", gone).rowcount
        return removed

    def clear(self, entity_type: str, fields: Sequence[int]) -> None:
        with self._writing() as connection:
            connection.executemany("DELETE FROM entities WHERE field = ?", [(field,) for field in fields])

    def remove(self, keys: Sequence[str]) -> None:
        (self._reading() or self._create()).execute("PRAGMA secure_delete = ON")
        with self._writing() as connection:
            fields = [field for (field,) in connection.execute("SELECT DISTINCT field FROM entities")]
            gone = [(field, key) for field in fields for key in keys]
            connection.executemany("DELETE FROM entities WHERE field = ? AND key = ?", gone)
        with _TranslatedErrors(self._path):  # else the deleted bytes stay in the WAL until the last connection closes
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def keys(self, entity_type: str, fields: Sequence[int]) -> Iterator[list[str]]:
        connection = self._reading()
        if connection is None:
            return
        with _TranslatedErrors(self._path):
            for field in fields:
                rows = connection.execute("SELECT key FROM entities WHERE field = ?", (field,))
                while batch := rows.fetchmany(BATCH):
                    if not {type(key) for (key,) in batch} <= {str}:
                        raise self._damaged()
                    yield [key for (key,) in batch]

    def scan(self, entity_type: str) -> Iterator[list[tuple[str, dict[str, bytes]]]]:
        connection = self._reading()
        if connection is None:
            return
        prefix = layout.key_prefix(self._project.name, entity_type)
        with _TranslatedErrors(self._path):
            fields = [field for (field,) in connection.execute("SELECT DISTINCT field FROM entities")]
            sql = "SELECT key, field, packed FROM entities WHERE field = ? AND key >= ? AND key < ? ORDER BY key"
            # ";" is the character after the ":" that ends the prefix.
            columns = [self._sound(connection.execute(sql, (field, prefix, prefix[:-1] + ";"))) for field in fields]
            batch: list[tuple[str, dict[str, bytes]]] = []
            for key, rows in groupby(merge_sorted(*columns, key=itemgetter(0)), key=itemgetter(0)):
                batch.append((key, {str(field): packed for _, field, packed in rows}))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
            yield batch

    def _sound(self, rows: Iterable[tuple[str, int, bytes]]) -> Iterator[tuple[str, int, bytes]]:
        """The rows, as long as they are what was written: a damaged file may give anything."""
        for row in rows:
            if type(row[0]) is not str or type(row[2]) is not bytes:
                raise self._damaged()
            yield row

    def pulse(self) -> Pulse:
        return Pulse(str(self._path.stat().st_ino) if is_there(self._path) else "")

    def mark_shards(self) -> None:
        """Nothing: a file loses all or nothing."""

    def checks(self) -> Iterator[Check]:
        size = self._path.stat().st_size if is_there(self._path) else 0
        yield Check("online", "ok", f"embedded, {size / 1e6:,.1f} MB")
        if self._path.exists():
            opened = self._opened_here()
            if opened.project not in ("", self._project.name):
                what = f"holds the values of the project under its earlier name {opened.project}"
                yield Check("online", "warn", what, f"featurestore sync writes those of {self._project.name} instead")
            self._check_pages(opened.connection)

    def _check_pages(self, connection: sqlite3.Connection) -> None:
        """Raises DamagedError. Reads the whole file, as a run that has nothing to write does not."""
        with _TranslatedErrors(self._path):
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise self._damaged()

    def _damaged(self) -> DamagedError:
        return DamagedError("the embedded online store is damaged", where=str(self._path), hint=AFRESH)

    def close(self) -> None:
        with self._opening:
            for opened in list(self._opened):
                opened.connection.close()
            self._local, self._opened = threading.local(), WeakSet()

    def _reading(self) -> sqlite3.Connection | None:
        """This thread's connection; None where there is no file."""
        if self._process != os.getpid():
            self._leave_to_parent()
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116  (saves a microsecond on every read)
        except FileNotFoundError:
            return None
        opened: _ThreadConnection | None = getattr(self._local, "opened", None)
        if opened is None or opened.inode != inode:  # the file was replaced since it was opened
            opened = self._open()
        return opened.connection if opened.project in ("", self._project.name) else None

    def _opened_here(self) -> _ThreadConnection:
        """This thread's connection to the file, whosever values it has."""
        self._reading()
        opened: _ThreadConnection = self._local.opened
        return opened

    def _leave_to_parent(self) -> None:
        """Starts afresh in a forked child, which may neither use nor close its parent's connections."""
        _INHERITED.append(list(self._opened))
        self._local, self._opened, self._opening = threading.local(), WeakSet(), threading.Lock()
        self._process = os.getpid()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed on leaving, rolled back on an exception."""
        connection = self._reading() or self._create()
        with _TranslatedErrors(self._path):
            # A transaction that takes the lock only when it writes fails at once where another has written since it
            # began to read.
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._claim(connection)
                yield connection
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _claim(self, connection: sqlite3.Connection) -> None:
        """Makes the file this project's, within a transaction that writes: what is stored under another name goes."""
        name = self._project.name
        found = connection.execute(_PROJECT).fetchone()
        if found is None or found[0] != name:
            if _project_of(connection) not in ("", name):
                connection.execute("DELETE FROM entities")
                connection.execute("DELETE FROM tables")
            connection.execute("INSERT OR REPLACE INTO tables VALUES ('file', 'project', ?)", (name,))
        self._local.opened.project = name

    def _create(self) -> sqlite3.Connection:
        if self._path.exists():  # it has the values of another name
            return self._opened_here().connection
        prepare_state(self._project)
        with _TranslatedErrors(self._path):
            # SQLite would create the file with the permissions that the umask leaves.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return self._open().connection

    def _connect(self) -> sqlite3.Connection:
        """Reading needs no right to write: a file that can't be written is read as one that nobody changes."""
        place, uri = str(self._path), False
        if not (os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK)):
            log = self._path.with_name(f"{FILE}-wal")
            # With a log beside it somebody writes, and the log is read too.
            how = "mode=ro" if is_there(log) and log.stat().st_size else "mode=ro&immutable=1"
            place, uri = f"{self._path.absolute().as_uri()}?{how}", True
        return sqlite3.connect(place, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri)

    def _open(self) -> _ThreadConnection:
        with _TranslatedErrors(self._path):
            # Closed by `close` or by the garbage collector, in whichever thread that is.
            connection = self._connect()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > FORMAT:
                connection.close()
                raise NewerFormatError(
                    f"was written by a newer release (format {version}; this one reads {FORMAT})",
                    where=str(self._path), hint="upgrade featurestore",
                )  # fmt: skip
            connection.create_function("is_newer", 2, _is_newer, deterministic=True)
            # A power cut may undo the last commits but damages nothing, and the watermarks in the same file go back
            # with the values.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")  # erased values may not stay in free pages
            if version < FORMAT:
                # Before the transaction, in which it can't be changed.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {FORMAT};COMMIT;")
            opened = _ThreadConnection(connection, self._path.stat().st_ino, _project_of(connection))
        self._local.opened = opened
        with self._opening:
            self._opened.add(opened)
        return opened


def _is_newer(new: bytes, stored: object) -> bool:
    """Whether a value may take the place of a stored one, which may be damaged."""
    sound = type(stored) is bytes and len(stored) >= layout.ORDER
    return not sound or layout.order_of(new) >= layout.order_of(stored)  # type: ignore[arg-type]


def _project_of(connection: sqlite3.Connection) -> str:
    """Whose values a file has; empty where it has none. The first release did not write it down."""
    found = connection.execute(_PROJECT).fetchone()
    if found is not None:
        return str(found[0])
    found = connection.execute(_ANY_KEY).fetchone()
    return "" if found is None else str(found[0]).partition(":")[2].partition(":")[0]


class _TranslatedErrors:
    """Raises SQLite's errors as StoreError. A class, since every read enters it and a generator would cost more."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, sqlite3.Error | OSError):
            raise _error_of(exc, self._path) from exc


def _error_of(exc: sqlite3.Error | OSError, path: Path) -> StoreError:
    """SQLite's errors as ours, told apart by their code."""
    if isinstance(exc, OSError):
        message, where = os_reason(exc), str(path)  # the text of an OSError has the path again
        return StoreError(f"the embedded online store failed: {message}", where=where, hint=RIGHTS)
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest tells apart cases of one kind
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedError(f"the embedded online store is damaged: {exc}", where=str(path), hint=AFRESH)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
        # SQLite does not say why; the system does.
        missing = next((place for place in (path, path.parent) if not os.access(place, os.R_OK | os.W_OK)), path)
        refused = os_reason(PermissionError(errno.EACCES, str(exc), str(missing)))
        return StoreError(f"the embedded online store failed: {refused}", where=str(path), hint=RIGHTS)
    hint, why = HINTS.get(code, "try again"), str(exc)
    if code == sqlite3.SQLITE_IOERR and _is_full(path.parent):  # of its files beside the database it does not say so
        hint, why = HINTS[sqlite3.SQLITE_FULL], "the disk is full"
    return StoreError(f"the embedded online store failed: {why}", where=str(path), hint=hint)


def _is_full(folder: Path) -> bool:
    """Whether a disk has no room for what SQLite puts beside a database."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _BESIDE


@lru_cache(maxsize=256)
def _select(fields: int, keys: int) -> str:
    marks = f"{_placeholders(range(fields))}) AND key IN ({_placeholders(range(keys))}"
    return f"SELECT key, field, packed FROM entities WHERE field IN ({marks})"  # noqa: S608  (question marks)


def _placeholders(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
