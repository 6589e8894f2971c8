"""Values that Arrow holds and Polars does not: seconds beyond 64 bits of milliseconds, times of a day from 24:00 on.

Polars would make another value of them, or none, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import polars as pl
import pyarrow as pa

from featurestore.errors import SourceError

Values: TypeAlias = pa.Array | pa.ChunkedArray

_MOST_SECONDS = (2**63 - 1) // 1_000  # Polars has milliseconds
_DAY = 86_400
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def has_limits(kind: pa.DataType) -> bool:
    """Whether a type, or one inside it, has values that Polars does not hold."""
    return _in_seconds(kind) or pa.types.is_time(kind) or any(map(has_limits, _inner(kind)))


def beyond_limits(name: str, values: Values) -> Iterator[tuple[int, int, str]]:
    """The rows of a column that Polars does not hold: the index, the number that stands there, and what that is.

    Raises SourceError where such a value is inside another one.
    """
    kind = values.type
    if not has_limits(kind):
        return
    if not (_in_seconds(kind) or pa.types.is_time(kind)):
        if any(True for inner in _inner_values(values) for _ in beyond_limits(name, inner)):
            raise SourceError(f"column {name!r} holds a time that can't be read", hint="write it with another type")
        return
    if pa.types.is_time(kind):
        what, low, high = "a time of a day from 24:00 on", 0, _DAY * _UNITS[kind.unit] - 1
    else:
        what = "a time that is too far away" if pa.types.is_timestamp(kind) else "a duration that is too long"
        low, high = -_MOST_SECONDS, _MOST_SECONDS
    numbers = _numbers(values)
    for at in ((numbers < low) | (numbers > high)).arg_true():
        yield at, numbers[at], what


def _numbers(values: Values) -> pl.Series:
    # By view, not by cast: Arrow's functions take 0.1 s to import.
    kind = pa.int32() if pa.types.is_time32(values.type) else pa.int64()
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return pl.Series(pa.chunked_array([chunk.view(kind) for chunk in chunks], kind)).cast(pl.Int64)


def _in_seconds(kind: pa.DataType) -> bool:
    return bool((pa.types.is_timestamp(kind) or pa.types.is_duration(kind)) and kind.unit == "s")


def _inner(kind: pa.DataType) -> list[pa.DataType]:
    if isinstance(kind, pa.BaseExtensionType):
        return [kind.storage_type]
    if pa.types.is_dictionary(kind):
        return [kind.value_type]
    return [kind.field(at).type for at in range(kind.num_fields)]


def _inner_values(values: Values) -> list[Values]:
    kind = values.type
    if isinstance(values, pa.ChunkedArray):
        return [inner for chunk in values.chunks for inner in _inner_values(chunk)]
    if isinstance(values, pa.ExtensionArray):
        return [values.storage]
    if isinstance(values, pa.DictionaryArray):
        return [values.dictionary]
    if isinstance(values, pa.MapArray):
        return [values.keys, values.items]
    return list(values.flatten()) if pa.types.is_struct(kind) else [values.flatten()]
