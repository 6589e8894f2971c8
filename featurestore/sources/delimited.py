"""Reading CSV: bytes to batches of text columns, each row proved to have its header's fields.

`records` decides what a row is; Polars only cuts well-formed rows into columns. An unquoted empty field is null,
``""`` the empty string, and nothing is trimmed.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import IO

import numpy as np
import polars as pl

from featurestore.errors import ConfigError, SourceError
from featurestore.model import Source
from featurestore.sources.batch import MAX_COLUMNS, Batch
from featurestore.sources.records import Dialect, Records, split, split_quickly
from featurestore.sources.streams import UTF8_MARK, blocks

BLOCK = 32 << 20
MAX_RECORD = 64 << 20
_HEADER_STOPS = re.compile(rb'["\r\n]')


def read_csv(stream: IO[bytes], file: str, source: Source, warnings: list[str], block: int = BLOCK) -> Iterator[Batch]:
    """Yields a file's rows in order, one batch at least. Adds what is worth saying to ``warnings``.

    Raises SourceError for what is no CSV in UTF-8.
    """
    delimiter = source.delimiter.encode()
    if len(delimiter) != 1:
        raise ConfigError(f"sources.{source.name}.delimiter must be an ASCII character, not {source.delimiter!r}")
    pieces = blocks(stream, file, block)
    header, rest, classic = _take_header(pieces, file)
    names = _names(header, file, source)
    table = _Table(file, names, Dialect(delimiter[0], len(names), classic))
    if nameless := names.count(""):
        warnings.append(f"{file}: {nameless} column(s) without a name in the header are left out")
    yield table.batch(Records(b"", 0, 0, 0))
    for piece in chain(pieces, (None,)):
        data = rest + (piece or b"")
        if piece is None and data and not data.endswith((b"\n", b"\r") if classic else b"\n"):
            warnings.append(f"{file} has no line end after its last row: was it cut?")
            data += b"\n"
        consumed, batch = table.parse(data)
        if batch is not None:
            yield batch
        rest = data[consumed:]
        if (piece is None and rest) or len(rest) > MAX_RECORD:
            raise _endless(rest, f"{file} row {table.row + 1}")
    if not table.row:
        warnings.append(f"{file} has a header and no rows")


class _Table:
    """One file on its way from bytes to frames: its header, and how many rows came before."""

    def __init__(self, file: str, names: list[str], dialect: Dialect) -> None:
        self.file, self.dialect, self.row = file, dialect, 0
        # By position, as Polars takes some names for patterns: ^a$ and * are columns too.
        self.schema = {str(at): pl.String() for at in range(len(names))}
        self.names = {str(at): name for at, name in enumerate(names) if name}

    def parse(self, data: bytes) -> tuple[int, Batch | None]:
        """(bytes used up, their rows). None when no row ends in these bytes."""
        if 0 in data:
            raise self._refuse(data, data.index(0), "holds a NUL byte", "the file is damaged, or no text")
        records = split_quickly(data, self.dialect)
        batch = None
        if records is not None:
            try:
                batch = self.batch(records)
            except pl.exceptions.PolarsError:
                records = None  # a long row that made up for a short one, or no UTF-8
        if records is None:
            records = split(data, self.dialect)
            if not records.found:
                return records.consumed, None
            try:
                batch = self.batch(records)
            except pl.exceptions.PolarsError as exc:
                raise self._explain(records) from exc
        self.row += records.found
        return records.consumed, batch

    def batch(self, records: Records) -> Batch:
        clean = records.clean
        if clean.startswith(UTF8_MARK):  # of a value; the parser takes one away as the mark of a file
            clean = UTF8_MARK + clean
        frame = pl.read_csv(
            clean, separator=chr(self.dialect.delimiter), has_header=False, schema=self.schema,
            infer_schema=False, raise_if_empty=False,
        )  # fmt: skip
        if frame.height != records.count:
            raise AssertionError(f"{self.file}: {records.count} rows became {frame.height}")
        return Batch(
            file=self.file,
            frame=frame.select(list(self.names)).rename(self.names),
            first=self.row + 1,
            rows=None if records.rows is None else records.rows + np.uint32(self.row + 1),
            broken=tuple(row.moved(self.row + 1) for row in records.broken),
            broken_count=records.broken_count,
        )

    def _explain(self, records: Records) -> SourceError:
        try:
            records.clean.decode("utf-8")
        except UnicodeDecodeError as exc:
            byte = records.clean[exc.start]
            return self._refuse(
                records.clean, exc.start, f"is not UTF-8: byte 0x{byte:02x}",
                "save it as UTF-8, for example: iconv -f LATIN1 -t UTF-8", records,
            )  # fmt: skip
        return SourceError("can't be read as CSV", where=self.file)

    def _refuse(self, data: bytes, at: int, message: str, hint: str, records: Records | None = None) -> SourceError:
        """Names the row that holds a byte."""
        found = split(data[:at], self.dialect).found
        if records is not None and records.rows is not None:
            found = int(records.rows[found])
        return SourceError(message, where=f"{self.file} row {self.row + found + 1}", hint=hint)


def _endless(rest: bytes, where: str) -> SourceError:
    if b'"' not in rest:
        return SourceError(f"is longer than {MAX_RECORD >> 20} MiB", where=where, hint="is this a CSV file at all?")
    return SourceError(
        "a quoted field begins here and never ends",
        where=where,
        hint='close the quote, or double it where it stands for itself ("")',
    )


def _take_header(pieces: Iterator[bytes], file: str) -> tuple[bytes, bytes, bool]:
    """(the first line that is not empty, the bytes after it, whether lines end in a lone CR)."""
    data = b""
    for piece in pieces:
        data = (data + piece).lstrip(b"\r\n")
        end = _line_end(data)
        if end is not None and not data.endswith(b"\r"):  # the LF of a CRLF may stand in the next piece
            return _cut(data, end)
        if len(data) > MAX_RECORD:
            break
    end = _line_end(data)
    if end is not None:
        return _cut(data, end)
    if b'"' in data:
        raise SourceError("a quote in the header is never closed", where=file)
    return data, b"", False


def _line_end(data: bytes) -> int | None:
    quoted = False
    for found in _HEADER_STOPS.finditer(data):
        if found[0] == b'"':
            quoted = not quoted
        elif not quoted:
            return found.start()
    return None


def _cut(data: bytes, end: int) -> tuple[bytes, bytes, bool]:
    crlf = data.startswith(b"\r\n", end)
    return data[:end], data[end + 1 + crlf :], data[end] == ord("\r") and not crlf


def _names(header: bytes, file: str, source: Source) -> list[str]:
    """The columns' names; empty for those without one."""
    if not header:
        raise SourceError("is empty: it has no header", where=file)
    if 0 in header:
        raise SourceError("the header holds a NUL byte", where=file, hint="the file is damaged, or no text")
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise SourceError(
            f"the header is not UTF-8: byte 0x{header[exc.start]:02x}", where=file,
            hint="save it as UTF-8, for example: iconv -f LATIN1 -t UTF-8",
        ) from exc  # fmt: skip
    try:
        names = next(csv.reader([text], delimiter=source.delimiter))
    except csv.Error as exc:
        raise SourceError(f"the header can't be read: {exc}", where=file) from exc
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=file)
    if len(names) == 1:
        _refuse_other_delimiter(names[0], file, source)
    for name, count in Counter(names).items():
        if name and count > 1:
            raise SourceError(f"the header names {name!r} {count} times", where=file, hint="rename all but one")
    return names


def _refuse_other_delimiter(name: str, file: str, source: Source) -> None:
    for other in (";", "\t", "|", ","):
        if other in name:
            shown = "\\t" if other == "\t" else other
            raise SourceError(
                f"the header is a single column {name[:80]!r}", where=file,
                hint=f'add delimiter = "{shown}" to [sources.{source.name}]',
            )  # fmt: skip
