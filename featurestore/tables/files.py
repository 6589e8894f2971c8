"""Tables in files: CSV, Parquet, Arrow IPC and JSON lines.

Owns which name and which bytes mean which format, and how a frame is spelled in each.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

import polars as pl

from featurestore.errors import SourceError, UsageError, did_you_mean, os_reason
from featurestore.tables.packed import inner_name
from featurestore.tables.text import csv_cells, json_lines

Format = Literal["csv", "parquet", "arrow", "ndjson"]

FORMATS: dict[str, Format] = {
    ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".jsonl": "ndjson", ".ndjson": "ndjson", ".json": "ndjson",
}  # fmt: skip
_TEXT: dict[str, Format] = {".tsv": "csv", ".txt": "csv"}  # read, not written: nobody says what is between fields
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # at the beginning of a text file it is not part of it

# An Arrow stream has no magic of its own: it begins with the mark that comes before each of its messages.
_MAGIC: dict[bytes, Format] = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}
_ROWS = 65_536  # written at a time as text


def format_of(path: str | Path, *, packed: bool = False) -> Format:
    """The format that a file's name says. Raises UsageError.

    With ``packed``, as what is read may be, text may be packed (``.csv.gz``) and called as people call tables of text.
    """
    suffix = Path(path).suffix.lower()
    if packed:
        inner = Path(inner_name(Path(path).name)).suffix.lower()
        found = _TEXT.get(inner) or FORMATS.get(inner)
        if found in ("csv", "ndjson"):
            return found
    if suffix not in FORMATS:
        raise UsageError(
            f"{suffix} says no format that can be read or written" if suffix else "has no suffix that says its format",
            where=str(path),
            hint=f"{did_you_mean(suffix, FORMATS)}; or say it with --format (of the labels: --labels-format)",
        )
    return FORMATS[suffix]


def format_in(stream: BinaryIO) -> Format:
    """The format that the first bytes of a stream look like. It can seek, and is at its beginning before and after."""
    start = stream.read(4096)
    stream.seek(0)
    for magic, form in _MAGIC.items():
        if start.startswith(magic):
            return form
    return "ndjson" if start.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"[") else "csv"


@contextmanager
def open_table(source: Path | BinaryIO, name: str, form: Format | None = None) -> Iterator[tuple[BinaryIO, Format]]:
    """A table's bytes, in a stream that can seek, and their format: as given, as the name says, else as they look.

    What can't be read twice, such as a pipe, is copied to a temporary file. Raises UsageError where there is no such
    file or its name says no format, SourceError where it can't be read.
    """
    with ExitStack() as files:
        try:
            if isinstance(source, Path):
                if form is None and (source.is_file() or not source.exists()):
                    form = format_of(source, packed=True)
                source = files.enter_context(source.open("rb"))
            if not source.seekable():
                copy = files.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(source, copy)
                source = copy
            source.seek(0)
            form = form or format_in(source)
        except FileNotFoundError as exc:
            raise UsageError(
                "no such file", where=name, hint="name a file that is there, or - for standard input"
            ) from exc
        except OSError as exc:
            raise SourceError(f"can't be read: {os_reason(exc)}", where=name) from exc
        yield source, form


def write_stream(frame: pl.DataFrame, stream: BinaryIO, form: Format) -> None:
    """Writes a table to an open file. Its errors pass through."""
    if form == "parquet":
        frame.write_parquet(_system_file(stream), compression="zstd", compression_level=1)  # fast
    elif form == "arrow":
        # Texts one after another: views would lie in buffers that hold those of rows which are not in the table too.
        frame.write_ipc(_system_file(stream), compat_level=pl.CompatLevel.oldest())
    else:
        if form == "csv":
            stream.write(csv_header(frame).encode())
        stream.writelines(text.encode() for text in text_of(frame, form))


def _system_file(stream: BinaryIO) -> BinaryIO:
    """The file below a buffer, which Polars writes to itself. A buffer of another class it calls, losing its errors."""
    stream.flush()
    raw = getattr(stream, "raw", None)
    return raw if type(raw) is io.FileIO else stream


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
