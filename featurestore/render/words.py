"""Numbers, instants and counts as people read them. Plain text: no Rich."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore import times
from featurestore.model import Json


def number(value: object) -> str:
    """A float to six significant digits, ``1,204`` for an int, ``–`` for None; anything else as its text."""
    match value:
        case None:
            return "–"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.6g}"
        case list():
            return f"[{', '.join(map(number, value))}]"
        case _:
            return str(value)


def score(value: float | None) -> str:
    """A score of drift, which is between 0 and 1; ``–`` for None."""
    return "–" if value is None else f"{value:.3f}"


def drift_reasons(verdict: Mapping[str, Json]) -> str:
    """Why a run's values count as drifted; empty where they don't."""
    reasons = verdict.get("reasons")
    return ", ".join(map(str, reasons)) if isinstance(reasons, list) else ""


def minute(micros: int | None) -> str:
    """An instant (µs) in UTC, to the minute; ``–`` for None."""
    return "–" if micros is None else f"{times.format_instant(micros)[:16]}Z"


def instant(micros: int | None) -> str:
    """An instant (µs) in UTC, to the second; ``–`` for None."""
    return "–" if micros is None else times.format_instant(micros // 1_000_000 * 1_000_000)


def duration(micros: int | None) -> str:
    """A duration (µs) as ``7d`` or ``1d12h``; nothing for None."""
    return "" if micros is None else times.format_duration(micros)


def age(micros: int | None) -> str:
    """A duration (µs) in its largest unit that has two of it: ``90 s``, ``26 h``, ``9 d``; ``–`` for None."""
    if micros is None:
        return "–"
    seconds = micros // 1_000_000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}"
    return f"{seconds} s"


def count(value: int) -> str:
    """``1,204``; nothing for 0, which a table of counts leaves out."""
    return f"{value:,}" if value else ""
