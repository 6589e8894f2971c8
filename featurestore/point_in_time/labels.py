"""Label tables: which of their columns hold the entity's keys, and which holds the time.

A join returns the label table unchanged, so nothing here changes it: the keys and the instants are read into
columns of their own, in the types of the entity type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from featurestore.errors import SourceError, UsageError, nearest
from featurestore.model import EntityType, Key
from featurestore.point_in_time.kernel import Integers
from featurestore.tables.batch import nfc
from featurestore.tables.instants import Instants, read_instants

ENTITY_ID = "entity_id"


@dataclass(frozen=True, slots=True)
class EntityTimes:
    """The entity and the time of each label, in the order of the label table.

    ``keys`` has the entity type's key columns by name and type, null where a label names no entity;
    ``instants`` holds the times (microseconds); ``warnings`` say what had to be assumed, ``naive`` that some times had
    no zone and none was named.
    """

    keys: pl.DataFrame
    instants: Integers
    warnings: tuple[str, ...]
    naive: bool = False


def read_labels(
    frame: pl.DataFrame,
    entity_type: EntityType,
    *,
    timestamp_column: str,
    entity_columns: Sequence[str] = (),
    timezone: str | None = None,
    name: str = "labels",
    first_row: int = 1,
) -> EntityTimes:
    """Finds and reads the keys and the times of a label table.

    ``entity_columns`` names one column per key, in the order of the keys. Without it the keys are looked up by
    their own names, and a single key also as ``entity_id``. ``timezone`` is that of times without one. ``name``
    is what messages call the table and ``first_row`` the number of its first row. Raises UsageError for a column that
    is missing or of the wrong type, SourceError naming the row for a cell that can't be read.
    """
    columns = _key_columns(frame, entity_type, entity_columns, name)
    timestamp_column = _require(frame, timestamp_column, name, "--timestamp-column")
    warnings: list[str] = []
    keys = _read_keys(frame, entity_type, columns, name, warnings, first_row)
    times: Instants = read_instants(frame[timestamp_column], name, first_row, timezone)
    warnings += [f"{name}, column {timestamp_column!r}: {assumed}" for assumed in times.assumed]
    return EntityTimes(keys, times.micros, tuple(warnings), times.naive)


def read_keys(frame: pl.DataFrame, entity_type: EntityType, entity_columns: Sequence[str], name: str) -> pl.DataFrame:
    """Reads the keys alone, as `read_labels` does. Raises the same errors for them."""
    columns = _key_columns(frame, entity_type, entity_columns, name)
    return _read_keys(frame, entity_type, columns, name, [], 1)


def _read_keys(
    frame: pl.DataFrame, entity_type: EntityType, columns: Sequence[str], name: str, warnings: list[str], first_row: int
) -> pl.DataFrame:
    return pl.DataFrame(
        [
            _read_key(frame[column], key, name, warnings, first_row)
            for key, column in zip(entity_type.keys, columns, strict=True)
        ]
    )


def _key_columns(
    frame: pl.DataFrame, entity_type: EntityType, entity_columns: Sequence[str], name: str
) -> tuple[str, ...]:
    keys = entity_type.key_names
    if entity_columns:
        if len(entity_columns) != len(keys):
            raise UsageError(
                f"{entity_type.name} has {len(keys)} key columns ({', '.join(keys)}), not {len(entity_columns)}",
                hint="repeat --entity-column once per key, in that order",
            )
        return tuple(_require(frame, column, name, "--entity-column") for column in entity_columns)
    missing = [key for key in keys if key not in frame.columns]
    if not missing:
        return keys
    if not entity_type.composite and ENTITY_ID in frame.columns:
        return (ENTITY_ID,)
    close = nearest(missing[0], frame.columns)
    meant = f"did you mean --entity-column {close}? " if close else "name the column with --entity-column; "
    raise UsageError(
        f"no column {' or '.join(missing)} for the keys of {entity_type.name}",
        where=name,
        hint=f"{meant}the columns are: {', '.join(frame.columns)}",
    )


def _require(frame: pl.DataFrame, column: str, name: str, option: str) -> str:
    """The column of that name, which is the same in every Unicode form. Raises UsageError."""
    if column in frame.columns:
        return column
    for other in frame.columns:
        if nfc(other) == nfc(column):
            return other
    close = nearest(column, frame.columns)
    meant = f"did you mean {option} {close}? " if close else ""
    raise UsageError(f"no column {column!r}", where=name, hint=f"{meant}the columns are: {', '.join(frame.columns)}")


def _read_key(column: pl.Series, key: Key, name: str, warnings: list[str], first_row: int) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum) or kind == pl.Null:
        column, kind = column.cast(pl.String), pl.String()
    if key.type == "string" and kind.is_integer():
        warnings.append(
            f"{name}, column {column.name!r}: numbers were taken as their digits, because {key.name} is a string"
        )
    elif kind != pl.String and not kind.is_integer():
        raise UsageError(
            f"column {column.name!r} holds {kind}, but the key {key.name} is {_a(key.type)}",
            where=name,
            hint=f"cast it to {key.type} first",
        )
    if key.type == "string":
        return column.cast(pl.String).alias(key.name)
    numbers = column.cast(pl.Int64, strict=False)
    unreadable = numbers.is_null() & column.is_not_null()
    if unreadable.any():
        row = int(unreadable.arg_max() or 0)
        raise SourceError(
            f"{column[row]!r} in column {column.name!r} is not an int, but the key {key.name} must be",
            where=f"{name}, row {row + first_row}",
            hint="fix that row, or leave the cell empty: a label without a key gets no values",
        )
    return numbers.alias(key.name)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
