"""Times that are not ISO 8601: in a format of their column, or as numbers since 1970."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.dialect import UNITS, TimeFormat
from featurestore.frozen import frozen
from featurestore.tables.batch import Mask
from featurestore.tables.iso8601 import (
    DAY,
    ZERO,
    Characters,
    Ints,
    ParsedTexts,
    days_of,
    parse_column,
    read_layouts,
    read_number,
)
from featurestore.tables.time_formats import MONTHS, compile_format, guess_formats
from featurestore.times import MAX_INSTANT, MIN_INSTANT

_LAYOUTS_AT_MOST = 256  # of one length: each name of a month or a day makes one
_EPOCH = r"^(-)?([0-9]{1,19})(?:\.([0-9]{1,30}))?$"
_ZONE = re.compile(r"(?<=:\d\d)(Z|[+-]\d\d:?\d\d)$")
_LAST_SHORT_YEAR = 68  # 00 to 68 are of this century, as POSIX has it
_DIGITS = {"s": 6, "ms": 3, "us": 0, "ns": -3}
_HOUR, _MINUTE, _SECOND = 3_600_000_000, 60_000_000, 1_000_000

Numbers = npt.NDArray[np.int32]


def parse_times(texts: pl.Series, times: TimeFormat, *, up: bool = False) -> ParsedTexts:
    """Reads a String column as `parse_column` does, in the format of its column, else in ISO 8601."""
    if times.unit is not None:
        return _epochs(texts, times.unit, up=up)
    if times.format is None:
        return parse_column(texts, up=up)
    return _by_format(texts, compile_format(times.format), up=up)


def formats_of(text: str) -> list[str]:
    """The formats by which a text is a time, the likelier first."""
    text = text.strip()
    return [each for each in guess_formats(text) if parse_times(pl.Series([text]), TimeFormat(format=each)).valid[0]]


def is_no_day(text: str) -> bool:
    """Whether a text is written like a time that no calendar or clock has: 31 February, 25 o'clock."""
    text = _ZONE.sub("", text.strip())
    return any(guess_formats(text)) and not formats_of(text)


def epochs_of(column: pl.Series, unit: str, *, up: bool = False) -> pl.Series:
    """Numbers since 1970 as microseconds; null where they leave the years 1 to 9999, or are no number.

    Of floats the nearest microsecond is meant; below it other numbers are rounded as in `parse_times`.
    """
    if column.dtype.is_decimal():
        read = _epochs(column.cast(pl.String), unit, up=up)
        return pl.Series(column.name, read.micros).set(pl.Series(~read.valid), None)
    scale = UNITS[unit]
    if column.dtype.is_float():
        micros = column.cast(pl.Float64) * scale if scale > 0 else column.cast(pl.Float64) / -scale
        micros = micros.set(~micros.is_finite(), None).round()
    elif scale > 0:
        whole = column.cast(pl.Int64, strict=False)
        micros = whole.set(~whole.is_between(MIN_INSTANT // scale, MAX_INSTANT // scale), None) * scale
    else:
        whole = column.cast(pl.Int64, strict=False)
        micros = -((-whole) // -scale) if up else whole // -scale
    micros = micros.set(~micros.is_between(MIN_INSTANT, MAX_INSTANT), None)
    return micros.cast(pl.Int64)


def _epochs(texts: pl.Series, unit: str, *, up: bool) -> ParsedTexts:
    parts = texts.str.extract_groups(_EPOCH).struct.unnest()
    minus, whole, fraction = (parts.to_series(at) for at in range(3))
    digits, count = _DIGITS[unit], len(texts)
    if digits < 0:  # some of the digits before the point are below a microsecond
        fraction = whole.str.tail(-digits).str.zfill(-digits) + fraction.fill_null("")
        whole = whole.str.head(digits).replace("", "0")
        digits = 0
    units = whole.cast(pl.Int64, strict=False)
    valid = (units <= MAX_INSTANT // 10**digits).fill_null(value=False)
    micros = units.set(~valid, 0).fill_null(0).to_numpy() * 10**digits
    below = np.zeros(count, bool)
    if fraction.null_count() < count:
        fraction = fraction.fill_null("")
        if digits:
            micros = micros + fraction.str.slice(0, digits).str.pad_end(digits, "0").cast(pl.Int64).to_numpy()
        below = fraction.str.slice(digits).str.contains("[1-9]").to_numpy()
    negative = minus.is_not_null().to_numpy()
    micros = np.where(negative, -micros, micros)
    # Up is towards later, for times before 1970 too.
    micros = micros + np.where(below & ~negative & up, 1, 0) - np.where(below & negative & (not up), 1, 0)
    inside = (micros >= MIN_INSTANT) & (micros <= MAX_INSTANT)
    return ParsedTexts(micros.astype(np.int64), valid.to_numpy() & inside, np.zeros(count, bool))


def _by_format(texts: pl.Series, pattern: re.Pattern[str], *, up: bool) -> ParsedTexts:
    count = len(texts)
    out = ParsedTexts(np.zeros(count, np.int64), np.zeros(count, bool), np.zeros(count, bool))

    def read(shape: str, characters: Characters, places: Ints) -> None:
        layout = pattern.fullmatch(shape)
        if layout is not None:
            parts = _Parts(characters, layout)
            out.micros[places], out.valid[places] = parts.micros(up=up)
            out.naive[places] = not parts.has("zone")

    read_layouts(texts, read, at_most=_LAYOUTS_AT_MOST)
    return out


@frozen
class _Parts:
    """The parts of times that share a layout."""

    characters: Characters
    layout: re.Match[str]

    def has(self, name: str) -> bool:
        """Whether the layout has a part."""
        return name in self.layout.re.groupindex and self.layout[name] is not None

    def number(self, name: str, default: int = 0) -> Numbers:
        """A part's numbers."""
        if not self.has(name):
            return np.full(self.characters.shape[1], default, np.int32)
        return read_number(self.characters, *self.layout.span(name))

    def micros(self, *, up: bool) -> tuple[Ints, Mask]:
        """Microseconds since the epoch, and where they are a time."""
        days, valid = self._days()
        hour, fits = self._hour()
        minute, second = self.number("minute"), self.number("second")
        valid = valid & fits & (minute < 60) & (second < 60)
        micros = days * DAY + hour.astype(np.int64) * _HOUR + minute.astype(np.int64) * _MINUTE
        micros += second.astype(np.int64) * _SECOND + self._fraction(up=up)
        offset, fits = self._offset()
        micros -= offset
        return micros, valid & fits & (micros >= MIN_INSTANT) & (micros <= MAX_INSTANT)

    def _days(self) -> tuple[Ints, Mask]:
        year = self.number("year")
        if self.has("short"):
            short = self.number("short")
            year = np.where(short <= _LAST_SHORT_YEAR, 2000, 1900).astype(np.int32) + short
        if self.has("yearday"):
            first = np.ones_like(year)
            yearday = self.number("yearday")
            days, valid = days_of(year, first, first)
            next_year, _ = days_of(np.minimum(year + 1, 9999).astype(np.int32), first, first)
            days = days + yearday - 1
            return days, valid & (yearday >= 1) & ((days < next_year) | ((year == 9999) & (yearday <= 365)))
        month = self.number("month")
        if self.has("month_name"):
            month = np.full_like(year, MONTHS.index(self.layout["month_name"][:3].lower()) + 1)
        return days_of(year, month, self.number("day"))

    def _hour(self) -> tuple[Numbers, Mask]:
        if not self.has("half"):
            hour = self.number("hour")
            return hour, hour < 24
        half = self.number("half")
        noon = 12 if self.layout["noon"].lower().startswith("p") else 0
        return half % 12 + noon, (half >= 1) & (half <= 12)

    def _fraction(self, *, up: bool) -> Ints:
        if not self.has("fraction"):
            return np.zeros(self.characters.shape[1], np.int64)
        start, stop = self.layout.span("fraction")
        digits = min(stop - start, 6)
        micros: Ints = read_number(self.characters, start, start + digits).astype(np.int64) * 10 ** (6 - digits)
        if up and stop > start + 6:
            micros += (self.characters[start + 6 : stop] != ZERO).any(axis=0)
        return micros

    def _offset(self) -> tuple[Ints, Mask]:
        count = self.characters.shape[1]
        zone = self.layout["zone"] if self.has("zone") else ""
        if not zone or zone[0] not in "+-":
            return np.zeros(count, np.int64), np.ones(count, bool)
        start, stop = self.layout.span("zone")
        hours = read_number(self.characters, start + 1, start + 3)
        minutes = read_number(self.characters, stop - 2, stop) if len(zone) > 3 else np.zeros_like(hours)
        offset = (hours.astype(np.int64) * 60 + minutes) * _MINUTE
        signed: Ints = offset if zone[0] == "+" else -offset
        return signed, (hours < 24) & (minutes < 60)
