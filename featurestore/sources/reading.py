"""What a source offers, as one typed frame: the accepted rows, and the count and reasons of the rejected ones.

A type of source gives batches; `column_types` decides on types and rules.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import polars as pl

from featurestore.errors import SourceError, nearest
from featurestore.frozen import frozen
from featurestore.model import KeyType, RejectedRow, Scalar, Source
from featurestore.progress import SILENT, Progress
from featurestore.sources import wording
from featurestore.sources.column_types import ColumnTypes, ReadAgainError
from featurestore.sources.contract import Choose, ContentSource, Offer, OpenSource, ProjectFolders, Start
from featurestore.sources.files import FileSource
from featurestore.sources.pinned_types import read_pins
from featurestore.sources.rules import check_rejected, check_unique
from featurestore.tables.batch import MAX_COLUMNS, MISFITS, Batch, Rows, nfc
from featurestore.tables.parts import with_parts
from featurestore.tables.types import column_type


@frozen
class PlaceRange:
    """Consecutive rows of a frame that come from one origin: row ``start + i`` is ``rows[i]``, or ``first + i``."""

    start: int
    origin: str
    first: int
    rows: Rows | None


@frozen
class SourceRows:
    """The rows of one reading of a source, in its order.

    ``frame`` is typed (datetimes are ``Datetime("us", "UTC")``); ``rejected`` holds the first rejected rows,
    ``rejected_count`` counts them all, and ``rows_read`` counts those with the accepted ones. ``inferred`` are the
    types of columns that had none, ``widened`` of pinned columns that have another type from now on: `add_pins` stores
    both. ``due`` is when the first row is to be read again that was rejected for being ahead of the clock (µs).
    ``warnings`` are sentences for people. ``misfits`` are rows whose value does not fit a pinned column
    (`ColumnTypes.misfits`): the frame has `MISFITS` where there are any. ``names`` are the columns of the
    source, whether they were read or not.
    """

    source: Source
    opened: OpenSource
    frame: pl.DataFrame
    rows_read: int
    rejected_count: int
    rejected: tuple[RejectedRow, ...]
    inferred: Mapping[str, Scalar]
    places: tuple[PlaceRange, ...]
    due: int | None = None
    warnings: tuple[str, ...] = ()
    misfits: tuple[RejectedRow, ...] = ()
    widened: Mapping[str, Scalar] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def place(self, index: int) -> str:
        """Where a row of the frame is, in the source's words: ``data/visits.csv row 17``."""
        if not 0 <= index < self.frame.height:
            raise IndexError(index)
        places = self.places[bisect_right(self.places, index, key=lambda each: each.start) - 1]
        at = index - places.start
        row = places.first + at if places.rows is None else int(places.rows[at])
        return self.opened.place(places.origin, row).text

    def fitting(self, columns: Collection[str]) -> FittingRows:
        """What is there for features that name these columns: the rows whose values fit them, without `MISFITS`."""
        frame = self.frame.drop(MISFITS, strict=False)
        if not columns or MISFITS not in self.frame.columns:
            return FittingRows(frame, self.place, self.rows_read, self.rejected_count, self.rejected, self.due)
        fits = self.frame.select(fits_all(columns)).to_series()
        at = fits.arg_true()
        aside = tuple(row for row in self.misfits if row.column in columns)
        return FittingRows(
            frame.filter(fits), lambda index: self.place(int(at[index])), self.rows_read,
            self.rejected_count + frame.height - len(at), (*self.rejected, *aside), self.due,
        )  # fmt: skip


def fits_all(columns: Collection[str]) -> pl.Expr:
    """Whether a row's values fit these columns, by `MISFITS`."""
    return pl.col(MISFITS).list.set_intersection(sorted(columns)).list.len().fill_null(0) == 0


@frozen
class FittingRows:
    """The rows of a `SourceRows` that some features can take; its other fields are those of that, for them."""

    frame: pl.DataFrame
    place: Callable[[int], str]
    rows_read: int
    rejected_count: int
    rejected: tuple[RejectedRow, ...]
    due: int | None


def read_rows(
    folders: ProjectFolders,
    source: Source,
    opened: OpenSource,
    offer: Offer,
    entity_keys: Mapping[str, KeyType],
    *,
    needed: Collection[str] = (),
    columns: Choose | None = None,
    only: Mapping[str, Start | None] | None = None,
    latest: int | None = None,
    by_column: bool = False,
    progress: Progress = SILENT,
) -> SourceRows:
    """Reads an offer. Rows that don't fit their types or break a rule are rejected, each with its reason.

    ``entity_keys`` are the key columns of the entity types concerned: they are read as keys where the source has
    them, and then they must be in every origin and row. Declared columns, the source's roles and ``needed`` must be
    there. What is neither among these nor chosen by ``columns`` (None: all) is not read, and no content that ``only``
    does not name. Rows of after ``latest`` (µs) are rejected too. ``by_column`` is that of `ColumnTypes`.
    Writes nothing. Raises SourceError for what can't be read or has changed since it was offered, for a value that
    comes twice in a unique column, and for more rejected rows than the source allows; CancelledError between two
    batches.
    """
    types = ColumnTypes(source, entity_keys, read_pins(folders, source), opened.place, latest, by_column=by_column)
    required = list(dict.fromkeys([*source.roles, *source.id, *source.columns, *needed]))
    while True:
        reading = _Reading(opened, types, required, columns, progress, only)
        try:
            frame = reading.run(offer)
        except ReadAgainError:  # ends: each time a column has a wider type, or one more is required
            types.restart()
            continue
        rows = SourceRows(
            source=source,
            opened=opened,
            frame=frame,
            rows_read=frame.height + types.rejected_count,
            rejected_count=types.rejected_count,
            rejected=tuple(types.rejected),
            inferred=dict(types.inferred),
            places=tuple(reading.places),
            due=types.due,
            misfits=tuple(types.misfits),
            widened=dict.fromkeys(types.widened, "float"),
            names=tuple(reading.names),
        )
        check_unique(frame, source.columns.values(), rows.place)
        if rows.rejected:
            first = rows.rejected[0]
            check_rejected(source, rows.rows_read, rows.rejected_count, f"{first.place}: {first.reason}")
        warnings = [
            *offer.warnings,
            *reading.warnings,
            *wording.warn_of_widened(source, types.widened),
            *wording.warn_of_mixed(source, types.mixed),
            *wording.warn_of_points(source, types.doubtful_point),
            *wording.warn_of_zones(source, types.naive),
            *wording.warn_of_ids(frame, entity_keys),
            *wording.warn_of_text(frame, types.inferred, rows.place, source.dialect),
        ]
        return replace(rows, warnings=tuple(warnings))


_NO_NAME = re.compile(r"[+-]?\d+([.,]\d+)?|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([T ].*)?")


def _without_header(source: Source, names: Collection[str]) -> str:
    """A sentence for a CSV whose first line looks like a row, or like no part of the table."""
    if source.type != "csv" or not source.dialect.header:
        return ""
    if any(_NO_NAME.fullmatch(name) for name in names):
        return "; if the first line is a row, header = false"
    first = next(iter(names), "")
    if first[:1] in ("#", "%") and source.dialect.comment is None:
        return f'; if the first line is a comment, comment = "{first[0]}"'
    if len(names) == 1:
        return "; if the first line is no part of the table, skip_rows = 1"
    return ""


def _other_name(name: str, source: Source, close: str | None) -> str:
    """A sentence for a column that may be called otherwise in the file."""
    if close is None or name in source.dialect.renamed:
        return ""
    where = f"column {name!r} in [sources.{source.name}.columns]"
    return f"; if that is its name in the file: rename = {json.dumps(close, ensure_ascii=False)} for {where}"


class Sink(Protocol):
    """Takes accepted rows as they are read, so that they need not be held."""

    def add(self, accepted: Batch) -> None: ...

    def restart(self) -> None:
        """Forgets what it took: all rows come again, in other types."""
        ...


@dataclass(slots=True)
class ContentFacts:
    """What is known of a content beside its accepted rows.

    ``columns`` are its columns in order, each with its type (None where it has nothing but nulls, or values of a type
    of its own), and ``unread`` those of them that nobody needs; ``rows`` are those that were read; ``last`` is the
    number of the last one.
    """

    columns: dict[str, Scalar | None] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    rows: int = 0
    last: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)
    rejected_count: int = 0
    misfits: list[RejectedRow] = field(default_factory=list)
    misfit_counts: Counter[tuple[str, ...]] = field(default_factory=Counter)


@frozen
class ReadContents:
    """The contents that were read, by name, and what was met on the way: as `SourceRows` has it."""

    facts: Mapping[str, ContentFacts]
    inferred: Mapping[str, Scalar]
    naive: frozenset[str]
    warnings: tuple[str, ...]
    widened: Mapping[str, Scalar] = field(default_factory=dict)


def read_contents(
    source: Source,
    opened: OpenSource,
    offer: Offer,
    entity_keys: Mapping[str, KeyType],
    pins: Mapping[str, Scalar],
    only: Mapping[str, Start | None],
    sink: Sink,
    progress: Progress = SILENT,
    *,
    columns: Choose | None = None,
) -> ReadContents:
    """Reads some contents of an offer, and gives their accepted rows to a sink. Rows ahead of the clock are accepted.

    ``columns`` is that of `read_rows`. Raises what `read_rows` raises.
    """
    types = ColumnTypes(source, entity_keys, pins, opened.place, by_column=True)
    required = list(dict.fromkeys([*source.roles, *source.id, *source.columns]))
    while True:
        reading = _Reading(opened, types, required, columns, progress, only, sink)
        try:
            reading.run(offer)
        except ReadAgainError:
            types.restart()
            sink.restart()
            continue
        for facts in reading.facts.values():
            for name in facts.columns:
                found = types.type_of(name)
                facts.columns[name] = found.kind if found else None
        return ReadContents(
            reading.facts,
            dict(types.inferred),
            frozenset(types.naive),
            (
                *reading.warnings,
                *wording.warn_of_widened(source, types.widened),
                *wording.warn_of_mixed(source, types.mixed),
                *wording.warn_of_points(source, types.doubtful_point),
            ),
            dict.fromkeys(types.widened, "float"),
        )


class _Reading:
    """One pass over all batches, from the first row to the last. What goes to a sink is not held."""

    def __init__(
        self,
        opened: OpenSource,
        types: ColumnTypes,
        required: list[str],
        choose: Choose | None,
        progress: Progress,
        only: Mapping[str, Start | None] | None = None,
        sink: Sink | None = None,
    ) -> None:
        self.opened, self.types, self.source = opened, types, types.source
        self.required, self.choose, self.progress = required, choose, progress
        self.only, self.sink = only, sink
        self.facts: dict[str, ContentFacts] = {}
        self.warnings: list[str] = []
        self.names: dict[str, None] = {}
        self.unread: set[str] = set()
        self.without_key: dict[str, str] = {}
        self.frames: list[pl.DataFrame] = []
        self.places: list[PlaceRange] = []
        self.height = 0

    def run(self, offer: Offer) -> pl.DataFrame:
        first: str | None = None
        origin: str | None = None
        dialect = self.source.dialect
        rows, total = 0, self._total(offer)
        for found in self._read(offer):
            rows += found.frame.height + found.unreadable_count
            share = f", {min(found.read / total, 1):.0%}" if total and found.read else ""
            self.progress(f"reading {self.source.name}: {rows:,} rows{share}")
            batch = found.normalized()
            if dialect.renamed:
                batch = with_parts(batch, dialect.renamed.values()).renamed(dialect.renamed)
            first = first or batch.origin
            if self.opened.complete and batch.origin != origin:
                self._check_columns(batch.names, batch.origin)
            origin = batch.origin
            self._add(batch)
        if rows and first is not None and not self.opened.complete and self.names:  # a deletion alone has no columns
            self._check_columns(list(self.names), first)
        for key, without in self.without_key.items():
            if key in self.names:
                self._require_key(key, without)
        return self._frame()

    def _total(self, offer: Offer) -> int:
        """The bytes of what is read; 0 where that is not known."""
        if offer.contents is None or self.only is None:
            return offer.size or 0
        return sum(content.size for content in offer.contents if content.name in self.only)

    def _read(self, offer: Offer) -> Iterator[Batch]:
        in_file = None if self.choose is None else self._in_file
        if isinstance(self.opened, FileSource):
            return self.opened.read_together(offer, self.only, in_file, self.warnings.append)
        if self.only is None:
            return self.opened.read(offer, columns=in_file, report=self.warnings.append)
        opened = cast("ContentSource", self.opened)  # whoever names contents has them from its offer
        return opened.read(offer, only=self.only, columns=in_file, report=self.warnings.append)

    def _wanted(self, names: Sequence[str]) -> set[str] | None:
        """Which of some columns are needed, by the names that the source has for them; None: all."""
        if self.choose is None:
            return None
        return {*self.required, *self.types.keys, *self.choose(names)}

    def _in_file(self, names: Sequence[str]) -> set[str]:
        """Which columns of a file are needed, by the names that it has for them."""
        renamed = self.source.dialect.renamed
        ours = {old: new for new, old in renamed.items()}
        called = {name: ours.get(nfc(name), nfc(name)) for name in names}
        wanted = self._wanted(list(called.values())) or set()
        objects = {old.partition(".")[0] for old in renamed.values()}  # of a part of an object the object
        return {name for name, called_here in called.items() if called_here in wanted or nfc(name) in objects}

    def _require_key(self, key: str, origin: str) -> None:
        """For rows without the key that others have: where nulls may be left out it is null, else it is missing."""
        if self.opened.complete:
            raise without_key(key, list(self.facts[origin].columns if origin in self.facts else ()), origin)
        self.required.append(key)
        raise ReadAgainError

    def _check_columns(self, present: list[str], origin: str) -> None:
        for name in self.required:
            if name not in present:
                raise missing_column(name, present, self.source, self.types.keys, origin)

    def _add(self, batch: Batch) -> None:
        self.names.update(dict.fromkeys(batch.names))
        if len(self.names) > MAX_COLUMNS:
            raise SourceError(f"more than {MAX_COLUMNS:,} columns can't be read", where=batch.origin)
        batch = batch.select(self._wanted(batch.names), self.required).with_nulls(self.source.dialect.null)
        self.unread.update(batch.unread)
        present = batch.frame.columns
        self.without_key |= {key: batch.origin for key in self.types.keys if key not in present}
        if batch.parts and self._accept_parts(batch):
            return
        for part in batch.divided():
            before = self.types.rejected_count, len(self.types.rejected)
            misfits = len(self.types.misfits), Counter(self.types.misfit_counts)
            accepted = self.types.accept(part)
            self._note_facts(part, *before, *misfits)
            self._take(accepted)

    def _accept_parts(self, batch: Batch) -> bool:
        """Takes the rows of several origins at once; False where one has to be named, and nothing was taken."""
        types = self.types
        before = types.rejected_count, len(types.rejected), types.due
        misfits = len(types.misfits), Counter(types.misfit_counts)
        try:
            accepted = types.accept(batch)
        except SourceError:
            accepted = None
        whole = accepted is not None and accepted.frame.height == batch.frame.height
        if accepted is None or not whole or MISFITS in accepted.frame.columns:
            types.take_back(*before, *misfits)
            return False
        rejected, listed, _ = before
        for part in batch.divided():
            self._note_facts(part, rejected, listed, *misfits)
        self._take(accepted)
        return True

    def _take(self, accepted: Batch) -> None:
        if self.sink is not None:
            self.sink.add(accepted)
        elif accepted.parts:
            start = self.height
            for origin, rows in accepted.parts:
                self.places.append(PlaceRange(start, origin, 1, None))
                start += rows
            self.frames.append(accepted.frame)
            self.height = start
        elif accepted.frame.height:
            self.places.append(PlaceRange(self.height, accepted.origin, accepted.first, accepted.rows))
            self.frames.append(accepted.frame)
            self.height += accepted.frame.height

    def _note_facts(
        self, batch: Batch, rejected: int, listed: int, misfits: int, counts: Counter[tuple[str, ...]]
    ) -> None:
        facts = self.facts.setdefault(batch.origin, ContentFacts())
        facts.columns |= dict.fromkeys(batch.names)
        facts.unread.update(batch.unread)
        facts.rows += batch.frame.height + batch.unreadable_count
        numbers = [row.row for row in batch.unreadable[-1:]]
        numbers += [batch.row(batch.frame.height - 1)] if batch.frame.height else []
        facts.last = max(facts.last, facts.rows, *numbers)
        facts.rejected += self.types.rejected[listed:]
        facts.rejected_count += self.types.rejected_count - rejected
        facts.misfits += self.types.misfits[misfits:]
        facts.misfit_counts += self.types.misfit_counts - counts

    def _frame(self) -> pl.DataFrame:
        """All batches under the union of the columns that were read, in the types that they came to."""
        schema: dict[str, pl.DataType] = {}
        seen_types: dict[str, pl.DataType] = {}
        for frame in reversed(self.frames):  # a frame's schema is made anew each time that it is asked for
            seen_types.update(frame.schema)
        for name in self.names or self.required:
            if name not in self.unread:
                found = self.types.type_of(name)
                schema[name] = column_type(found.kind) if found else seen_types.get(name, pl.String())
        if MISFITS in seen_types:
            schema[MISFITS] = seen_types[MISFITS]
        if not self.frames:
            return pl.DataFrame(schema=schema)
        return pl.concat([align(frame, schema, self.source) for frame in self.frames])


def without_key(key: str, present: Sequence[str], where: str) -> SourceError:
    """A file lacks a key that others of its source have."""
    close = nearest(key, present)
    hint = None if close is None else f"did you mean {close!r}? call it {key!r} there, as the other files do"
    return SourceError(f"has no column {key!r}, which other files of the source have", where=where, hint=hint)


def missing_column(name: str, present: Sequence[str], source: Source, keys: Collection[str], where: str) -> SourceError:
    """A column that must be in a source is not: which setting names it, and what it may be called instead."""
    shown = ", ".join(present[:20]) + (", …" if len(present) > 20 else "")
    written = source.dialect.in_file(name)
    close = nearest(written, present)
    asked = _asking_for(name, source, keys)
    return SourceError(
        f"has no column {written!r}; it has {shown or 'none'}", where=where,
        hint=(f"did you mean {close!r}? " if close else "") + f"{asked} names it: fix that, or the file"
        + _other_name(name, source, close) + _without_header(source, present),
    )  # fmt: skip


def _asking_for(name: str, source: Source, keys: Collection[str]) -> str:
    """The setting that names a column which must be there."""
    if name in source.dialect.renamed:
        return f"rename in [sources.{source.name}.columns]"
    for role in ("event_time", "updated_at", "known_at"):
        if name == getattr(source, role):
            return f"sources.{source.name}.{role}"
    if name in source.id:
        return f"sources.{source.name}.id"
    if name in source.columns:
        return f"[sources.{source.name}.columns]"
    return "[entity_types]" if name in keys else "the code"


class FilesDisagreeError(SourceError):
    """Files have other types for ``column``, of which no type of the store holds both."""

    def __init__(
        self, source: Source, column: str, one: tuple[str, pl.DataType], other: tuple[str, pl.DataType]
    ) -> None:
        (here, mine), (there, its) = one, other
        hint = "write one of them as the other, or read them as two sources"
        if mine.is_numeric() and its.is_numeric():
            hint = (
                f'{column} = {{ type = "float" }} in [sources.{source.name}.columns], or write one of them as the other'
            )
        message = f"files disagree on column {column!r}: it is {mine} in {here} and {its} in {there}"
        super().__init__(message, where=f"source {source.name}", hint=hint)
        self.column = column


def align(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], source: Source) -> pl.DataFrame:
    """The frame with all columns of a source: null where its origin has none, or nothing but nulls.

    Raises FilesDisagreeError where a column is of another type.
    """
    columns, held = [], frame.schema
    for name, dtype in schema.items():
        if held.get(name) == dtype:
            columns.append(frame[name])
        elif name not in held or frame[name].null_count() == frame.height:
            columns.append(pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height))
        elif held[name] == pl.Int64 and dtype == pl.Float64:  # its type was widened since
            columns.append(frame[name].cast(dtype))
        else:
            raise FilesDisagreeError(source, name, ("one file", held[name]), ("another one", dtype))
    return pl.DataFrame(columns)
