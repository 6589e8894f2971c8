"""What changes from one version of a feature to another: its distribution, and the latest values of its entities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import polars as pl

from featurestore.frozen import frozen
from featurestore.model import DataType, Json

LARGEST = 10


@frozen
class EntityChange:
    """An entity whose latest value differs, with both values as Polars gives them.

    ``change`` is new − old, None for values that are not numbers.
    """

    keys: Mapping[str, str | int]
    old: object
    new: object
    change: float | None


@frozen
class EntityComparison:
    """The latest values of both versions compared, in numbers of entities."""

    compared: int
    changed: int
    only_old: int
    only_new: int
    largest: tuple[EntityChange, ...]


def compare_entities(
    old: pl.DataFrame, new: pl.DataFrame, keys: tuple[str, ...], data_type: DataType, tolerance: float
) -> EntityComparison:
    """Compares two frames of one row per entity (key columns and ``value``).

    Numbers no further apart than ``tolerance`` are equal; null equals null and NaN equals NaN.
    """
    names = list(keys)
    both = old.select(*names, "value").join(new.select(*names, pl.col("value").alias("new")), on=names)
    changed = both.filter(_differ(data_type, tolerance))
    if data_type.numeric:
        change = pl.col("new").cast(pl.Float64) - pl.col("value").cast(pl.Float64)
        changed = changed.with_columns(change.alias("change"))
        # A value that appeared or disappeared has no size, so it is sorted after those that have one.
        order = pl.col("change").abs().fill_nan(None)
        top = changed.sort(order, *names, descending=[True, *[False] * len(names)], nulls_last=True).head(LARGEST)
    else:
        top = changed.with_columns(pl.lit(None, dtype=pl.Float64).alias("change")).sort(names).head(LARGEST)
    return EntityComparison(
        compared=both.height,
        changed=changed.height,
        only_old=old.height - both.height,
        only_new=new.height - both.height,
        largest=tuple(
            EntityChange({name: row[name] for name in names}, row["value"], row["new"], row["change"])
            for row in top.iter_rows(named=True)
        ),
    )


def combine(parts: Iterable[EntityComparison]) -> EntityComparison:
    """One comparison for several of different entities; of the largest changes those that are the largest of all."""
    held = list(parts)
    changes = sorted((change for part in held for change in part.largest), key=_size)
    return EntityComparison(
        compared=sum(part.compared for part in held),
        changed=sum(part.changed for part in held),
        only_old=sum(part.only_old for part in held),
        only_new=sum(part.only_new for part in held),
        largest=tuple(changes[:LARGEST]),
    )


def _size(change: EntityChange) -> tuple[bool, float, tuple[str | int, ...]]:
    """The order of `compare_entities`: the largest first, then those without a size, each by their keys."""
    unsized = change.change is None or math.isnan(change.change)
    return unsized, 0.0 if unsized else -abs(change.change or 0.0), tuple(change.keys.values())


def shift(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, Json]:
    """How far each number that is in both statistics has moved: new − old."""
    return {
        name: new[name] - before  # type: ignore[operator]  # both are numbers, as the condition says
        for name, before in old.items()
        if _is_number(before) and _is_number(new.get(name))
    }


def _differ(data_type: DataType, tolerance: float) -> pl.Expr:
    differs = pl.col("value").ne_missing(pl.col("new"))
    if data_type.numeric and tolerance > 0:
        apart = (pl.col("value").cast(pl.Float64) - pl.col("new").cast(pl.Float64)).abs() > tolerance
        differs &= apart.fill_null(True)
    return differs


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
