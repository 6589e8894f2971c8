"""The bound of every instant in a store, kept at its door: the years 1 to 9999, UTC.

Readers keep it too. What passed it nevertheless could be stored, and then neither shown nor served.
"""

from __future__ import annotations

import polars as pl

from featurestore.errors import FeatureError
from featurestore.model import StoredVersion
from featurestore.times import MAX_INSTANT, MIN_INSTANT

_DAY = 86_400_000_000
_TIMED = ("computed_at", "value")


def outermost_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Of the rows those with the first and the last times: what `refuse_impossible` says of all of them."""
    times = (frame[name] for name in _TIMED if isinstance(frame.schema[name], pl.Datetime | pl.Date))
    return frame[sorted({at for each in times for at in (each.arg_min(), each.arg_max()) if at is not None})]


def refuse_impossible(version: StoredVersion, frame: pl.DataFrame) -> None:
    """Raises FeatureError naming the entity of the first time that is outside, in ``computed_at`` or ``value``."""
    for name in _TIMED:
        kind = frame.schema[name]
        if not isinstance(kind, pl.Datetime | pl.Date):
            continue
        units = _DAY if kind == pl.Date else 1
        physical, first, last = frame[name].to_physical(), MIN_INSTANT // units, MAX_INSTANT // units
        low, high = physical.min(), physical.max()  # None where all are null
        if low is not None and (low < first or high > last):  # type: ignore[operator]  # of integers integers
            wrong = (~physical.is_between(first, last)).fill_null(value=False)
            row = frame.select(version.entity_type.key_names).row(int(wrong.arg_max() or 0), named=True)
            entity = ", ".join(f"{key}={str(value)[:60]!r}" for key, value in row.items())
            raise FeatureError(
                f"the row of {entity}: {name} is not in the years 1 to 9999", where=version.id.feature,
                hint="keep it within these, or null for what has no end",
            )  # fmt: skip
