"""Reading CSV: bytes to batches of text columns, each row proved to have its header's fields.

The one reader of sources and labels. `records` decides what a row is; Polars only cuts well-formed rows into columns.
An unquoted empty field is null, ``""`` the empty string, and nothing is trimmed.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO

import numpy as np
import polars as pl

from featurestore.errors import SourceError
from featurestore.tables.batch import MAX_COLUMNS, Batch
from featurestore.tables.blocks import UTF8_MARK, ends_with_line, read_blocks
from featurestore.tables.records import Dialect, Records, split, split_quickly

BLOCK = 32 << 20
# Without a limit a quote that is never closed would take the rest of the file into memory.
MAX_RECORD = 64 << 20
_MOST_HEADER = 1 << 20  # of a file that is read from where it ended
_QUOTE_HINT = "a field that holds a comma, a quote or a line break must be in double quotes, a quote in it doubled"
_HEADER_STOPS = re.compile(rb'["\r\n]')


def read_csv(
    stream: IO[bytes],
    name: str,
    report: Callable[[str], None],
    *,
    delimiter: str = ",",
    strict: bool = False,
    delimiter_hint: str | None = None,
    block_size: int = BLOCK,
) -> Iterator[Batch]:
    """Yields the rows of a stream that can seek, in order, one batch at least; warnings go to ``report``.

    A row that is not well formed is listed as unreadable; with ``strict`` it is an error, and every column and every
    character is read: nameless columns and NUL too. ``delimiter_hint`` (with ``{}``) is the way out where the header
    is a single column that holds another delimiter; None takes such a header. Raises SourceError for what is not CSV
    in UTF-8.
    """
    blocks = read_blocks(stream, name, block_size)
    header, rest, classic = _take_header(blocks, name)
    columns = _names(header, name, delimiter, strict=strict)
    if len(columns) == 1 and delimiter_hint is not None:
        _refuse_other_delimiter(columns[0], name, delimiter_hint)
    table = _File(name, columns, Dialect(ord(delimiter), len(columns), classic), strict=strict)
    if (nameless := columns.count("")) and not strict:
        report(f"{name}: {nameless} column(s) without a name in the header are left out")
    yield table.batch(Records(b"", 0, 0, 0))
    for block in chain(blocks, (None,)):
        data = rest + (block or b"")
        if block is None and data and not data.endswith((b"\n", b"\r") if classic else b"\n"):
            report(f"{name} has no line end after its last row: was it cut?")
            data += b"\n"
        consumed, batch = table.parse(data)
        if batch is not None:
            yield batch
        rest = data[consumed:]
        if (block is None and rest) or len(rest) > MAX_RECORD:
            raise _endless(rest, f"{name} row {table.row + 1}")
    if not table.row:
        report(f"{name} has a header and no rows")


def header_before(stream: IO[bytes], size: int) -> bytes | None:
    """The header line, for rows that are read alone: those after the first ``size`` bytes of a file, all of it rows.

    None where these bytes do not end with a line end, or lines end in a lone CR.
    """
    if not ends_with_line(stream, size):
        return None
    stream.seek(0)
    first = stream.read(min(size, _MOST_HEADER)).removeprefix(UTF8_MARK).lstrip(b"\r\n")
    end = _line_end(first)
    if end is None:
        return None
    header, _, classic = _cut(first, end)
    return None if classic else header + b"\n"


class _File:
    """One file on its way from bytes to frames: its header, and how many rows came before."""

    def __init__(self, name: str, names: list[str], dialect: Dialect, *, strict: bool) -> None:
        self.name, self.dialect, self.row, self.strict = name, dialect, 0, strict
        # By position, as Polars takes some names for patterns: ^a$ and * are columns too.
        self.schema = {str(at): pl.String() for at in range(len(names))}
        self.names = {str(at): name for at, name in enumerate(names) if name or strict}

    def parse(self, data: bytes) -> tuple[int, Batch | None]:
        """(bytes used up, their rows). None when no row ends in these bytes."""
        if 0 in data and not self.strict:
            raise self._refuse(data, data.index(0), "holds a NUL byte", "the file is damaged, or not text")
        records = split_quickly(data, self.dialect)
        batch = None
        if records is not None:
            try:
                batch = self.batch(records)
            except pl.exceptions.PolarsError:
                records = None  # a long row that made up for a short one, or no UTF-8
        if records is None:
            records = split(data, self.dialect)
            if not records.total:
                return records.consumed, None
            if self.strict and records.unreadable:
                first = records.unreadable[0]
                raise SourceError(first.reason, where=f"{self.name} row {self.row + first.row + 1}", hint=_QUOTE_HINT)
            try:
                batch = self.batch(records)
            except pl.exceptions.PolarsError as exc:
                raise self._explain(records) from exc
        self.row += records.total
        return records.consumed, batch

    def batch(self, records: Records) -> Batch:
        clean = records.clean
        if clean.startswith(UTF8_MARK):  # of a value; the parser takes one away as the mark of a file
            clean = UTF8_MARK + clean
        frame = pl.read_csv(
            clean, separator=chr(self.dialect.delimiter), has_header=False, schema=self.schema,
            infer_schema=False, raise_if_empty=False,
        )  # fmt: skip
        # Were Polars to cut otherwise than `records`, values would come under other rows' numbers.
        if frame.height != records.count:
            raise AssertionError(f"{self.name}: {records.count} rows became {frame.height}")
        return Batch(
            origin=self.name,
            frame=frame.select(list(self.names)).rename(self.names),
            first=self.row + 1,
            rows=None if records.rows is None else records.rows + np.uint32(self.row + 1),
            unreadable=tuple(row.moved(self.row + 1) for row in records.unreadable),
            unreadable_count=records.unreadable_count,
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
        return SourceError("can't be read as CSV", where=self.name)

    def _refuse(self, data: bytes, at: int, message: str, hint: str, records: Records | None = None) -> SourceError:
        """Names the row that holds a byte."""
        found = split(data[:at], self.dialect).total
        if records is not None and records.rows is not None:
            found = int(records.rows[found])
        return SourceError(message, where=f"{self.name} row {self.row + found + 1}", hint=hint)


def _endless(rest: bytes, where: str) -> SourceError:
    if b'"' not in rest:
        return SourceError(f"is longer than {MAX_RECORD >> 20} MiB", where=where, hint="is this a CSV file at all?")
    return SourceError(
        "a quoted field begins here and never ends",
        where=where,
        hint='close the quote, or double it where it is part of the text ("")',
    )


def _take_header(blocks: Iterator[bytes], name: str) -> tuple[bytes, bytes, bool]:
    """(the first line that is not empty, the bytes after it, whether lines end in a lone CR)."""
    data = b""
    for block in blocks:
        data = (data + block).lstrip(b"\r\n")
        end = _line_end(data)
        if end is not None and not data.endswith(b"\r"):  # the LF of a CRLF may be in the next block
            return _cut(data, end)
        if len(data) > MAX_RECORD:
            break
    end = _line_end(data)
    if end is not None:
        return _cut(data, end)
    if b'"' in data:
        raise SourceError("a quote in the header is never closed", where=name)
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


def _names(header: bytes, name: str, delimiter: str, *, strict: bool) -> list[str]:
    """The columns' names; empty for those without one."""
    if not header:
        raise SourceError("is empty: it has no header", where=name)
    if 0 in header:
        raise SourceError("the header holds a NUL byte", where=name, hint="the file is damaged, or not text")
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise SourceError(
            f"the header is not UTF-8: byte 0x{header[exc.start]:02x}", where=name,
            hint="save it as UTF-8, for example: iconv -f LATIN1 -t UTF-8",
        ) from exc  # fmt: skip
    try:
        names = next(csv.reader([text], delimiter=delimiter))
    except csv.Error as exc:
        raise SourceError(f"the header can't be read: {exc}", where=name) from exc
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=name)
    for column, count in Counter(names).items():
        if count > 1 and (column or strict):
            raise SourceError(f"the header names {column!r} {count} times", where=name, hint="rename all but one")
    return names


def _refuse_other_delimiter(column: str, name: str, hint: str) -> None:
    for other in (";", "\t", "|", ","):
        if other in column:
            shown = "\\t" if other == "\t" else other
            raise SourceError(f"the header is a single column {column[:80]!r}", where=name, hint=hint.format(shown))
