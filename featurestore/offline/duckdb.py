"""The embedded offline store: one DuckDB file in ``.featurestore/``.

Every call opens the file, asks, and closes it, since even a reader keeps writers of other processes
out; a busy file is waited for. A run is one transaction (see `offline.transaction`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import polars as pl

from featurestore.config import Project
from featurestore.errors import StoreError, UsageError
from featurestore.frames import duck
from featurestore.frames.types import history_schema
from featurestore.locking import prepare_state
from featurestore.model import RejectedRow, Run, StoredVersion, VersionId
from featurestore.offline import schema
from featurestore.offline.datasets import DataSetShelf, insert_dataset
from featurestore.offline.duckdb_file import DuckDBFile
from featurestore.offline.ledger import Ledger, insert_reference, insert_rejected, insert_run
from featurestore.offline.records import table_name
from featurestore.offline.sql import between, history_table, key_list
from featurestore.offline.store import Baseline, DataSet, Mark
from featurestore.offline.transaction import DuckDBRun

FILE = "history.duckdb"
BUSY_SECONDS = 30.0
ROWS_IN_MEMORY = 4_000_000
BATCH_ROWS = 1_000_000

Result = TypeVar("Result")


class DuckDBStore(Ledger, DataSetShelf):
    """`OfflineStore` on a DuckDB file. Writers hold the project's lock; see `featurestore.locking`."""

    warnings: tuple[str, ...] = ()

    def __init__(self, project: Project) -> None:
        self._project = project
        self._path = project.state / FILE
        self._reading = False
        self._open: DuckDBFile | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        if self._reading:
            yield
            return
        self._reading = True
        try:
            yield
        finally:
            self._reading = False
            if self._open is not None:
                self._open.connection.close()
                self._open = None

    @contextmanager
    def writing(self, run_id: str, *, dry_run: bool = False) -> Iterator[DuckDBRun]:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            try:
                yield DuckDBRun(file, run_id)
                file.connection.execute("ROLLBACK" if dry_run else "COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                    file.connection.execute("ROLLBACK")
                raise

    def purge(self) -> None:
        fresh = self._path.with_suffix(".fresh")
        fresh.unlink(missing_ok=True)
        with self._writable() as file:
            file.connection.execute("CHECKPOINT")  # a log left beside the new file would be replayed into it
        try:
            connection = duck.connect()
            try:
                connection.execute(f"ATTACH {_text(self._path)} AS old (READ_ONLY)")
                connection.execute(f"ATTACH {_text(fresh)} AS fresh")
                connection.execute("COPY FROM DATABASE old TO fresh")
            finally:
                connection.close()
            fresh.chmod(0o600)
            fresh.replace(self._path)
        except duckdb.Error as exc:
            fresh.unlink(missing_ok=True)
            raise _store_error(exc, self._path) from exc

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
        entities: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        keys = key_list(version)
        semi = "" if entities is None else f" SEMI JOIN wanted USING ({keys})"
        return self._history(
            version,
            f"SELECT {keys}, computed_at, run_seq, op, value FROM {{table}}{semi} "
            f"WHERE {between(up_to_run, after_run)} ORDER BY {keys}, computed_at, run_seq",
            entities,
        )

    def mark(self, version: StoredVersion, *, up_to_run: int | None = None) -> Mark | None:
        def ask(file: DuckDBFile) -> Mark | None:
            if not file.has_table(table_name(version.id)):
                return None
            # Without a condition DuckDB answers from its statistics.
            where = "" if up_to_run is None else f" WHERE run_seq <= {up_to_run:d}"
            held = file.rows(f"SELECT count(*) AS rows, max(run_seq) AS last FROM {history_table(version.id)}{where}")
            rows, last = held[0]["rows"], held[0]["last"]
            if not rows:
                return None
            runs = file.rows("SELECT run_id FROM runs WHERE run_seq = $1", [last])
            store_id = file.rows("SELECT store_id FROM meta")[0]["store_id"]
            return Mark(str(store_id), last, runs[0]["run_id"] if runs else "", rows)

        return self._ask(ask, None)

    def batches(self, version: StoredVersion, *, up_to_run: int | None = None) -> Iterator[pl.DataFrame]:
        if not self._path.exists():
            return
        with self.reading():
            file = self._file()
            if not file.has_table(table_name(version.id)):
                return
            query = (
                f"SELECT {key_list(version)}, computed_at, run_seq, op, value FROM {history_table(version.id)} "
                f"WHERE {between(up_to_run, None)}"
            )
            try:
                # A cursor of its own: what else is asked meanwhile would end the stream.
                with file.connection.cursor() as cursor:
                    for batch in cursor.sql(query).to_arrow_reader(BATCH_ROWS):
                        yield pl.DataFrame(pl.from_arrow(batch)).cast(history_schema(version))
            except duckdb.Error as exc:
                raise _store_error(exc, self._path) from exc

    def latest(
        self, version: StoredVersion, *, after_run: int | None = None, up_to_run: int | None = None
    ) -> pl.DataFrame:
        keys = key_list(version)
        touched = ""
        if after_run is None and self._rows_of(version) <= ROWS_IN_MEMORY:
            # Keeping the last row of each entity costs a fifth of DuckDB's window, where it all fits.
            query = f"SELECT {keys}, computed_at, run_seq, op, value FROM {{table}} WHERE {between(up_to_run, None)}"
            rows = self._history(version, query)
            names = version.entity_type.key_names
            if _in_order(rows, names, strictly=True):
                return rows  # one row for each entity, as they lie
            order = [*names, "computed_at", "run_seq"]
            rows = rows if _in_order(rows, order) else rows.sort(order)
            same = [pl.col(name) == pl.col(name).shift(-1) for name in names]
            return rows.filter(~pl.all_horizontal(same).fill_null(False))
        if after_run is not None:
            touched = (
                f" SEMI JOIN (SELECT DISTINCT {keys} FROM {{table}} WHERE run_seq > {after_run:d}) t USING ({keys})"
            )
        return self._history(
            version,
            f"SELECT {keys}, computed_at, run_seq, op, value FROM {{table}}{touched} WHERE {between(up_to_run, None)} "
            f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY computed_at DESC, run_seq DESC) = 1 "
            f"ORDER BY {keys}",
        )

    def _rows_of(self, version: StoredVersion) -> int:
        def ask(file: DuckDBFile) -> int:
            if not file.has_table(table_name(version.id)):
                return 0
            return int(file.rows(f"SELECT count(*) AS rows FROM {history_table(version.id)}")[0]["rows"])

        return self._ask(ask, 0)

    def current(self, version: StoredVersion) -> pl.DataFrame:
        keys = key_list(version)
        return self._history(
            version,
            f"SELECT {keys}, computed_at, run_seq, op, value FROM {{table}} "
            f"QUALIFY row_number() OVER (PARTITION BY {keys}, computed_at ORDER BY run_seq DESC) = 1 "
            f"ORDER BY {keys}, computed_at",
        )

    def set_reference(self, version: VersionId, baseline: Baseline) -> None:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            insert_reference(file, version, baseline)
            file.connection.execute("COMMIT")

    def keep_dataset(self, dataset: DataSet, labels: Iterable[bytes] | None) -> None:
        with self._writable() as file:
            file.connection.execute("BEGIN TRANSACTION")
            insert_dataset(file, dataset, labels)
            file.connection.execute("COMMIT")

    # --- opening -----------------------------------------------------------------------------------------

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        return self._ask(lambda file: file.rows(query, values), [])

    def _history(self, version: StoredVersion, query: str, entities: pl.DataFrame | None = None) -> pl.DataFrame:
        empty = pl.DataFrame(schema=history_schema(version))

        def ask(file: DuckDBFile) -> pl.DataFrame:
            if not file.has_table(table_name(version.id)):
                return empty
            if entities is not None:
                file.connection.register("wanted", entities)
            frame: pl.DataFrame = file.connection.sql(query.format(table=history_table(version.id))).pl()
            return frame.cast(history_schema(version))

        return self._ask(ask, empty)

    def _ask(self, question: Callable[[DuckDBFile], Result], nothing: Result) -> Result:
        if not self._path.exists():
            return nothing
        with self.reading():
            try:
                return question(self._file())
            except duckdb.Error as exc:
                raise _store_error(exc, self._path) from exc

    def _file(self) -> DuckDBFile:
        """The file, opened by the first question: what asks nothing keeps nobody out."""
        if self._open is None:
            self._open = DuckDBFile(self._connect(read_only=True), read_only=True)
            schema.check_format(self._open.format(), str(self._path))
        return self._open

    @contextmanager
    def _writable(self) -> Iterator[DuckDBFile]:
        prepare_state(self._project)
        file = DuckDBFile(self._connect(read_only=False))
        try:
            self._path.chmod(0o600)
            file.migrate()
            schema.check_format(file.format(), str(self._path))
            yield file
        except duckdb.Error as exc:
            raise _store_error(exc, self._path) from exc
        finally:
            file.connection.close()

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        # A reader shares the memory with what it reads for.
        memory = min(duck.MEMORY, self._project.memory // 4) if read_only else duck.MEMORY
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return duck.connect(self._path, read_only=read_only, memory=memory)
            except duckdb.Error as exc:
                busy = "lock" in str(exc).lower()
                if not busy or time.monotonic() >= deadline:
                    raise _store_error(exc, self._path) from exc
                time.sleep(0.02)


def _text(path: Path) -> str:
    """A path as a string in SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def _in_order(frame: pl.DataFrame, columns: Sequence[str], *, strictly: bool = False) -> bool:
    """Whether rows are sorted by these columns. A clustered table often is, and to see it is cheaper than to sort."""
    in_order = pl.lit(not strictly)
    for name in reversed(columns):
        before, now = pl.col(name).shift(1), pl.col(name)
        in_order = (before < now) | ((before == now) & in_order)
    return bool(frame.select(in_order.fill_null(True).all()).item())


def _store_error(exc: duckdb.Error, path: Path) -> StoreError | UsageError:
    text = str(exc).splitlines()[0]
    if "lock" in text.lower():
        return StoreError("is held by another process", where=str(path), hint="close it there, or try again")
    if "No space left" in str(exc):
        return StoreError("the disk is full", where=str(path), hint="free some space and run the same command again")
    return StoreError(f"DuckDB: {text}", where=str(path), hint="run featurestore doctor")
