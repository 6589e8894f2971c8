"""One connection to PostgreSQL over ADBC: SQL in, Arrow columns in and out.

Rows travel by binary COPY both ways, packed and parsed by the driver, from and to Polars without a copy in
Python. A call can be interrupted: it waits in a thread of its own, which an interrupt cancels on the server.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import adbc_driver_manager as adbc
import adbc_driver_postgresql as driver
import polars as pl

from featurestore.errors import FeatureStoreError, StoreError
from featurestore.postgres.address import Address
from featurestore.postgres.errors import AGAIN, CommitLostError, ConnectionLostError, in_our_words

Values = Sequence[Any]

Result = TypeVar("Result")

LISTEN_SECONDS = 0.1

_USE_COPY = driver.StatementOptions.USE_COPY.value
_SCHEMA = adbc.StatementOptions.INGEST_TARGET_DB_SCHEMA.value
_STATUS = driver.ConnectionOptions.TRANSACTION_STATUS.value


class _Driver:
    """What is known of a server's data types, for which the driver reads its whole catalogue."""

    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.database = driver.connect(conninfo)
        # The list of types, most of a megabyte, is freed only when it is closed.
        weakref.finalize(self, self.database.close).atexit = False


_last: _Driver | None = None


def _shared_driver(conninfo: str) -> _Driver:
    """The driver that was used last, if it is of this server. One stays, even if nobody uses it."""
    global _last
    found = _last
    if found is None or found.conninfo != conninfo:
        found = _last = _Driver(conninfo)
    return found


class Server:
    """A PostgreSQL server. The driver asks for its data types once.

    ``shared``: once for all of this process, for whoever uses PostgreSQL's own types only.
    """

    def __init__(self, address: Address, *, shared: bool = False) -> None:
        self.address = address
        self._open = _shared_driver if shared else _Driver
        self._driver: _Driver | None = None

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """An open connection, closed at the end. Raises StoreError, or ConfigError if the server rejects the login."""
        with in_our_words(self.address):
            if self._driver is None:
                self._driver = self._open(self.address.conninfo)
            connection = Connection(adbc.AdbcConnection(self._driver.database), self.address)
        try:
            yield connection
        finally:
            connection.close()


class Connection:
    """`SqlConnection` on PostgreSQL. Names without a schema are found by the search path, but for `copy`."""

    def __init__(self, connection: adbc.AdbcConnection, address: Address) -> None:
        self._connection = connection
        self._address = address
        self.schema = ""

    def execute(self, script: str) -> None:
        """Runs one or more statements that return nothing, in one round trip."""
        with self._statement() as statement:
            # COPY takes one statement, and only one that returns rows.
            statement.set_options(**{_USE_COPY: "false"})
            statement.set_sql_query(script)
            _interruptible(self._connection, statement.execute_update)

    def query(self, query: str, values: Values = ()) -> pl.DataFrame:
        """The answer as columns. A value may be a Series, for an array. Without values it is sent by COPY."""
        import pyarrow as pa  # takes 60 ms, which the audit log does without

        def read(answer: Any) -> pl.DataFrame:
            # Read by Polars it would hold the interpreter's lock until the last row has come.
            return pl.DataFrame(pl.from_arrow(pa.RecordBatchReader.from_stream(answer).read_all()))

        return self._ask(query, values, read)

    def stream(self, query: str, take: Callable[[Any], Result]) -> Result:
        """What ``take`` makes of the answer, a `pyarrow.RecordBatchReader`, in a thread that an interrupt cancels."""
        import pyarrow as pa

        with self._statement() as statement:
            statement.set_sql_query(query)

            def run() -> Result:
                return take(pa.RecordBatchReader.from_stream(statement.execute_query()[0]))

            return _interruptible(self._connection, run)

    def rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        return self._ask(query, values, pl.DataFrame).rows(named=True)

    def change(self, statement: str, values: Values = ()) -> None:
        self.rows(f"{statement} RETURNING 1", values)  # `rows` needs an answer

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Values]) -> None:
        frame = {name: [_storable(row[at]) for row in rows] for at, name in enumerate(columns)}
        # A column of nulls alone has no type of its own, and needs none.
        self.copy(table, pl.DataFrame(frame).with_columns(pl.col(pl.Null).cast(pl.String)))

    def copy(self, table: str, frame: pl.DataFrame) -> None:
        """Appends a frame to a table of the store's schema, by column name."""
        with self._statement() as statement:
            statement.set_options(
                **{adbc.INGEST_OPTION_TARGET_TABLE: table, adbc.INGEST_OPTION_MODE: adbc.INGEST_OPTION_MODE_APPEND},
                **{_SCHEMA: self.schema},
            )
            statement.bind_stream(frame)
            _interruptible(self._connection, statement.execute_update)

    def commit(self) -> None:
        """Raises StoreError where a statement before has failed: PostgreSQL would roll back without a word.

        Raises CommitLostError where no answer came.
        """
        if self._connection.get_option(_STATUS) == "inerror":
            raise StoreError("an earlier statement of the transaction failed", where=self._address.shown, hint=AGAIN)
        try:
            self.execute("COMMIT")
        except ConnectionLostError as exc:
            raise CommitLostError(exc.message, where=exc.where, hint=exc.hint) from exc

    def rollback(self) -> None:
        with suppress(FeatureStoreError):  # a broken connection has rolled back already
            self.execute("ROLLBACK")

    def cancel(self) -> None:
        """Ends the statement that another thread waits for, if any."""
        with suppress(adbc.Error):
            self._connection.cancel()

    def close(self) -> None:
        with suppress(adbc.Error):
            self._connection.close()

    def _ask(self, query: str, values: Values, read: Callable[[Any], pl.DataFrame]) -> pl.DataFrame:
        with self._statement() as statement:
            statement.set_sql_query(query)
            if values:
                statement.prepare()
                statement.bind_stream(pl.DataFrame([_parameter(number, one) for number, one in enumerate(values)]))
            return _interruptible(self._connection, lambda: read(statement.execute_query()[0]))

    @contextmanager
    def _statement(self) -> Iterator[adbc.AdbcStatement]:
        with in_our_words(self._address):
            statement = adbc.AdbcStatement(self._connection)
            try:
                yield statement
            finally:
                statement.close()


def _parameter(number: int, value: Any) -> pl.Series:
    if isinstance(value, pl.Series):
        return pl.Series(str(number), [value])
    return pl.Series(str(number), [_storable(value)])


def _storable(value: Any) -> Any:
    """Text with escapes for what PostgreSQL can't store: NUL, and surrogates that stand for bytes of a file's name."""
    if isinstance(value, str):
        return value.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    return value


def _interruptible(connection: adbc.AdbcConnection, call: Callable[[], Result]) -> Result:
    """Runs a call in a thread; an interrupt of this one first cancels the statement on the server.

    It does not return while the call still runs, however many interrupts come, because its connection is freed next.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    turn = threading.Lock()  # taken by the call, or by an interrupt that came before it began
    done = threading.Event()

    def run() -> None:
        if not turn.acquire(blocking=False):
            return
        try:
            results.append(call())
        except BaseException as exc:  # noqa: BLE001  # raised again by the caller
            errors.append(exc)
        finally:
            done.set()

    try:
        threading.Thread(target=run, daemon=True).start()
        # In turns, because a signal may arrive in the other thread, which ignores it.
        while not done.wait(LISTEN_SECONDS):
            pass
    except BaseException:
        if not turn.acquire(blocking=False):
            _cancel(connection, done)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _cancel(connection: adbc.AdbcConnection, done: threading.Event) -> None:
    cancelled = False
    while not done.is_set():
        with suppress(BaseException):  # another interrupt: the first is being handled
            if not cancelled:
                cancelled = True
                with suppress(adbc.Error):
                    connection.cancel()
            done.wait()
