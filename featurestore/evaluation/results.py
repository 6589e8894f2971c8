"""What a feature returned, checked and brought into the shape that a store takes.

Out comes a frame of the key columns, ``computed_at`` and ``value``, sorted by keys and computed_at, one row
for each; or a FeatureError that names the column and the first bad row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from featurestore.errors import FeatureError
from featurestore.evaluation.evaluate import Rows
from featurestore.model import DataType, Feature
from featurestore.tables.types import INSTANT, key_types, value_type

Place = Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Result:
    """A feature's rows, ready to be stored.

    ``timed`` is False where neither the function nor the source has times: ``computed_at`` is then absent
    and every row stands for now. ``future`` counts rows left out because they lie ahead of the clock.
    """

    frame: pl.DataFrame
    timed: bool
    future: int = 0


class Moments:
    """The keys and times of a source's own rows, worked out once for all features that keep its rows."""

    def __init__(self, feature: Feature, rows: Rows) -> None:
        event_time = rows.source.event_time
        assert event_time is not None, "only rows with times have moments"
        keys = _keys(feature, rows.frame.select(*feature.entity_type.key_names, pl.lit(None).alias("value")))
        times = _to_instant(rows.frame[event_time]).alias("computed_at")
        self.frame = keys.with_columns(times)
        if rows.source.updated_at is not None:
            updated = rows.frame[rows.source.updated_at].dt.epoch("us")
            self.frame = self.frame.with_columns(updated.alias(_UPDATED))
        self.last = int(times.dt.epoch("us").max() or 0)  # type: ignore[arg-type]  # of integers it is one
        self.again = _repeats(self.frame, [*keys.columns, "computed_at"])


def shape_values(
    feature: Feature, values: pl.Series, rows: Rows, moments: Moments, place: Place, *, latest: int
) -> Result | None:
    """`shape` for one value for each of the source's rows, in their order: the short form.

    None where rows lie ahead of ``latest`` (µs), or are not sorted: `shape` deals with those.
    """
    if moments.last > latest or moments.again is None:
        return None
    frame = moments.frame.with_columns(cast_value(values, feature.data_type).alias("value"))
    keys = list(feature.entity_type.key_names)
    return Result(_collapse(frame, keys, moments.again, None, _Places(rows, place, aligned=True)), timed=True)


def shape(feature: Feature, raw: pl.DataFrame, rows: Rows, place: Place, *, latest: int | None) -> Result:
    """Checks and shapes one feature's raw output.

    Args:
        feature: Its declaration.
        raw: What it returned: ``entity_id`` or the key columns, ``value``, maybe ``computed_at``.
        rows: The source's rows it was computed from.
        place: Where the source's row of an index stands, for messages.
        latest: Rows dated later than this (µs) are left out; None for no limit.
    """
    keys = _keys(feature, raw)
    aligned = _is_aligned(keys, rows)
    value = cast_value(raw["value"], feature.data_type)
    times = _times(feature, raw, rows, aligned=aligned)
    frame = keys.with_columns(value.alias("value"))
    if times is None:
        return Result(_settle_untimed(frame, keys.columns), timed=False)
    frame = frame.insert_column(len(keys.columns), times.alias("computed_at"))
    updated = rows.source.updated_at if aligned else None
    if updated is not None:
        frame = frame.with_columns(rows.frame[updated].dt.epoch("us").alias(_UPDATED))
    future = 0
    if latest is not None:
        kept = frame.filter(pl.col("computed_at").dt.epoch("us") <= latest)
        future = frame.height - kept.height
        frame = frame if future == 0 else kept
    where = _Places(rows, place, aligned and future == 0)
    return Result(_settle(frame, keys.columns, where), timed=True, future=future)


def cast_value(values: pl.Series, data_type: DataType) -> pl.Series:
    """The values in the type the feature declares; never a lossy cast. Raises FeatureError naming the row."""
    wanted, found = value_type(data_type), values.dtype
    if found == pl.Null:
        return values.cast(wanted)
    match data_type.kind:
        case "float" if found.is_numeric():
            return values.cast(pl.Float64).to_frame().select(_one_zero(pl.col(values.name))).to_series()
        case "int" if found.is_integer():
            return _cast_int(values)
        case "int" if found.is_float():
            whole = values.cast(pl.Int64, strict=False)
            _refuse(values, whole.cast(found).ne_missing(values), "is not a whole number", "round it, or declare float")
            return whole
        case "bool" if found == pl.Boolean:
            return values
        case "string" if found == pl.String or isinstance(found, pl.Categorical | pl.Enum):
            return values.cast(pl.String)
        case "date" if found == pl.Date:
            return values
        case "datetime" if isinstance(found, pl.Datetime):
            return _to_instant(values)
        case "list[float]" if isinstance(found, pl.List | pl.Array):
            return _cast_list(values, data_type)
    raise FeatureError(
        f"value is {found}, but the feature declares {data_type}",
        hint=f"cast it in the function, or declare data_type={_suggest(found)!r}",
    )


_UPDATED = "updated at"


@dataclass(frozen=True, slots=True)
class _Places:
    """Where rows of a result come from, as far as that can be told."""

    rows: Rows
    place: Place
    aligned: bool

    def of(self, index: int, row: dict[str, object]) -> str:
        if self.aligned:
            return self.place(int(self.rows.origin[index]))
        return f"row {index + 1} of the returned frame ({', '.join(str(item) for item in row.values())})"


def _keys(feature: Feature, raw: pl.DataFrame) -> pl.DataFrame:
    """The key columns in the entity type's types. Checks the frame's columns on the way."""
    names = feature.entity_type.key_names
    single = not feature.entity_type.composite
    given = ["entity_id"] if single and "entity_id" in raw.columns else list(names)
    expected = {*given, "value"}
    found = set(raw.columns)
    if not expected <= found or found - expected - {"computed_at"}:
        wanted = ", ".join([*(["entity_id"] if single else names), "value"])
        raise FeatureError(
            f"returned the columns {', '.join(raw.columns)}; expected {wanted} and, optionally, computed_at",
            hint="select and alias exactly these",
        )
    columns = []
    for name, column, wanted_type in zip(names, given, key_types(feature.entity_type).values(), strict=True):
        values = raw[column]
        _refuse(values, values.is_null(), "is null, and a key can't be", f"drop rows without {name}")
        columns.append(_cast_key(values, wanted_type).alias(name))
    return pl.DataFrame(columns)


def _cast_key(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    found = values.dtype
    if wanted == pl.String:
        if found == pl.String or found.is_integer() or isinstance(found, pl.Categorical | pl.Enum):
            return values.cast(pl.String)
    elif found.is_integer():
        return _cast_int(values)
    if found == pl.Null and values.len() == 0:
        return values.cast(wanted)
    kind = "string" if wanted == pl.String else "int"
    raise FeatureError(f"{values.name} is {found}, but the key is declared as {kind}", hint="cast it in the function")


def _is_aligned(keys: pl.DataFrame, rows: Rows) -> bool:
    """Whether the result has the source's rows, row by row: the same height and the same keys."""
    if keys.height != rows.frame.height or not rows.keyed:
        return False
    names = keys.columns
    return all(keys[name].equals(rows.frame[name].cast(keys[name].dtype), null_equal=True) for name in names)


def _times(feature: Feature, raw: pl.DataFrame, rows: Rows, *, aligned: bool) -> pl.Series | None:
    given = (
        raw["computed_at"] if "computed_at" in raw.columns else pl.Series("computed_at", [None] * raw.height, INSTANT)
    )
    if given.dtype == pl.Null:
        given = given.cast(INSTANT)
    if given.dtype != pl.Date and not isinstance(given.dtype, pl.Datetime):
        raise FeatureError(f"computed_at is {given.dtype}, not a time", hint="use str.to_datetime() in the function")
    times = _to_instant(given)
    if not times.has_nulls():
        return times
    event_time = rows.source.event_time
    if event_time is None:
        if times.null_count() == times.len():
            return None
        _refuse(times, times.is_null(), "is null, and the source has no event_time", "give every row a time, or none")
    if not aligned:
        raise FeatureError(
            f"computed_at is null in {times.null_count()} of {times.len()} rows, and the rows are not the source's",
            hint=f"return computed_at from {feature.function}(): its rows differ from the source's in number or keys",
        )
    assert event_time is not None
    return times.fill_null(_to_instant(rows.frame[event_time]))


def _settle(frame: pl.DataFrame, keys: list[str], places: _Places) -> pl.DataFrame:
    """Sorts by keys and time; of rows with the same keys and time the last updated stays.

    Equal values collapse. Different ones need an ``updated_at`` that tells them apart (SEMANTICS 5).
    """
    order = [*keys, "computed_at"]
    again = _repeats(frame, order)
    if again is None:
        index = "row index"
        frame = frame.with_row_index(index).sort(
            [*order, *([_UPDATED] if _UPDATED in frame.columns else [])], maintain_order=True
        )
        origin = frame[index]
        frame = frame.drop(index)
        again = _repeats(frame, order)
        assert again is not None
    else:
        origin = None
    return _collapse(frame, keys, again, origin, places)


def _collapse(
    frame: pl.DataFrame, keys: list[str], again: pl.Series, origin: pl.Series | None, places: _Places
) -> pl.DataFrame:
    """Leaves of the rows of one moment the last; ``again`` marks those that repeat the one before."""
    order = [*keys, "computed_at"]
    if not again.any():
        return frame.select(*order, "value")
    superseded = again.shift(-1, fill_value=False)
    clash = _first_clash(frame, again, superseded)
    if clash is not None:
        _raise_clash(frame, origin, clash, order, places)
    return frame.filter(~superseded).select(*order, "value")


def _first_clash(frame: pl.DataFrame, again: pl.Series, superseded: pl.Series) -> tuple[int, int] | None:
    """The first two rows of one moment that differ and that nothing tells apart; each group's last row stands."""
    updated = [_UPDATED] if _UPDATED in frame.columns else []
    groups = (
        frame.select("value", *updated)
        .with_columns(group=(~again).cum_sum(), superseded=superseded)
        .with_row_index("index")
        .filter(again | superseded)
        .with_columns(pl.col("index", "value", *updated).last().over("group").name.prefix("last "))
    )
    tied = [pl.col(name).eq_missing(pl.col(f"last {name}")) for name in updated]
    clashes = groups.filter(pl.col("superseded"), pl.col("value").ne_missing(pl.col("last value")), *tied)
    return (clashes["index"][0], clashes["last index"][0]) if clashes.height else None


def _repeats(frame: pl.DataFrame, order: list[str]) -> pl.Series | None:
    """Whether each row repeats the keys and time of the one before; None where the frame is not sorted so."""
    equal = pl.Series([True]).new_from_index(0, frame.height)
    ahead = pl.Series([False]).new_from_index(0, frame.height)
    for name in order:
        column, before = frame[name], frame[name].shift(1)
        ahead = ahead | (equal & (column > before).fill_null(True))
        equal = equal & (column == before).fill_null(False)
    return equal if (ahead | equal).all() else None


def _raise_clash(
    frame: pl.DataFrame, origin: pl.Series | None, clash: tuple[int, int], order: list[str], places: _Places
) -> None:
    row = frame.row(clash[0], named=True)
    found = [places.of(at if origin is None else int(origin[at]), {name: row[name] for name in order}) for at in clash]
    entity = ", ".join(f"{name}={row[name]}" for name in order[:-1])
    hint = "set updated_at in the source so that the later one wins, or aggregate in the function"
    if places.rows.source.updated_at is not None:
        hint = "both have the same updated_at; mend the data, or aggregate in the function"
    raise FeatureError(
        f"two different values for {entity} at {row['computed_at'].isoformat()}Z: {row['value']} ({found[0]}) and "
        f"{frame['value'][clash[1]]} ({found[1]})",
        hint=hint,
    )


def _settle_untimed(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    unique = frame.unique(maintain_order=True).sort(keys)
    again = unique.filter(unique.select(keys).is_duplicated())
    if again.height:
        entity = ", ".join(f"{name}={again[name][0]}" for name in keys)
        raise FeatureError(
            f"{again.height} different values for {entity}, without a time to tell them apart",
            hint="set event_time in the source, return computed_at, or aggregate in the function",
        )
    return unique


def _cast_int(values: pl.Series) -> pl.Series:
    whole = values.cast(pl.Int64, strict=False)
    _refuse(values, whole.is_null() & values.is_not_null(), "does not fit into 64 bits", "use a string")
    return whole


def _cast_list(values: pl.Series, data_type: DataType) -> pl.Series:
    inner = values.dtype.inner  # type: ignore[attr-defined]
    if not inner.is_numeric() and inner != pl.Null:
        raise FeatureError(
            f"value is {values.dtype}, but the feature declares {data_type}", hint="cast the items to float"
        )
    lists = values.cast(pl.List(pl.Float64))
    lengths = lists.list.len()
    known = lengths.drop_nulls()
    length = data_type.length or (int(known[0]) if known.len() else None)
    if length is not None:
        _refuse(
            values,
            (lengths != length).fill_null(False),
            f"does not have {length} items",
            "give every list the same length",
        )
    return lists.to_frame().select(pl.col(values.name).list.eval(_one_zero(pl.element()))).to_series()


def _one_zero(number: pl.Expr) -> pl.Expr:
    """−0.0 as 0.0, so that equal values have equal bits (Polars takes ``+ 0.0`` for nothing to do)."""
    return pl.when(number == 0.0).then(0.0).otherwise(number)


def _to_instant(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(INSTANT)


def _refuse(values: pl.Series, bad: pl.Series, complaint: str, hint: str) -> None:
    if bad.any():
        row = int(bad.arg_true()[0])
        shown = "" if values[row] is None else f" ({values[row]!r})"
        more = int(bad.sum() or 0) - 1
        others = f" and in {more} more" if more else ""
        raise FeatureError(f"{values.name} {complaint} in row {row + 1}{shown}{others}", hint=hint)


def _suggest(found: pl.DataType) -> str:
    if found.is_float():
        return "float"
    if found.is_integer():
        return "int"
    if isinstance(found, pl.List | pl.Array):
        return "list[float]"
    return {"Boolean": "bool", "String": "string", "Date": "date"}.get(
        str(found), "datetime" if found.is_temporal() else "string"
    )
