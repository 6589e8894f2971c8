"""Label tables: which of their columns hold the entity's keys, and which holds the time.

A join returns the label table unchanged, so nothing here changes it: the keys and the instants are read into
columns of their own, in the types of the entity type.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from featurestore.dialect import ISO_8601, TimeFormat
from featurestore.errors import SourceError, UsageError, nearest, with_article
from featurestore.frozen import frozen
from featurestore.model import EntityType, Key
from featurestore.point_in_time.kernel import Integers
from featurestore.tables.batch import nfc
from featurestore.tables.instants import read_instants

ENTITY_ID = "entity_id"


@frozen
class LabelTimes:
    """The time of each label (microseconds), in the order of the label table.

    ``warnings`` say what had to be assumed, ``naive`` that some times had no zone and none was named.
    """

    instants: Integers
    warnings: tuple[str, ...]
    naive: bool = False


@frozen
class LabelEntities:
    """The entity of each label, in the order of the label table.

    ``keys`` has the entity type's key columns by name and type, null where a label names no entity; ``warnings`` say
    what had to be assumed.
    """

    keys: pl.DataFrame
    warnings: tuple[str, ...] = ()


def read_times(
    frame: pl.DataFrame,
    column: str,
    *,
    timezone: str | None = None,
    written: TimeFormat = ISO_8601,
    name: str = "labels",
    first_row: int = 1,
) -> LabelTimes:
    """Reads the times of a label table.

    ``timezone`` is that of times without one, ``written`` says how they are written. ``name`` is what messages call the
    table and ``first_row`` the number of its first row. Raises UsageError for a column that is missing or holds no
    times, SourceError naming the row for a cell that can't be read.
    """
    column = find_column(frame.columns, column, name, "--timestamp-column ")
    times = read_instants(frame[column], name, first_row, timezone, written)
    warnings = tuple(f"{name}, column {column!r}: {assumed}" for assumed in times.assumed)
    return LabelTimes(times.micros, warnings, times.naive)


def read_entities(
    frame: pl.DataFrame,
    entity_type: EntityType,
    columns: Sequence[str] = (),
    *,
    role: str | None = None,
    name: str = "labels",
    first_row: int = 1,
) -> LabelEntities:
    """Reads the keys of a label table.

    ``columns`` and ``role`` are as in `find_key_columns`; the others, and what is raised, as in `read_times`.
    """
    found = find_key_columns(frame.columns, entity_type, columns, role=role, name=name)
    warnings: list[str] = []
    keys = [
        _read_key(frame[column], key, name, warnings, first_row)
        for key, column in zip(entity_type.keys, found, strict=True)
    ]
    return LabelEntities(pl.DataFrame(keys), tuple(warnings))


def find_key_columns(
    label_columns: Sequence[str],
    entity_type: EntityType,
    columns: Sequence[str] = (),
    *,
    role: str | None = None,
    name: str = "labels",
) -> tuple[str, ...]:
    """Which of the label columns hold the keys of an entity type, in the order of its keys.

    ``columns`` names them. Without it they are looked up by the keys' own names, a single key also as ``entity_id``.
    ``role`` is that of the entity, for messages. Raises UsageError where one is missing.
    """
    keys = entity_type.key_names
    option = f"--entity {f'{role}:' if role else ''}{entity_type.name}="
    if columns:
        if len(columns) != len(keys):
            raise UsageError(
                f"{entity_type.name} has {len(keys)} key columns ({', '.join(keys)}), not {len(columns)}",
                hint=f"name one column for each key, in that order: {option}{','.join('COLUMN' for _ in keys)}",
            )
        return tuple(find_column(label_columns, column, name, option) for column in columns)
    missing = [key for key in keys if key not in label_columns]
    if not missing:
        return keys
    if not entity_type.composite and ENTITY_ID in label_columns:
        return (ENTITY_ID,)
    close = None if entity_type.composite else nearest(missing[0], label_columns)
    meant = f"did you mean {option}{close}? " if close else ""
    meant = meant or f"say which hold them, {option}{','.join('COLUMN' for _ in keys)}; "
    raise UsageError(
        f"no column {' or '.join(missing)} for the keys of {entity_type.name}",
        where=name,
        hint=f"{meant}the columns are: {', '.join(label_columns)}",
    )


def find_column(label_columns: Sequence[str], column: str, name: str, option: str) -> str:
    """The column of that name, which is the same in every Unicode form.

    ``option`` is what is written before the name where it is given. Raises UsageError.
    """
    if column in label_columns:
        return column
    for other in label_columns:
        if nfc(other) == nfc(column):
            return other
    close = nearest(column, label_columns)
    meant = f"did you mean {option}{close}? " if close else ""
    raise UsageError(f"no column {column!r}", where=name, hint=f"{meant}the columns are: {', '.join(label_columns)}")


def _read_key(column: pl.Series, key: Key, name: str, warnings: list[str], first_row: int) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum) or kind == pl.Null:
        column, kind = column.cast(pl.String), pl.String()
    if key.type == "string" and kind.is_integer():
        warnings.append(
            f"{name}, column {column.name!r}: numbers were taken as their digits, because {key.name} is a string"
        )
    elif kind != pl.String and not kind.is_integer():
        pandas = "; in pandas Int64 holds missing ids, too" if kind.is_float() else ""
        raise UsageError(
            f"column {column.name!r} holds {kind}, but the key {key.name} is {with_article(key.type)}",
            where=name,
            hint=f"cast it to {key.type} first{pandas}",
        )
    if key.type == "string":
        return column.cast(pl.String).alias(key.name)
    numbers = column.cast(pl.Int64, strict=False)
    unreadable = numbers.is_null() & column.is_not_null()
    if kind == pl.String:  # as sources read them: 007 is not 7
        unreadable |= (numbers.cast(pl.String) != column).fill_null(value=False)
    if unreadable.any():
        row = int(unreadable.arg_max() or 0)
        raise SourceError(
            f"{column[row]!r} in column {column.name!r} is not an int key: "
            "base 10, without plus, zeros or space in front",
            where=f"{name}, row {row + first_row}",
            hint="fix that row, or leave the cell empty: a label without a key gets no values",
        )
    return numbers.alias(key.name)
