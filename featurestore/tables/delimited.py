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
from typing import IO, TypeAlias

import numpy as np
import polars as pl

from featurestore.dialect import STANDARD, Dialect
from featurestore.errors import SourceError, plural
from featurestore.tables.batch import MAX_COLUMNS, Batch
from featurestore.tables.blocks import BLOCK, MAX_LINE, UTF8_MARK, ends_with_line, read_blocks
from featurestore.tables.records import Records, Shape, split, split_quickly, without_comments

# Without a limit a quote that is never closed would take the rest of the file into memory.
_MOST_HEADER = 1 << 20  # of a file that is read from where it ended
_MARKS = re.compile(rb"(?:\A|(?<=[\r\n]))(?:\xef\xbb\xbf)+")
_QUOTE_HINT = "a field that holds a comma, a quote or a line break must be in double quotes, a quote in it doubled"
_ENCODING_HINT = "save it as UTF-8, for example: iconv -f {} -t UTF-8"

Hint: TypeAlias = Callable[[str, str], "str | None"]
"""The way out by a setting and a value of it, in words; None where the caller's face does not have the setting."""


def no_hint(_setting: str, _value: str) -> None:
    """For a caller whose face has no settings."""


def read_csv(
    stream: IO[bytes],
    name: str,
    report: Callable[[str], None],
    *,
    dialect: Dialect = STANDARD,
    strict: bool = False,
    hint: Hint = no_hint,
    block_size: int = BLOCK,
) -> Iterator[Batch]:
    """Yields the rows of a stream that can seek, in order, one batch at least; warnings go to ``report``.

    A row that is not well formed is listed as unreadable; with ``strict`` it is an error, and every column and every
    character is read: nameless columns and NUL too. Words for null are left as they are. ``hint`` gives the ways out
    that a setting would be. Raises SourceError for what is not CSV in the dialect.
    """
    blocks = read_blocks(stream, name, block_size, dialect.encoding, report)
    header, rest, classic = _take_header(blocks, name, dialect)
    columns = _names(header, name, dialect, hint, strict=strict)
    if len(columns) == 1:
        _refuse_other_delimiter(columns[0] if dialect.header else header.decode("utf-8", "replace"), name, hint)
    shape = _shape(header, len(columns), dialect, classic=classic, nul=strict)
    table = _File(name, columns, shape, dialect, hint, strict=strict)
    if (nameless := columns.count("")) and not strict:
        if nameless == len(columns):
            way = hint("skip_rows", "1") or "leave out the lines before the header"
            raise SourceError("the header names no column", where=name, hint=way)
        report(f"{name}: left out: {plural(nameless, 'column')} without a name in the header")
    empty, tail = True, b""
    for block in chain(blocks, (None,)):
        # Up to its last line end, so that rows are not copied once more to part them from one that is cut off.
        end = 0 if block is None else block.rfind(b"\n") + 1 or len(block)
        data = table.without_marks(b"".join((rest, tail, memoryview(block or b"")[:end])))
        tail = (block or b"")[end:]
        if block is None and data and not data.endswith((b"\n", b"\r") if classic else b"\n"):
            report(f"{name} has no line end after its last row: was it cut?")
            data += b"\n"
        consumed, batch = table.parse(data)
        if batch is not None:
            yield batch
            empty = False
        rest = data[consumed:]
        if (block is None and rest) or len(rest) > MAX_LINE:
            raise _endless(rest, f"{name} row {table.row + 1}", dialect.quote, at_end=block is None)
    if empty:
        yield table.batch(Records(b"", 0, 0, 0))
    table.report(report)


def _shape(header: bytes, fields: int, dialect: Dialect, *, classic: bool, nul: bool) -> Shape:
    quote = None if dialect.quote is None else ord(dialect.quote)
    again = header if dialect.header and fields > 1 else b""
    return Shape(ord(dialect.delimiter), fields, classic, quote, again, nul)


def header_before(stream: IO[bytes], size: int, dialect: Dialect = STANDARD) -> bytes | None:
    """The header line, for rows that are read alone: those after the first ``size`` bytes of a file, all of it rows.

    None where these bytes do not end with a line end, lines end in a lone CR, or the file does not begin with a header
    in UTF-8.
    """
    plain = dialect.encoding == "utf-8" and dialect.quote == '"' and dialect.header
    if not plain or dialect.skip_rows or dialect.comment is not None or not ends_with_line(stream, size):
        return None
    stream.seek(0)
    first = stream.read(min(size, _MOST_HEADER)).removeprefix(UTF8_MARK).lstrip(b"\r\n")
    end = _line_end(first, _header_stops(dialect.quote))
    if end is None:
        return None
    header, _, classic = _cut(first, end, dialect)
    return None if classic else header + b"\n"


class _File:
    """One file on its way from bytes to frames: its header, and how many rows came before."""

    def __init__(
        self, name: str, names: list[str], shape: Shape, dialect: Dialect, hint: Hint, *, strict: bool
    ) -> None:
        self.name, self.shape, self.row, self.strict, self.hint = name, shape, 0, strict, hint
        self.comment = None if dialect.comment is None else ord(dialect.comment)
        self.doubtful: list[int] = []
        self.marks = 0
        # By position, as Polars takes some names for patterns: ^a$ and * are columns too.
        self.schema = {str(at): pl.String() for at in range(len(names))}
        self.names = {str(at): name for at, name in enumerate(names) if name or strict}

    def without_marks(self, data: bytes) -> bytes:
        """Rows without the mark of UTF-8 in front of them, which files that were put together have in their middle."""
        # One byte is looked for in a tenth of the time, and hardly any text has it: it begins what is beyond U+F000.
        if self.strict or UTF8_MARK[:1] not in data or UTF8_MARK not in data:
            return data
        data, found = _MARKS.subn(b"", data)
        self.marks += found
        return data

    def parse(self, data: bytes) -> tuple[int, Batch | None]:
        """(bytes used up, their rows). None when no row ends in these bytes."""
        if self.comment is not None:
            data = without_comments(data, self.comment, self.shape.quote)
        records = split_quickly(data, self.shape)
        batch = None
        if records is not None:
            try:
                batch = self.batch(records)
            except pl.exceptions.PolarsError:
                records = None  # a long row that made up for a short one, or no UTF-8
        if records is None:
            records = split(data, self.shape)
            if not records.total:
                return records.consumed, None
            if self.strict and records.unreadable:
                first = records.unreadable[0]
                title = self.hint("skip_rows", "1") if self.shape.fields == 1 else None
                hint = _QUOTE_HINT if title is None else f"if the first line is no part of the table, {title}"
                raise SourceError(first.reason, where=f"{self.name} row {self.row + first.row + 1}", hint=hint)
            try:
                batch = self.batch(records)
            except pl.exceptions.PolarsError as exc:
                raise self._explain(records) from exc
            self.doubtful += [self.row + at + 1 for at in records.doubtful]
        self.row += records.total
        return records.consumed, batch

    def batch(self, records: Records) -> Batch:
        clean = records.clean
        if clean.startswith(UTF8_MARK):  # of a value; the parser takes one away as the mark of a file
            clean = UTF8_MARK + clean
        frame = pl.read_csv(
            clean, separator=chr(self.shape.delimiter), has_header=False, schema=self.schema,
            infer_schema=False, raise_if_empty=False,
            quote_char=None if self.shape.quote is None else chr(self.shape.quote),
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

    def report(self, report: Callable[[str], None]) -> None:
        """Warns of what is known at the end: no rows, or rows that may be several."""
        if not self.row:
            report(f"{self.name} has a header and no rows")
        if self.marks:
            report(
                f"{self.name}: left out: the mark of UTF-8 that files begin with, in {plural(self.marks, 'row')}: were "
                "files put together?"
            )
        if self.doubtful:
            report(
                f"{self.name}: a line inside a quoted field has the {self.shape.fields} fields of a whole row, in "
                f"{plural(len(self.doubtful), 'row')}, first in row {self.doubtful[0]}: is a quote missing?"
            )

    def _explain(self, records: Records) -> SourceError:
        try:
            records.clean.decode("utf-8")
        except UnicodeDecodeError as exc:
            byte = records.clean[exc.start]
            found = split(records.clean[: exc.start], self.shape).total
            if records.rows is not None:
                found = int(records.rows[found])
            return SourceError(
                f"is not UTF-8: byte 0x{byte:02x}", where=f"{self.name} row {self.row + found + 1}",
                hint=_encoding_hint(records.clean[exc.start : exc.start + 10_000], self.hint),
            )  # fmt: skip
        return SourceError("can't be read as CSV", where=self.name)


def _encoding_hint(data: bytes, hint: Hint) -> str:
    """What to do about bytes that are not UTF-8: mostly they are of Western Europe, by Windows or by Unix."""
    likely = "latin-1" if any(byte in data for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)) else "cp1252"
    return hint("encoding", likely) or _ENCODING_HINT.format(likely.upper().replace("-", ""))


def _endless(rest: bytes, where: str, quote: str | None, *, at_end: bool) -> SourceError:
    if quote is None or quote.encode() not in rest:
        return SourceError(f"is longer than {MAX_LINE >> 20} MiB", where=where, hint="is this a CSV file at all?")
    return SourceError(
        f"a quoted field begins here and {'never ends' if at_end else f'is longer than {MAX_LINE >> 20} MiB'}",
        where=where,
        hint=("" if at_end else "leave such texts out; if it is not meant to be so long, ")
        + f"close the quote, or double it where it is part of the text ({quote * 2})",
    )


def _take_header(blocks: Iterator[bytes], name: str, dialect: Dialect) -> tuple[bytes, bytes, bool]:
    """(the first line that is not empty, the bytes after it, whether lines end in a lone CR).

    Without a header the line is the first row, and is among the bytes after it.
    """
    data, skip = b"", dialect.skip_rows
    stops = _header_stops(dialect.quote)
    for block in blocks:
        data, skip = _skipped(data + block, skip, dialect.comment)
        end = None if skip else _line_end(data, stops)
        if end is not None and not data.endswith(b"\r"):  # the LF of a CRLF may be in the next block
            return _cut(data, end, dialect)
        if len(data) > MAX_LINE:
            break
    end = _line_end(data, stops)
    if end is not None and not skip:
        return _cut(data, end, dialect)
    if skip:
        raise SourceError(f"has fewer than {dialect.skip_rows + 1} lines: skip_rows leaves nothing of it", where=name)
    if dialect.quote is not None and data.count(dialect.quote.encode()) % 2:
        raise SourceError("a quote in the header is never closed", where=name)
    return data, b"" if dialect.header else data, False


def _skipped(data: bytes, lines: int, comment: str | None) -> tuple[bytes, int]:
    """The bytes from the header on, and how many lines have yet to be skipped: as they are, then empty and comments."""
    while lines:
        end = _next_line(data)
        if end is None:
            return data, lines
        data, lines = data[end:], lines - 1
    data = data.lstrip(b"\r\n")
    while comment is not None and data.startswith(comment.encode()):
        end = _next_line(data)
        if end is None:
            break
        data = data[end:].lstrip(b"\r\n")
    return data, 0


def _next_line(data: bytes) -> int | None:
    """Where the second line of some bytes begins; None where the first has no end yet."""
    found = re.search(rb"\r\n|\n|\r(?=[^\n])", data)
    return None if found is None else found.end()


def _header_stops(quote: str | None) -> re.Pattern[bytes]:
    return re.compile(rb"[%s\r\n]" % (b"" if quote is None else re.escape(quote.encode())))


def _line_end(data: bytes, stops: re.Pattern[bytes]) -> int | None:
    quoted = False
    for found in stops.finditer(data):
        if found[0] not in b"\r\n":
            quoted = not quoted
        elif not quoted:
            return found.start()
    return None


def _cut(data: bytes, end: int, dialect: Dialect) -> tuple[bytes, bytes, bool]:
    crlf = data.startswith(b"\r\n", end)
    classic = data[end] == ord("\r") and not crlf
    return data[:end], data[end + 1 + crlf :] if dialect.header else data, classic


def _names(header: bytes, name: str, dialect: Dialect, hint: Hint, *, strict: bool) -> list[str]:
    """The columns' names; empty for those without one."""
    if not header:
        raise SourceError("is empty: it has no header", where=name, hint="name a file with a header and rows")
    if 0 in header:
        raise SourceError("the header holds a NUL byte", where=name, hint="the file is damaged, or not text")
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise SourceError(
            f"the header is not UTF-8: byte 0x{header[exc.start]:02x}", where=name,
            hint=_encoding_hint(header[exc.start :], hint),
        ) from exc  # fmt: skip
    quote = dialect.quote or '"'
    plain = dialect.quote is None
    try:
        names = (
            text.split(dialect.delimiter)
            if plain
            else next(csv.reader([text], delimiter=dialect.delimiter, quotechar=quote))
        )
    except csv.Error as exc:
        raise SourceError(f"the header can't be read: {exc}", where=name) from exc
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=name)
    if not dialect.header:
        return [f"column_{at}" for at in range(1, len(names) + 1)]
    for column, count in Counter(names).items():
        if count > 1 and (column or strict):
            way = "rename all but one"
            if hint("header", "false"):
                way += ", or skip the header (skip_rows = 1, header = false) and name the columns by rename"
            raise SourceError(f"the header names {column!r} {count} times", where=name, hint=way)
    return names


def _refuse_other_delimiter(column: str, name: str, hint: Hint) -> None:
    """Raises SourceError where a single column holds what may be between fields, and the caller can be told so."""
    for other in (";", "\t", "|", ","):
        shown = hint("delimiter", "\\t" if other == "\t" else other) if other in column else None
        if shown:
            raise SourceError(f"the header is a single column {column[:80]!r}", where=name, hint=shown)
