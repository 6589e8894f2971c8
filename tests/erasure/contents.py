"""What a history says, whatever the bytes look like in which it is stored: these may be compressed, or escaped."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pyarrow as pa

from featurestore.config import load_project
from featurestore.drift.sample import unpack_sample

Row = Mapping[str, Any]
# Documents that lie in several rows: by the column that numbers them, and the one that has their bytes.
_PARTS = {
    "label_files": ("position", "bytes"),
    "raw_parts": ("position", "bytes"),
    "pg_largeobject": ("pageno", "data"),
}


def naming_in(root: Path, needles: Collection[bytes]) -> list[str]:
    """The tables and columns of a project's history, wherever it is, of which a field has one of these texts."""
    url = load_project(root).offline_url
    history = root / ".featurestore" / "history.duckdb"
    if url is not None:
        return naming_on_server(url, needles)
    return naming(history, needles) if history.exists() else []


def naming(history: Path, needles: Collection[bytes]) -> list[str]:
    """The same of a DuckDB file."""
    with duckdb.connect(history, read_only=True) as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
        return fields_naming(((table, row) for (table,) in tables for row in _rows(connection, table)), needles)


def naming_on_server(url: str, needles: Collection[bytes]) -> list[str]:
    """The same of a database of PostgreSQL: of all of its schemas, those of the server too, and of large objects."""
    with psycopg.connect(url) as connection:
        columns = connection.execute(
            """
            SELECT format('%I.%I', n.nspname, c.relname), c.relname, array_agg(a.attname::text), string_agg(
                quote_ident(a.attname) || CASE a.atttypid WHEN 'bytea'::regtype THEN '' ELSE '::text' END, ', '),
                bool_or(a.atttypid = 'bytea'::regtype) OR n.nspname NOT IN ('pg_catalog', 'information_schema')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relkind IN ('r', 'm') AND a.attnum > 0 AND NOT a.attisdropped GROUP BY n.nspname, c.relname
            """
        ).fetchall()
        rows = (
            (table, dict(zip(names, row, strict=True)))
            for place, table, names, listed, whole in columns
            # The server looks through its own 15,000 rows by itself.
            for row in connection.execute(
                f"SELECT {listed} FROM {place} AS t WHERE %s OR t::text LIKE ANY(%s)".encode(),
                [whole, [f"%{needle.decode()}%" for needle in needles]],
            )
        )
        return fields_naming(rows, needles)


def fields_naming(rows: Iterable[tuple[str, Row]], needles: Collection[bytes]) -> list[str]:
    """The same for rows, each with the name of its table."""
    texts = [needle.decode() for needle in needles]
    return [
        f"{table}.{column}: {text}"
        for table, row in _joined(rows)
        for column, value in row.items()
        for said in [opened(value)]
        for text in texts
        if text in said
    ]


def opened(value: object) -> str:
    """A field as text; documents, such as Arrow, Parquet and JSON, are read, and what is compressed is unpacked."""
    if isinstance(value, bytes | bytearray | memoryview):
        return _document(bytes(value))
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return f"{value} {json.loads(value)}"
        except ValueError:
            return value
    return str(value)


def _document(data: bytes) -> str:
    for magic, read in _READERS.items():
        if data.startswith(magic):
            return read(data)
    return opened(data.decode(errors="replace"))


def _sample(data: bytes) -> str:
    sample = unpack_sample(data)
    return f"{sample.facts} {sample.values.to_list()}"


def _fields(frame: pl.DataFrame) -> str:
    return " ".join(opened(value) for row in [frame.columns, *frame.iter_rows()] for value in row)


def _unpacked(data: bytes, compression: str) -> str:
    return _document(pa.CompressedInputStream(pa.BufferReader(data), compression).read())


_READERS: Mapping[bytes, Callable[[bytes], str]] = {
    b"FSD1": _sample,
    b"ARROW1": lambda data: _fields(pl.read_ipc(io.BytesIO(data))),
    b"\xff\xff\xff\xff": lambda data: _fields(pl.read_ipc_stream(io.BytesIO(data))),
    b"PAR1": lambda data: _fields(pl.read_parquet(io.BytesIO(data))),
    b"\x1f\x8b": lambda data: _unpacked(data, "gzip"),
    b"\x28\xb5\x2f\xfd": lambda data: _unpacked(data, "zstd"),
}


def _joined(rows: Iterable[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
    """The rows, those with parts of a document as one."""
    parts: dict[tuple[str, str], list[Row]] = {}
    for table, row in rows:
        if table in _PARTS:
            whose = {name: value for name, value in row.items() if name not in _PARTS[table]}
            parts.setdefault((table, repr(whose)), []).append(row)
        else:
            yield table, row
    for (table, _), found in parts.items():
        number, data = _PARTS[table]
        found.sort(key=lambda row: int(row[number]))
        yield table, {**found[0], data: b"".join(row[data] for row in found)}


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[Row]:
    found = connection.execute(f'SELECT * FROM "{table}"')
    names = [column[0] for column in found.description or ()]
    yield from (dict(zip(names, row, strict=True)) for row in found.fetchall())
