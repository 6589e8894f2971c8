"""Reads the rows of one snapshot into a spool: psycopg asks what there is, ADBC carries the columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from featurestore.frozen import frozen
from featurestore.model import Source
from featurestore.postgres.address import Address
from featurestore.postgres.connection import Server
from featurestore.sources.contract import Finding, ProjectFolders
from featurestore.sources.postgresql.columns import Column, refuse_needed, select, shown
from featurestore.sources.postgresql.server import SETTINGS, Snapshot, in_words, take_snapshot
from featurestore.sources.postgresql.settings import PostgresSettings
from featurestore.sources.postgresql.spool import Spool
from featurestore.tables.chosen_columns import select_columns

_CAST = 'cast them in a query: query = "SELECT …, column::text AS column FROM …"'


@frozen
class Reading:
    """The rows of one snapshot: the columns that are carried, and where the rows lie."""

    columns: Sequence[Column]
    spool: Spool


def read_rows(
    settings: PostgresSettings, source: Source, folders: ProjectFolders, first: int | None
) -> tuple[Reading, str]:
    """The rows, at most so many, and the columns that were left out, in words.

    Raises SourceError, ConfigError, OSError.
    """
    where = f"source {source.name}"
    address = settings.address(folders.root)
    with take_snapshot(address, settings, where) as snapshot:
        rows = settings.rows(snapshot.find_table())
        carried, left_out = find_columns(snapshot, rows, source)
        if not carried:
            return Reading((), Spool(folders.state, pa.schema([]))), left_out
        statement = select(carried, rows) + ("" if first is None else f" LIMIT {first:d}")
        with in_words(address, settings, where):
            spool = carry(address, snapshot, statement, folders)
    return Reading(carried, spool), left_out


def find_columns(snapshot: Snapshot, rows: str, source: Source) -> tuple[list[Column], str]:
    """The columns that are carried, and those that are not, in words. Raises SourceError for one that is needed."""
    columns = snapshot.columns(rows)
    select_columns([column.name for column in columns], None, f"source {source.name}")
    roles = [name for name in (source.event_time, source.updated_at, *source.id, *source.columns) if name]
    refuse_needed(columns, source, {source.dialect.in_file(name) for name in roles})
    carried = [column for column in columns if column.carried]
    return carried, ", ".join(shown(column) for column in columns if column not in carried)


def examine(settings: PostgresSettings, source: Source, folders: ProjectFolders) -> Iterator[Finding]:
    """What `doctor` says of a source. Reads no row. Raises SourceError, ConfigError."""
    where = f"source {source.name}"
    address = settings.address(folders.root)
    for warning in address.warnings:
        yield Finding(warning, wrong=True)
    with take_snapshot(address, settings, where) as snapshot:
        carried, left_out = find_columns(snapshot, settings.rows(snapshot.find_table()), source)
        server = snapshot.row("SHOW server_version")[0]
    yield Finding(f"{source.name}: {settings.location} {server} can be read; columns: {len(carried)}")
    if left_out:
        yield Finding(f"{source.name}: left out, since they can't be carried: {left_out}", _CAST, wrong=True)


def carry(address: Address, snapshot: Snapshot, statement: str, folders: ProjectFolders) -> Spool:
    """The answer of a statement in a snapshot."""
    with Server(address).connect() as connection:
        connection.execute(
            f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot.id}'; {SETTINGS}"
        )

        def write(answer: pa.RecordBatchReader) -> Spool:
            spool = Spool(folders.state, answer.schema)
            for batch in answer:
                spool.write(batch)
            spool.close()
            return spool

        found = connection.stream(statement, write)
        connection.rollback()
    return found
