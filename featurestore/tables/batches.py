"""Tables larger than memory: read in frames of so many rows, written as they come.

Makes sure that a file is either written completely or not touched. Beside the frame there is a few MB of text in
memory, or what the file's writer put together: a batch of an Arrow stream, the packed columns of a Parquet row group.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import polars as pl

from featurestore.atomic import replace_atomically
from featurestore.dialect import STANDARD, Dialect
from featurestore.errors import SourceError, UsageError, did_you_mean, output_error, quoted_os_error
from featurestore.tables.batch import Batch
from featurestore.tables.delimited import read_csv
from featurestore.tables.files import Format, csv_header, format_of, open_table, text_of, write_stream
from featurestore.tables.formats import refuse_foreign
from featurestore.tables.json_types import read_json_types
from featurestore.tables.parts import with_parts

if TYPE_CHECKING:
    import pyarrow as pa

Write = Callable[[pl.DataFrame], None]

# A reader's errors on damaged bytes: Polars' own, and where it did not expect them at all.
NATIVE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_MOST_ROWS = 1 << 31  # of one frame, by Polars
_CSV_BLOCK = 4 << 20


def read_batches(
    source: Path | BinaryIO, *, name: str, form: Format | None = None, rows: int, dialect: Dialect = STANDARD
) -> Iterator[pl.DataFrame]:
    """The table in frames of ``rows`` rows, the last one shorter; one empty frame where it has none. CSV is text.

    ``name`` is for messages, ``dialect`` is how text is written: words for null are null, in files of any format; the
    formats of columns are for whoever reads them. Raises what `open_table` raises, and SourceError for what is not in
    its format.
    """
    with open_table(source, name, form) as (stream, found):
        yield from _cut(_read_frames(stream, name, found, rows, dialect), rows)


@contextmanager
def write_batches(target: Path | BinaryIO, *, form: Format | None = None) -> Iterator[Write]:
    """Writes frames of the same columns, at least one: to a stream, or to a file, whole or not at all.

    Raises UsageError where its folder does not exist, OutputError where the table can't be written.
    """
    if not isinstance(target, Path):
        with _reporting_errors(None), _writer(target, form or "csv") as write:
            yield write
        return
    form = form or format_of(target)
    # A device or a pipe has no contents to replace. Asked before links are followed: those of /dev/fd lead to names
    # that are no paths.
    if target.exists() and not target.is_file():
        with _reporting_errors(target), target.open("wb") as device, _writer(device, form) as write:
            yield write
        return
    target = target.resolve()
    if not target.parent.is_dir():
        raise UsageError("no such folder", where=str(target.parent), hint=f"mkdir -p {target.parent}")
    with _reporting_errors(target), replace_atomically(target) as stream, _writer(stream, form) as write:
        yield write


@contextmanager
def _reporting_errors(path: Path | None) -> Iterator[None]:
    """Turns the system's errors into OutputError, but for a closed pipe, whose reader has seen enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        what = "the result can't be written" if path is None else "can't be written"
        raise output_error(what, exc, None if path is None else str(path)) from exc


def _read_frames(stream: BinaryIO, name: str, form: Format, rows: int, dialect: Dialect) -> Iterator[pl.DataFrame]:
    for frame in _frames_of(stream, name, form, rows, dialect):
        batch = Batch(name, frame).with_nulls(dialect.null) if dialect.null else Batch(name, frame)
        yield (_renamed(batch, dialect.renamed) if dialect.renamed else batch).frame


def _renamed(batch: Batch, in_file: Mapping[str, str]) -> Batch:
    """The columns by their new names. Raises SourceError for a name that the file does not have."""
    batch = with_parts(batch, in_file.values())
    for new, old in in_file.items():
        if old not in batch.frame.columns:
            near = did_you_mean(old, batch.frame.columns)
            raise SourceError(f"has no column {old!r}, which is to be called {new!r}", where=batch.origin, hint=near)
    return batch.renamed(in_file)


def _frames_of(stream: BinaryIO, name: str, form: Format, rows: int, dialect: Dialect) -> Iterator[pl.DataFrame]:
    if form == "csv":
        batches = read_csv(stream, name, _ignore, strict=True, block_size=_CSV_BLOCK, dialect=dialect, hint=_hint)
        yield from (batch.frame for batch in batches)
    elif form == "ndjson":
        yield from read_json_types(stream, name, encoding=dialect.encoding)
    elif not stream.read(1):
        raise SourceError("is empty", where=name)
    else:
        stream.seek(0)
        refuse_foreign(stream, name, form.capitalize())
        try:
            if form == "arrow" and not _is_arrow_file(stream):
                yield from _arrow_stream(stream)
            elif _is_for_arrow(stream, form):
                yield from _by_arrow(stream, form, rows)
            else:
                yield from _slices(stream, pl.scan_parquet if form == "parquet" else pl.scan_ipc, rows)
        except SourceError as exc:
            exc.where = exc.where or name
            raise
        except (*NATIVE, OSError, ValueError) as exc:
            text = str(exc).strip().split("\n", 1)[0]
            raise SourceError(f"can't be read as {form.capitalize()}: {text}", where=name) from exc


def _ignore(_warning: str) -> None:
    """What a reader would warn of in a source is of no interest in a table that comes out as it went in."""


def _hint(setting: str, value: str) -> str | None:
    """The way out by a flag."""
    if setting == "delimiter":
        return f'say what is between its fields with --delimiter "{value}"'
    return f"say how it is written: --dialect {setting}={value}"


def _slices(stream: BinaryIO, scan: Callable[[BinaryIO], pl.LazyFrame], rows: int) -> Iterator[pl.DataFrame]:
    begin, rows = 0, min(rows, _MOST_ROWS)
    while True:
        _rewind(stream)
        frame = scan(stream).slice(begin, rows).collect()
        if len(frame) or not begin:
            yield frame
        begin += rows
        if len(frame) < rows:
            return


def _rewind(stream: BinaryIO) -> None:
    """To the beginning, and its file with it: Polars takes the file, which a stream that read ahead leaves behind."""
    stream.seek(0, io.SEEK_END)
    stream.seek(0)


def _is_arrow_file(stream: BinaryIO) -> bool:
    magic = stream.read(6)
    stream.seek(0)
    return magic == b"ARROW1"


def _is_for_arrow(stream: BinaryIO, form: Format) -> bool:
    """Whether a file has a type at which Polars panics, or times of INT96, of which it takes the lower bits.

    Goes to its start. Raises SourceError for several files put together.
    """
    import pyarrow as pa

    from featurestore.tables.arrow_batches import int96_columns, panics
    from featurestore.tables.arrow_files import open_arrow_file
    from featurestore.tables.parquet_files import open_parquet, refuse_joined

    try:
        if form == "arrow":
            schema = open_arrow_file(stream).schema
        else:
            reader = open_parquet(stream)
            refuse_joined(stream, "")
            if int96_columns(reader):
                return True
            schema = reader.schema_arrow
    except (pa.ArrowException, OSError, ValueError):  # for Polars to say what is wrong with it
        return False
    finally:
        stream.seek(0)
    return any(map(panics, schema.types))


def _by_arrow(stream: BinaryIO, form: Format, rows: int) -> Iterator[pl.DataFrame]:
    from featurestore.tables.arrow_files import open_arrow_file
    from featurestore.tables.parquet_files import open_parquet

    if form == "parquet":
        file = open_parquet(stream, coerce_int96_timestamp_unit="us")
        schema, batches = file.schema_arrow, file.iter_batches(min(rows, _MOST_ROWS))
    else:
        reader = open_arrow_file(stream)
        schema = reader.schema
        batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
    yield from _frames(schema, batches)


def _frames(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
    from featurestore.tables.arrow_batches import frame_of

    yield frame_of(schema.empty_table())
    first = 1
    for batch in batches:
        yield frame_of(batch, first)
        first += batch.num_rows


def _arrow_stream(stream: BinaryIO) -> Iterator[pl.DataFrame]:
    import pyarrow as pa

    from featurestore.tables.arrow_batches import panics
    from featurestore.tables.arrow_files import refuse_rest

    try:
        reader = pa.ipc.open_stream(stream)
    except pa.ArrowNotImplementedError:  # a type that only Polars has: its own reader takes the stream at once
        _rewind(stream)
        yield pl.read_ipc_stream(stream)
        return
    with reader:
        if any(map(panics, reader.schema.types)):
            yield from _frames(reader.schema, reader)
        else:
            yield cast("pl.DataFrame", pl.from_arrow(reader.schema.empty_table()))
            for batch in reader:
                yield cast("pl.DataFrame", pl.from_arrow(batch))
        refuse_rest(stream)


def _cut(frames: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    waiting: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        waiting.append(frame)
        height += len(frame)
        while height >= rows + 1:  # a full frame is given out once it is sure not to be the last
            whole = pl.concat(waiting)
            yield whole.slice(0, rows)
            rest = whole.slice(rows)
            waiting, height = [rest], len(rest)
    yield pl.concat(waiting)


@contextmanager
def _writer(stream: BinaryIO, form: Format) -> Iterator[Write]:
    try:
        with _plain_writer(stream, form) as write:
            yield write
    except (pl.exceptions.PolarsError, OSError) as exc:
        refused = quoted_os_error(str(exc))
        if refused is None:
            raise
        raise refused from exc  # which Polars only quotes: a closed pipe, a full disk


@contextmanager
def _plain_writer(stream: BinaryIO, form: Format) -> Iterator[Write]:
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

    huge = [name for name, kind in first.schema.items() if kind in (pl.Int128, pl.UInt128)]
    if huge:
        raise UsageError(
            f"column {huge[0]!r} holds integers of over 64 bits, which Arrow has no type for",
            hint="write CSV or JSON lines, or all labels at once with a larger --batch-rows",
        )
    # An Arrow file has one dictionary for a column, and each batch brings its own.
    texts = [name for name, kind in first.schema.items() if isinstance(kind, pl.Categorical | pl.Enum)]
    plain = pl.col(texts if form == "arrow" else []).cast(pl.String)
    table = first.with_columns(plain).to_arrow()
    options = {"compression": "zstd", "compression_level": 1}
    made = (
        pq.ParquetWriter(stream, table.schema, **options)
        if form == "parquet"
        else pa.ipc.new_file(stream, table.schema)
    )
    with made as writer:
        writer.write_table(table)
        yield lambda frame: writer.write_table(frame.with_columns(plain).to_arrow())
