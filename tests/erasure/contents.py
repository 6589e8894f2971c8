"""What a history says, whatever the bytes look like in which it is stored: these may be compressed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from featurestore.drift.sample import unpack_sample


def naming(history: Path, needles: Iterable[bytes]) -> list[str]:
    """The tables and columns of a DuckDB file of which a field has one of these texts."""
    with duckdb.connect(history, read_only=True) as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
        rows = [(table, row) for (table,) in tables for row in _rows(connection, table)]
    return fields_naming(rows, needles)


def fields_naming(rows: Iterable[tuple[str, Mapping[str, Any]]], needles: Iterable[bytes]) -> list[str]:
    """The same for rows, each with the name of its table."""
    texts = [needle.decode() for needle in needles]
    return [
        f"{table}.{column}: {text}"
        for table, row in rows
        for column, value in row.items()
        for text in texts
        if text in _text(table, value)
    ]


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[Mapping[str, Any]]:
    found = connection.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in found.description or ()]
    yield from (dict(zip(names, row, strict=True)) for row in found.fetchall())


def _text(table: str, value: object) -> str:
    if table == "samples" and isinstance(value, bytes):
        sample = unpack_sample(value)
        return f"{sample.facts} {sample.values.to_list()}"
    return str(value)
