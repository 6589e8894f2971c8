"""Tables larger than memory: read in frames of so many rows, written as they come.

Parquet, Arrow files and CSV are read piece by piece. JSON lines are read whole, since the type of a column is
known only at their end, and so is an Arrow stream.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import polars as pl

from featurestore.errors import FeatureStoreError, SourceError, UsageError
from featurestore.frames.tables import Format, csv_header, format_of, read_table, text_of, write_stream

Write = Callable[[pl.DataFrame], None]


def read_batches(
    source: Path | BinaryIO, *, name: str, form: Format | None = None, rows: int
) -> Iterator[pl.DataFrame]:
    """The table in frames of ``rows`` rows, the last one shorter; one empty frame where it has none.

    Raises what `read_table` raises.
    """
    with ExitStack() as files:
        if isinstance(source, Path):
            form = form or format_of(source)
            try:
                stream: BinaryIO = files.enter_context(source.open("rb"))
            except FileNotFoundError as exc:
                raise UsageError("no such file", where=name) from exc
            except OSError as exc:
                raise SourceError(f"can't be read: {exc.strerror or exc}", where=name) from exc
        else:
            stream = source
        if not stream.seekable():
            copy = files.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stream, copy)
            stream = copy
        stream.seek(0)
        yield from _cut(_pieces(stream, name, form or "csv", rows), rows)


@contextmanager
def write_batches(target: Path | BinaryIO, *, form: Format | None = None) -> Iterator[Write]:
    """Writes frames of the same columns, at least one: to a stream, or to a file, whole or not at all.

    Raises UsageError where its folder does not exist, FeatureStoreError where the file can't be written.
    """
    if not isinstance(target, Path):
        with _writer(target, form or "csv") as write:
            yield write
        return
    form, target = form or format_of(target), target.resolve()
    if not target.parent.is_dir():
        raise UsageError("no such folder", where=str(target.parent), hint=f"mkdir -p {target.parent}")
    if target.exists() and not target.is_file():
        with target.open("wb") as device, _writer(device, form) as write:  # nothing to replace
            yield write
        return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as stream:
            with _writer(stream, form) as write:
                yield write
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as exc:
        raise FeatureStoreError(f"can't be written: {exc.strerror or exc}", where=str(target)) from exc
    finally:
        part.unlink(missing_ok=True)


def _pieces(stream: BinaryIO, name: str, form: Format, rows: int) -> Iterator[pl.DataFrame]:
    if form == "csv":
        from featurestore.frames.strict_csv import read_csv_pieces

        yield from read_csv_pieces(stream, name)
        return
    if form == "parquet" or (form == "arrow" and _is_arrow_file(stream)):
        lazy = pl.scan_parquet if form == "parquet" else pl.scan_ipc
        begin = 0
        try:
            while True:
                stream.seek(0)
                frame = lazy(stream).slice(begin, rows).collect()
                if begin and not len(frame):
                    return
                yield frame
                begin += rows
                if len(frame) < rows:
                    return
        except (pl.exceptions.PolarsError, OSError) as exc:
            text = str(exc).strip().split("\n", 1)[0]
            raise SourceError(f"can't be read as {form.capitalize()}: {text}", where=name) from exc
    yield read_table(stream, name=name, form=form)


def _is_arrow_file(stream: BinaryIO) -> bool:
    magic = stream.read(6)
    stream.seek(0)
    return magic == b"ARROW1"


def _cut(pieces: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    waiting: list[pl.DataFrame] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += len(piece)
        while held >= rows + 1:  # a full frame is handed on once it is sure not to be the last
            whole = pl.concat(waiting)
            yield whole.slice(0, rows)
            rest = whole.slice(rows)
            waiting, held = [rest], len(rest)
    yield pl.concat(waiting)


@contextmanager
def _writer(stream: BinaryIO, form: Format) -> Iterator[Write]:
    if form in ("csv", "ndjson"):
        first = True

        def write_text(frame: pl.DataFrame) -> None:
            nonlocal first
            if first and form == "csv":
                stream.write(csv_header(frame).encode())
            first = False
            stream.writelines(text.encode() for text in text_of(frame, form))

        yield write_text
        return
    with ExitStack() as open_:
        only: list[pl.DataFrame] = []
        more: list[Write] = []

        def write_table(frame: pl.DataFrame) -> None:
            if not only and not more:
                only.append(frame)  # the only one, perhaps: then Polars writes it, twice as fast
                return
            if not more:
                more.append(open_.enter_context(_arrow_writer(stream, form, only[0])))
                only.clear()
            more[0](frame)

        yield write_table
        if only:
            write_stream(only[0], stream, form)


@contextmanager
def _arrow_writer(stream: BinaryIO, form: Format, first: pl.DataFrame) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = first.to_arrow()
    options = {"compression": "zstd", "compression_level": 1}
    made = (
        pq.ParquetWriter(stream, table.schema, **options)
        if form == "parquet"
        else pa.ipc.new_file(stream, table.schema)
    )
    with made as writer:
        writer.write_table(table)
        yield lambda frame: writer.write_table(frame.to_arrow())
