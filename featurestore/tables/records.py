"""The shape of CSV bytes: where records begin and end, and which of them have the right number of fields.

RFC 4180 with what real files need: a quote opens a field only at its beginning, and a doubled one inside stands for
itself; records end with LF, CRLF, or, in a file whose header does, a lone CR; empty lines are not records. Fast
parsers guess at anything else, so the parser that cuts records into columns is given only what was proved well
formed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from featurestore.tables.batch import MAX_REJECTED, Mask, Rows, UnreadableRow

LF, CR, QUOTE = 10, 13, 34
_COUNTED_AT_ONCE = 1 << 18  # in pieces that stay in the cache counting is three times as fast

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the bytes of one file are cut: its delimiter, its number of fields, and whether a lone CR ends a line."""

    delimiter: int
    fields: int
    classic: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """The records of some bytes: ``total`` of them, of which ``clean`` holds ``count``, all well formed.

    ``rows`` gives the numbers, from 0, of those in ``clean``; None where none is left out. ``consumed`` bytes were
    complete records; what follows belongs to the next call.
    """

    clean: bytes
    count: int
    total: int
    consumed: int
    rows: Rows | None = None
    unreadable: tuple[UnreadableRow, ...] = ()
    unreadable_count: int = 0


def split_quickly(data: bytes, dialect: Dialect) -> Records | None:
    """The common case by counting alone: no quotes, and as many delimiters as the records should have.

    A long record may hide a short one in the sum; the parser refuses long ones, so the two together prove the shape.
    None where `split` has to look closer.
    """
    if dialect.fields == 1 or dialect.classic or b'"' in data:
        return None
    part = data[: data.rfind(b"\n") + 1]
    array = np.frombuffer(part, np.uint8)
    count = _count(array, LF)
    if _count(array, dialect.delimiter) != count * (dialect.fields - 1):
        return None
    if b"\r" in part and len(_stray_returns(array)):
        return None
    return Records(part, count, count, len(part))


def split(data: bytes, dialect: Dialect) -> Records:
    """Cuts bytes that begin at a record into records, up to the last line end outside quotes."""
    array = np.frombuffer(data, np.uint8)
    marks, stray = _quotes(array, dialect)
    inside = _between(marks, len(array))
    if dialect.classic:
        array = array.copy()
        array[(array == CR) & ~inside] = LF
        data = array.tobytes()
    ends = np.flatnonzero((array == LF) & ~inside)
    consumed = int(ends[-1]) + 1 if len(ends) else 0
    starts = np.concatenate((ends[:0], [0], ends[:-1] + 1))[: len(ends)]
    blank = (ends == starts) | ((ends == starts + 1) & (array[starts] == CR))
    starts, ends = starts[~blank], ends[~blank]
    returns = _stray_returns(array)
    records = _Split(data, starts, ends, (array == dialect.delimiter) & ~inside, dialect)
    return records.checked(stray, returns[~inside[returns]], consumed)


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


def _quotes(array: Bytes, dialect: Dialect) -> tuple[Positions, Positions]:
    """(quotes that open and close fields in turn, quotes where none should be).

    Where all are where RFC 4180 has them, opening and closing alternate, which is checked for all at once: the first
    of a doubled pair closes, the second opens again.
    """
    at = np.flatnonzero(array == QUOTE)
    opens, closes = at[0::2], at[1::2]
    before = array[opens - 1]
    before[: 1 if len(at) and at[0] == 0 else 0] = LF
    if ((before == QUOTE) | _is_boundary(before, dialect)).all():
        after = array[np.minimum(closes + 1, len(array) - 1)]
        ends = (after == QUOTE) | _is_boundary(after, dialect)
        if ends.all() or (ends | _before_line_end(array, closes)).all():
            return at, at[:0]
    return _walk(array, at, dialect)


def _is_boundary(array: Bytes, dialect: Dialect) -> Mask:
    found: Mask = (array == dialect.delimiter) | (array == LF)
    return found | (array == CR) if dialect.classic else found


def _before_line_end(array: Bytes, at: Positions) -> Mask:
    """Whether a CRLF follows, or the bytes end before one could."""
    last = len(array) - 1
    crlf = (array[np.minimum(at + 1, last)] == CR) & (array[np.minimum(at + 2, last)] == LF)
    found: Mask = crlf | (at >= last - 1)
    return found


def _walk(array: Bytes, at: Positions, dialect: Dialect) -> tuple[Positions, Positions]:
    """The same, quote by quote. One that closes a field before its end is stray too, and ends it all the same."""
    begins = _is_boundary(array[at - 1], dialect) | (at == 0)
    ends = _is_boundary(array[np.minimum(at + 1, len(array) - 1)], dialect) | _before_line_end(array, at)
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

    def __init__(self, data: bytes, starts: Positions, ends: Positions, delimiters: Mask, dialect: Dialect) -> None:
        self.data, self.starts, self.ends, self.dialect = data, starts, ends, dialect
        self.delimiters = np.flatnonzero(delimiters)
        self.first_delimiter = np.searchsorted(self.delimiters, starts)
        self.fields = np.searchsorted(self.delimiters, ends) - self.first_delimiter + 1

    def checked(self, quotes: Positions, returns: Positions, consumed: int) -> Records:
        """The good ones and the reasons of the others, given stray quotes and stray carriage returns."""
        broken = {
            index: self._shape_reason(index) for index in np.flatnonzero(self.fields != self.dialect.fields).tolist()
        }
        for index in self._holding(returns, consumed):
            broken.setdefault(index, "has a carriage return outside quotes")
        rewritten: dict[int, bytes] = {}
        for index in self._holding(quotes, consumed):
            text = None if index in broken else self._rewrite(index)
            if text is None:
                broken.setdefault(index, "has text after a closing quote")
            else:
                rewritten[index] = text
        left_out = np.zeros(len(self.starts), np.bool_)
        left_out[list(broken)] = True
        rows = np.flatnonzero(~left_out).astype(np.uint32)
        return Records(
            clean=self._join(left_out, rewritten),
            count=len(rows),
            total=len(self.starts),
            consumed=consumed,
            rows=rows if broken else None,
            unreadable=tuple(
                UnreadableRow(index, reason, self._text(index))
                for index, reason in sorted(broken.items())[:MAX_REJECTED]
            ),
            unreadable_count=len(broken),
        )

    def _holding(self, positions: Positions, consumed: int) -> list[int]:
        """The records that some bytes belong to."""
        found = np.searchsorted(self.starts, positions[positions < consumed], side="right") - 1
        return list(dict.fromkeys(found.tolist()))

    def _rewrite(self, index: int) -> bytes | None:
        """A record with its stray quotes as every parser reads them; None where text follows a closing quote."""
        start, end = int(self.starts[index]), int(self.ends[index])
        first = int(self.first_delimiter[index])
        cuts = self.delimiters[first : first + int(self.fields[index]) - 1].tolist()
        fields = [self.data[left + 1 : right] for left, right in pairwise([start - 1, *cuts, end])]
        fields[-1] = fields[-1].removesuffix(b"\r")
        for at, field in enumerate(fields):
            if not field.startswith(b'"'):
                if b'"' in field:
                    fields[at] = b'"' + field.replace(b'"', b'""') + b'"'
            elif len(field) < 2 or not field.endswith(b'"') or b'"' in field[1:-1].replace(b'""', b""):
                return None
        return bytes([self.dialect.delimiter]).join(fields)

    def _join(self, left_out: Mask, rewritten: dict[int, bytes]) -> bytes:
        """The good records, as long runs of the original bytes."""
        alone = left_out.copy()
        alone[list(rewritten)] = True
        breaks = alone[1:] | alone[:-1] | (self.starts[1:] != self.ends[:-1] + 1)
        cuts = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(self.starts)]
        parts = []
        for first, stop in pairwise(cuts):
            if first in rewritten:
                parts.append(rewritten[first] + b"\n")
            elif first < stop and not alone[first]:
                parts.append(self.data[int(self.starts[first]) : int(self.ends[stop - 1]) + 1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _shape_reason(self, index: int) -> str:
        count = int(self.fields[index])
        return f"has {count} {'field' if count == 1 else 'fields'} where the header has {self.dialect.fields}"

    def _text(self, index: int) -> str:
        start, end = int(self.starts[index]), int(self.ends[index])
        return self.data[start : min(end, start + 1_000)].decode("utf-8", "replace").removesuffix("\r")
