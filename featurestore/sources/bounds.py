"""``min``, ``max`` and ``in`` of a declared column: what they may be for its type, checked before any row is read."""

from __future__ import annotations

import math
import re
from datetime import date

from featurestore import times
from featurestore.model import Json, Scalar
from featurestore.toml import TomlTable

_KINDS: dict[Scalar, str] = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text",
    "date": "a date, for example 2024-01-31", "datetime": "a time, for example 2024-01-31T08:00:00Z",
}  # fmt: skip
_DATE = r"\d{4}-(\d\d-\d\d|W\d\d-\d)"
_INTS = range(-(2**63), 2**63)


def read_bounds(kind: Scalar, table: TomlTable) -> tuple[float | str | None, float | str | None]:
    """``min`` and ``max``: a number for numbers, ISO 8601 text for dates and datetimes. Raises ConfigError."""
    low, high = (_read_bound(name, kind, table) for name in ("min", "max"))
    if low is not None and high is not None and _order(low) > _order(high):
        raise table.error("min", "is above max: no value can be right")
    return low, high


def read_choices(kind: Scalar, table: TomlTable) -> tuple[Json, ...] | None:
    """``in``: a list of values of the column. Raises ConfigError."""
    listed = table.get("in", list)
    if listed is None:
        return None
    if not listed:
        raise table.error("in", "is empty: no value can be right")
    choices = tuple(_read(value, kind) for value in listed)
    if None in choices:
        position = choices.index(None) + 1
        raise table.error("in", f"holds what can't be a value of the column: item {position} is not {_KINDS[kind]}")
    return choices


def read_lengths(kind: Scalar, table: TomlTable) -> tuple[int | None, int | None]:
    """``min_length`` and ``max_length`` of texts, in characters, and of lists. Raises ConfigError."""
    low, high = (table.get(name, int) for name in ("min_length", "max_length"))
    for name, length in (("min_length", low), ("max_length", high)):
        if length is not None and kind not in ("string", "list[float]"):
            raise table.error(name, f"has no meaning for a {kind} column")
        if length is not None and length < 0:
            raise table.error(name, "must be 0 or more")
    if low is not None and high is not None and low > high:
        raise table.error("min_length", "is above max_length: no value can be right")
    return low, high


def _read_bound(name: str, kind: Scalar, table: TomlTable) -> float | str | None:
    if name not in table.data:
        return None
    if kind not in ("int", "float", "date", "datetime"):
        raise table.error(name, f"has no meaning for a {kind} column")
    # A bound of whole numbers may lie between two of them.
    found = _read(table.data[name], "float" if kind == "int" else kind)
    if found is None:
        raise table.error(name, f"is not {_KINDS['float' if kind == 'int' else kind]}")
    return found  # type: ignore[return-value]  # not a bool: see above


def _read(value: object, kind: Scalar) -> Json:
    """A value of featurestore.toml as one of the column, times as text; None where it can't be one."""
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if kind == "string":
        return value if isinstance(value, str) else None
    if kind in ("int", "float"):
        whole = isinstance(value, int) and not isinstance(value, bool) and value in _INTS
        broken = kind == "float" and isinstance(value, float) and not math.isnan(value)
        return value if whole or broken else None  # type: ignore[return-value]  # a number: see above
    if isinstance(value, date):  # TOML's own, with a time or without
        value = value.isoformat()
    return value if isinstance(value, str) and _is_time(value, kind) else None


def _is_time(text: str, kind: Scalar) -> bool:
    try:
        times.parse_instant(text)
    except ValueError:
        return False
    return kind == "datetime" or re.fullmatch(_DATE, text, re.ASCII) is not None


def _order(bound: float | str) -> float:
    return times.parse_instant(bound)[0] if isinstance(bound, str) else bound
