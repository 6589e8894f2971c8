"""Tables in and out of files: CSV, Parquet, Arrow IPC and JSON lines.

Owns which name means which format, and that a file is either written whole or not touched.
"""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

import polars as pl

from featurestore.errors import FeatureStoreError, SourceError, UsageError, did_you_mean
from featurestore.frames.text import csv_cells, json_lines

Format = Literal["csv", "parquet", "arrow", "ndjson"]

FORMATS: dict[str, Format] = {
    ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".jsonl": "ndjson", ".ndjson": "ndjson", ".json": "ndjson",
}  # fmt: skip

_ROWS = 65_536  # written at a time as text


def format_of(path: str | Path) -> Format:
    """The format that a file's name says. Raises UsageError."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{suffix or 'no suffix'} says no format that can be read or written",
            where=str(path),
            hint=did_you_mean(suffix, FORMATS) or f"name it {', '.join(FORMATS)}",
        )
    return FORMATS[suffix]


def read_table(source: Path | BinaryIO, *, name: str | None = None, form: Format | None = None) -> pl.DataFrame:
    """Reads a table, a CSV as strings only. ``name`` is for messages, by default the path.

    A stream is CSV unless ``form`` says otherwise. Raises UsageError where there is no such file or its name
    says no format, SourceError where it can't be read.
    """
    if not isinstance(source, Path):
        return _read(source, name or "standard input", form or "csv")
    form = form or format_of(source)
    try:
        with source.open("rb") as stream:
            return _read(stream, name or str(source), form)
    except FileNotFoundError as exc:
        raise UsageError("no such file", where=name or str(source)) from exc
    except OSError as exc:
        raise SourceError(f"can't be read: {exc.strerror or exc}", where=name or str(source)) from exc


def write_table(frame: pl.DataFrame, target: Path | BinaryIO, *, form: Format | None = None) -> None:
    """Writes a table: to a file at once and whole, or to a stream (CSV unless ``form`` says otherwise).

    Raises UsageError where the name says no format or its folder does not exist, FeatureStoreError where it
    can't be written. A stream's own errors pass through.
    """
    if not isinstance(target, Path):
        write_stream(frame, target, form or "csv")
        return
    form = form or format_of(target)
    target = target.resolve()
    if not target.parent.is_dir():
        raise UsageError("no such folder", where=str(target.parent), hint=f"mkdir -p {target.parent}")
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            with target.open("wb") as stream:  # a pipe or a device: nothing to replace
                write_stream(frame, stream, form)
        else:
            _replace(frame, target, form)
    except OSError as exc:
        raise FeatureStoreError(f"can't be written: {exc.strerror or exc}", where=str(target)) from exc


def _replace(frame: pl.DataFrame, target: Path, form: Format) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as stream:
            write_stream(frame, stream, form)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _read(source: BinaryIO, name: str, form: Format) -> pl.DataFrame:
    stream = source if source.seekable() else io.BytesIO(source.read())
    if form == "csv":
        from featurestore.frames.strict_csv import read_csv  # loads pyarrow

        return read_csv(stream, name)
    try:
        if form == "parquet":
            return pl.read_parquet(stream)
        if form == "arrow":
            return _read_arrow(stream)
        return pl.read_ndjson(stream, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as exc:
        if form == "ndjson":
            raise _bad_json(stream, name, exc) from exc
        kind = {"parquet": "Parquet", "arrow": "Arrow"}[form]
        raise SourceError(f"can't be read as {kind}: {_first_line(exc)}", where=name) from exc


def _read_arrow(stream: BinaryIO) -> pl.DataFrame:
    magic = stream.read(6)
    stream.seek(0)
    return pl.read_ipc(stream) if magic == b"ARROW1" else pl.read_ipc_stream(stream)


def _bad_json(stream: BinaryIO, name: str, cause: Exception) -> SourceError:
    stream.seek(0)
    lines = 0
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        lines += 1
        where, hint = f"{name}, line {number}", "JSON lines: one object per line"
        try:
            if not isinstance(json.loads(line), dict):
                return SourceError("is not a JSON object", where=where, hint=hint)
        except ValueError as exc:
            return SourceError(f"is not JSON: {exc}", where=where, hint=hint)
    if not lines:
        return SourceError("is empty", where=name)
    return SourceError(f"does not keep one type per column: {_first_line(cause)}", where=name)


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n", 1)[0]


def write_stream(frame: pl.DataFrame, stream: BinaryIO, form: Format) -> None:
    """Writes a table to an open file. Its errors pass through."""
    if form == "parquet":
        frame.write_parquet(stream, compression="zstd", compression_level=1)  # a third faster than the default
    elif form == "arrow":
        frame.write_ipc(stream)
    else:
        if form == "csv":
            stream.write(csv_header(frame).encode())
        stream.writelines(text.encode() for text in text_of(frame, form))


def csv_header(frame: pl.DataFrame) -> str:
    """The line of column names."""
    return pl.DataFrame(schema=dict.fromkeys(frame.columns, pl.String)).write_csv()


def text_of(frame: pl.DataFrame, form: Literal["csv", "ndjson"]) -> Iterator[str]:
    """The rows as text, some at a time; a CSV's without its header."""
    for rows in frame.iter_slices(_ROWS):
        if form == "csv":
            yield csv_cells(rows).write_csv(include_header=False)
        else:
            yield "\n".join(cast("list[str]", json_lines(rows).to_list())) + "\n"
