"""One slice of a source: its accepted rows, typed, and the count and reasons of those set aside.

A slice is what one run reads. This module drives the readers of the three formats; `columns` decides on types and
rules.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO

import numpy as np
import polars as pl

from featurestore.config import Project
from featurestore.errors import SourceError, nearest
from featurestore.model import KeyType, RejectedRow, Source
from featurestore.sources import pins, remarks
from featurestore.sources.batch import MAX_COLUMNS, Batch, Rows
from featurestore.sources.casts import DTYPES
from featurestore.sources.columns import Accepted, Columns, ReadAgainError
from featurestore.sources.delimited import read_csv
from featurestore.sources.listing import FileMark, Listing, open_file, renewed
from featurestore.sources.ndjson import read_ndjson
from featurestore.sources.parquet import read_parquet


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive rows of a slice that come from one file: row ``start + i`` is ``rows[i]``, or ``first + i``."""

    start: int
    file: str
    first: int
    rows: Rows | None


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of a slice in the order of its files.

    ``frame`` is typed (datetimes are ``Datetime("us", "UTC")``); ``rejected`` holds the first rows that were set
    aside, ``rejected_count`` counts them all, and ``rows_read`` counts those with the accepted ones. ``pins`` are the
    types found for columns that had none: `save_pins` keeps them. ``warnings`` are sentences for people.
    """

    source: Source
    frame: pl.DataFrame
    rows_read: int
    rejected_count: int
    rejected: tuple[RejectedRow, ...]
    listing: Listing
    warnings: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    stretches: tuple[Stretch, ...] = field(default=(), repr=False)

    def place(self, index: int) -> str:
        """Where a row of the frame stands: ``data/visits.csv row 17``, counted from 1 without the header."""
        if not 0 <= index < self.frame.height:
            raise IndexError(index)
        stretch = self.stretches[bisect_right(self.stretches, index, key=lambda each: each.start) - 1]
        at = index - stretch.start
        return f"{stretch.file} row {stretch.first + at if stretch.rows is None else int(stretch.rows[at])}"


def read(
    project: Project,
    source: Source,
    listing: Listing,
    entity_keys: Mapping[str, KeyType],
    *,
    needed: Collection[str] = (),
    columns: Collection[str] | None = None,
) -> Slice:
    """Reads the listed files. Rows that don't fit their types or break a rule are set aside, each with its reason.

    ``entity_keys`` are the key columns of the entity types concerned: read as keys where the source has them, and then
    they must be in every file and row. Declared columns, event_time, updated_at and ``needed`` must be there.
    ``columns`` leaves out of the frame what is neither among these nor named.
    Writes nothing. Raises SourceError for what can't be read, or was changed since it was listed.
    """
    types = Columns(source, entity_keys, pins.read(project, source))
    roles = [name for name in (source.event_time, source.updated_at) if name]
    must = list(dict.fromkeys([*roles, *source.columns, *needed]))
    wanted = None if columns is None else {*must, *entity_keys, *columns}
    while True:
        reading = _Reading(types, must, wanted)
        try:
            frame = reading.run(listing)
        except ReadAgainError:  # ends: each time a column has a wider type, or one more must be there
            types.restart()
            continue
        done = Slice(
            source=source,
            frame=frame,
            rows_read=frame.height + types.rejected_count,
            rejected_count=types.rejected_count,
            rejected=tuple(types.rejected),
            listing=listing,
            pins=dict(types.found),
            stretches=tuple(reading.stretches),
        )
        said = [
            *reading.warnings,
            *remarks.on_zones(source, types.naive),
            *remarks.on_ids(frame, entity_keys),
            *remarks.on_text(frame, types.found, done.place),
        ]
        return replace(done, warnings=tuple(said))


def save_pins(project: Project, taken: Slice) -> Slice:
    """Keeps the types that a slice found, and returns it under the fingerprint that then holds. Idempotent."""
    pins.write(project, taken.source, taken.pins)
    return replace(taken, listing=renewed(project, taken.source, taken.listing))


class _Reading:
    """One way through all files, from the first row to the last."""

    def __init__(self, types: Columns, must: list[str], wanted: set[str] | None) -> None:
        self.types, self.source, self.must, self.wanted = types, types.source, must, wanted
        self.warnings: list[str] = []
        self.names: dict[str, None] = {}
        self.without_key: dict[str, str] = {}
        self.frames: list[pl.DataFrame] = []
        self.stretches: list[Stretch] = []
        self.height = 0

    def run(self, listing: Listing) -> pl.DataFrame:
        for mark, opened in zip(listing.files, listing.opened, strict=True):
            with open_file(mark, opened) as stream:
                for batch in self._batches(stream, mark):
                    self._add(batch)
        if self.source.type == "ndjson" and self.names:
            self._check_columns(list(self.names), listing.files[0].path)
        for key, file in self.without_key.items():
            if key in self.names:
                self._require_key(key, file)
        return self._frame()

    def _require_key(self, key: str, file: str) -> None:
        """Rows of a file without the key that others have: in JSON it was left out where it is null."""
        if self.source.type != "ndjson":
            raise SourceError(f"has no column {key!r}, which other files of the source have", where=file)
        self.must.append(key)
        raise ReadAgainError

    def _batches(self, stream: IO[bytes], mark: FileMark) -> Iterator[Batch]:
        if self.source.type == "ndjson":
            yield from read_ndjson(stream, mark.path, self.warnings)
            return
        if self.source.type == "csv":
            batches = read_csv(stream, mark.path, self.source, self.warnings)
        else:
            batches = read_parquet(stream, mark.path, self.wanted)
        first = next(batches)
        self._check_columns(first.frame.columns, mark.path)
        yield first
        yield from batches

    def _check_columns(self, present: list[str], file: str) -> None:
        for name in self.must:
            if name not in present:
                shown = ", ".join(present[:20]) + (", …" if len(present) > 20 else "")
                close = nearest(name, present)
                raise SourceError(
                    f"has no column {name!r}; it has {shown or 'none'}",
                    where=file,
                    hint=f"did you mean {close!r}?" if close else "mend the file, or what asks for the column",
                )

    def _add(self, batch: Batch) -> None:
        self.names.update(dict.fromkeys(batch.frame.columns))
        if len(self.names) > MAX_COLUMNS:
            raise SourceError(f"more than {MAX_COLUMNS:,} columns can't be read", where=batch.file)
        batch = batch.only(self.wanted).with_columns(self.must)
        self.without_key |= {key: batch.file for key in self.types.keys if key not in batch.frame.columns}
        accepted = self.types.accept(batch)
        if accepted.frame.height:
            self.stretches.append(_stretch(batch, accepted, self.height))
            self.frames.append(accepted.frame)
            self.height += accepted.frame.height

    def _frame(self) -> pl.DataFrame:
        """All batches under the union of their columns, in the types that they came to."""
        schema: dict[str, pl.DataType] = {}
        for name in self.names or self.must:
            if self.wanted is None or name in self.wanted:
                target = self.types.target(name)
                seen = next((frame.schema[name] for frame in self.frames if name in frame.schema), pl.String())
                schema[name] = DTYPES[target.kind] if target else seen
        if not self.frames:
            return pl.DataFrame(schema=schema)
        return pl.concat([self._aligned(frame, schema) for frame in self.frames])

    def _aligned(self, frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """The frame with all columns: null where its file has none, or held nothing but nulls."""
        columns = []
        for name, dtype in schema.items():
            if frame.schema.get(name) == dtype:
                columns.append(frame[name])
            elif name not in frame.schema or frame[name].null_count() == frame.height:
                columns.append(pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height))
            else:
                raise SourceError(
                    f"files disagree on column {name!r}: it is {frame.schema[name]} here and {dtype} there",
                    where=f"source {self.source.name}",
                    hint=f"declare it in [sources.{self.source.name}.columns]",
                )
        return pl.DataFrame(columns)


def _stretch(batch: Batch, accepted: Accepted, start: int) -> Stretch:
    if accepted.kept is None:
        return Stretch(start, batch.file, batch.first, batch.rows)
    rows = batch.rows
    if rows is None:
        rows = np.arange(batch.first, batch.first + batch.frame.height, dtype=np.uint32)
    return Stretch(start, batch.file, batch.first, rows[accepted.kept])
