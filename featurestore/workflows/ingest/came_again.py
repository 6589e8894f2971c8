"""Rows of a stream that were set aside and came again: what came last says what became of them.

A stream keeps all that ever came, where a file is what it is now. So of a row that came several times, which its ``id``
says, only the last is set aside, or none of them where the last one was accepted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import polars as pl

from featurestore.evaluation.events import ORDER, PARTITION
from featurestore.model import RejectedRow
from featurestore.parsed.index import Kept

Start: TypeAlias = tuple[int, int]
"""The partition of a stream that a content is of, and the place before its first row there."""
Read: TypeAlias = Callable[[], Iterator[pl.DataFrame]]
"""Gives the accepted rows of a stream: the columns of its ``id``, `PARTITION` and `ORDER`."""

_LAST = (1 << 32) - 1  # after all rows of a content: for a row whose place in it nobody knows


def without_repeats(contents: Sequence[tuple[Kept, Start]], ids: Sequence[str], read: Read) -> list[Kept]:
    """The contents as if rows that were set aside, and came again later, had not come before."""
    listed = [[_place(row, start, ids) for row in (*kept.rejected, *kept.misfits)] for kept, start in contents]
    places = [place for of_content in listed for place in of_content]
    rows = pl.DataFrame(places, schema=_schema(ids), orient="row")
    again = iter(came_again(rows, ids, read))
    return [_without(kept, [next(again) for _ in of]) for (kept, _), of in zip(contents, listed, strict=True)]


def came_again(rows: pl.DataFrame, ids: Sequence[str], read: Read) -> pl.Series:
    """Whether each of some rows came again later. They are as `read` gives them."""
    by = [PARTITION, *ids]
    rows = _as_text(rows, ids)
    found = rows.drop_nulls()
    if found.is_empty():
        return pl.repeat(value=False, n=rows.height, eager=True)
    parts = [found, *(_as_text(frame, ids).join(found, on=by, how="semi") for frame in read())]
    last = pl.concat(parts).group_by(by).agg(pl.col(ORDER).max().alias("last"))
    joined = rows.join(last, on=by, how="left", maintain_order="left")
    return joined.select((pl.col(ORDER) < pl.col("last")).fill_null(value=False)).to_series()


def _schema(ids: Sequence[str]) -> dict[str, pl.DataType]:
    return {PARTITION: pl.Int32(), ORDER: pl.Int64(), **dict.fromkeys(ids, pl.String())}


def _as_text(frame: pl.DataFrame, ids: Sequence[str]) -> pl.DataFrame:
    """The columns that tell rows apart. As text: a row that was set aside may have any type."""
    return frame.select(pl.col(name).cast(kind) for name, kind in _schema(ids).items())


def _place(row: RejectedRow, start: Start, ids: Sequence[str]) -> tuple[int | str | None, ...]:
    partition, first = start
    values = [row.values.get(name) for name in ids]
    return partition, (first << 32) + (row.row or _LAST), *(None if value is None else str(value) for value in values)


def _without(kept: Kept, gone: Collection[bool]) -> Kept:
    """A content without some of the rows that are listed as set aside."""
    if not any(gone):
        return kept
    flags = list(gone)
    rejected, misfits = flags[: len(kept.rejected)], flags[len(kept.rejected) :]
    columns: dict[str, list[str]] = {}
    for row, is_gone in zip(kept.misfits, misfits, strict=True):
        if is_gone:
            columns.setdefault(row.place, []).append(str(row.column))
    counts = Counter({frozenset(names): count for names, count in kept.misfit_counts})
    counts.subtract(frozenset(names) for names in columns.values())
    return replace(
        kept,
        rows=kept.rows - sum(rejected) - len(columns),
        rejected_count=kept.rejected_count - sum(rejected),
        rejected=tuple(row for row, is_gone in zip(kept.rejected, rejected, strict=True) if not is_gone),
        misfits=tuple(row for row, is_gone in zip(kept.misfits, misfits, strict=True) if not is_gone),
        misfit_counts=tuple((tuple(sorted(names)), count) for names, count in counts.items() if count > 0),
    )
