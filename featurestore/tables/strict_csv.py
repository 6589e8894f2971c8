"""CSV in, every cell as the text it is.

Owns what a label table must not lose on the way: ``007`` stays ``007``, an empty field is null and
``""`` is the empty string, spaces stay. A file that is not rectangular, not UTF-8 or wrongly quoted is
refused with its row; nothing is filled in or left out.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, cast

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from featurestore.errors import SourceError

_BLOCK = 4 << 20  # also the longest row


def read_csv_pieces(stream: BinaryIO, name: str) -> Iterator[pl.DataFrame]:
    """Reads a CSV with a header as strings, from a stream that can seek, in frames, at least one, of about 4 MB.

    ``name`` is for messages. Raises SourceError.
    """
    columns = _header(stream, name)
    _check_quotes(stream, name)
    refused: list[arrow_csv.InvalidRow] = []

    def refuse(row: arrow_csv.InvalidRow) -> Literal["error"]:
        refused.append(row)
        return "error"

    places = [str(place) for place in range(len(columns))]  # a name may be empty, which Polars would replace
    stream.seek(0)
    header = 1
    try:
        with arrow_csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            # One thread is as fast here, and knows the numbers of rows.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=places),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        ) as reader:
            for batch in reader:
                frame = cast("pl.DataFrame", pl.from_arrow(batch)).slice(header)
                header = 0
                frame.columns = columns
                yield frame
    except pa.ArrowInvalid as exc:
        if not refused:
            raise SourceError(f"can't be read as CSV: {exc}", where=name, hint="save it as UTF-8 text") from exc
        row = refused[0]
        raise SourceError(
            f"has {row.actual_columns} fields where the header has {row.expected_columns}",
            where=f"{name}, row {row.number - 1}",
            hint="a field that holds a comma, a quote or a line break must stand in double quotes",
        ) from exc


def _header(stream: BinaryIO, name: str) -> list[str]:
    try:
        with _rows(stream) as rows:
            columns = next((row for row in rows if row), None)
    except UnicodeDecodeError as exc:
        raise SourceError("is not UTF-8 text", where=name, hint="save it as UTF-8") from exc
    except csv.Error as exc:
        raise SourceError(f"has a header that can't be read: {exc}", where=name) from exc
    if not columns:
        raise SourceError("is empty", where=name, hint="a CSV begins with a line of column names")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise SourceError(f"has two columns named {twice[0]!r}", where=name, hint="rename one")
    return columns


def _check_quotes(stream: BinaryIO, name: str) -> None:
    """Refuses what Arrow would let pass: a quote never closed swallows rows, text behind a closing one is glued on."""
    stream.seek(0)
    if not any(b'"' in block for block in iter(lambda: stream.read(_BLOCK), b"")):
        return
    row = -1
    try:
        with _rows(stream) as rows:
            for _ in filter(None, rows):
                row += 1
    except UnicodeDecodeError as exc:
        raise SourceError("is not UTF-8 text", where=f"{name}, after row {row}", hint="save it as UTF-8") from exc
    except csv.Error as exc:
        raise SourceError(
            "has a double quote that is not closed, or text behind a closing one",
            where=f"{name}, row {row + 1}",
            hint="close it; a quote that is part of the text is written twice",
        ) from exc


@contextmanager
def _rows(stream: BinaryIO) -> Iterator[Iterator[list[str]]]:
    csv.field_size_limit(2**31 - 1)
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        yield csv.reader(text, strict=True)
    finally:
        text.detach()
