"""Which type an undeclared column has, from its values: the narrowest that loses nothing of any of them."""

from __future__ import annotations

import polars as pl

from featurestore.dialect import STANDARD, Dialect
from featurestore.model import Scalar
from featurestore.sources.casts.cast import Cast, ColumnType
from featurestore.sources.casts.from_types import cast, kind_of
from featurestore.tables.batch import BOOLEAN, DECIMAL, INTEGER, NULL, STRING, TEXT

ORDER: tuple[Scalar, ...] = ("bool", "int", "float", "date", "datetime", "string")
_SAMPLE = 100


def infer(
    column: pl.Series,
    kinds: pl.Series | None = None,
    *,
    above: Scalar | None = None,
    zone: str | None = None,
    dialect: Dialect = STANDARD,
) -> tuple[Scalar, Cast] | None:
    """The first type in `ORDER`, from ``above`` on, that holds every value, and the column in it; None without values.

    ``007`` is text, and so is an integer that 64 bits can't hold: an id read as a number would be another id.
    A column that has a type keeps it; None where the store has no such type.
    """
    if column.dtype not in (pl.String, pl.Null):
        kind = kind_of(column.dtype)
        return None if kind is None else (kind, cast(column, ColumnType(kind, strict=True, zone=zone)))
    if column.null_count() == len(column):
        return None
    candidates = ORDER[0 if above is None else ORDER.index(above) :]
    if kinds is not None:
        candidates = tuple(kind for kind in candidates if kind in _of_json(kinds, dialect))
    there = column.is_not_null()
    sample = column.filter(there).head(_SAMPLE)  # what fails at all mostly fails on these
    of_sample = None if kinds is None else kinds.filter(there).head(_SAMPLE)
    for kind in candidates:
        # A time that clocks skip or repeat is a time: its row is set aside, the column stays one of times.
        target = ColumnType(kind, strict=True, dialect=dialect)
        if cast(sample, target, of_sample).misfits is not None:
            continue
        done = cast(column, target, kinds)
        if done.misfits is None and (kind != "float" or done.values.is_finite().any()):  # nan and inf alone are words
            return kind, cast(column, ColumnType(kind, strict=True, zone=zone)) if done.naive and zone else done
    return "string", Cast(column)


def _of_json(kinds: pl.Series, dialect: Dialect) -> set[Scalar]:
    """JSON says itself what is text; only times have to be found inside it, and numbers of a dialect.

    So do columns with types.
    """
    present = {STRING if kind == TEXT else kind for kind in kinds.unique().to_list()} - {NULL}
    if STRING in present and present <= {STRING, INTEGER, DECIMAL} and not dialect.plain_numbers:
        return {"int", "float", "date", "datetime", "string"}
    if present == {BOOLEAN}:
        return {"bool"}
    if present <= {INTEGER, DECIMAL}:
        return {"int", "float"}
    return {"date", "datetime", "string"} if present == {STRING} else {"string"}
