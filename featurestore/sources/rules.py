"""The rules that a declared column's values must not break: null, min, max, in, pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl

from featurestore.errors import ConfigError
from featurestore.model import Column, Json
from featurestore.sources.casts.cast import ColumnType
from featurestore.sources.casts.from_text import cast_text
from featurestore.sources.patterns import find_mismatches
from featurestore.tables.batch import Mask

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class RuleViolation:
    """The rows that break one rule, and the rule in words."""

    rows: Mask
    reason: str


def find_violations(values: pl.Series, column: Column, zone: str | None) -> Iterator[RuleViolation]:
    """Yields every rule of a column that some of its values break. A null breaks only ``null = false``.

    Bounds are inclusive, NaN is in no range, and a pattern must match the whole text. Raises ConfigError where a
    rule holds what can't be a value of the column.
    """
    if isinstance(values.dtype, pl.Datetime):
        column = replace(column, type="datetime")  # the event time is one, whatever it was declared as
    if not column.null:
        yield from _where(values.is_null(), "is null")
    if column.min is not None:
        yield from _where(_out(values, values < _bound(column, column.min, zone)), f"is below the minimum {column.min}")
    if column.max is not None:
        yield from _where(_out(values, values > _bound(column, column.max, zone)), f"is above the maximum {column.max}")
    if column.choices is not None:
        choices = pl.Series([_one(column, choice, zone) for choice in column.choices], dtype=values.dtype)
        shown = ", ".join(str(choice) for choice in column.choices[:_SHOWN])
        more = ", …" if len(choices) > _SHOWN else ""
        yield from _where(~values.is_in(choices.implode()), f"is not one of {shown}{more}")
    if column.pattern is not None:
        wrong = find_mismatches(column.pattern, values, column.name)
        yield from _where(wrong, f"does not match {column.pattern}")


def _where(broken: pl.Series, reason: str) -> Iterator[RuleViolation]:
    if broken.any():
        yield RuleViolation(broken.fill_null(value=False).to_numpy(), reason)


def _out(values: pl.Series, beyond: pl.Series) -> pl.Series:
    return beyond | values.is_nan() if values.dtype.is_float() else beyond


def _bound(column: Column, value: float | str, zone: str | None) -> object:
    return _one(column, value, zone) if isinstance(value, str) else value


def _one(column: Column, value: Json, zone: str | None) -> object:
    """A value of featurestore.toml as a value of the column."""
    if isinstance(value, bool) != (column.type == "bool") or not isinstance(value, str | bool | int | float):
        raise _unfit(column, value)
    if isinstance(value, bool) or (isinstance(value, int | float) and column.type == "float"):
        return value
    if isinstance(value, str) == (column.type in ("int", "float")):
        raise _unfit(column, value)
    done = cast_text(pl.Series([str(value)]), ColumnType(column.type, zone=zone))
    if done.misfits is not None:
        raise _unfit(column, value)
    return done.values[0]


def _unfit(column: Column, value: Json) -> ConfigError:
    return ConfigError(
        f"a rule of column {column.name!r} names {value!r}, which is not a {column.type}",
        where="featurestore.toml",
        hint="write it as the values of the column are written",
    )
