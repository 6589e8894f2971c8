"""How text is read: a dialect. One value for sources and for label files, small enough to be part of a fingerprint.

The default takes what programs write by themselves: UTF-8, commas, double quotes, ISO 8601. Every other way has a
setting, and an error that a setting could solve names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from featurestore.frozen import frozen

UNITS: Mapping[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": -1_000}
"""Microseconds of one unit of an epoch; negative: so many units are one microsecond."""


@frozen
class TimeFormat:
    """How the times of one column are written, where they are not ISO 8601.

    ``format`` is as in strftime, ``unit`` that of numbers since 1970 (s, ms, us, ns). ``timezone`` is that of times
    without one, in place of the source's. Where a zone's clocks go back a time happens twice: ``ambiguous`` takes the
    ``earliest`` or the ``latest``. Where they go forward it never happens: ``nonexistent`` reads it by the clock of
    before (``forward``: 02:30 is 03:30) or of after (``backward``: 01:30). None sets such a row aside.
    """

    format: str | None = None
    unit: str | None = None
    timezone: str | None = None
    ambiguous: str | None = None
    nonexistent: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What differs from the default."""
        return {name: value for name in _TIME_FIELDS if (value := getattr(self, name)) is not None}


_TIME_FIELDS = ("format", "unit", "timezone", "ambiguous", "nonexistent")
ISO_8601 = TimeFormat()


@frozen
class Dialect:
    """How a text file is cut into rows and columns, and how values are written in it.

    ``quote`` None means that no character is a quote. ``skip_rows`` lines at the beginning are not part of the table,
    neither are lines that begin with ``comment``. Without a ``header`` the columns are called column_1, column_2, ….
    ``null`` are the words for null, ``true`` and ``false`` further words for these. ``decimal`` stands before the
    decimals of a number, ``thousands`` between its digits. ``times`` are the formats of columns, ``renamed`` the names
    in the file, both by the name of the column. ``numbers_said``: the settings say how numbers are written, be it as
    programs do, which is no part of the identity.
    """

    delimiter: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"
    skip_rows: int = 0
    comment: str | None = None
    header: bool = True
    null: tuple[str, ...] = ()
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str | None = None
    times: Mapping[str, TimeFormat] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    numbers_said: bool = False

    @property
    def plain_numbers(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.decimal == "." and self.thousands is None

    @property
    def may_group_by_points(self) -> bool:
        """Whether a file comes from where points stand between thousands, and nobody has said that here they don't.

        Such are files with ; between fields, and those with days as in 31.12.2024.
        """
        dates = any((each.format or "").startswith("%d.") for each in self.times.values())
        return self.plain_numbers and not self.numbers_said and (self.delimiter == ";" or dates)

    def time_format(self, column: str) -> TimeFormat:
        """How the times of a column are written."""
        return self.times.get(column, ISO_8601)

    def in_file(self, column: str) -> str:
        """The name that a column has in the file."""
        return self.renamed.get(column, column)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that differs from the default, for fingerprints and records. `dialect_of` reads it."""
        found: dict[str, Any] = {}
        for name in _SCALARS:
            if getattr(self, name) != getattr(STANDARD, name):
                found[name] = getattr(self, name)
        for name in _WORDS:
            if words := getattr(self, name):
                found[name] = list(words)
        if times := {name: format_.identity for name, format_ in sorted(self.times.items()) if format_.identity}:
            found["times"] = times
        if self.renamed:
            found["renamed"] = dict(sorted(self.renamed.items()))
        return found


_SCALARS = ("delimiter", "quote", "encoding", "skip_rows", "comment", "header", "decimal", "thousands")
_WORDS = ("null", "true", "false")
STANDARD = Dialect()


def dialect_of(identity: Mapping[str, Any]) -> Dialect:
    """The dialect of an `identity`, as a record has it."""
    given = dict(identity)
    words: dict[str, Any] = {name: tuple(given.pop(name)) for name in _WORDS if name in given}
    times = {name: TimeFormat(**one) for name, one in given.pop("times", {}).items()}
    return replace(STANDARD, times=times, renamed=given.pop("renamed", {}), **words, **given)
