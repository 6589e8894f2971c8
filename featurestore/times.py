"""Instants and durations as text.

Inside, an instant is an integer: microseconds since 1970-01-01 UTC. Zones exist only at the edges, and this is the
edge. ISO 8601 with ``Z`` goes out. What comes in is one language, whether it is in a source, in labels, on the command
line or in TOML (`tables.iso8601` reads it by the column):

- a date: ``2024-01-31``, ``2024-W05-3``; before a time ``20240131`` too. Alone, eight digits may be a number or
  an epoch's seconds, so they are not a date.
- then, after ``T``, ``t`` or a space, a time: ``07``, ``07:05``, ``07:05:09``, ``0705``, ``070509``; seconds may have
  a fraction after ``.`` or ``,``, of which everything below a microsecond is cut off, in a source's rows rounded up
- then, after a space or none, a zone: ``Z``, ``z``, ``UTC``, ``+02``, ``+02:00``, ``+0200``, ``+02:00:00``, ``+020000``

Spaces around it are ignored. The years are 1 to 9999, in UTC.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MIN_INSTANT = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
MAX_INSTANT = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z

_UTC = frozenset(
    ("UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu", "GMT", "Etc/GMT", "GMT0",
     "Etc/GMT0", "GMT+0", "Etc/GMT+0", "GMT-0", "Etc/GMT-0", "Greenwich", "Etc/Greenwich")
)  # fmt: skip

_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000,
          "d": 86_400_000_000, "w": 604_800_000_000}  # fmt: skip
# Patterns are compiled when they are first used: `list` needs none, and they would take 2 % of its time.
_INSTANT = (
    r" *(?P<date>\d{4}-\d\d-\d\d|\d{4}-W\d\d-\d|\d{8}(?=[Tt ]\d))"
    r"(?:[Tt ](?P<time>\d\d(?::\d\d(?::\d\d(?P<fraction>[.,]\d+)?)?|\d\d(?:\d\d(?P<basic_fraction>[.,]\d+)?)?)?)"
    r"(?: ?(?P<zone>[Zz]|UTC|[+-]\d\d(?::[0-5]\d(?::[0-5]\d)?|[0-5]\d(?:[0-5]\d)?)?))?)? *"
)
_DURATION = r"(\d+)(us|ms|s|m|h|d|w)"


def now() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1_000


def is_utc(zone: str | None) -> bool:
    """Whether the local times of a zone are those of UTC; None means that no zone was named, and UTC is taken."""
    return zone is None or zone in _UTC


def is_zone(name: str) -> bool:
    """Whether a name is that of a time zone that this machine has data of."""
    from zoneinfo import ZoneInfo

    if name in _UTC:  # which needs no data
        return True
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError on some systems
        return False
    return True


def has_zones() -> bool:
    """Whether this machine has data of time zones at all; bare containers have none."""
    from zoneinfo import available_timezones

    return bool(available_timezones())


def parse_instant(text: str, *, up: bool = False) -> tuple[int, bool]:
    """Reads a date or a date and time: (microseconds since the epoch, whether it has no zone).

    A time without a zone is taken as UTC, a date as the start of its day. What is below a microsecond is cut off, or
    with ``up`` rounded up. Raises ValueError.
    """
    match = re.fullmatch(_INSTANT, text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is not a time; write ISO 8601, for example 2026-03-01T12:00:00Z")
    clock, zone = match["time"] or "00", match["zone"] or ""
    zone = "+00:00" if zone in ("", "Z", "z", "UTC") else zone
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{clock}{zone}")
    except ValueError as exc:
        raise ValueError(f"{text!r} is not a time: no calendar or clock has it") from exc
    micros = (moment - EPOCH) // MICROSECOND
    if up and (match["fraction"] or match["basic_fraction"] or "")[7:].strip("0"):
        micros += 1
    if not MIN_INSTANT <= micros <= MAX_INSTANT:
        raise ValueError(f"{text!r} is not in the years 1 to 9999, UTC")
    return micros, match["zone"] is None


def is_instant_layout(layout: str) -> bool:
    """Whether texts that have digits where ``layout`` has zeros may be instants."""
    return re.fullmatch(_INSTANT, layout, re.ASCII) is not None


def format_instant(micros: int) -> str:
    """ISO 8601 in UTC with ``Z``; a fraction only where there is one. Outside the years 1 to 9999 the microseconds."""
    try:
        moment = EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} us after 1970"
    return moment.replace(tzinfo=None).isoformat() + "Z"


def parse_duration(text: str) -> int:
    """Reads ``90s``, ``36h``, ``1d12h`` or ``0`` as microseconds. Raises ValueError."""
    compact = text.replace(" ", "")
    if compact == "0":
        return 0
    parts = re.findall(_DURATION, compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 36h, 7d or 2w")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def format_duration(micros: int) -> str:
    """The shortest text that `parse_duration` reads back: ``7d``, ``1d12h``."""
    if micros == 0:
        return "0"
    text = ""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count, micros = divmod(micros, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text
