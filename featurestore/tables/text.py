"""Values as text, in the two spellings of the interface: cells of a CSV, and JSON.

Null, NaN and the infinities stay three things. CSV: null is an empty field, the empty string ``""``,
a list is JSON text. JSON: null, "NaN", "Infinity", "-Infinity". Instants are ISO 8601 with ``Z``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from featurestore.errors import UsageError
from featurestore.tables.values import json_value


def csv_cells(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every column in a type that `write_csv` spells right. Raises UsageError for raw bytes."""
    return pl.DataFrame({column.name: _cells(column) for column in frame.get_columns()})


def json_lines(frame: pl.DataFrame) -> pl.Series:
    """One JSON object per row, without line ends. Raises UsageError for raw bytes."""
    parts: list[pl.Expr] = []
    for place, name in enumerate(frame.columns):
        opening = "{" if place == 0 else ","
        parts += [pl.lit(f"{opening}{json.dumps(name, ensure_ascii=False)}:"), pl.col(str(place))]
    texts = pl.DataFrame({str(place): _json(column) for place, column in enumerate(frame.get_columns())})
    return texts.select(pl.concat_str([*parts, pl.lit("}")]).alias("line"))["line"]


def _cells(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind.is_float():
        return _spell_infinities(column) if column.is_infinite().any() else column
    if isinstance(kind, pl.Datetime):
        return _iso(column, kind)
    if kind.is_nested():
        return _json(column).set(column.is_null(), None)
    if isinstance(kind, pl.Duration):
        return _encoded(column).str.strip_chars('"').set(column.is_null(), None)
    _refuse_bytes(column)
    return column.cast(pl.String) if isinstance(kind, pl.Categorical | pl.Enum | pl.Time) else column


def _json(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind.is_float():
        special = column.is_nan() | column.is_infinite()
        text = _spell_infinities(column)
        return pl.select(pl.when(special).then('"' + text + '"').otherwise(text)).to_series().fill_null("null")
    if kind.is_integer() or kind == pl.Boolean:
        return column.cast(pl.String).fill_null("null")
    if isinstance(kind, pl.Datetime):
        column = _iso(column, kind)
    _refuse_bytes(column)
    text = _encoded(column)
    if isinstance(kind, pl.List | pl.Array) and kind.inner.is_float():
        lists = column.cast(pl.List(pl.Float64))
        odd = lists.list.eval(pl.element().is_finite().not_()).list.any().fill_null(value=False).arg_true()
        if len(odd):
            text = text.scatter(odd, [_json_list(values) for values in lists[odd]])
    return text


def _encoded(column: pl.Series) -> pl.Series:
    # Polars encodes nothing but structs as JSON.
    objects = pl.DataFrame({"v": column}).select(pl.struct("v").struct.json_encode().alias("v"))["v"]
    return objects.str.slice(len('{"v":')).str.head(-1)


def _json_list(values: Sequence[float | None]) -> str:
    return json.dumps([json_value(value) for value in values], separators=(",", ":"))


def _spell_infinities(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).replace({"inf": "Infinity", "-inf": "-Infinity"})


def _iso(column: pl.Series, kind: pl.Datetime) -> pl.Series:
    """ISO 8601: UTC with ``Z`` for a zone's times; naive ones stay naive."""
    zone = "Z" if kind.time_zone else ""
    times = column.dt.convert_time_zone("UTC") if kind.time_zone else column
    whole = times.dt.strftime(f"%Y-%m-%dT%H:%M:%S{zone}")
    exact = times.dt.nanosecond() == 0
    if exact.all():
        return whole
    digits = 6 if (times.dt.nanosecond() % 1_000 == 0).all() else 9
    fraction = times.dt.strftime(f"%Y-%m-%dT%H:%M:%S%.{digits}f{zone}")
    return pl.select(pl.when(exact).then(whole).otherwise(fraction)).to_series()


def _refuse_bytes(column: pl.Series) -> None:
    if column.dtype in (pl.Binary, pl.Object):
        raise UsageError(
            f"column {column.name!r} holds {column.dtype}, which has no text", hint="write Parquet or Arrow instead"
        )
