"""Checks what a feature returned and brings it into the form that a store takes.

The outcome is a frame of the key columns, ``computed_at`` and ``value``, sorted by keys and ``computed_at``, with one
row for each of them; or a FeatureError that names the column and the first bad row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from featurestore.errors import FeatureError
from featurestore.evaluation.declared_type import cast_int, cast_value, refuse_rows, to_instant
from featurestore.evaluation.evaluate import SortedRows
from featurestore.evaluation.superseded import (
    UPDATED,
    Locate,
    drop_superseded,
    find_repeats,
    sort_and_drop_superseded,
)
from featurestore.model import Feature
from featurestore.tables.types import INSTANT, key_types

# Where the source's row of an index is, in the source's words.
Place = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class FeatureValues:
    """A feature's values, ready to be stored.

    ``timed`` is False if neither the function nor the source has times: ``computed_at`` is then absent and every row
    is as of now. ``future`` counts the rows that were left out because they are ahead of the clock.
    """

    frame: pl.DataFrame
    timed: bool
    future: int = 0


class RowTimes:
    """The keys and times of a source's own rows, computed once for all features that have one value per row."""

    def __init__(self, feature: Feature, rows: SortedRows) -> None:
        event_time = rows.source.event_time
        assert event_time is not None, "the source has no times"
        keys = _keys(feature, rows.frame.select(*feature.entity_type.key_names, pl.lit(None).alias("value")))
        times = to_instant(rows.frame[event_time]).alias("computed_at")
        self.frame = keys.with_columns(times)
        if rows.source.updated_at is not None:
            self.frame = self.frame.with_columns(_updated(rows, rows.source.updated_at))
        self.last = int(times.dt.epoch("us").max() or 0)  # type: ignore[arg-type]  # max() of integers is an int
        self.repeats = find_repeats(self.frame, [*keys.columns, "computed_at"])


def check_column(
    feature: Feature, values: pl.Series, rows: SortedRows, times: RowTimes, place: Place, *, latest: int | None
) -> FeatureValues | None:
    """`check_frame` for the short form, which gives one value for each of the source's rows, in their order.

    None if rows are ahead of ``latest`` (µs) or are not sorted: `check_frame` handles those. Otherwise much faster,
    since keys and times are not checked again for each feature.
    """
    if times.repeats is None or (latest is not None and times.last > latest):
        return None
    frame = times.frame.with_columns(cast_value(values, feature.data_type).alias("value"))
    keys = feature.entity_type.key_names
    locate = _locate(rows, place, aligned=True)
    return FeatureValues(drop_superseded(frame, keys, times.repeats, locate, _hint(rows)), timed=True)


def check_frame(
    feature: Feature, raw: pl.DataFrame, rows: SortedRows, place: Place, *, latest: int | None
) -> FeatureValues:
    """Checks the frame that a feature returned and brings it into the form that a store takes.

    Args:
        feature: Its declaration.
        raw: What it returned: ``entity_id`` or the key columns, ``value``, maybe ``computed_at``.
        rows: The source's rows that it was computed from.
        place: Where the source's row of an index is, for messages.
        latest: Rows dated later than this (µs) are left out; None for no limit.
    """
    keys = _keys(feature, raw)
    aligned = _is_aligned(keys, rows)
    value = cast_value(raw["value"], feature.data_type)
    times = _times(feature, raw, rows, aligned=aligned)
    frame = keys.with_columns(value.alias("value"))
    if times is None:
        return FeatureValues(_check_untimed(frame, keys.columns), timed=False)
    frame = frame.insert_column(len(keys.columns), times.alias("computed_at"))
    if aligned and rows.source.updated_at is not None:
        frame = frame.with_columns(_updated(rows, rows.source.updated_at))
    past = frame if latest is None else frame.filter(pl.col("computed_at").dt.epoch("us") <= latest)
    future = frame.height - past.height
    locate = _locate(rows, place, aligned=aligned and future == 0)
    return FeatureValues(sort_and_drop_superseded(past, keys.columns, locate, _hint(rows)), timed=True, future=future)


def _locate(rows: SortedRows, place: Place, *, aligned: bool) -> Locate:
    """Where rows of a result come from; by the source's row only if the result has the source's rows."""

    def locate(index: int, row: dict[str, object]) -> str:
        if aligned:
            return place(int(rows.origin[index]))
        return f"row {index + 1} of the returned frame ({', '.join(str(item) for item in row.values())})"

    return locate


def _hint(rows: SortedRows) -> str:
    if rows.source.updated_at is None:
        return "set updated_at in the source so that the later one wins, or aggregate in the function"
    return "both have the same updated_at; fix the data, or aggregate in the function"


def _updated(rows: SortedRows, column: str) -> pl.Series:
    return rows.frame[column].dt.epoch("us").alias(UPDATED)


def _keys(feature: Feature, raw: pl.DataFrame) -> pl.DataFrame:
    """The key columns in the entity type's types. Raises FeatureError if the frame does not have the right columns."""
    names = feature.entity_type.key_names
    single = not feature.entity_type.composite
    given = ["entity_id"] if single and "entity_id" in raw.columns else list(names)
    expected = {*given, "value"}
    returned = set(raw.columns)
    if not expected <= returned or returned - expected - {"computed_at"}:
        wanted = ", ".join([*(["entity_id"] if single else names), "value"])
        raise FeatureError(
            f"returned the columns {', '.join(raw.columns)}; expected {wanted} and, optionally, computed_at",
            hint="select and alias exactly these",
        )
    columns = []
    for name, column, wanted_type in zip(names, given, key_types(feature.entity_type).values(), strict=True):
        values = raw[column]
        refuse_rows(values, values.is_null(), "is null, and a key can't be", f"drop rows without {name}")
        columns.append(_cast_key(values, wanted_type).alias(name))
    return pl.DataFrame(columns)


def _cast_key(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    given = values.dtype
    if wanted == pl.String:
        if given == pl.String or given.is_integer() or isinstance(given, pl.Categorical | pl.Enum):
            return values.cast(pl.String)
    elif given.is_integer():
        return cast_int(values)
    if given == pl.Null and values.len() == 0:
        return values.cast(wanted)
    kind = "string" if wanted == pl.String else "int"
    raise FeatureError(f"{values.name} is {given}, but the key is declared as {kind}", hint="cast it in the function")


def _is_aligned(keys: pl.DataFrame, rows: SortedRows) -> bool:
    """Whether the result has the source's rows, row by row: the same height and the same keys."""
    if keys.height != rows.frame.height or not rows.keyed:
        return False
    names = keys.columns
    return all(keys[name].equals(rows.frame[name].cast(keys[name].dtype), null_equal=True) for name in names)


def _times(feature: Feature, raw: pl.DataFrame, rows: SortedRows, *, aligned: bool) -> pl.Series | None:
    """The result's ``computed_at``, filled with the source's event times; None if neither has times."""
    given = (
        raw["computed_at"] if "computed_at" in raw.columns else pl.Series("computed_at", [None] * raw.height, INSTANT)
    )
    if given.dtype == pl.Null:
        given = given.cast(INSTANT)
    if given.dtype != pl.Date and not isinstance(given.dtype, pl.Datetime):
        raise FeatureError(f"computed_at is {given.dtype}, not a time", hint="use str.to_datetime() in the function")
    times = to_instant(given)
    if not times.has_nulls():
        return times
    event_time = rows.source.event_time
    if event_time is None:
        if times.null_count() == times.len():
            return None
        hint = "give every row a time, or none"
        refuse_rows(times, times.is_null(), "is null, and the source has no event_time", hint)
    if not aligned:
        raise FeatureError(
            f"computed_at is null in {times.null_count()} of {times.len()} rows, and the rows are not the source's",
            hint=f"return computed_at from {feature.function}(): its rows differ from the source's in number or keys",
        )
    assert event_time is not None
    return times.fill_null(to_instant(rows.frame[event_time]))


def _check_untimed(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """The rows sorted by keys, one for each; without times nothing says which of two values is the later."""
    unique = frame.unique(maintain_order=True).sort(keys)
    repeated = unique.filter(unique.select(keys).is_duplicated())
    if repeated.height:
        entity = ", ".join(f"{name}={repeated[name][0]}" for name in keys)
        raise FeatureError(
            f"{repeated.height} different values for {entity}, without a time to tell them apart",
            hint="set event_time in the source, return computed_at, or aggregate in the function",
        )
    return unique
