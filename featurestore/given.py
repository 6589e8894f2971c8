"""Times and durations as a caller gives them: by an option of a command, from Python, in a request over HTTP.

``name`` is how the caller names them, with what stands between the name and the text: ``--as-of `` or ``as_of=``.
"""

from __future__ import annotations

from collections.abc import Callable

from featurestore import times
from featurestore.errors import UsageError


def read_instant(name: str, text: str | None, warn: Callable[[str], None]) -> int | None:
    """ISO 8601 as microseconds since 1970 UTC; one without a zone is UTC, which is warned of. Raises UsageError."""
    if text is None:
        return None
    try:
        found, naive = times.parse_instant(text)
    except ValueError as exc:  # it begins with the text
        raise UsageError(f"{name}{exc}") from None
    if naive:
        warn(f"{name}{text} has no time zone; it is taken as UTC")
    return found


def read_duration(name: str, text: str | None) -> int | None:
    """``36h`` as microseconds. Raises UsageError."""
    if text is None:
        return None
    try:
        return times.parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"{name}{exc}") from None
