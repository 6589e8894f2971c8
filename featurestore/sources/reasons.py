"""Why a value does not fit, in words that name it. Only for rows that are set aside: nothing here is quick."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import polars as pl

from featurestore.sources.casts import Target
from featurestore.sources.instants import read_instants
from featurestore.times import EPOCH

_LONGEST = 80


def show(value: object) -> str:
    """A value as it is quoted in a reason."""
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def misfit_reason(value: object, target: Target) -> str:
    """Why a value is not of the target's type."""
    if target.key and target.kind == "int":
        return f"{show(value)} is not an int key: base 10, without sign, zeros or space in front"
    if target.key:
        return f"{show(value)} is not a {target.kind} key: only text and whole numbers are ids"
    if target.kind == "datetime":
        return _time_reason(value, target.zone)
    return f"{show(value)} is not {'an' if target.kind == 'int' else 'a'} {target.kind}"


def _time_reason(value: object, zone: str | None) -> str:
    """A time in a zone that has no instant fell where clocks went forward; one that has two, where they went back."""
    micros = _micros(value)
    if micros is None or zone is None:
        return f"{show(value)} is not a datetime: ISO 8601, years 1 to 9999"
    local = (EPOCH + timedelta(microseconds=micros)).replace(tzinfo=ZoneInfo(zone))
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    if before is None or after is None or before == after:
        return f"{show(value)} is not a datetime: ISO 8601, years 1 to 9999"
    if before < after:
        return f"{show(value)} never happened in {zone}: clocks went forward"
    return f"{show(value)} happened twice in {zone}: clocks went back; write its offset"


def _micros(value: object) -> int | None:
    """The naive local time that a value names."""
    text = value if isinstance(value, str) else getattr(value, "isoformat", str)()
    read = read_instants(pl.Series([text]))
    return int(read.micros[0]) if read.valid[0] and read.naive[0] else None
