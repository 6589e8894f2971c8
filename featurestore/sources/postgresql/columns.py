"""Which types of PostgreSQL are carried, how a column is asked for, and what its values are in Polars.

A column is asked for in a type that the driver carries exactly. Where a value of it may be one that Arrow has no place
for (an infinite time, an array of arrays), its row is found here and given as one that can't be read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import polars as pl

from featurestore.errors import SourceError
from featurestore.frozen import frozen
from featurestore.model import Json, Source
from featurestore.sources.databases import quoted
from featurestore.tables.batch import DECIMAL, MAX_REJECTED, NULL, Batch, UnreadableRow, bits, texts

PLAIN = frozenset({"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar"})
TIMES = frozenset({"date", "timestamp", "timestamptz"})
# As texts, in the one way of writing that PostgreSQL has for each of them. Of char(n) that is without the blanks that
# it is filled up with.
TEXTS = frozenset({
    "uuid", "json", "jsonb", "bpchar", "name", "char", "citext", "time", "timetz", "inet", "cidr", "macaddr",
    "macaddr8", "xml", "bit", "varbit", "ltree",
})  # fmt: skip
BITS = frozenset({"bit", "varbit"})
NUMBERS = frozenset({"numeric", "money"})
OIDS = frozenset({"oid", "xid", "cid"})
ITEMS = PLAIN | {"timestamptz", "timestamp", "date"}
MOST_DIGITS = 38
# The first instant and day that PostgreSQL has. What the driver moves beyond the end of 64 bits comes out before it.
FIRST = {pl.Datetime: -210_866_803_200_000_000, pl.Date: -2_440_588}
_DIMENSIONS = "featurestore dimensions of "


@frozen
class ServerType:
    """A type as the server describes it. ``kind`` is pg_type's: b for a base type, e for an enum, and others.

    ``item`` is the type of an array's items. ``precision`` and ``scale`` are those of a numeric that has them.
    """

    name: str
    kind: str
    item: ServerType | None = None
    precision: int | None = None
    scale: int | None = None


@frozen
class Column:
    """A column of a table or a query."""

    name: str
    type: ServerType

    def to_json(self) -> Json:
        kind, item = self.type, self.type.item
        return [self.name, kind.name, kind.kind, kind.precision, kind.scale, item and [item.name, item.kind]]

    @classmethod
    def from_json(cls, found: Any) -> Column:
        """What `to_json` gave."""
        name, kind, letter, precision, scale, item = found
        return cls(name, ServerType(kind, letter, ServerType(*item) if item else None, precision, scale))

    @property
    def carried(self) -> bool:
        return _expression(self) is not None

    @property
    def decimal(self) -> pl.Decimal | None:
        """What a numeric of known digits is in Polars."""
        precision, scale = self.type.precision, self.type.scale
        if self.type.name != "numeric" or precision is None or scale is None:
            return None
        return pl.Decimal(precision, scale) if precision <= MOST_DIGITS and 0 <= scale <= precision else None


def _expression(column: Column) -> str | None:
    """How a column is asked for; None where it is not carried."""
    name, kind = quoted(column.name), column.type
    if kind.item is not None:
        item = kind.item
        # Its items are numbered from 1 on: of an array that is numbered otherwise the driver makes nothing.
        if item.kind == "b" and item.name in ITEMS:
            return f"({name})[:]"
        return f"({name}::text[])[:]" if item.kind == "e" or item.name in TEXTS | NUMBERS else None
    if kind.name in PLAIN | TIMES and kind.kind == "b":
        return name
    if kind.name in OIDS:
        return f"{name}::text::int8"
    if kind.name == "money":
        return f"{name}::numeric::text"
    return f"{name}::text" if kind.kind in ("e", "r", "m") or kind.name in TEXTS | NUMBERS else None


def select(columns: Sequence[Column], rows: str, more: Sequence[str] = ()) -> str:
    """The statement that reads columns, of each array whether it has arrays inside, and more."""
    asked = [f"{_expression(column)} AS {quoted(column.name)}" for column in columns]
    asked += [
        f"(array_ndims({quoted(column.name)}) > 1) AS {quoted(_DIMENSIONS + column.name)}"
        for column in columns
        if column.type.item is not None
    ]
    return f"SELECT {', '.join([*asked, *more])} FROM {rows}"


def batch_of(frame: pl.DataFrame, columns: Sequence[Column], origin: str, first: int) -> Batch:
    """Rows as they came of `select`, numbered from ``first``."""
    values: list[pl.Series] = []
    kinds: dict[str, pl.Series] = {}
    wrong: dict[int, str] = {}
    for column in columns:
        series = frame[column.name]
        reason, bad = None, None
        if column.type.item is not None:
            reason, bad = "holds an array of arrays", frame[_DIMENSIONS + column.name]
        elif type(series.dtype) in FIRST:
            reason, bad = "holds infinity, or a time that is too far off", _beyond(series)
        elif column.type.name in NUMBERS:
            decimal = column.decimal
            if decimal is None:
                kinds[column.name] = _numbers(series)
            else:
                done = series.cast(decimal, strict=False)
                reason, bad = "is no number", done.is_null() & series.is_not_null()
                series = done
        if reason is not None and bad is not None and bad.any():
            for at in bad.fill_null(value=False).arg_true().to_list():
                wrong.setdefault(at, f"column {column.name!r} {reason}")
        values.append(series)
        if series.dtype == pl.String and column.name not in kinds:
            kinds[column.name] = bits(series) if column.type.name in BITS else texts(len(series))
    return _without(Batch(origin, pl.DataFrame(values), first, kinds=kinds), wrong)


def _beyond(series: pl.Series) -> pl.Series:
    return series.to_physical() < FIRST[type(series.dtype)]


def _numbers(series: pl.Series) -> pl.Series:
    """Texts that are numbers whatever the source's way of writing them, as those of JSON are."""
    return pl.select(pl.when(series.is_null()).then(NULL).otherwise(DECIMAL).cast(pl.UInt8)).to_series()


def _without(batch: Batch, wrong: dict[int, str]) -> Batch:
    if not wrong:
        return batch
    good = np.setdiff1d(np.arange(batch.frame.height, dtype=np.uint32), np.array(list(wrong), np.uint32))
    listed = sorted(wrong)[:MAX_REJECTED]
    texts = _texts(batch.frame[listed])
    return Batch(
        batch.origin,
        batch.frame[good],
        batch.first,
        rows=good + np.uint32(batch.first),
        unreadable=tuple(
            UnreadableRow(batch.first + at, wrong[at], text) for at, text in zip(listed, texts, strict=True)
        ),
        unreadable_count=len(wrong),
        kinds={name: kind[good] for name, kind in batch.kinds.items()},
    )


def _texts(frame: pl.DataFrame) -> list[str]:
    """Rows for people, without columns of times and lists, of which some hold what Python has no value for."""
    plain = [one for one in frame.get_columns() if not (one.dtype.is_temporal() or one.dtype.is_nested())]
    rows = pl.DataFrame(plain).rows(named=True) if plain else [{}] * frame.height
    return [", ".join(f"{name}={value}" for name, value in row.items() if value is not None) for row in rows]


def shown(column: Column) -> str:
    """A column that is not carried, with its type."""
    kind = column.type.name if column.type.item is None else f"{column.type.item.name}[]"
    return f"{column.name} ({kind})"


def chosen(columns: Sequence[Column]) -> list[Column]:
    """Those that are carried."""
    return [one for one in columns if one.carried]


def refuse_needed(columns: Sequence[Column], source: Source, needed: Collection[str]) -> None:
    """Raises SourceError for a column that is needed and can't be carried."""
    for column in columns:
        if not column.carried and column.name in needed:
            raise SourceError(
                f"column {shown(column)} is of a type that can't be read exactly", where=f"source {source.name}",
                hint='cast it in a query: query = "SELECT …, column::text AS column FROM …"',
            )  # fmt: skip
