"""DuckDB files: a table, a view, or a query."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import SourceError
from featurestore.model import Source
from featurestore.sources.contract import Choose, OpenSource, ProjectFolders, Report
from featurestore.sources.databases import KEYS, Check, DatabaseFiles, DatabaseSettings, read_settings, select
from featurestore.sources.files import named_in_files
from featurestore.tables.memory import batch_bytes

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from featurestore.tables.batch import Batch

ROWS, LONG_ROWS = 1 << 18, 1 << 14
"""Of a batch; fewer where a row may be long, since a list has any length, or has many columns."""
CELLS, LEAST_ROWS = 1 << 22, 1 << 11
TEXTS = frozenset({"TIME WITH TIME ZONE", "BIT", "BIGNUM", "UHUGEINT"})
WAIT_SECONDS = 10.0
"""How long to wait for a program that has the file open for writing."""
MOST_MEMORY, LEAST_MEMORY = 512_000_000, 64_000_000
"""Bytes that DuckDB may take: without a limit it keeps what four fifths of the machine's memory hold of a file."""
_LONG_ROW = 1 << 10  # bytes that a long row may well have
_BLOCKS = 2 << 18  # bytes of a column that a thread of DuckDB has in memory: blocks of two groups of rows


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    assert isinstance(source.settings, DatabaseSettings), "made by the type's own read_settings"
    quarter, half, most = (
        min(MOST_MEMORY, max(LEAST_MEMORY, int(folders.memory * share))) for share in (0.25, 0.5, 0.8)
    )
    read = partial(
        read_duckdb,
        needed=named_in_files(source),
        long_rows=batch_bytes(folders.memory, LONG_ROWS * _LONG_ROW) // _LONG_ROW,
        memory=quarter if source.settings.query is None else half,  # a query may sort or join
        wide_memory=most,
        spill=folders.state / "spill",
    )
    return DatabaseFiles(folders, source, given, read, log=".wal")


def read_duckdb(
    path: Path,
    name: str,
    settings: DatabaseSettings,
    columns: Choose | None,
    check: Check,
    report: Report,
    *,
    needed: Collection[str] = (),
    rows: int = ROWS,
    long_rows: int = LONG_ROWS,
    wait_seconds: float = WAIT_SECONDS,
    memory: int = MOST_MEMORY,
    wide_memory: int = MOST_MEMORY,
    spill: Path | None = None,
) -> Iterator[Batch]:
    """The rows of one snapshot, at least one batch. Raises SourceError.

    A query that sorts or joins more than fits into ``memory`` (bytes) writes the rest to the folder ``spill``.
    A table with so many columns that a few blocks of each are more may take ``wide_memory``.
    """
    import duckdb
    import pyarrow as pa

    from featurestore.tables.ahead import one_ahead
    from featurestore.tables.arrow_batches import batch_of, naming_the_file, readable
    from featurestore.tables.chosen_columns import others, select_columns

    with closing(_open(path, name, wait_seconds, memory, spill)) as connection, naming_the_file(name, "DuckDB"):
        check()
        try:
            names = connection.sql(f"SELECT * FROM {settings.rows} LIMIT 0").columns
            chosen = select_columns(names, columns, name) or names[:1]
            unread = others(names, chosen)
            blocks = _BLOCKS * len(chosen) + LEAST_MEMORY // 2
            if blocks > memory:
                memory = max(memory, min(blocks, wide_memory))
                # One thread, since each has blocks of its own.
                connection.execute(f"SET memory_limit = '{memory // 1_000_000}MB'; SET threads = 1")
            types = _types(connection, chosen, settings)
            statement = select(chosen, settings, as_text=[one for one, kind in types.items() if kind in TEXTS])
            of_bits = [one for one, kind in types.items() if kind == "BIT"]
            empty = connection.sql(f"{statement} LIMIT 0").to_arrow_table()
            held = readable(empty.schema, chosen, needed, name, report)
            yield _with_bits(batch_of(empty.select(held), name, unread=unread), of_bits)
            first = 1
            rows = min(rows, long_rows) if any(map(pa.types.is_nested, empty.schema.types)) else rows
            rows = min(rows, max(CELLS // len(chosen), LEAST_ROWS))
            with closing(one_ahead(iter(connection.sql(statement).to_arrow_reader(rows)))) as batches:
                for batch in batches:
                    _refuse_long(batch.select(held), name)
                    yield _with_bits(batch_of(batch.select(held), name, first, unread=unread), of_bits)
                    first += batch.num_rows
            check()
        except (duckdb.Error, OSError) as exc:  # what goes wrong in the middle is Arrow's, an OSError with its text
            said = str(exc).partition("\n")[0]
            what = "query" if settings.query is not None else "table"
            if said.startswith("Out of Memory Error"):
                raise SourceError(
                    f"its {what} needs more than the {memory // 1_000_000:,} MB that DuckDB may use for it", where=name,
                    hint="raise [offline] memory or --memory, and see how much space the disk has",
                ) from exc  # fmt: skip
            if not isinstance(exc, duckdb.Error):
                raise
            raise SourceError(
                f"its {what} can't be read: {said}", where=name, hint=f"fix {what} in featurestore.toml"
            ) from exc


def _refuse_long(batch: pa.RecordBatch, name: str) -> None:
    """Raises SourceError for a HUGEINT of 39 digits, of which what follows DuckDB would cut one off."""
    import pyarrow as pa

    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.type == pa.decimal128(38, 0):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:
                hint = "read it by a query that casts it: AS DOUBLE, or AS VARCHAR for all its digits"
                raise SourceError(
                    f"column {field.name!r} has a number of more than 38 digits", where=name, hint=hint
                ) from None


def _types(connection: duckdb.DuckDBPyConnection, names: Sequence[str], settings: DatabaseSettings) -> dict[str, str]:
    """DuckDB's types of these columns; those of `TEXTS` are read as text: no type of Arrow holds all of a value."""
    found = connection.sql(f"{select(names, settings)} LIMIT 0").types
    return dict(zip(names, map(str, found), strict=True))


def _with_bits(batch: Batch, names: Sequence[str]) -> Batch:
    """The batch, with these columns as bits."""
    from featurestore.tables.batch import bits

    return replace(batch, kinds=batch.kinds | {name: bits(batch.frame[name]) for name in names})


def _open(path: Path, name: str, wait_seconds: float, memory: int, spill: Path | None) -> duckdb.DuckDBPyConnection:
    import duckdb

    # Only what is in the file can be read: a query is no way to other files or to the network.
    settings: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{memory // 1_000_000}MB",
    }
    if spill is not None and spill.parent.is_dir():  # DuckDB makes no folder but the last one
        settings["temp_directory"] = str(spill)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            connection = duckdb.connect(str(path), read_only=True, config=settings)
        except duckdb.Error as exc:
            said = str(exc).partition("\n")[0]
            if not _is_held(exc):
                hint = "is it complete, and DuckDB at all?"
                raise SourceError(f"can't be read as DuckDB: {said}", where=name, hint=hint) from exc
            if time.monotonic() >= deadline:
                raise SourceError(
                    f"is open for writing in another program, after {wait_seconds:g} s of waiting: {said}",
                    where=name,
                    hint="close it there, and run ingest again",
                ) from exc
            time.sleep(0.1)
        else:
            connection.execute("SET TimeZone = 'UTC'")
            return connection


def _is_held(exc: duckdb.Error) -> bool:
    import duckdb

    # DuckDB has no class for a file that another process has open; its text begins so.
    return isinstance(exc, duckdb.IOException) and str(exc).startswith("IO Error: Could not set lock on file")


__all__ = ["KEYS", "open_source", "read_settings"]
