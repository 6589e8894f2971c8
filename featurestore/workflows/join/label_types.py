"""The types of a label CSV's columns, for a result in a format that has types.

A CSV is text. In Parquet and Arrow its numbers become numbers and its times become times; the columns with the
entity's keys stay text, and so does every column in which a value would lose something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from featurestore.model import Scalar
from featurestore.sources.casts.cast import EXACT_FLOAT, ColumnType
from featurestore.sources.casts.from_text import cast_text
from featurestore.sources.inference import infer

_ONE_HOLDS_BOTH = ({"int", "float"}, {"date", "datetime"})

LabelTypes = Mapping[str, ColumnType]


def find_label_types(batches: Iterable[pl.DataFrame], ids: Iterable[str], zone: str | None) -> LabelTypes:
    """The types of all columns but ``ids`` that are not text, found in all batches. ``zone`` is that of naive times."""
    kept, kinds, large = set(ids), dict[str, Scalar](), set[str]()
    for frame in batches:
        for column in frame.iter_columns():
            name, known = column.name, kinds.get(column.name)
            if name in kept or known == "string":
                continue
            found = infer(column.alias(""), above=known, zone=zone)
            if found is None:
                continue
            kind, done = found
            if kind == "int" and int(done.values.abs().max() or 0) >= EXACT_FLOAT:  # type: ignore[arg-type]
                large.add(name)  # as a float it would be another one
            fits = done.misfits is None and (known in (None, kind) or {known, kind} in _ONE_HOLDS_BOTH)
            kinds[name] = kind if fits and not (kind == "float" and name in large) else "string"
    return {name: ColumnType(kind, strict=True, zone=zone) for name, kind in kinds.items() if kind != "string"}


def with_types(frame: pl.DataFrame, types: LabelTypes) -> pl.DataFrame:
    """The frame with its label columns in their types."""
    typed = {name: cast_text(frame[name].alias(""), kind).values.alias(name) for name, kind in types.items()}
    return pl.DataFrame([typed.get(column.name, column) for column in frame.iter_columns()])
