"""The ids of runs, and what is said of their rows."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping

RENAME = "rename"  # stands in the place of a source where a history was carried over from a former name
CARRIED = "carried over from "  # what the note of such a run begins with; the former name follows
GONE = "details are no longer kept"  # the note of a run whose details went by `[log] keep`


def new_run_id() -> str:
    """An id that sorts by time and is unique: ``20240131T070509-1f2e3d4c``."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def counted_once(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Rows by source, without those of features of several sources (``a, b``) that are counted for each already."""

    def alone(name: str) -> int:
        return sum(counts.get(each, 0) for each in name.split(", "))

    return {name: count for name, count in counts.items() if ", " not in name or alone(name) < count}


def fewest_rejected(counts: Iterable[tuple[str, int]]) -> int:
    """How many rows were set aside at least, of each feature's source with its count: features share rows of one."""
    by_source: dict[str, int] = {}
    for source, count in counts:
        by_source[source] = max(by_source.get(source, 0), count)
    return sum(counted_once(by_source).values())


def carried_from(source: str, note: str | None) -> str | None:
    """The former name from which a run, of whose feature these are, carried the history over; None for any other."""
    if source != RENAME or note is None or not note.startswith(CARRIED):
        return None
    return note.removeprefix(CARRIED)
