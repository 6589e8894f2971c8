"""The shared offline store: a PostgreSQL database, with one schema for each project.

Every call connects, asks within one snapshot, and leaves. A run is one transaction; the writers of a project,
on whatever machine, take turns by an advisory lock held to the commit, so that run_seq is the order of commits.

Nothing is compacted. Rows are only added, each run's in the order of their keys, and the primary key gives all of
them in order; to lay the table out anew (CLUSTER) would lock every reader out for as long as it takes, and joins of
large tables don't read it in that order anyway: they keep sorted columns of their own. What an erasure leaves is
taken away by `purge`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import polars as pl

from featurestore import times
from featurestore.config import FILE, Project
from featurestore.errors import FeatureStoreError, LockedError, SetBackError, StoreError
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
from featurestore.offline.audit_rows import table_name
from featurestore.offline.contract import Baseline, DataSet, DroppedBatch, Erasure, HistoryMark
from featurestore.offline.copies import Copies, Nothing, Replacement
from featurestore.offline.datasets import SqlDataSets, insert_dataset
from featurestore.offline.erasing import UNFINISHED
from featurestore.offline.last_run import LastRun, catch_up, note_last_run, note_restored, set_back
from featurestore.offline.ownership import (
    foreign_schema,
    is_known,
    new_project_id,
    read_project_id,
    write_project_id,
)
from featurestore.offline.partitions import ALL_KEYS, KeyRange, Keys
from featurestore.offline.postgres import tables
from featurestore.offline.postgres.ahead import read_ahead
from featurestore.offline.postgres.copies import PostgresCopies, PostgresReplacement, drop_tables
from featurestore.offline.postgres.packed import (
    PART_ROWS,
    PackedRuns,
    array,
    list_parts,
    packed_runs,
    read_parts,
)
from featurestore.offline.postgres.purging import rewrite
from featurestore.offline.postgres.rights import missing_right
from featurestore.offline.postgres.run import PostgresRun, in_range, possible, unnest
from featurestore.offline.raw_rows import SqlRawRows, drop_raw_batches
from featurestore.offline.retention import drop_details
from featurestore.offline.sql import (
    Values,
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
from featurestore.postgres import address
from featurestore.postgres.connection import Connection, Server
from featurestore.postgres.errors import CommitLostError, ConnectionLostError, NotAllowedError
from featurestore.tables.types import history_schema, key_types

LOCK_CLASS = 0x6673  # "fs": what the advisory locks of this program have in common
POLL_SECONDS = 0.05
READ_ONLY = "REPEATABLE READ READ ONLY"

# Set per transaction, so that a connection pooler does not pass them on to other clients.
# A reader is idle while Python works on a batch. Keepalives free the lock of a client whose machine is gone. Temporary
# tables are searched first unless pg_temp is named.
_SETTINGS = (
    "SET LOCAL jit = off; SET LOCAL work_mem = '64MB'; SET LOCAL maintenance_work_mem = '256MB'; "
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL tcp_keepalives_idle = 30; "
    "SET LOCAL tcp_keepalives_interval = 10; SET LOCAL tcp_keepalives_count = 3; SET LOCAL search_path = "
)

Result = TypeVar("Result")


@dataclass(slots=True)
class _Snapshot:
    """One thread's reading transaction, open until its outermost `reading` ends; ``empty`` without a schema."""

    connection: Connection
    empty: bool
    stack: ExitStack
    depth: int = 0


class PostgresStore(SqlAuditLog, SqlDataSets, SqlRawRows):
    """`OfflineStore` on a PostgreSQL server. It connects at the first call."""

    def __init__(
        self,
        project: Project,
        *,
        doubt_seconds: float = 30.0,
        entities_per_query: int = 10_000,
        pages_per_batch: int = 4_000,
        owned: bool = False,
    ) -> None:
        """Raises ConfigError where ``project.offline_url`` can't be read.

        With ``owned`` a schema that belongs to another project is refused, by ForeignStoreError, at the first call.
        ``doubt_seconds`` is how long the server is asked whether a commit arrived whose answer was lost.
        """
        assert project.offline_url is not None, "open_offline checks it"
        where = str(project.root / FILE)
        found = address.parse(
            project.offline_url,
            key="offline.url",
            where=where,
            password_file=project.offline_password_file,
            application=f"featurestore pid {os.getpid()} on {os.uname().nodename}",
        )
        self._server = Server(found, shared=True)
        self.warnings = found.warnings
        self.name = found.identity
        self._schema = tables.schema_name(project.name)
        self._place = f"{self.name} {self._schema}"  # in `last_run`: another name is another history
        self._lock_timeout, self._doubt_seconds = project.lock_timeout, doubt_seconds
        self._entities_per_query, self._pages_per_batch = entities_per_query, pages_per_batch
        self._threads = threading.local()
        self._project, self._owned = project, owned
        self._found: tuple[str, ...] = ()
        self._noted: tuple[str, ...] = ()
        self._unsettled: tuple[str, ...] = ()  # what could not be done after the last commit

    @property
    def notices(self) -> tuple[str, ...]:
        return (*self._found, *self._unsettled, *self._noted)

    def note(self, notice: str) -> None:
        self._noted = (*self._noted, notice)

    def stamp(self) -> str:
        rows = self._rows(
            "SELECT store_id::text AS store, run_seq, (SELECT run_id FROM runs r WHERE r.run_seq = c.run_seq) AS run "
            "FROM meta, counter c"
        )
        return " ".join(str(fact) for fact in rows[0].values()) if rows else "-"

    def ready(self) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._snapshot():
            yield

    @contextmanager
    def _snapshot(self) -> Iterator[_Snapshot]:
        """This thread's snapshot; a new one unless it has one open."""
        snapshot: _Snapshot | None = getattr(self._threads, "snapshot", None)
        if snapshot is None or not snapshot.depth:
            self._threads.snapshot = snapshot = self._take_snapshot()
        snapshot.depth += 1
        try:
            yield snapshot
        finally:  # `reading`s may end in any order, and that of an unfinished generator in any thread
            snapshot.depth -= 1
            if snapshot.depth == 0:
                snapshot.stack.close()

    def _take_snapshot(self) -> _Snapshot:
        with ExitStack() as opening:
            connection = opening.enter_context(self._begin(READ_ONLY))
            opening.callback(connection.rollback)
            meta = tables.meta_of(connection)
            schema.check_format(int(meta[0]["format"]) if meta else 0, self._server.address.shown)
            if meta and self._owned:
                self._check_owner(connection)
            lost = self._set_back(connection, exists=bool(meta))
            said = () if lost is None else (f"{lost}; {lost.hint}",)
            self._found = (*said, *((UNFINISHED,) if read_erasures(meta) else ()))
            return _Snapshot(connection, not meta, opening.pop_all())

    def owner(self) -> str | None:
        """The id of the project that the schema belongs to; None where it has none."""
        with self._snapshot() as snapshot:
            return None if snapshot.empty else tables.owner_of(snapshot.connection)

    def _check_owner(self, connection: Connection) -> str | None:
        """The id of the project that the schema belongs to, which must be this one; None where it has none yet."""
        owner = tables.owner_of(connection)
        if owner is None or owner == read_project_id(self._project):
            return owner
        stored = [(row["feature"], row["sha256"]) for row in connection.rows("SELECT feature, sha256 FROM versions")]
        if read_project_id(self._project) is None and is_known(self._project, stored):
            return owner
        raise foreign_schema(self._project, owner, self._server.address.shown)

    def _claim(self, connection: Connection) -> None:
        """Gives the schema and the project one id, where one of them has none."""
        owner, mine = self._check_owner(connection), read_project_id(self._project)
        chosen = owner or mine or new_project_id()
        if mine is None:  # before the schema has it: else a crash in between would make it another project's
            write_project_id(self._project, chosen)
        if owner is None:
            tables.set_owner(connection, chosen)

    def set_back(self) -> SetBackError | None:
        # No snapshot: one from before a run that has just been committed would lack it.
        with self._begin("READ COMMITTED READ ONLY") as connection:
            exists = tables.format_of(connection)
            schema.check_format(exists, self._server.address.shown)
            if exists and self._owned:
                self._check_owner(connection)
            lost = self._set_back(connection, exists=exists > 0)
            connection.rollback()
            return lost

    def catch_up(self) -> None:
        with self._begin("READ COMMITTED READ ONLY") as connection:
            if tables.format_of(connection) > 0:
                self._unsettled = (*self._unsettled, *catch_up(self._project, self._place, connection))
            connection.rollback()

    def missing_right(self) -> FeatureStoreError | None:
        with self._begin("READ COMMITTED READ ONLY") as connection:
            return missing_right(connection, self._server.address.shown, writing=True)

    def _set_back(self, connection: Connection, *, exists: bool) -> SetBackError | None:
        """What to say of a schema that lacks the last run committed from here."""
        return set_back(self._project, self._place, connection if exists else None, self._server.address.shown)

    @contextmanager
    def writing(self, run_id: str, *, dry_run: bool = False, clock: int | None = None) -> Iterator[PostgresRun]:
        with self._writable() as connection:
            run = PostgresRun(connection, run_id, clock)
            yield run
            if dry_run:
                connection.rollback()
                return
            try:
                connection.commit()
            except CommitLostError as exc:
                if not self._was_committed(run_id, exc):
                    raise ConnectionLostError(exc.message, where=exc.where, hint=exc.hint) from exc
        self._unsettled = note_last_run(self._project, self._place, LastRun(run.run_seq, run_id))

    def drop_details(self, before: int) -> None:
        with self._writable() as connection:
            drop_details(connection, before, times.now())
            connection.commit()

    def drop_batches(self, batches: Sequence[DroppedBatch]) -> None:
        with self._writable() as connection:
            drop_raw_batches(connection, batches)
            connection.commit()

    def set_erasures(self, erasures: Sequence[Erasure]) -> None:
        with self._writable() as connection:
            write_erasures(connection, erasures)
            connection.commit()

    def purge(self) -> str | None:
        """The server's logs and backups are beyond our reach."""
        with self._server.connect() as connection:
            return rewrite(connection, self._schema)

    def log(self, run: Run, rejected: Sequence[RejectedRow] = ()) -> None:
        # Takes no run_seq, so it need not wait for a run that is going on.
        with self._writable(in_turn=False) as connection:
            insert_rejected(connection, run.run_id, rejected)
            insert_run(connection, run)
            connection.commit()

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
        within = f"{between(up_to_run, after_run)} AND {dated(dated_after, None)} AND {in_range(version, key_range)}"
        with self._snapshot():
            known = self.has_known(version.id)
            columns = history_list(version, known=known)
            order = f"WHERE {within} ORDER BY {keys}, computed_at, {learned_order(known=known)}"
            if entities is None:
                return self._history(version, [(f"SELECT {columns} FROM {table} {order}", ())], known=known)
            wanted = unnest(version, version.entity_type.key_names)
            query = f"SELECT {columns} FROM {table} JOIN {wanted} USING ({keys}) {order}"
            return self._of_entities(version, query, entities, known=known)

    def _of_entities(self, version: StoredVersion, query: str, entities: pl.DataFrame, *, known: bool) -> pl.DataFrame:
        """The answers of a query about some entities, which it has as the parameters of `unnest`."""
        names = version.entity_type.key_names
        wanted = possible(entities.select(names).cast(pl.Schema(key_types(version.entity_type)))).unique().sort(names)
        pieces = wanted.iter_slices(self._entities_per_query) if wanted.height else []
        return self._history(version, [(query, piece.get_columns()) for piece in pieces], known=known)

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
        keys, rows = key_list(version), f"FROM {coming_table(version.id)}"
        where = f"WHERE {dated(None, due)} AND {between(None, after_run)} AND {in_range(version, key_range)}"
        columns, order = f"SELECT {keys}, computed_at, run_seq, op, value", f"ORDER BY {keys}, computed_at"
        if entities is None:
            return self._history(version, [(f"{columns} {rows} {where} {order}", ())])
        wanted = unnest(version, version.entity_type.key_names)
        query = f"{columns} {rows} JOIN {wanted} USING ({keys}) {where} {order}"
        return self._of_entities(version, query, entities, known=False)

    def mark(self, version: StoredVersion, *, up_to_run: int | None = None) -> HistoryMark | None:
        query = (
            "SELECT sum(rows)::bigint AS rows, max(run_seq) AS last, (SELECT store_id::text FROM meta) AS store_id "
            f"FROM appended WHERE table_name = $1 AND {between(up_to_run, None)}"
        )

        def ask(connection: Connection) -> HistoryMark | None:
            counts = connection.rows(query, [table_name(version.id)])[0]
            if not counts["rows"]:
                return None
            runs = connection.rows("SELECT run_id FROM runs WHERE run_seq = $1", [counts["last"]])
            return HistoryMark(counts["store_id"], counts["last"], runs[0]["run_id"] if runs else "", counts["rows"])

        return self._ask(ask, None)

    def batches(self, version: StoredVersion, *, up_to_run: int | None = None) -> Iterator[pl.DataFrame]:
        with self._snapshot() as snapshot:
            known = self.has_known(version.id)
            types = history_schema(version, known=known)
            columns, table = history_list(version, known=known), history_table(version.id)
            if snapshot.empty or not tables.has_table(snapshot.connection, table_name(version.id)):
                return
            runs = packed_runs(snapshot.connection, table_name(version.id), between(up_to_run, None))

            def ask(connection: Connection, part: str | tuple[int, ...]) -> pl.DataFrame:
                if isinstance(part, tuple):
                    return read_parts(connection, part, runs.packed, types)
                return connection.query(f"SELECT {columns} FROM {table} WHERE {part}").cast(types)

            parts: list[str | tuple[int, ...]] = [
                *list_parts(snapshot.connection, table_name(version.id), runs.packed),
                *self._conditions(snapshot.connection, version, runs),
            ]
            yield from read_ahead(snapshot.connection, partial(self._begin, READ_ONLY), ask, parts)

    def _conditions(self, connection: Connection, version: StoredVersion, runs: PackedRuns) -> list[str]:
        """Conditions for what must be read from the table: each row of these runs meets one."""
        if not runs.rest:
            return []
        among = f"run_seq = ANY({array(runs.rest)})"
        if runs.rest_rows < PART_ROWS and runs.packed:
            # Bounds, because they are what the server looks up in the index on run_seq.
            return [f"run_seq BETWEEN {runs.rest[0]:d} AND {runs.rest[-1]:d} AND {among}"]
        # Some pages at a time, because an answer is in memory as a whole. Like this the server need not sort.
        size, pages = self._pages_per_batch, tables.count_pages(connection, version)
        return [
            f"ctid >= '({first:d},0)' AND ctid < '({first + size:d},0)' AND {among}" for first in range(0, pages, size)
        ]

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
        keys, table, within = key_list(version), history_table(version.id), in_range(version, key_range)
        where = f"{between(up_to_run, None)} AND {dated(None, at)} AND {within}"
        wanted = None if after_run is None else self._touched(version, after_run, due_after, at, within)
        with self._snapshot():
            known = self.has_known(version.id)
            rows = f"SELECT {history_list(version, known=known)} FROM {table}"
            rows += "" if wanted is None else f" JOIN {wanted} USING ({keys})"
            if entities is not None:
                named = unnest(version, version.entity_type.key_names, "named")
                query = answers(version, f"{rows} JOIN {named} USING ({keys}) WHERE {where}", known=known)
                return self._of_entities(version, query, entities, known=known)
            if known or self.has_withdrawn(version.id):
                query = answers(version, f"{rows} WHERE {where}", known=known)
                return self._history(version, [(query, ())], known=known)
            if wanted is None:
                return self._last_rows(version, where)
            # New rows are stored together, and each entity's latest row is one step in the index. Measured at up to six
            # times the speed of reading the table where every entity has new rows, and the same where few have.
            same = " AND ".join(f"h.{quote(name)} = w.{quote(name)}" for name in version.entity_type.key_names)
            query = (
                f"SELECT w.*, h.* FROM {wanted}, LATERAL (SELECT computed_at, run_seq, op, value FROM {table} h "
                f"WHERE {same} AND {between(up_to_run, None)} AND {dated(None, at)} "
                f"ORDER BY computed_at DESC, run_seq DESC LIMIT 1) h ORDER BY {keys}"
            )
            return self._history(version, [(query, ())])

    def _last_rows(self, version: StoredVersion, where: str) -> pl.DataFrame:
        """The last row of each entity among those that meet a condition."""
        keys, table = key_list(version), history_table(version.id)
        # Backwards, because then the index has them in order; forwards each entity's rows would be sorted, which takes
        # twice the time.
        order = ", ".join(f"{quote(name)} DESC" for name in (*version.entity_type.key_names, "computed_at", "run_seq"))
        query = (
            f"SELECT DISTINCT ON ({keys}) {keys}, computed_at, run_seq, op, value FROM {table} "
            f"WHERE {where} ORDER BY {order}"
        )
        return self._history(version, [(query, ())]).reverse()

    def _touched(
        self, version: StoredVersion, after_run: int, due_after: int | None, at: int | None, within: str
    ) -> str:
        """The entities that have rows learned after a run, or dated after an instant, as a table ``w``."""
        keys, table = key_list(version), history_table(version.id)
        query = f"SELECT {keys} FROM {table} WHERE run_seq > {after_run:d} AND {within}"
        if due_after is not None:
            # A union, since an OR would keep the server from using the index on run_seq.
            query += f" UNION SELECT {keys} FROM {table} WHERE {dated(due_after, at)} AND {within}"
        return f"(SELECT DISTINCT {keys} FROM ({query}) n) w"

    def newest(
        self, version: StoredVersion, *, after_run: int | None = None, up_to_run: int | None = None
    ) -> int | None:
        query = (
            "SELECT (extract(epoch FROM max(computed_at)) * 1000000)::bigint AS newest "
            f"FROM {history_table(version.id)} WHERE {between(up_to_run, after_run)}"
        )

        def ask(connection: Connection) -> int | None:
            if not tables.has_table(connection, table_name(version.id)):
                return None
            newest: int | None = connection.rows(query)[0]["newest"]
            return newest

        return self._ask(ask, None)

    def oldest(self, version: StoredVersion) -> int | None:
        query = (
            "SELECT (extract(epoch FROM min(computed_at)) * 1000000)::bigint AS oldest "
            f"FROM {history_table(version.id)}"
        )

        def ask(connection: Connection) -> int | None:
            if not tables.has_table(connection, table_name(version.id)):
                return None
            oldest: int | None = connection.rows(query)[0]["oldest"]
            return oldest

        return self._ask(ask, None)

    def sample_keys(self, version: StoredVersion, every: int, *, after_run: int | None = None) -> list[Keys]:
        def ask(connection: Connection) -> list[Keys]:
            pages = tables.count_pages(connection, version)
            rows = tables.count_rows(connection, version) if pages else 0
            if not rows:
                return []
            # The first row of some pages: rows never move, so it exists unless it was erased.
            step = max(every * pages // rows, 1)
            firsts = (
                f"SELECT ('(' || page || ',1)')::tid FROM generate_series({step - 1:d}, {pages - 1:d}, {step:d}) page"
            )
            found = connection.query(
                f"SELECT {key_list(version)} FROM {history_table(version.id)} "
                f"WHERE {between(None, after_run)} AND ctid = ANY(ARRAY({firsts}))"
            ).rows()
            if version.steps:
                found += connection.query(sample_lists(version, every, after_run)).rows()
            return found

        return self._ask(ask, [])

    def current(self, version: StoredVersion, *, key_range: KeyRange = ALL_KEYS) -> pl.DataFrame:
        keys, table = key_list(version), history_table(version.id)
        with self._snapshot():
            known = self.has_known(version.id)
            query = (
                f"SELECT DISTINCT ON ({keys}, computed_at) {history_list(version, known=known)} FROM {table} WHERE "
                f"{in_range(version, key_range)} ORDER BY {keys}, computed_at, "
                f"{learned_order(known=known, descending=True)}"
            )
            return self._history(version, [(query, ())], known=known)

    def set_reference(self, version: VersionId, baseline: Baseline) -> None:
        with self._writable() as connection:
            insert_reference(connection, version, baseline)
            connection.commit()

    def store_dataset(self, dataset: DataSet, labels: Iterable[bytes] | None) -> None:
        with self._writable() as connection:
            insert_dataset(connection, dataset, labels)
            connection.commit()

    @contextmanager
    def copies(self) -> Iterator[Copies]:
        with self._begin(READ_ONLY) as connection:
            found = tables.format_of(connection)
            schema.check_format(found, self._server.address.shown)
            if found and self._owned:
                self._check_owner(connection)
            yield PostgresCopies(connection) if found else Nothing()
            connection.rollback()

    @contextmanager
    def replacing(self, format_: int, store_id: str) -> Iterator[Replacement]:
        where = self._server.address.shown
        with self._begin("READ COMMITTED") as connection:
            self._wait_for_turn(connection)
            found = tables.format_of(connection)
            schema.check_format(found, where)
            if found and self._owned:
                self._check_owner(connection)
            drop_tables(connection)
            tables.migrate(connection, where, format_)
            replacement = PostgresReplacement(connection, format_)
            yield replacement
            replacement.finish()
            connection.execute(f"UPDATE meta SET store_id = {literal(store_id)}")
            tables.migrate(connection, where)
            if self._owned:
                self._claim(connection)
            self._unsettled = note_restored(self._project, self._place, replacement.last_run())
            connection.commit()

    # --- reading -----------------------------------------------------------------------------------------

    def _rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        return self._ask(lambda connection: connection.rows(query, values), [])

    def _history(
        self, version: StoredVersion, queries: Sequence[tuple[str, Values]], *, known: bool = False
    ) -> pl.DataFrame:
        """The concatenated answers of queries of a version's table."""
        empty = pl.DataFrame(schema=history_schema(version, known=known))

        def ask(connection: Connection) -> pl.DataFrame:
            if not tables.has_table(connection, table_name(version.id)):
                return empty
            answers = [connection.query(query, values) for query, values in queries]
            return pl.concat([empty, *(answer.cast(empty.schema) for answer in answers)])

        return self._ask(ask, empty)

    def _ask(self, question: Callable[[Connection], Result], nothing: Result) -> Result:
        with self._snapshot() as snapshot:
            return nothing if snapshot.empty else question(snapshot.connection)

    # --- writing -----------------------------------------------------------------------------------------

    @contextmanager
    def _writable(self, *, in_turn: bool = True) -> Iterator[Connection]:
        """A transaction on tables of this release's format; ``in_turn``, no other writer of the project runs."""
        # Each statement sees what was committed before it, so what is read after taking the lock is the latest.
        # Not READ WRITE, which would override a server's default_transaction_read_only.
        with self._begin("READ COMMITTED") as connection:
            if in_turn or tables.format_of(connection) < schema.FORMAT:
                self._wait_for_turn(connection)
            lost = self._set_back(connection, exists=tables.format_of(connection) > 0)
            if lost is not None:
                raise lost
            tables.migrate(connection, self._server.address.shown)
            if self._owned:
                self._claim(connection)
            yield connection

    @contextmanager
    def _begin(self, mode: str) -> Iterator[Connection]:
        with self._server.connect() as connection:
            connection.schema = self._schema
            connection.execute(f"BEGIN ISOLATION LEVEL {mode}; {_SETTINGS}{quote(self._schema)}, pg_temp")
            try:
                yield connection
            except NotAllowedError as exc:
                connection.rollback()
                lacking = missing_right(connection, self._server.address.shown, writing="READ ONLY" not in mode)
                raise lacking or exc from None
            except BaseException:
                connection.rollback()
                raise

    def _wait_for_turn(self, connection: Connection) -> None:
        """Takes the project's lock until the transaction ends. Raises LockedError (exit 11)."""
        lock = f"SELECT pg_try_advisory_xact_lock({LOCK_CLASS:d}, hashtext({literal(self._schema)})) AS mine"
        deadline = time.monotonic() + self._lock_timeout
        while not connection.rows(lock)[0]["mine"]:
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{self._holder(connection)} holds the lock; waited {self._lock_timeout:g} s",
                    where=self._server.address.shown,
                    hint="wait for it, or wait longer with --lock-timeout SECONDS",
                )
            time.sleep(POLL_SECONDS)

    def _holder(self, connection: Connection) -> str:
        # hashtext gives a signed number, which pg_locks shows as an unsigned one.
        rows = connection.rows(
            "SELECT a.application_name AS name, (extract(epoch FROM a.xact_start))::bigint AS since "
            "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
            f"AND l.classid = {LOCK_CLASS:d} AND l.objid::bigint = hashtext($1)::bigint & 4294967295 "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [self._schema],
        )
        if not rows or not rows[0]["name"]:
            return "another run"
        since = rows[0]["since"]
        return f"{rows[0]['name']}" + (f" (since {times.format_instant(since * 1_000_000)})" if since else "")

    def _was_committed(self, run_id: str, lost: CommitLostError) -> bool:
        """Looks up a run whose commit got no answer, once the server is back and the transaction has ended."""
        deadline = time.monotonic() + self._doubt_seconds
        while True:
            try:
                with self._writable() as connection:
                    # This has the project's lock, so the transaction in doubt has ended, one way or the other.
                    return bool(connection.rows("SELECT 1 FROM runs WHERE run_id = $1", [run_id]))
            except FeatureStoreError as exc:
                if not isinstance(exc, (StoreError, LockedError)) or time.monotonic() >= deadline:
                    raise StoreError(
                        f"{lost.message}; whether the run was committed is not known", where=self._server.address.shown,
                        hint="run the same command again: what was committed is found, and not written twice",
                    ) from lost  # fmt: skip
            time.sleep(POLL_SECONDS)
