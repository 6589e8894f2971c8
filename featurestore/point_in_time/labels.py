"""Label tables: which of their columns are the entity's keys and which is the time.

A label table comes out of a join as it went in, so nothing here changes it: the keys and the instants
are read beside it, in the types of the entity type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from featurestore.errors import SourceError, UsageError, nearest
from featurestore.model import EntityType, Key
from featurestore.point_in_time.kernel import Integers
from featurestore.tables.instants import Instants, read_instants

ENTITY_ID = "entity_id"


@dataclass(frozen=True, slots=True)
class Labels:
    """A label table with what the join asks of it.

    ``keys`` has the entity type's key columns by name and type, null where a label names no entity;
    ``instants`` the labels' times (microseconds). Both are as long as ``frame`` and in its order.
    """

    frame: pl.DataFrame
    keys: pl.DataFrame
    instants: Integers
    warnings: tuple[str, ...]


def read_labels(
    frame: pl.DataFrame,
    entity_type: EntityType,
    *,
    timestamp_column: str,
    entity_columns: Sequence[str] = (),
    name: str = "labels",
    first_row: int = 1,
) -> Labels:
    """Finds and reads the keys and the times of a label table.

    ``name`` is the table's and ``first_row`` the number of its first row, for messages.

    Without ``entity_columns`` (one per key, in their order) the keys are looked for under their own names,
    and a single key also as ``entity_id``. Raises UsageError for columns that are not there or can't hold
    what they should, SourceError naming the row for a cell that can't be read.
    """
    columns = _key_columns(frame, entity_type, entity_columns, name)
    _require(frame, timestamp_column, name, "--timestamp-column")
    notes: list[str] = []
    keys = _read_keys(frame, entity_type, columns, name, notes, first_row)
    times: Instants = read_instants(frame[timestamp_column], name, first_row)
    notes += [f"{name}, column {timestamp_column!r}: {assumed}" for assumed in times.assumed]
    return Labels(frame, keys, times.micros, tuple(notes))


def read_keys(frame: pl.DataFrame, entity_type: EntityType, entity_columns: Sequence[str], name: str) -> pl.DataFrame:
    """The keys alone, as `read_labels` finds and reads them. Raises the same."""
    columns = _key_columns(frame, entity_type, entity_columns, name)
    return _read_keys(frame, entity_type, columns, name, [], 1)


def _read_keys(
    frame: pl.DataFrame, entity_type: EntityType, columns: Sequence[str], name: str, notes: list[str], first_row: int
) -> pl.DataFrame:
    return pl.DataFrame(
        [
            _read_key(frame[column], key, name, notes, first_row)
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
        for column in entity_columns:
            _require(frame, column, name, "--entity-column")
        return tuple(entity_columns)
    missing = [key for key in keys if key not in frame.columns]
    if not missing:
        return keys
    if not entity_type.composite and ENTITY_ID in frame.columns:
        return (ENTITY_ID,)
    close = nearest(missing[0], frame.columns)
    meant = f"did you mean --entity-column {close}? " if close else "name it with --entity-column; "
    raise UsageError(
        f"no column {' or '.join(missing)} for the keys of {entity_type.name}",
        where=name,
        hint=f"{meant}there is: {', '.join(frame.columns)}",
    )


def _require(frame: pl.DataFrame, column: str, name: str, option: str) -> None:
    if column in frame.columns:
        return
    close = nearest(column, frame.columns)
    meant = f"did you mean {option} {close}? " if close else ""
    raise UsageError(f"no column {column!r}", where=name, hint=f"{meant}there is: {', '.join(frame.columns)}")


def _read_key(column: pl.Series, key: Key, name: str, notes: list[str], first_row: int) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum) or kind == pl.Null:
        column, kind = column.cast(pl.String), pl.String()
    if key.type == "string" and kind.is_integer():
        notes.append(f"{name}, column {column.name!r}: numbers were taken as their digits, as {key.name} is a string")
    elif kind != pl.String and not kind.is_integer():
        raise UsageError(
            f"column {column.name!r} holds {kind}, but the key {key.name} is {_a(key.type)}",
            where=name,
            hint=f"cast it to {key.type} first",
        )
    if key.type == "string":
        return column.cast(pl.String).alias(key.name)
    numbers = column.cast(pl.Int64, strict=False)
    lost = numbers.is_null() & column.is_not_null()
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise SourceError(
            f"{column[row]!r} in column {column.name!r} is not an int, as the key {key.name} must be",
            where=f"{name}, row {row + first_row}",
            hint="mend that row, or leave it empty: a label without a key gets no values",
        )
    return numbers.alias(key.name)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
