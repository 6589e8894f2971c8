"""Parts of objects as columns of their own: ``address.city``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import polars as pl

from featurestore.tables.batch import NESTED, Batch
from featurestore.tables.json_texts import column_of, decode


def with_parts(batch: Batch, names: Collection[str]) -> Batch:
    """The same rows, with a column for each name that is a path into a column of objects, where they have that part."""
    present = set(batch.frame.columns)
    kinds, parts = dict(batch.kinds), []
    for name in names:
        first, *path = name.split(".")
        if name in present or not path or first not in present:
            continue
        column = batch.frame[first]
        if column.dtype != pl.String:
            part = _part(column, path)
        elif first in batch.kinds and (found := _json_part(column, batch.kinds[first], path)) is not None:
            part, kinds[name] = found
        else:
            part = None
        if part is not None:
            parts.append(part.alias(name))
    return replace(batch, frame=batch.frame.with_columns(parts), kinds=kinds) if parts else batch


def _part(column: pl.Series, path: Sequence[str]) -> pl.Series | None:
    """A part of objects, null where an object is null; None where they have no such part."""
    for name in path:
        if not isinstance(column.dtype, pl.Struct) or name not in column.struct.fields:
            return None
        column = column.struct.field(name).set(column.is_null(), None)
    return column


def _json_part(texts: pl.Series, kinds: pl.Series, path: Sequence[str]) -> tuple[pl.Series, pl.Series] | None:
    """A part of JSON objects as text, and what each value was; None where there are objects, and none has it."""
    objects = kinds == NESTED
    values: list[object] = [None] * len(texts)
    found = not objects.any()
    for at in objects.arg_true():
        value: object = decode(texts[at])
        for name in path:
            if not isinstance(value, dict) or name not in value:
                value = None
                break
            value = value[name]
        else:
            found = True
        values[at] = value
    return column_of("", values) if found else None
