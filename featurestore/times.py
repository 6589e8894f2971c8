"""Instants and durations as text.

Inside, an instant is an integer: microseconds since 1970-01-01 UTC. Zones exist only at the edges,
and this is the edge. ISO 8601 in, ISO 8601 with ``Z`` out.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000,
          "d": 86_400_000_000, "w": 604_800_000_000}  # fmt: skip
_DURATION = re.compile(r"(\d+)(us|ms|s|m|h|d|w)")


def now() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1_000


def parse_instant(text: str) -> tuple[int, bool]:
    """Reads an ISO 8601 date or date and time: (microseconds since the epoch, whether it was naive).

    A naive time is taken as UTC and a date as the start of its day. Raises ValueError.
    """
    text = text.strip()
    if len(text) == 10:
        moment = datetime.combine(date.fromisoformat(text), datetime.min.time())
    else:
        moment = datetime.fromisoformat(text)
    naive = moment.tzinfo is None
    if naive:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // MICROSECOND, naive


def format_instant(micros: int) -> str:
    """ISO 8601 in UTC with ``Z``; a fraction only where there is one."""
    moment = EPOCH + timedelta(microseconds=micros)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def parse_duration(text: str) -> int:
    """Reads ``90s``, ``36h``, ``1d12h`` or ``0`` as microseconds. Raises ValueError."""
    compact = text.replace(" ", "")
    if compact == "0":
        return 0
    parts = _DURATION.findall(compact)
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
