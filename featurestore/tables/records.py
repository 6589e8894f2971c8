"""The shape of CSV bytes: where records begin and end, and which of them have the right number of fields.

RFC 4180 with what real files need: a quote opens a field only at its beginning, a doubled one inside stands for
itself, and one anywhere else makes the record unreadable, since it shows that a quote or a delimiter was lost; records
end with LF, CRLF, or, in a file whose header does, a lone CR; empty lines are not records. Fast parsers guess at
anything else, so the parser that cuts records into columns is given only what was proved well formed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from featurestore.frozen import frozen
from featurestore.tables.batch import MAX_REJECTED, Mask, Rows, UnreadableRow

LF, CR = 10, 13
_SINGLE_QUOTES = re.compile(r"(?:^|[^A-Za-z0-9 ])'[^']*'(?:$|[^A-Za-z0-9 ])")
_COUNTED_AT_ONCE = 1 << 18  # in pieces that stay in the cache counting is three times as fast

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


@frozen
class Shape:
    """How the bytes of one file are cut: its delimiter, its number of fields, and whether a lone CR ends a line.

    ``quote`` None means that no byte is a quote. ``header`` are the bytes of the header, which is no row again.
    ``nul`` says that a NUL byte is a character like any other; else the record that holds one is unreadable.
    """

    delimiter: int
    fields: int
    classic: bool = False
    quote: int | None = ord('"')
    header: bytes = b""
    nul: bool = False


@frozen
class Records:
    """The records of some bytes: ``total`` of them, of which ``clean`` holds ``count``, all well formed.

    ``rows`` gives the numbers, from 0, of those in ``clean``; None where none is left out. ``consumed`` bytes were
    complete records; what follows belongs to the next call. ``doubtful`` are the numbers of well-formed records that
    may be several: a quoted field in them runs over line ends, and one of its lines has the delimiters of a record.
    """

    clean: bytes
    count: int
    total: int
    consumed: int
    rows: Rows | None = None
    unreadable: tuple[UnreadableRow, ...] = ()
    unreadable_count: int = 0
    doubtful: tuple[int, ...] = ()


def split_quickly(data: bytes, shape: Shape) -> Records | None:
    """The common case by counting alone: no quotes, and as many delimiters as the records should have.

    A long record may hide a short one in the sum; the parser refuses long ones, so the two together prove the shape.
    None where `split` has to look closer.
    """
    if shape.fields == 1 or shape.classic or (shape.quote is not None and shape.quote in data):
        return None
    if (shape.header and shape.header in data) or (not shape.nul and 0 in data):
        return None
    part = data[: data.rfind(b"\n") + 1]
    array = np.frombuffer(part, np.uint8)
    count = _count(array, LF)
    if _count(array, shape.delimiter) != count * (shape.fields - 1):
        return None
    if b"\r" in part and len(_stray_returns(array)):
        return None
    return Records(part, count, count, len(part))


def split(data: bytes, shape: Shape) -> Records:
    """Cuts bytes that begin at a record into records, up to the last line end outside quotes."""
    array = np.frombuffer(data, np.uint8)
    marks, stray = _quotes(array, shape)
    inside = _between(marks, len(array))
    if shape.classic:
        array = array.copy()
        array[(array == CR) & ~inside] = LF
        data = array.tobytes()
    ends = np.flatnonzero((array == LF) & ~inside)
    consumed = int(ends[-1]) + 1 if len(ends) else 0
    starts = np.concatenate((ends[:0], [0], ends[:-1] + 1))[: len(ends)]
    blank = (ends == starts) | ((ends == starts + 1) & (array[starts] == CR))
    starts, ends = starts[~blank], ends[~blank]
    returns = _stray_returns(array)
    delimiters = array == shape.delimiter
    records = _Split(data, starts, ends, delimiters & ~inside, shape)
    doubtful = _doubtful(array, inside, delimiters & inside, shape)
    return records.checked(stray, returns[~inside[returns]], doubtful[doubtful < consumed], consumed)


def _doubtful(array: Bytes, inside: Mask, delimiters: Mask, shape: Shape) -> Positions:
    """Line ends inside quoted fields next to a line that has the delimiters of a whole record inside the quotes.

    With two columns nothing is to be seen: "London, UK" is a line of an address.
    """
    line_ends = np.flatnonzero((array == LF) & inside)
    if shape.fields < 3 or not len(line_ends):
        return line_ends[:0]
    all_ends = np.flatnonzero(array == LF)
    at = np.searchsorted(all_ends, line_ends)
    before = np.where(at > 0, all_ends[at - 1] + 1, 0)
    after = np.append(all_ends, len(array))[at + 1]
    places = np.flatnonzero(delimiters)
    counts = [
        np.searchsorted(places, stop) - np.searchsorted(places, start)
        for start, stop in ((before, line_ends), (line_ends, after))
    ]
    found: Positions = line_ends[(counts[0] == shape.fields - 1) | (counts[1] == shape.fields - 1)]
    return found


def without_comments(data: bytes, comment: int, quote: int | None) -> bytes:
    """Bytes that begin at a record, with line ends in place of whole lines that begin with ``comment``.

    A line inside a quoted field is not a comment.
    """
    mark = re.escape(bytes([comment]))
    if quote is None or quote not in data:
        return re.sub(rb"(?m)^%s[^\n]*\n" % mark, _as_line_ends, data)
    stop = re.escape(bytes([quote]))
    # A comment, a quoted field, or what is neither: in this order, from one line or field to the next.
    token = re.compile(rb"(?m)(^%s[^\n]*\n)|%s[^%s]*(?:%s%s[^%s]*)*(?:%s|\Z)|[^%s\n]+|\n" % (mark, *(stop,) * 7))
    return token.sub(lambda found: _as_line_ends(found) if found[1] is not None else found[0], data)


def _as_line_ends(found: re.Match[bytes]) -> bytes:
    return b"\n" * len(found[0])


def _count(array: Bytes, byte: int) -> int:
    pieces = range(0, len(array), _COUNTED_AT_ONCE)
    return sum(int(np.count_nonzero(array[at : at + _COUNTED_AT_ONCE] == byte)) for at in pieces)


def _stray_returns(array: Bytes) -> Positions:
    """Carriage returns that are not part of a CRLF."""
    at = np.flatnonzero(array == CR)
    found: Positions = at[array[np.minimum(at + 1, len(array) - 1)] != LF]
    return found


def _between(marks: Positions, count: int) -> Mask:
    """Which bytes are between an opening quote and its closing one."""
    alternating = np.zeros(len(marks) + 1, np.bool_)
    alternating[1::2] = True
    inside: Mask = np.repeat(alternating, np.diff(marks, prepend=0, append=count))
    return inside


def _quotes(array: Bytes, shape: Shape) -> tuple[Positions, Positions]:
    """(quotes that open and close fields in turn, quotes where none should be).

    Where all are where RFC 4180 has them, opening and closing alternate, which is checked for all at once: the first
    of a doubled pair closes, the second opens again.
    """
    if shape.quote is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.flatnonzero(array == shape.quote)
    opens, closes = at[0::2], at[1::2]
    before = array[opens - 1]
    before[: 1 if len(at) and at[0] == 0 else 0] = LF
    if ((before == shape.quote) | _is_boundary(before, shape)).all():
        after = array[np.minimum(closes + 1, len(array) - 1)]
        ends = (after == shape.quote) | _is_boundary(after, shape)
        if ends.all() or (ends | _before_line_end(array, closes)).all():
            return at, at[:0]
    return _walk(array, at, shape)


def _is_boundary(array: Bytes, shape: Shape) -> Mask:
    found: Mask = (array == shape.delimiter) | (array == LF)
    return found | (array == CR) if shape.classic else found


def _before_line_end(array: Bytes, at: Positions) -> Mask:
    """Whether a CRLF follows, or the bytes end before one could."""
    last = len(array) - 1
    crlf = (array[np.minimum(at + 1, last)] == CR) & (array[np.minimum(at + 2, last)] == LF)
    found: Mask = crlf | (at >= last - 1)
    return found


def _walk(array: Bytes, at: Positions, shape: Shape) -> tuple[Positions, Positions]:
    """The same, quote by quote. One that closes a field before its end is stray too, and ends it all the same."""
    begins = _is_boundary(array[at - 1], shape) | (at == 0)
    ends = _is_boundary(array[np.minimum(at + 1, len(array) - 1)], shape) | _before_line_end(array, at)
    doubled = np.append(at[1:] == at[:-1] + 1, [False])
    marks: list[int] = []
    stray: list[int] = []
    is_open = skip = False
    for position, begin, end, double in zip(at.tolist(), begins.tolist(), ends.tolist(), doubled.tolist(), strict=True):
        if skip:
            skip = False
        elif not is_open:
            (marks if begin else stray).append(position)
            is_open = begin
        elif double:
            skip = True
        else:
            marks.append(position)
            is_open = False
            if not end:
                stray.append(position)
    return np.array(marks, np.int64), np.array(stray, np.int64)


class _Split:
    """The records between line ends, some of which may not be well formed."""

    def __init__(self, data: bytes, starts: Positions, ends: Positions, delimiters: Mask, shape: Shape) -> None:
        self.data, self.starts, self.ends, self.shape = data, starts, ends, shape
        self.delimiters = np.flatnonzero(delimiters)
        self.first_delimiter = np.searchsorted(self.delimiters, starts)
        self.fields = np.searchsorted(self.delimiters, ends) - self.first_delimiter + 1

    def checked(self, quotes: Positions, returns: Positions, doubtful: Positions, consumed: int) -> Records:
        """The good ones and the reasons of the others, given stray quotes, stray carriage returns, and doubtful ends.

        Of a broken record that runs over line ends each line is a row: a quote too many made one of several.
        """
        broken = {
            index: self._shape_reason(index) for index in np.flatnonzero(self.fields != self.shape.fields).tolist()
        }
        for index in self._holding(returns, consumed):
            broken.setdefault(index, "has a carriage return outside quotes")
        for index in self._holding(quotes, consumed):
            broken.setdefault(index, self._quote_reason(index))
        for index in self._holding(self._nul_bytes(), consumed):
            broken.setdefault(index, "holds a NUL byte")
        for index in self._repeats_of_header():
            broken.setdefault(index, "is the header again")
        further = np.zeros(len(self.starts) + 1, np.int64)
        for index in broken:
            further[index + 1] = self._line_ends(index)
        shift = np.cumsum(further)
        good = np.ones(len(self.starts), np.bool_)
        good[list(broken)] = False
        rows = np.flatnonzero(good)
        unreadable: list[UnreadableRow] = []
        for index, reason in sorted(broken.items())[:MAX_REJECTED]:
            unreadable += self._unreadable(index, int(shift[index]), reason, int(further[index + 1]))
        held = (index for index in self._holding(doubtful, consumed) if index not in broken)
        return Records(
            clean=self._join(~good),
            count=len(rows),
            total=len(self.starts) + int(shift[-1]),
            consumed=consumed,
            rows=(rows + shift[rows]).astype(np.uint32) if broken else None,
            unreadable=tuple(unreadable[:MAX_REJECTED]),
            unreadable_count=len(broken) + int(shift[-1]),
            doubtful=tuple(index + int(shift[index]) for index in held),
        )

    def _unreadable(self, index: int, shift: int, reason: str, further: int) -> Iterator[UnreadableRow]:
        """A broken record, line by line."""
        lines = self._text(index).split("\n")
        if further:
            reason += f", and a quoted field in it runs over {further + 1} lines: is a quote missing, or one too many?"
        yield UnreadableRow(index + shift, reason, lines[0])
        for at in range(1, further + 1):
            inner = "is inside a quoted field that begins in an earlier row and does not end well"
            yield UnreadableRow(index + shift + at, inner, lines[at] if at < len(lines) else "")

    def _line_ends(self, index: int) -> int:
        return self.data.count(b"\n", int(self.starts[index]), int(self.ends[index]))

    def _nul_bytes(self) -> Positions:
        if self.shape.nul or 0 not in self.data:
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.frombuffer(self.data, np.uint8) == 0)

    def _repeats_of_header(self) -> list[int]:
        """The records that are the header's bytes once more, as where files were put together."""
        header = self.shape.header
        if not header or header not in self.data:
            return []
        alike = np.flatnonzero(np.abs(self.ends - self.starts - len(header)) <= 1).tolist()
        return [index for index in alike if self.data[self.starts[index] : self.ends[index]].rstrip(b"\r") == header]

    def _holding(self, positions: Positions, consumed: int) -> list[int]:
        """The records that some bytes belong to."""
        found = np.searchsorted(self.starts, positions[positions < consumed], side="right") - 1
        return list(dict.fromkeys(found.tolist()))

    def _quote_reason(self, index: int) -> str:
        """What is wrong with a record that has a quote where none should be."""
        start, end = int(self.starts[index]), int(self.ends[index])
        first = int(self.first_delimiter[index])
        cuts = self.delimiters[first : first + int(self.fields[index]) - 1].tolist()
        quote = bytes([self.shape.quote or 0])
        for left, right in pairwise([start - 1, *cuts, end]):
            field = self.data[left + 1 : right]
            if quote in field and not field.startswith(quote):
                return 'has a quote inside a field that does not begin with one; if it is text: quote = ""'
        return "has text after a closing quote"

    def _join(self, left_out: Mask) -> bytes:
        """The good records, as long runs of the original bytes."""
        breaks = left_out[1:] | left_out[:-1] | (self.starts[1:] != self.ends[:-1] + 1)
        cuts = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(self.starts)]
        parts = []
        for first, stop in pairwise(cuts):
            if first < stop and not left_out[first]:
                parts.append(self.data[int(self.starts[first]) : int(self.ends[stop - 1]) + 1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _shape_reason(self, index: int) -> str:
        count = int(self.fields[index])
        reason = f"has {count} {'field' if count == 1 else 'fields'} where the header has {self.shape.fields}"
        text = self._text(index)
        if text.startswith(("#", "%")) and count < self.shape.fields:
            return f'{reason}; if it is a comment: comment = "{text[0]}"'
        if count > self.shape.fields and _SINGLE_QUOTES.search(text):
            return f'{reason}; if fields are in single quotes: quote = "\'"'
        return reason

    def _text(self, index: int) -> str:
        start, end = int(self.starts[index]), int(self.ends[index])
        return self.data[start : min(end, start + 1_000)].decode("utf-8", "replace").removesuffix("\r")
