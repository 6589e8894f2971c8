"""The fields of a request in the types that a feature declares for them: exactly, or not at all.

They come as columns of labels, as JSON, or as text on a command line, and are the same values wherever they come from:
−0.0 is 0.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from featurestore import times
from featurestore.errors import UsageError, with_article
from featurestore.frozen import frozen
from featurestore.model import Scalar
from featurestore.plain import plain

if TYPE_CHECKING:
    import polars as pl

    from featurestore.dialect import Dialect

FieldValue = None | bool | int | float | str | date | datetime | list[float | None]

_EXACT = 1 << 53  # from here on a float may stand for another integer
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EXAMPLES: dict[Scalar, str] = {
    "bool": "true or false",
    "int": "a whole number of 64 bits, as 42",
    "float": 'a number that a float is equal to, as 12.5, or "NaN", "Infinity", "-Infinity"',
    "string": "a text",
    "date": "a date, as 2025-01-31",
    "datetime": "a time, as 2025-01-31T08:00:00Z",
    "list[float]": "a list of numbers",
}


def from_value(field: str, kind: Scalar, given: object) -> FieldValue:
    """A field as Python, NumPy, pandas or JSON has it. A time without a zone is UTC.

    Raises UsageError that names the field.
    """
    given = plain(given)
    if given is None:
        return None
    try:
        return _READ[kind](given)
    except (ValueError, TypeError, OverflowError):
        raise _misfit(field, kind) from None


def from_text(field: str, kind: Scalar, text: str) -> FieldValue:
    """A field as text, as in a CSV file: an empty one is null, but for a text. Raises UsageError."""
    import polars as pl

    from featurestore.sources.casts.cast import ColumnType
    from featurestore.sources.casts.from_text import cast_text

    if not text and kind != "string":
        return None
    done = cast_text(pl.Series(field, [text], dtype=pl.String), ColumnType(kind))
    if done.misfits is not None and done.misfits.any():
        raise _misfit(field, kind)
    return from_value(field, kind, done.values.to_list()[0])


@frozen
class FieldColumn:
    """A column of labels as a field. ``misfit`` is the first row that is no value of its type; None without one.

    ``naive`` says that a time had no zone.
    """

    values: pl.Series
    misfit: int | None = None
    naive: bool = False


def from_column(field: str, kind: Scalar, column: pl.Series, zone: str | None, dialect: Dialect) -> FieldColumn:
    """A field from a column of labels. Raises SourceError for a column of a type that no value of the field has."""
    from featurestore.sources.casts.cast import ColumnType
    from featurestore.sources.casts.from_types import cast

    written = dialect.time_format(column.name)
    done = cast(column, ColumnType(kind, zone=zone, dialect=dialect, times=written))
    misfit = None if done.misfits is None or not done.misfits.any() else int(done.misfits.argmax())
    return FieldColumn(_without_negative_zeros(done.values.alias(field), kind), misfit, done.naive)


def _without_negative_zeros(values: pl.Series, kind: Scalar) -> pl.Series:
    import polars as pl

    def plain(number: pl.Expr) -> pl.Expr:
        return pl.when(number == 0.0).then(0.0).otherwise(number)

    if kind == "float" and (values == 0.0).any():
        return values.to_frame().select(plain(pl.col(values.name)).alias(values.name)).to_series()
    if kind == "list[float]":
        return values.to_frame().select(pl.col(values.name).list.eval(plain(pl.element()))).to_series()
    return values


def _misfit(field: str, kind: Scalar) -> UsageError:
    return UsageError(f"the request's field {field!r} is not {with_article(kind)}", hint=_EXAMPLES[kind])


def _bool(given: object) -> bool:
    if not isinstance(given, bool):
        raise TypeError(given)
    return given


def _int(given: object) -> int:
    if isinstance(given, float) and given.is_integer() and abs(given) < _EXACT:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not -(2**63) <= given < 2**63:
        raise TypeError(given)
    return given


def _float(given: object) -> float:
    if isinstance(given, str) and given in _WORDS:
        return _WORDS[given]
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(given)
    found = float(given)
    if isinstance(given, int) and int(found) != given:
        raise ValueError(given)
    return found + 0.0  # −0.0 becomes 0.0


def _string(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError(given)
    given.encode()  # raises for what is not valid Unicode
    return given


def _date(given: object) -> date:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    return date.fromisoformat(_string(given))


def _datetime(given: object) -> datetime:
    if isinstance(given, datetime):
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    return times.EPOCH + timedelta(microseconds=times.parse_instant(_string(given))[0])


def _list(given: object) -> list[float | None]:
    if not isinstance(given, list | tuple):
        raise TypeError(given)
    return [None if item is None else _float(item) for item in given]


_READ: dict[Scalar, Callable[[object], FieldValue]] = {
    "bool": _bool, "int": _int, "float": _float, "string": _string, "date": _date, "datetime": _datetime,
    "list[float]": _list,
}  # fmt: skip
