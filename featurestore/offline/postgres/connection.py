"""One connection to PostgreSQL over ADBC: SQL in, Arrow columns in and out, and its errors translated.

Rows travel by binary COPY both ways, packed and parsed by the driver, from and to Polars without a copy in
Python. A call can be interrupted: it waits in a thread of its own, which an interrupt cancels on the server.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import adbc_driver_manager as adbc
import adbc_driver_postgresql as driver
import polars as pl

from featurestore.errors import ConfigError, FeatureStoreError, StoreError, TransientStoreError
from featurestore.offline.postgres.address import Address
from featurestore.offline.sql import Values

Result = TypeVar("Result")

LISTEN_SECONDS = 0.1

_USE_COPY = driver.StatementOptions.USE_COPY.value
_SCHEMA = adbc.StatementOptions.INGEST_TARGET_DB_SCHEMA.value
_STATUS = driver.ConnectionOptions.TRANSACTION_STATUS.value

_AGAIN = "run the same command again"
# The server has rolled back one of two transactions that were in each other's way, and expects it to be tried again.
_TRANSIENT = ("40P01", "40001")
_KINDS: dict[str, tuple[str, str | None]] = {
    "53100": ("the server's disk is full", "free some space there and run the same command again"),
    "53200": ("the server is out of memory", _AGAIN),
    "53300": ("the server has no free connection", "try again, or raise its max_connections"),
    "42501": ("the user may not do this", "GRANT it USAGE and CREATE on the project's schema"),
    "25006": ("the server is read-only (a standby?)", "name the primary in offline.url, or add target_session_attrs"),
    "57014": ("the server stopped the statement (statement_timeout?)", _AGAIN),
    "55P03": ("a lock was not released in time (lock_timeout?)", _AGAIN),
    "40P01": ("deadlock with another transaction", _AGAIN),
    "40001": ("conflict with another transaction", _AGAIN),
}

_PROOF = "a remote server must prove its identity: name its CA as ?sslrootcert=FILE, or set ?sslmode=… yourself"
# What libpq says of a server that can't be trusted, what to add to it, and the hint.
_UNSAFE = (
    (
        "verify failed", " (the certificate is signed by nobody who is trusted here, or has expired)",
        "name the CA that signed it as ?sslrootcert=FILE; where that is done, renew the certificate",
    ),
    ("does not match host name", "", "name the server in offline.url as its certificate does"),
    (
        "does not support SSL", "",
        "enable ssl on the server, or set ?sslmode=disable yourself where nobody else can listen",
    ),
)  # fmt: skip


class ConnectionLostError(TransientStoreError):
    """The connection was lost, and nothing was changed: the server has rolled back, or will."""


class CommitLostError(StoreError):
    """The connection was lost during a commit, which may have happened or not."""


class Server:
    """A PostgreSQL server. The driver asks for its data types once."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._database: adbc.AdbcDatabase | None = None

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """An open connection, closed at the end. Raises StoreError, or ConfigError if the server rejects the login."""
        with _in_our_words(self.address):
            if self._database is None:
                self._database = driver.connect(self.address.conninfo)
                # The driver frees its list of types, most of a megabyte, only when it is closed.
                weakref.finalize(self, self._database.close).atexit = False
            connection = Connection(adbc.AdbcConnection(self._database), self.address)
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

    def rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        return self._ask(query, values, pl.DataFrame).rows(named=True)

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
            raise StoreError("an earlier statement of the transaction failed", where=self._address.shown, hint=_AGAIN)
        try:
            self.execute("COMMIT")
        except ConnectionLostError as exc:
            raise CommitLostError(exc.message, where=exc.where, hint=exc.hint) from exc

    def rollback(self) -> None:
        with suppress(FeatureStoreError):  # a broken connection has rolled back already
            self.execute("ROLLBACK")

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
        with _in_our_words(self._address):
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


@contextmanager
def _in_our_words(address: Address) -> Iterator[None]:
    try:
        yield
    except adbc.Error as exc:
        raise _translate(str(exc), exc.sqlstate or "", address) from exc
    except (OSError, pl.exceptions.ComputeError) as exc:  # that is what errors in the middle of an Arrow stream become
        text = str(exc)
        if "[libpq]" not in text:
            raise
        raise _translate(text, "stream", address) from exc


def _translate(text: str, state: str, address: Address) -> FeatureStoreError:
    text = address.redact(text)
    said = re.search(r"(ERROR|FATAL|PANIC):\s+(.*)", text)
    message = said[2] if said else re.sub(r"^([A-Z_]+: )?(\[libpq\] )?", "", text.splitlines()[0])
    message = message.removesuffix(".").strip()
    if "Failed to connect" in text:
        return _refused(re.sub(r"^Failed to connect: (connection to server .*? failed: )?", "", message), address)
    broke_off = state == "stream" and said is not None and said[1] == "ERROR"  # the connection is still usable
    # 08: exceptions of the connection. 57P: the server is starting, stopping or has crashed.
    if not state or state.startswith(("08", "57P")) or (state == "stream" and not broke_off):
        return ConnectionLostError(f"the connection was lost: {message}", where=address.shown, hint=_AGAIN)
    if broke_off:
        return StoreError(f"the answer broke off: {message}", where=address.shown, hint=_AGAIN)
    # 22: exceptions of the data. 54: limits of the server, such as the length of a row.
    if state.startswith(("22", "54")):
        return StoreError(f"PostgreSQL can't hold a value: {message}", where=address.shown)
    kind, hint = _KINDS.get(state, (f"PostgreSQL refuses ({state})", "run featurestore doctor"))
    error = TransientStoreError if state in _TRANSIENT else StoreError
    return error(f"{kind}: {message}", where=address.shown, hint=hint)


def _refused(message: str, address: Address) -> FeatureStoreError:
    """No connection was made. A rejected login needs another setting; an unreachable server may be tried again."""
    if "password" in message or "authentication" in message or "pg_hba.conf" in message:
        hint = "the password comes from the url, password_file, PGPASSWORD or ~/.pgpass"
        return ConfigError(f"the server rejected the login: {message}", where=address.shown, hint=hint)
    if "certificate" in message or "SSL" in message:
        found = next(((why, hint) for part, why, hint in _UNSAFE if part in message), ("", _PROOF))
        return ConfigError(f"no safe connection: {message}{found[0]}", where=address.shown, hint=found[1])
    if re.search(r'(database|role) ".*" does not exist', message):
        return ConfigError(message, where=address.shown, hint="create it on the server, or name another in offline.url")
    return StoreError(
        f"can't be reached: {message}", where=address.shown, hint="is the server running, and the url right?"
    )
