"""The types of a label CSV's columns, for a result in a format that has types.

A CSV is text. In Parquet and Arrow its numbers become numbers and its times become times; the columns with the
entity's keys stay text, and so does every column in which a value would lose something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from featurestore.config import Project
from featurestore.dialect import TimeFormat
from featurestore.errors import SourceError
from featurestore.model import Scalar
from featurestore.point_in_time.labels import ENTITY_ID
from featurestore.sources.casts.cast import EXACT_FLOAT, ColumnType
from featurestore.sources.casts.from_text import cast_text
from featurestore.sources.inference import infer
from featurestore.workflows.join.entities import LabelKeys, label_keys
from featurestore.workflows.join.question import JoinQuestion

_ONE_HOLDS_BOTH = ({"int", "float"}, {"date", "datetime"})

LabelTypes = Mapping[str, ColumnType]


def find_label_types(
    project: Project, question: JoinQuestion, batches: Iterable[pl.DataFrame], labels_name: str
) -> LabelTypes:
    """The types of all columns that are neither text nor text ids, found in all batches. Raises as `label_keys`."""
    kept, kinds, large = set[str](), dict[str, Scalar](), set[str]()
    zone, dialect = question.timezone, question.dialect
    written = {name: _of_format(each, zone) for name, each in dialect.times.items()}
    done_rows = 0
    for number, frame in enumerate(batches):
        if not number:
            kept = text_ids(label_keys(project, question, frame.columns, labels_name))
        for column in frame.iter_columns():
            name, known = column.name, kinds.get(column.name)
            if name in written:
                _check_format(column, written[name], f"{labels_name}, row", done_rows)
            if name in written or name in kept or known == "string":
                continue
            guess = infer(column.alias(""), above=known, zone=zone, dialect=dialect)
            if guess is None:
                continue
            kind, done = guess
            if kind == "int" and int(done.values.abs().max() or 0) >= EXACT_FLOAT:  # type: ignore[arg-type]
                large.add(name)  # as a float it would be another one
            fits = done.misfits is None and (known in (None, kind) or {known, kind} in _ONE_HOLDS_BOTH)
            kinds[name] = kind if fits and not (kind == "float" and name in large) else "string"
        done_rows += len(frame)
    of = {name: kind for name, kind in kinds.items() if kind != "string"}
    return {name: ColumnType(kind, strict=True, zone=zone, dialect=dialect) for name, kind in of.items()} | written


def _of_format(times: TimeFormat, zone: str | None) -> ColumnType:
    """The type of a column whose times are written in a format: dates where it has no time of day."""
    has_time = times.format is None or any(f"%{part}" in times.format for part in "HIMSfTRXcs")
    return ColumnType("datetime" if has_time else "date", zone=times.timezone or zone, times=times)


def _check_format(column: pl.Series, kind: ColumnType, where: str, done: int) -> None:
    """Raises SourceError naming the first row whose time is not written in the column's format."""
    misfits = cast_text(column.alias(""), kind).misfits
    if misfits is not None and misfits.any():
        row = int(misfits.argmax())
        raise SourceError(
            f"{column[row]!r} in column {column.name!r} is not a time in the format {kind.times.format!r}",
            where=f"{where} {row + done + 1}",
            hint="fix that row, or the format in --format-of",
        )


def text_ids(keys: Iterable[LabelKeys]) -> set[str]:
    """The labels' columns that hold ids that are text, or would hold them by their name."""
    columns = {
        column
        for each in keys
        for column, key in zip(each.columns, each.entity_type.keys, strict=True)
        if key.type == "string"
    }
    by_name = any(each.by_name and not each.entity_type.composite and columns & {*each.columns} for each in keys)
    return {*columns, ENTITY_ID} if by_name else columns


def with_types(frame: pl.DataFrame, types: LabelTypes) -> pl.DataFrame:
    """The frame with its label columns in their types."""
    typed = {name: cast_text(frame[name].alias(""), kind).values.alias(name) for name, kind in types.items()}
    return pl.DataFrame([typed.get(column.name, column) for column in frame.iter_columns()])
