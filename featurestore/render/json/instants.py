"""Instants and durations where a document may have none."""

from __future__ import annotations

from featurestore import times


def instant(micros: int | None) -> str | None:
    """ISO 8601 in UTC with ``Z``, or null."""
    return None if micros is None else times.format_instant(micros)


def duration(micros: int | None) -> str | None:
    """``7d`` or ``1d12h``, or null."""
    return None if micros is None else times.format_duration(micros)
