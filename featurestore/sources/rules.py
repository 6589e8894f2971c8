"""The rules of declared columns: what a value must be, that none comes twice, and how many rows may be set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import polars as pl

from featurestore.errors import ConfigError, SourceError
from featurestore.frozen import frozen
from featurestore.model import Column, Json, Source
from featurestore.sources.casts.cast import ColumnType
from featurestore.sources.casts.from_text import cast_text
from featurestore.sources.patterns import find_mismatches
from featurestore.tables.batch import Mask

_SHOWN = 12


@frozen
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
    yield from _wrong_lengths(values, column)
    if column.pattern is not None:
        wrong = find_mismatches(column.pattern, values, column.name)
        yield from _where(wrong, f"does not match {column.pattern}")


def _wrong_lengths(values: pl.Series, column: Column) -> Iterator[RuleViolation]:
    if column.min_length is None and column.max_length is None:
        return
    lengths, of = (values.str.len_chars(), "characters") if column.type == "string" else (values.list.len(), "items")
    if column.min_length is not None:
        yield from _where(lengths < column.min_length, f"has fewer than {column.min_length} {of}")
    if column.max_length is not None:
        yield from _where(lengths > column.max_length, f"has more than {column.max_length} {of}")


def check_unique(frame: pl.DataFrame, columns: Iterable[Column], place: Callable[[int], str]) -> None:
    """Raises SourceError where a value comes twice in a column that says it is unique; nulls are no values."""
    for column in columns:
        if not column.unique or column.name not in frame.columns:
            continue
        values = frame[column.name].alias("")
        again = (~values.is_first_distinct() & values.is_not_null()).arg_true()
        if len(again):
            second = int(again[0])
            first = int((values == values[second]).arg_true()[0])
            more = f", and {len(again) - 1:,} more" if len(again) > 1 else ""
            raise SourceError(
                f"{column.name} is unique, and {values[second]!r} comes twice{more}",
                where=f"{place(first)} and {place(second)}",
                hint="fix the rows, or take unique away: of rows that are one event, id says which counts",
            )


MAX_REJECTED_FROM = 100
"""So few rows say nothing about a share."""


def check_rejected(source: Source, read: int, rejected: int, first: str) -> None:
    """Raises SourceError where more rows were set aside than ``max_rejected`` allows."""
    most = source.max_rejected
    if most is None or read < MAX_REJECTED_FROM or rejected <= most * read:
        return
    raise SourceError(
        f"{rejected:,} of {read:,} rows had to be set aside, {rejected / read:.1%}; max_rejected is {most:.2%}; "
        f"the first: {first}",
        where=f"source {source.name}",
        hint="fix the rows or the settings by which they are read; featurestore preview shows both",
    )


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
