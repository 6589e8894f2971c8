"""The embedded offline store: one DuckDB file in ``.featurestore/``.

Every call opens the file, asks, and closes it, because even a reader keeps writers of other processes out. A busy file
is waited for. A run is one transaction (`offline.duckdb.run`).
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl

from featurestore import times
from featurestore.atomic import beside, flush_folder, is_there, sweep
from featurestore.config import Project
from featurestore.errors import SetBackError, StoreError, from_os_error, os_reason
from featurestore.locking import prepare_state
from featurestore.model import RejectedRow, Run, StoredVersion, VersionId
from featurestore.offline import schema
from featurestore.offline.audit_log import (
    SqlAuditLog,
    insert_reference,
    insert_rejected,
    insert_run,
    read_erasures,
    write_erasures,
)
from featurestore.offline.contract import Baseline, DataSet, DroppedBatch, Erasure, HistoryMark
from featurestore.offline.copies import Copies, Nothing, Replacement
from featurestore.offline.datasets import SqlDataSets, insert_dataset
from featurestore.offline.duckdb import connect as duck
from featurestore.offline.duckdb.copies import copy_file, new_file, open_copy, remove, take_place
from featurestore.offline.duckdb.engine import NAME, EngineLease, writer_engine
from featurestore.offline.duckdb.errors import busy, error_of, is_busy
from featurestore.offline.duckdb.file import DuckDBFile
from featurestore.offline.duckdb.gate import GateTimeoutError, gate_of
from featurestore.offline.duckdb.holder import holder_of_file
from featurestore.offline.duckdb.place import LOCAL, history_path, stamp_of, wal_of
from featurestore.offline.duckdb.run import DuckDBRun, in_range
from featurestore.offline.erasing import UNFINISHED
from featurestore.offline.last_run import LastRun, catch_up, note_last_run, note_restored, set_back
from featurestore.offline.partitions import ALL_KEYS, KeyRange, Keys
from featurestore.offline.raw_rows import SqlRawRows, drop_raw_batches
from featurestore.offline.retention import drop_details
from featurestore.offline.sql import (
    answers,
    between,
    coming_table,
    dated,
    history_list,
    history_table,
    key_list,
    learned_order,
    literal,
    quote,
    sample_lists,
)
from featurestore.tables.types import history_schema

BUSY_SECONDS = 30.0
BATCH_ROWS = 1_000_000

Result = TypeVar("Result")


@dataclass(slots=True)
class _Reader:
    """One thread's open file: attached at the first question, closed when its outermost `reading` ends.

    ``meta`` and ``lost`` were found when it was opened. Nobody writes to it while it is.
    """

    depth: int = 0
    file: DuckDBFile | None = None
    meta: Sequence[dict[str, Any]] = ()
    lost: SetBackError | None = None
    stack: ExitStack = field(default_factory=ExitStack)


class DuckDBStore(SqlAuditLog, SqlDataSets, SqlRawRows):
    """`OfflineStore` on a DuckDB file. Writers hold the project's lock; see `featurestore.locking`.

    It waits ``patience`` seconds for a busy file.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, project: Project, *, patience: float = BUSY_SECONDS):
        self._project = project
        self._path = history_path(project)
        self.name = str(self._path)
        self._patience = patience
        self._gate = gate_of(self._path)
        # The reader's memory is part of the command's.
        self._lease = EngineLease(self._path, min(duck.MEMORY, project.memory // 4))
        self._memory = min(duck.MEMORY, max(duck.LEAST_MEMORY, project.memory // 4))
        self._threads = threading.local()
        self._pending: tuple[str, ...] = ()
        self._noted: tuple[str, ...] = ()
        self._unsettled: tuple[str, ...] = ()  # what could not be done after the last commit

    @property
    def notices(self) -> tuple[str, ...]:
        if not self._path.exists():
            lost = self._set_back(None)
            return () if lost is None else (f"{lost}; {lost.hint}",)
        return (*self._pending, *self._unsettled, *self._noted)

    def note(self, notice: str) -> None:
        self._noted = (*self._noted, notice)

    def set_back(self) -> SetBackError | None:
        if not is_there(self._path):
            return self._set_back(None)
        with self.reading():
            return self._opened_reader().lost

    def erasures(self) -> list[Erasure]:
        if not is_there(self._path):
            return []
        with self.reading():
            return read_erasures(self._opened_reader().meta)

    def catch_up(self) -> None:
        if not is_there(self._path):
            return
        with self.reading():
            reader = self._opened_reader()
            if reader.meta and reader.file is not None:
                self._unsettled = (*self._unsettled, *catch_up(self._project, LOCAL, reader.file))

    def missing_right(self) -> StoreError | None:
        for path in (self._path, self._path.parent):
            if is_there(path) and not os.access(path, os.W_OK):
                refused = PermissionError(errno.EACCES, "Permission denied", str(path))
                hint = "run as its owner, or let this user write there; reading needs no such right"
                return StoreError(f"can't be written: {os_reason(refused)}", where=str(path), hint=hint)
        return None

    def stamp(self) -> str:
        return stamp_of(self._path)

    def ready(self) -> AbstractContextManager[None]:
        return self._lease.hold()

    @contextmanager
    def reading(self) -> Iterator[None]:
        reader = self._reader()
        if reader is None:
            reader = self._threads.reader = _Reader()
            reader.stack.enter_context(self.ready())
        reader.depth += 1
        try:
            yield
        finally:  # `reading`s may end in any order, and that of an unfinished generator in any thread
            reader.depth -= 1
            if reader.depth == 0:
                reader.stack.close()

    @contextmanager
    def writing(self, run_id: str, *, dry_run: bool = False, clock: int | None = None) -> Iterator[DuckDBRun]:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            try:
                run = DuckDBRun(file, run_id, clock)
                yield run
                file.connection.execute("ROLLBACK" if dry_run else "COMMIT")
            except BaseException:
                file.forget_deferred()
                with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                    file.connection.execute("ROLLBACK")
                raise
            if not dry_run:
                self._settle(file, LastRun(run.run_seq, run_id))

    def _settle(self, file: DuckDBFile, last: LastRun) -> None:
        """After a commit: leaves no write-ahead log, without which the file opens as if the run had never been."""
        left: tuple[str, ...] = ()
        try:
            file.connection.execute("CHECKPOINT")
        except duckdb.Error as exc:  # the run is committed all the same
            why = error_of(exc, self._path)
            left = (f"the run is committed, and is in {wal_of(self._path)} until a run can clear it: {why}",)
        self._unsettled = (*left, *note_last_run(self._project, LOCAL, last))

    def drop_details(self, before: int) -> None:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            drop_details(file, before, times.now())
            file.connection.execute("COMMIT")

    def drop_batches(self, batches: Sequence[DroppedBatch]) -> None:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            drop_raw_batches(file, batches)
            file.connection.execute("COMMIT")

    def set_erasures(self, erasures: Sequence[Erasure]) -> None:
        with self._writable() as file:
            write_erasures(file, erasures)

    def purge(self) -> str | None:
        # Into a new file, since the old one goes on containing the bytes of deleted rows.
        fresh = self._path.with_suffix(".fresh")
        with self._turn(self._gate.writing):
            for rest in (fresh, wal_of(fresh)):
                rest.unlink(missing_ok=True)
            with self._opened() as file:
                file.connection.execute("CHECKPOINT")
            if wal_of(self._path).exists():
                # Next to the new file it would be replayed into it.
                raise StoreError("is left over", where=str(wal_of(self._path)), hint="run the same command again")
            try:
                connection = duck.connect(memory=self._memory, spill=duck.spill_beside(self._path))
                try:
                    connection.execute(f"ATTACH {literal(self._path)} AS old (READ_ONLY)")
                    connection.execute(f"ATTACH {literal(fresh)} AS fresh")
                    connection.execute("COPY FROM DATABASE old TO fresh")
                finally:
                    connection.close()
                # Before it takes the name, so that at no moment anybody else may read the history.
                fresh.chmod(0o600)
                fresh.replace(self._path)
                flush_folder(self._path.parent)
            except duckdb.Error as exc:
                fresh.unlink(missing_ok=True)
                wal_of(fresh).unlink(missing_ok=True)
                raise error_of(exc, self._path) from exc
            except OSError as exc:
                raise from_os_error(exc) from exc
            finally:
                shutil.rmtree(duck.spill_beside(self._path), ignore_errors=True)
        return None

    def log(self, run: Run, rejected: Sequence[RejectedRow] = ()) -> None:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            insert_rejected(file, run.run_id, rejected)
            insert_run(file, run)
            file.connection.execute("COMMIT")

    def scan(
        self,
        version: StoredVersion,
        *,
        up_to_run: int | None = None,
        after_run: int | None = None,
        dated_after: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        keys, table = key_list(version), history_table(version.id)
        bounds: list[str | int] = []
        within = f"{in_range(version, key_range, bounds)} AND {dated(dated_after, None)}"
        semi = "" if entities is None else f" SEMI JOIN wanted USING ({keys})"
        with self.reading():
            known = self._has_known(version)
            return self._history(
                version,
                f"SELECT {history_list(version, known=known)} FROM {table}{semi} WHERE {between(up_to_run, after_run)} "
                f"AND {within} ORDER BY {keys}, computed_at, {learned_order(known=known)}",
                bounds,
                entities=entities,
            )

    def coming(
        self,
        version: StoredVersion,
        *,
        due: int | None = None,
        after_run: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        if not version.steps:
            return pl.DataFrame(schema=history_schema(version))
        keys = key_list(version)
        bounds: list[str | int] = []
        within = in_range(version, key_range, bounds)
        semi = "" if entities is None else f" SEMI JOIN wanted USING ({keys})"
        frame = self._history(
            version,
            f"SELECT {keys}, computed_at, run_seq, op, value FROM {coming_table(version.id)}{semi} "
            f"WHERE {dated(None, due)} AND {between(None, after_run)} AND {within}",
            bounds,
            entities=entities,
        )
        order = [*version.entity_type.key_names, "computed_at"]
        return frame if _in_order(frame, order) else frame.sort(order)

    def mark(self, version: StoredVersion, *, up_to_run: int | None = None) -> HistoryMark | None:
        def ask(file: DuckDBFile) -> HistoryMark | None:
            if not file.has_history(version):
                return None
            # Without a condition DuckDB answers from its statistics.
            where = "" if up_to_run is None else f" WHERE run_seq <= {up_to_run:d}"
            counts = [
                file.rows(f"SELECT count(*) AS rows, max(run_seq) AS last FROM {table}{where}")[0]
                for table in file.tables(version)
            ]
            rows = sum(each["rows"] for each in counts)
            if not rows:
                return None
            last = max(each["last"] for each in counts if each["rows"])
            runs = file.rows("SELECT run_id FROM runs WHERE run_seq = $1", [last])
            store_id = file.rows("SELECT store_id FROM meta")[0]["store_id"]
            return HistoryMark(str(store_id), last, runs[0]["run_id"] if runs else "", rows)

        return self._ask(ask, None)

    def batches(self, version: StoredVersion, *, up_to_run: int | None = None) -> Iterator[pl.DataFrame]:
        if not is_there(self._path):
            return
        with self.reading():
            file = self._file()
            try:
                if not file.has_history(version):
                    return
                known = file.has_known(version)
                query = (
                    f"SELECT {history_list(version, known=known)} FROM {history_table(version.id)} "
                    f"WHERE {between(up_to_run, None)}"
                )
                # A cursor of its own, because another query on this one would end the stream.
                with file.connection.cursor() as cursor:
                    cursor.execute(f"USE {NAME}")
                    for batch in cursor.sql(query).to_arrow_reader(BATCH_ROWS):
                        yield pl.DataFrame(pl.from_arrow(batch)).cast(history_schema(version, known=known))
            except duckdb.Error as exc:
                raise error_of(exc, self._path) from exc

    def latest(
        self,
        version: StoredVersion,
        *,
        after_run: int | None = None,
        up_to_run: int | None = None,
        at: int | None = None,
        due_after: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        keys, names, table = key_list(version), version.entity_type.key_names, history_table(version.id)
        bounds: list[str | int] = []
        within = in_range(version, key_range, bounds)
        touched, where = "", f"{between(up_to_run, None)} AND {dated(None, at)} AND {within}"
        if after_run is not None:
            due = "" if due_after is None else f" OR {dated(due_after, at)}"
            news = f"SELECT DISTINCT {keys} FROM {table} WHERE (run_seq > {after_run:d}{due}) AND {within}"
            touched = f" SEMI JOIN ({news}) t USING ({keys})"
        touched += "" if entities is None else f" SEMI JOIN wanted USING ({keys})"
        with self.reading():
            known = self._has_known(version)
            rows = f"SELECT {history_list(version, known=known)} FROM {table}{touched} WHERE {where}"
            if known or entities is not None or self.has_withdrawn(version.id):
                return self._history(version, answers(version, rows, known=known), bounds, entities=entities)
            # A row goes before all else if the row after it, wherever that lies, is a later one of its entity: where
            # rows lie sorted, as they mostly do, that leaves little to the window function.
            last = [f"lead({quote(name)}) OVER () IS DISTINCT FROM {quote(name)}" for name in names]
            last.append("lead(computed_at) OVER () <= computed_at")
            return self._history(
                version,
                f"SELECT * FROM ({rows} QUALIFY {' OR '.join(last)}) QUALIFY row_number() OVER "
                f"(PARTITION BY {keys} ORDER BY computed_at DESC, run_seq DESC) = 1 ORDER BY {keys}",
                bounds,
            )

    def newest(
        self, version: StoredVersion, *, after_run: int | None = None, up_to_run: int | None = None
    ) -> int | None:
        def ask(file: DuckDBFile) -> int | None:
            if not file.has_history(version):
                return None
            query = f"SELECT epoch_us(max(computed_at)) AS newest FROM {history_table(version.id)}"
            newest: int | None = file.rows(f"{query} WHERE {between(up_to_run, after_run)}")[0]["newest"]
            return newest

        return self._ask(ask, None)

    def oldest(self, version: StoredVersion) -> int | None:
        def ask(file: DuckDBFile) -> int | None:
            if not file.has_history(version):
                return None
            query = f"SELECT epoch_us(min(computed_at)) AS oldest FROM {history_table(version.id)}"
            oldest: int | None = file.rows(query)[0]["oldest"]
            return oldest

        return self._ask(ask, None)

    def sample_keys(self, version: StoredVersion, every: int, *, after_run: int | None = None) -> list[Keys]:
        def ask(file: DuckDBFile) -> list[Keys]:
            if not file.has_history(version):
                return []
            keys, found = key_list(version), []
            for table in file.tables(version):
                # Found by their numbers, where the remainder of each number would take reading all keys.
                places = f"SELECT range FROM range({every - 1:d}, (SELECT max(rowid) + 1 FROM {table}), {every:d})"
                query = f"SELECT {keys} FROM {table} WHERE rowid IN ({places}) AND {between(None, after_run)}"
                found += file.connection.execute(query).fetchall()
            if version.steps:
                found += file.connection.execute(sample_lists(version, every, after_run)).fetchall()
            return found

        return self._ask(ask, [])

    def current(self, version: StoredVersion, *, key_range: KeyRange = ALL_KEYS) -> pl.DataFrame:
        keys, table = key_list(version), history_table(version.id)
        bounds: list[str | int] = []
        within = in_range(version, key_range, bounds)
        with self.reading():
            known = self._has_known(version)
            learned = learned_order(known=known, descending=True)
            return self._history(
                version,
                f"SELECT {history_list(version, known=known)} FROM {table} WHERE {within} "
                f"QUALIFY row_number() OVER (PARTITION BY {keys}, computed_at ORDER BY {learned}) = 1 "
                f"ORDER BY {keys}, computed_at",
                bounds,
            )

    def set_reference(self, version: VersionId, baseline: Baseline) -> None:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            insert_reference(file, version, baseline)
            file.connection.execute("COMMIT")

    def store_dataset(self, dataset: DataSet, labels: Iterable[bytes] | None) -> None:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            insert_dataset(file, dataset, labels)
            file.connection.execute("COMMIT")

    @contextmanager
    def copies(self) -> Iterator[Copies]:
        if not is_there(self._path):
            yield Nothing()
            return
        folder = self._path.parent if os.access(self._path.parent, os.W_OK) else Path(tempfile.gettempdir())
        sweep(folder)
        copy = beside(folder / self._path.name)
        try:
            with self._turn(self._gate.writing):
                connection = duck.connect(memory=self._memory)
                try:
                    # Holds the file open, so that nobody writes to it while it is copied.
                    self._when_free(lambda: connection.execute(f"ATTACH {literal(self._path)} AS held (READ_ONLY)"))
                    copy_file(self._path, copy)
                finally:
                    connection.close()
            with open_copy(copy, self._path, self._memory) as copies:
                yield copies
        finally:
            remove(copy)

    @contextmanager
    def replacing(self, format_: int, store_id: str) -> Iterator[Replacement]:
        prepare_state(self._project)
        sweep(self._path.parent)
        fresh = beside(self._path)
        with self._turn(self._gate.writing):
            with new_file(fresh, self._path, format_, store_id, self._memory) as replacement:
                yield replacement
                last = replacement.last_run()
            self._unsettled = note_restored(self._project, LOCAL, last)
            take_place(fresh, self._path, self._memory)

    # --- opening -----------------------------------------------------------------------------------------

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return self._ask(lambda file: file.rows(query, values), [])

    def _history(
        self, version: StoredVersion, query: str, values: Sequence[Any] = (), *, entities: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        empty = pl.DataFrame(schema=history_schema(version))

        def ask(file: DuckDBFile) -> pl.DataFrame:
            if not file.has_history(version):
                return empty
            if entities is not None:
                file.connection.register("wanted", entities)
            frame: pl.DataFrame = file.connection.sql(query, params=list(values)).pl()
            return frame.cast(history_schema(version, known=file.has_known(version)))

        return self._ask(ask, empty)

    def _has_known(self, version: StoredVersion) -> bool:
        return self._ask(lambda file: file.has_known(version), nothing=False)

    def _ask(self, question: Callable[[DuckDBFile], Result], nothing: Result) -> Result:
        if not is_there(self._path):
            return nothing
        with self.reading():
            try:
                return question(self._file())
            except duckdb.Error as exc:
                raise error_of(exc, self._path) from exc

    def _reader(self) -> _Reader | None:
        reader: _Reader | None = getattr(self._threads, "reader", None)
        return reader if reader is not None and reader.depth else None

    def _file(self) -> DuckDBFile:
        """This thread's file, opened by the first question: a `reading` without one keeps nobody out."""
        reader = self._opened_reader()
        assert reader.file is not None
        return reader.file

    def _opened_reader(self) -> _Reader:
        """This thread's reader, with its file open."""
        reader = self._reader()
        assert reader is not None, "call it inside `reading`"
        if reader.file is None:
            with ExitStack() as opening:
                opening.enter_context(self._turn(self._gate.reading))
                try:
                    engine = self._lease.engine()
                    connection = self._when_free(engine.attach)
                    opening.callback(engine.detach, connection)
                    file = DuckDBFile(connection)
                    self._pending = self._look(file, reader)
                except duckdb.Error as exc:
                    raise error_of(exc, self._path) from exc
                reader.file = file
                reader.stack.push(opening.pop_all())
        return reader

    def _look(self, file: DuckDBFile, reader: _Reader) -> tuple[str, ...]:
        """What there is to say of a file that was opened. Raises NewerFormatError."""
        reader.meta = meta = file.meta()
        schema.check_format(int(meta[0]["format"]) if meta else 0, str(self._path))
        reader.lost = lost = self._set_back(file if meta else None)
        said = () if lost is None else (f"{lost}; {lost.hint}",)
        return (*said, UNFINISHED) if read_erasures(meta) else said

    def _set_back(self, file: DuckDBFile | None) -> SetBackError | None:
        """What to say of a file (None: there is none, or it is new) that lacks the last run committed here."""
        return set_back(self._project, LOCAL, file, str(self._path))

    @contextmanager
    def _writable(self) -> Iterator[DuckDBFile]:
        prepare_state(self._project)
        with self._turn(self._gate.writing), self._opened() as file:
            yield file

    @contextmanager
    def _opened(self) -> Iterator[DuckDBFile]:
        """The file, open for writing; this process's turn to write must be held."""
        if not self._path.exists() and (lost := self._set_back(None)) is not None:
            raise lost
        try:
            with writer_engine(self._path, self._memory) as engine:
                connection = self._when_free(lambda: engine.attach(writing=True))
                try:
                    file = DuckDBFile(connection, waiting=self._memory // 4)
                    try:
                        self._prepare(file)
                        yield file
                    finally:
                        file.close()
                finally:
                    engine.detach(connection)
        except duckdb.Error as exc:
            raise error_of(exc, self._path) from exc

    def _prepare(self, file: DuckDBFile) -> None:
        """Brings a file that was opened for writing to this release's format. Raises StoreError, duckdb.Error."""
        # DuckDB creates the file with the permissions that the umask leaves.
        if self._path.stat().st_mode & 0o777 != 0o600:
            self._path.chmod(0o600)
        written_in = file.format()
        schema.check_format(written_in, str(self._path))
        if (lost := self._set_back(file if written_in else None)) is not None:
            raise lost
        if written_in < schema.FORMAT:
            file.migrate()

    @contextmanager
    def _turn(self, turn: Callable[[float], AbstractContextManager[None]]) -> Iterator[None]:
        """A turn at the file among the threads of this process. Raises StoreError where none comes."""
        with ExitStack() as stack:
            try:
                stack.enter_context(turn(self._patience))
            except GateTimeoutError:
                raise busy(self._path, "this process itself") from None
            yield

    def _when_free(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection:
        """Waits while another process has the file open."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return connect()
            except duckdb.Error as exc:
                if not is_busy(exc):
                    raise error_of(exc, self._path) from exc
                if time.monotonic() >= deadline:
                    raise busy(self._path, holder_of_file(self._path) or "another process") from exc
                time.sleep(0.02)


def _in_order(frame: pl.DataFrame, columns: Sequence[str]) -> bool:
    """Whether rows are sorted by these columns. They often are, and checking is cheaper than sorting."""
    *first, last = columns
    in_order = pl.col(last).shift(1) <= pl.col(last)
    for name in reversed(first):
        before, now = pl.col(name).shift(1), pl.col(name)
        in_order = (before < now) | ((before == now) & in_order)
    return bool(frame.select(in_order.fill_null(True).all()).item())
