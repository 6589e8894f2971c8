"""Checks what a feature returned and brings it into the form that a store takes.

The outcome is a frame of the key columns, ``computed_at`` and ``value``, sorted by keys and ``computed_at``, with one
row for each of them; or a FeatureError that names the column and the first bad row. Of a source that says when its rows
were known, values of scope ``row`` have ``known_at`` too: one row for each known time.
"""

from __future__ import annotations

from collections.abc import Callable

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
    ways_out,
)
from featurestore.frozen import frozen
from featurestore.model import Feature
from featurestore.tables.identity import place_of
from featurestore.tables.types import INSTANT, key_types, value_type
from featurestore.times import is_utc

KNOWN = "known_at"  # when a value was known, by its source
IDENTITY = "row identity"  # a number for each id of a source; the space keeps it apart from every source's columns

# Where the source's row of an index is, in the source's words.
Place = Callable[[int], str]


@frozen
class FeatureValues:
    """A feature's values, ready to be stored.

    ``timed`` is False if neither the function nor the source has times: ``computed_at`` is then absent and every row
    is as of now. ``future`` counts the rows that were left out because they are ahead of the clock, the first of them
    at ``due`` (µs); ``ahead`` are their keys and times. Where rows may be known elsewhere later, ``every`` has a row
    for each of the source's: keys, ``computed_at``, ``known_at``, the value, and which row it is (`IDENTITY`).
    """

    frame: pl.DataFrame
    timed: bool
    future: int = 0
    due: int | None = None
    ahead: pl.DataFrame | None = None
    every: pl.DataFrame | None = None


def no_values(feature: Feature, *, timed: bool) -> FeatureValues:
    """The values of a feature whose source has no rows."""
    times = {"computed_at": INSTANT} if timed else {}
    schema = {**key_types(feature.entity_type), **times, "value": value_type(feature.data_type)}
    return FeatureValues(pl.DataFrame(schema=schema), timed)


class RowTimes:
    """The keys and times of a source's own rows, computed once for all features that have one value per row."""

    def __init__(self, feature: Feature, rows: SortedRows) -> None:
        event_time = rows.source.event_time
        assert event_time is not None, "the source has no times"
        keys = _keys(feature, rows.frame.select(*feature.entity_type.key_names, pl.lit(None).alias("value")))
        times = to_instant(rows.frame[event_time]).alias("computed_at")
        self.frame = keys.with_columns(times, *_known(rows))
        if rows.source.updated_at is not None:
            self.frame = self.frame.with_columns(_updated(rows, rows.source.updated_at))
        self.last = int(times.dt.epoch("us").max() or 0)  # type: ignore[arg-type]  # max() of integers is an int
        self.order = [*keys.columns, "computed_at", *([KNOWN] if rows.known else [])]
        self.repeats = find_repeats(self.frame, self.order)
        self.distinct = self.repeats is not None and not self.repeats.any()


def check_column(
    feature: Feature, values: pl.Series, rows: SortedRows, times: RowTimes, place: Place, *, latest: int | None
) -> FeatureValues | None:
    """`check_frame` for the short form, which gives one value for each of the source's rows, in their order.

    None if rows are ahead of ``latest`` (µs), are not sorted, or may be known elsewhere later: `check_frame` handles
    those. Otherwise much faster, since keys and times are not checked again for each feature.
    """
    if times.repeats is None or rows.identity or (latest is not None and times.last > latest):
        return None
    frame = times.frame.with_columns(cast_values(feature, values, rows).alias("value"))
    locate = _locate(rows, place, aligned=True)
    frame = drop_superseded(frame, times.order, times.repeats, locate, _hint(rows, aligned=True))
    return FeatureValues(frame, timed=True)


def check_frame(
    feature: Feature, raw: pl.DataFrame, rows: SortedRows, place: Place, *, latest: int | None, hint: str | None = None
) -> FeatureValues:
    """Checks the frame that a feature returned and brings it into the form that a store takes.

    Args:
        feature: Its declaration.
        raw: What it returned: ``entity_id`` or the key columns, ``value``, maybe ``computed_at``.
        rows: The source's rows that it was computed from.
        place: Where the source's row of an index is, for messages.
        latest: Rows dated later than this (µs) are left out; None for no limit.
        hint: What to do about two values of one entity and time, where that is not up to the source.
    """
    keys = _keys(feature, raw)
    aligned = feature.short or _is_aligned(feature, raw, keys, rows)
    value = cast_values(feature, raw["value"], rows)
    times = _times(feature, raw, rows, aligned=aligned)
    frame = keys.with_columns(value.alias("value"))
    if aligned and rows.source.updated_at is not None:
        frame = frame.with_columns(_updated(rows, rows.source.updated_at))
    if times is not None:
        frame = frame.insert_column(len(keys.columns), times.alias("computed_at"))
    if rows.known is not None:
        if not aligned:
            raise _unknown(feature, rows)
        frame = frame.with_columns(_known(rows))
    if rows.identity:
        frame = frame.with_columns(rows.frame.select(pl.struct(rows.identity).rank("dense").alias(IDENTITY)))
    if rows.padding:
        frame = _without_padding(frame, keys.columns, rows)
    if times is None:
        locate = _locate(rows, place, aligned=aligned)
        return FeatureValues(_check_untimed(frame, keys.columns, locate, rows), timed=False)
    micros = frame["computed_at"].to_physical()
    ahead = micros > latest if latest is not None else micros.is_null()
    future = int(ahead.sum() or 0)
    due = int(micros.filter(ahead).min() or 0) if future else None  # type: ignore[arg-type]  # of integers an integer
    past = frame.filter(~ahead) if future else frame
    locate = _locate(rows, place, aligned=aligned and future == 0)
    pair, hint = [*keys.columns, "computed_at"], hint or _hint(rows, aligned=aligned)
    late = frame.filter(ahead).select(pair).unique(maintain_order=True) if future else None
    order = [*pair, *([KNOWN] if rows.known else [])]
    every = frame if rows.identity else None
    return FeatureValues(sort_and_drop_superseded(past, order, locate, hint), True, future, due, late, every)


def _known(rows: SortedRows) -> list[pl.Series]:
    """When each row was known, where its value is to have that time."""
    return [] if rows.known is None else [to_instant(rows.frame[rows.known]).alias(KNOWN)]


def _unknown(feature: Feature, rows: SortedRows) -> FeatureError:
    return FeatureError(
        f"which {rows.known} belongs to which value is not known, since the function returns other rows than the "
        "source's, or in another order",
        hint=f"let {feature.function}() return a value for each row, null where there is none, in their order; or "
        'declare scope="entity": then a value is known from its run on',
    )


def _without_padding(frame: pl.DataFrame, keys: list[str], rows: SortedRows) -> pl.DataFrame:
    """A result without what was computed from copies: those of other entities, or repeated rows."""
    if rows.keyed:
        copies = rows.frame.tail(rows.padding).select(keys)
        copied = copies.cast({name: frame.schema[name] for name in keys})
        originals = rows.frame.head(rows.frame.height - rows.padding).select(keys).cast(copied.schema)
        if not copied.head(1).equals(originals.head(1)):
            return frame.join(copied.unique(), on=keys, how="anti", maintain_order="left")
    if frame.height == rows.frame.height == 2 * rows.padding:  # a value for each row
        return frame.head(rows.padding)
    return frame.unique(maintain_order=True)


def _locate(rows: SortedRows, place: Place, *, aligned: bool) -> Locate:
    """Where rows of a result come from; by the source's row only if the result has the source's rows."""

    def locate(index: int, row: dict[str, object]) -> str:
        if aligned:
            return place(int(rows.origin[index]))
        return f"row {index + 1} of the returned frame ({', '.join(str(item) for item in row.values())})"

    return locate


def _hint(rows: SortedRows, *, aligned: bool) -> str:
    if rows.source.updated_at is None:
        return ways_out(rows.source, rows.entity_type, rows.frame.schema, rows.unread)
    if not aligned:
        return (
            "which updated_at belongs to which is not known, since the function returns other rows than the source's, "
            "or in another order; leave one of them in the function"
        )
    return "both have the same updated_at; fix the data, or aggregate in the function"


def cast_values(feature: Feature, values: pl.Series, rows: SortedRows) -> pl.Series:
    """What a feature gave, in the type that it declares. Raises FeatureError."""
    if feature.data_type.kind == "datetime":
        _refuse_naive(values, rows)
    return cast_value(values, feature.data_type)


def _refuse_naive(times: pl.Series, rows: SortedRows) -> None:
    """Raises FeatureError for times without a zone where the source's own are not UTC: they may be local ones."""
    naive = times.dtype == pl.Date or (isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is None)
    if naive and not is_utc(rows.source.timezone) and times.null_count() < len(times):
        raise FeatureError(
            f"{times.name} has no zone, and the source's times are in {rows.source.timezone}",
            hint=f'say which one it is: .dt.replace_time_zone("{rows.source.timezone}"), or "UTC"',
        )


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
        if given == pl.String or isinstance(given, pl.Categorical | pl.Enum):
            return values.cast(pl.String)
    elif given.is_integer():
        return cast_int(values)
    if given == pl.Null and values.len() == 0:
        return values.cast(wanted)
    kind = "string" if wanted == pl.String else "int"
    hint = "cast it in the function"
    if wanted == pl.String and given.is_integer():
        hint = f"as a number 007 is 7: return the source's own text, or, where it is a number there, {hint}"
    raise FeatureError(f"{values.name} is {given}, but the key is declared as {kind}", hint=hint)


def _is_aligned(feature: Feature, raw: pl.DataFrame, keys: pl.DataFrame, rows: SortedRows) -> bool:
    """Whether the result has the source's rows in the source's order, so that the n-th row of both is the same.

    Equal keys row by row prove that only where no key repeats: the rows of one entity may have changed places. The
    function's own key columns, handed back as they were, prove it too, because every other order is another column in
    memory.
    """
    if keys.height != rows.frame.height or not rows.keyed:
        return False
    names = keys.columns
    if not all(keys[name].equals(rows.frame[name].cast(keys[name].dtype), null_equal=True) for name in names):
        return False
    given = [name if name in raw.columns else "entity_id" for name in names]
    untouched = (place_of(raw[mine]) == place_of(rows.frame[name]) for mine, name in zip(given, names, strict=True))
    return all(untouched) or not keys.is_duplicated().any()


def _times(feature: Feature, raw: pl.DataFrame, rows: SortedRows, *, aligned: bool) -> pl.Series | None:
    """The result's ``computed_at``, filled with the source's times or `Source.valid`; None if neither has any."""
    given = (
        raw["computed_at"] if "computed_at" in raw.columns else pl.Series("computed_at", [None] * raw.height, INSTANT)
    )
    if given.dtype == pl.Null:
        given = given.cast(INSTANT)
    if given.dtype != pl.Date and not isinstance(given.dtype, pl.Datetime):
        raise FeatureError(f"computed_at is {given.dtype}, not a time", hint="use str.to_datetime() in the function")
    _refuse_naive(given, rows)
    times = to_instant(given)
    if not times.has_nulls():
        return times
    event_time = rows.source.event_time
    if event_time is None and rows.source.valid is not None:
        return times.fill_null(pl.lit(rows.source.valid, pl.Int64).cast(INSTANT))
    if event_time is None:
        if times.null_count() == times.len():
            return None
        hint = "give every row a time, or none"
        refuse_rows(times, times.is_null(), "is null, and the source has no event_time", hint)
    if not aligned:
        reason = "they are not the source's rows in the source's order"
        if feature.sources:
            reason = "of several sources no row has a time of its own"
        raise FeatureError(
            f"computed_at is null in {times.null_count()} of {times.len()} rows, and {reason}",
            hint=f"return computed_at from {feature.function}(), for example computed_at={event_time!r} in a select",
        )
    assert event_time is not None
    return times.fill_null(to_instant(rows.frame[event_time]))


def _check_untimed(frame: pl.DataFrame, keys: list[str], locate: Locate, rows: SortedRows) -> pl.DataFrame:
    """The rows sorted by keys, one for each; without times only ``updated_at`` says which of two is the later."""
    if UPDATED in frame.columns:
        return sort_and_drop_superseded(frame, keys, locate, _hint(rows, aligned=True))
    unique = frame.unique(maintain_order=True).sort(keys)
    repeated = unique.filter(unique.select(keys).is_duplicated())
    if repeated.height:
        entity = ", ".join(f"{name}={repeated[name][0]}" for name in keys)
        raise FeatureError(
            f"{repeated.height} different values for {entity}, without a time to tell them apart",
            hint="set event_time or updated_at in the source, return computed_at, or aggregate in the function",
        )
    return unique
