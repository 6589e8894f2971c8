"""One value as JSON holds it. Standard library only; `tables.text` does the same by column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from featurestore.model import Json


def json_value(value: object) -> Json:
    """NaN and infinities as their names, instants as ISO 8601 with ``Z`` (naive ones are UTC), dates as ISO.

    What only a label table may hold (decimals, times of day, durations, structs) is spelled as `tables.text`
    spells it. Raises TypeError for what has no text, such as bytes.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else spell(value)
    if isinstance(value, datetime):
        utc = value.astimezone(UTC) if value.tzinfo else value
        return utc.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return f"PT{value / timedelta(seconds=1):.6f}".rstrip("0").rstrip(".") + "S"
    raise TypeError(f"{type(value).__name__} has no text")


def spell(value: float) -> str:
    """``NaN``, ``Infinity`` or ``-Infinity``."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
