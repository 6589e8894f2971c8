"""Generated rows for an expression: of each type the values at which expressions decide, and values between them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from featurestore.model import Scalar
from featurestore.tables.types import column_type

_FLOATS = (math.nan, math.inf, -math.inf, 0.0, 1.0, -1.0, 0.1, 1 / 3, 1e-300, 1e300, -1e300)
_INTS = (0, 1, -1, 2, 7, 100, 2**31, -(2**40))
_TEXTS = ("", " ", "a", "abc", "ABC", "1", "-2.5", "true", "2024-01-01", "ä")
_NULLS = 0.15  # of all values
_KNOWN = 0.6  # of the others: values of these lists and of the expression itself


def generated_rows(kinds: Mapping[str, Scalar], literals: Sequence[object], rows: int, seed: str) -> list[pl.Series]:
    """Columns of these types with so many rows; the same for the same seed. ``literals`` are those of an expression."""
    draw = random.Random(seed)  # noqa: S311  (a sample, no secret)
    numbers = [item for item in literals if isinstance(item, int | float)]
    near = [float(each) for item in numbers for each in (item, item - 1, item + 1)]
    near += [math.nextafter(float(item), end) for item in numbers for end in (-math.inf, math.inf)]
    known: dict[Scalar, list[object]] = {
        "bool": [False, True],
        "int": [*_INTS, *(int(item) for item in near if math.isfinite(item) and abs(item) < 2**62)],
        "float": [*_FLOATS, *near],
        "string": [*_TEXTS, *(item for item in literals if isinstance(item, str))],
    }
    return [
        pl.Series(name, [_value(kind, known.get(kind, []), draw) for _ in range(rows)], dtype=column_type(kind))
        for name, kind in kinds.items()
    ]


def _value(kind: Scalar, known: Sequence[object], draw: random.Random) -> object:
    if draw.random() < _NULLS:
        return None
    if known and draw.random() < _KNOWN:
        return draw.choice(known)
    instant = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=draw.randrange(50 * 365 * 86_400 * 10**6))
    match kind:
        case "bool":
            return draw.choice([False, True])
        case "int":
            return draw.randrange(-1_000, 1_000)
        case "float":
            return draw.choice([draw.uniform(-1e6, 1e6), draw.uniform(0, 1)])
        case "string":
            return "".join(draw.choices("abc123 ä", k=draw.randrange(6)))
        case "date":
            return instant.date()
        case "datetime":
            return instant
    return [draw.uniform(-1, 1) for _ in range(draw.randrange(4))]
