"""ISO 8601 text to instants, a column at a time: the language that `times` describes.

Columns of times share a few layouts (``2024-01-31T07:05:00.123Z``). All values of a usual layout are read together,
digit by digit; those of a rare one are read by `times.parse_instant`, each text once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.frozen import frozen
from featurestore.tables.batch import Mask
from featurestore.times import MAX_INSTANT, MIN_INSTANT, is_instant_layout, parse_instant

DAY = 86_400_000_000

# A value's layout is its text with every digit written as 0. These are read digit by digit.
_USUAL = re.compile(
    r"0000-00-00(?:[T ](?P<minute>00:00)(?P<second>:00(?:[.,](?P<fraction>0+))?)?"
    r"(?: ?(?P<zone>Z|UTC|[+-]00(?::?00)?))?)?"
)
_SHORTEST, _LONGEST = 10, 64
_BEGINNING = "^ *[0-9]{4}"
_MANY_LENGTHS = 32  # more than the fractions and zones of times make
_LAYOUTS_AT_MOST = 64  # of one length; the others are not times
_ROWS_AT_ONCE = 1 << 14  # turned to columns in pieces that stay in the cache
ZERO = np.uint8(ord("0"))

Ints = npt.NDArray[np.int64]
Characters = npt.NDArray[np.uint8]


@frozen
class ParsedTexts:
    """Microseconds since the epoch by position; ``valid`` is False where the text is null or not a time."""

    micros: Ints
    valid: Mask
    naive: Mask


def parse_column(texts: pl.Series, *, up: bool = False) -> ParsedTexts:
    """Reads a String column; a time without a zone is taken as UTC and marked as naive.

    What is below a microsecond is cut off, or with ``up`` rounded up, so that a row is not known before it was there.
    """
    count = len(texts)
    out = ParsedTexts(np.zeros(count, np.int64), np.zeros(count, bool), np.zeros(count, bool))

    def read(shape: str, characters: Characters, places: Ints) -> None:
        if layout := _USUAL.fullmatch(shape):
            out.micros[places], out.valid[places] = _read_layout(characters, layout, up=up)
            out.naive[places] = layout["zone"] is None
        elif is_instant_layout(shape):
            _read_one_by_one(characters, places, out, up=up)

    if texts.str.len_bytes().n_unique() > _MANY_LENGTHS:  # prose and addresses: each length is looked at by itself
        texts = texts.set(~texts.str.contains(_BEGINNING), None)
    read_layouts(texts, read, shortest=_SHORTEST)
    return out


ReadLayout = Callable[[str, "Characters", "Ints"], None]
"""Takes a layout, the characters of texts that have it, as (length, count), and the texts' positions."""


def read_layouts(texts: pl.Series, read: ReadLayout, *, shortest: int = 1, at_most: int = _LAYOUTS_AT_MOST) -> None:
    """Hands on the texts of a column layout by layout, ``at_most`` of each length."""
    lengths = texts.str.len_bytes().fill_null(0)
    for length in lengths.unique():
        if shortest <= length <= _LONGEST:
            at = (lengths == length).arg_true().to_numpy()
            characters = _characters(texts if len(at) == len(texts) else texts.gather(at), length)
            _read_length(characters, at, read, at_most)


def parse_dates(texts: pl.Series) -> tuple[Ints, Mask]:
    """Days since the epoch of ``YYYY-MM-DD``, and where the text is one."""
    read = parse_column(texts)
    return read.micros // DAY, read.valid & (texts.str.len_bytes().fill_null(0) == _SHORTEST).to_numpy()


def _characters(texts: pl.Series, length: int) -> Characters:
    """Texts of one length as (length, count) bytes: each character position is one run of memory."""
    # In the oldest layout the bytes of all texts follow one another; the newest has views of them.
    joined = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = joined.buffers()
    start = int(np.frombuffer(offsets, np.int64)[joined.offset])
    rows = np.frombuffer(data, np.uint8)[start : start + len(texts) * length].reshape(len(texts), length)
    characters = np.empty((length, len(texts)), np.uint8)
    for at in range(0, len(texts), _ROWS_AT_ONCE):
        characters[:, at : at + _ROWS_AT_ONCE] = rows[at : at + _ROWS_AT_ONCE].T
    return characters


def _read_length(characters: Characters, at: Ints, read: ReadLayout, at_most: int) -> None:
    """Takes the layout of the first value, reads all that share it, and goes on with the rest."""
    for _ in range(at_most):
        if not len(at):
            return
        first = characters[:, 0].tobytes()
        same = np.ones(len(at), bool)
        for position, character in enumerate(first):
            line = characters[position]
            # Unsigned bytes: what comes before "0" wraps round to more than 10.
            same &= (line - ZERO < 10) if chr(character).isdecimal() else (line == character)
        shape = re.sub(rb"[0-9]", b"0", first).decode("latin-1")
        if same.all():
            read(shape, characters, at)
            return
        read(shape, characters[:, same], at[same])
        characters, at = characters[:, ~same], at[~same]


def _read_one_by_one(characters: Characters, places: Ints, out: ParsedTexts, *, up: bool) -> None:
    results: dict[bytes, tuple[int, bool] | None] = {}
    for place, raw in zip(places.tolist(), map(bytes, characters.T), strict=True):
        if raw not in results:
            try:
                results[raw] = parse_instant(raw.decode("ascii"), up=up)
            except ValueError:
                results[raw] = None
        parsed = results[raw]
        if parsed is not None:
            out.micros[place], out.naive[place] = parsed
            out.valid[place] = True


def _read_layout(characters: Characters, layout: re.Match[str], *, up: bool) -> tuple[Ints, Mask]:
    def number(start: int, count: int) -> npt.NDArray[np.int32]:
        return read_number(characters, start, start + count)

    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    days, valid = days_of(year, month, day)
    micros = days * DAY
    if layout["minute"]:
        hour, minute = number(11, 2), number(14, 2)
        valid &= (hour < 24) & (minute < 60)
        micros += (hour * 60 + minute).astype(np.int64) * 60_000_000
    if layout["second"]:
        second = number(17, 2)
        valid &= second < 60
        micros += second * 1_000_000  # below 2**31
    if fraction := layout["fraction"]:
        digits = min(len(fraction), 6)
        micros += number(layout.start("fraction"), digits) * 10 ** (6 - digits)
        if up and len(fraction) > 6:
            micros += (characters[layout.start("fraction") + 6 : layout.end("fraction")] != ZERO).any(axis=0)
    zone = layout["zone"]
    if zone and zone[0] in "+-":
        start = layout.start("zone")
        hours = number(start + 1, 2)
        minutes = number(layout.end("zone") - 2, 2) if len(zone) > 3 else np.zeros_like(hours)
        valid &= (hours < 24) & (minutes < 60)
        offset = (hours * 60 + minutes).astype(np.int64) * 60_000_000
        micros += -offset if zone[0] == "+" else offset
    return micros, valid & (micros >= MIN_INSTANT) & (micros <= MAX_INSTANT)


def read_number(characters: Characters, start: int, stop: int) -> npt.NDArray[np.int32]:
    """The numbers that the digits from ``start`` to ``stop`` are; at most nine."""
    total = np.zeros(characters.shape[1], np.int32)
    for position in range(start, stop):
        total *= 10
        total += characters[position] - ZERO
    return total


def days_of(year: npt.NDArray[np.int32], month: npt.NDArray[np.int32], day: npt.NDArray[np.int32]) -> tuple[Ints, Mask]:
    """Days since the epoch, and where there is such a day."""
    valid = (month >= 1) & (month <= 12) & (day >= 1)
    index = np.where(valid, year * 12 + month - 1, 0)
    starts = _month_starts()
    days: Ints = starts[index] + (day - 1)
    valid &= days < starts[index + 1]
    return days, valid


@cache
def _month_starts() -> Ints:
    """The first day of every month from year 0 to 10000, in days since the epoch."""
    return np.arange("0000-01", "10000-02", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int64)
