"""The contents of one source in a run: parsed where they are not kept yet, and given as rows."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import polars as pl

from featurestore import times
from featurestore.evaluation.events import ORDER, PARTITION, RANK, THERE
from featurestore.model import KeyType, RejectedRow, Scalar, Source
from featurestore.parsed.index import Kept, Piece, reading_of
from featurestore.parsed.rows import CONTENT, ROW, KeptRows
from featurestore.progress import Progress
from featurestore.sources import wording
from featurestore.sources.casts.cast import EXACT_FLOAT
from featurestore.sources.column_types import AHEAD
from featurestore.sources.contract import Choose, ComparingSource, Content, ContentSource, Offer, OpenSource, Start
from featurestore.sources.reading import FilesDisagreeError, fits_all, missing_column, read_contents, without_key
from featurestore.sources.rules import check_rejected, check_unique
from featurestore.sources.wording import show
from featurestore.tables.batch import MAX_REJECTED, MISFITS
from featurestore.tables.memory import release_unused
from featurestore.workflows.ingest.came_again import came_again, without_repeats
from featurestore.workflows.ingest.row_frames import Ranks, RowFrames
from featurestore.workflows.ingest.taken import Taken, Times


@dataclass(slots=True)
class SetAsideRows:
    """The rows of a source that were set aside: the first of them, how many, and when the first one ahead is due."""

    rows: list[RejectedRow] = field(default_factory=list)
    count: int = 0
    due: int | None = None


class SourceContents(RowFrames):
    """What a source holds now, and the rows of what it held before, as far as they are kept.

    ``needs`` says which columns are read (None: all). Unless it is ``complete``, those that are kept of any content
    stay among them: somebody else has asked for them. Call `parse` before anything else.
    """

    def __init__(
        self,
        source: Source,
        opened: OpenSource,
        offer: Offer,
        keys: Mapping[str, KeyType],
        pins: Mapping[str, Scalar],
        kept: KeptRows,
        progress: Progress,
        needs: Choose | None = None,
        *,
        complete: bool = True,
    ) -> None:
        assert offer.contents is not None, "a source without contents is read as a whole"
        self.source, self._offer, self._keys = source, offer, keys
        self._opened = cast("ContentSource", opened)  # its offer has contents
        self._pins, self._kept, self._progress = dict(pins), kept, progress
        self.there = {content.sha256: content for content in reversed(offer.contents)}
        self.files = {content.name: content.sha256 for content in offer.contents}
        self.reading = reading_of(source, keys, pl.__version__)
        self.inferred: dict[str, Scalar] = {}
        self.widened: dict[str, Scalar] = {}
        self.lacking: list[str] = []
        self.warnings: list[str] = list(offer.warnings)
        self.parsed: set[str] = set()
        self.parsed_rows = 0
        # By the bytes alone: those that were read by another schema before have the same place.
        self._streams = {_bytes_of(each.sha256): each.stream for each in offer.contents if each.stream is not None}
        self._numbers: dict[str, int] = {}
        self._counted: list[Kept] | None = None
        self.without: frozenset[str] = frozenset()
        self.view: frozenset[str] | None = None
        self._needs = needs
        self._held: frozenset[str] = frozenset()
        if not complete:
            contents = kept.index.contents.values()
            self._held = frozenset(name for each in contents for name in each.columns.keys() - each.unread)

    @property
    def of_stream(self) -> bool:
        return bool(self._streams)

    def remember(self, taken: Sequence[Taken]) -> None:
        """Of a stream: the places of batches that positions name and that newer batches have replaced."""
        for each in taken if self._streams else ():
            for name, sha256 in each.files.items():
                self._streams.setdefault(_bytes_of(sha256), (0, int(name)))

    # Parsing

    def parse(self, before: Sequence[Taken]) -> None:
        """Parses what is not kept. ``before`` are the positions that may hold the beginning of a file that has grown.

        Raises SourceError.
        """
        self._counted = None
        stale = self.unparsed()
        if stale:
            self._parse(stale, before)
        if self.widened and (large := [content for content in self.unparsed() if content not in stale]):
            self._parse(large, before)  # of integers that are now in a column of floats, and that no float holds
        for kept in map(self._find, self.there):
            self.inferred |= {name: kind for name, kind in self._unpinned(kept).items() if kind is not None}
        self._check_columns()

    def unparsed(self) -> list[Content]:
        """What `parse` parses."""
        stale = [content for content in self.there.values() if not self._is_kept(content)]
        if stale and any(self._unpinned(kept) for kept in self._kept.index.contents.values()):
            # Types are inferred from all that there is, not from what came first to a run that stored nothing.
            return list(self.there.values())
        if not stale:
            # Whoever takes a column's line out of the pins wants its type inferred again, and not as it was read by it.
            there = (content for content in self.there.values() if content.sha256 not in self.parsed)
            return [content for content in there if self._unpinned(self._find(content.sha256))]
        return stale

    def forget_damaged(self) -> None:
        """Forgets what lies in damaged files: it counts as not kept."""
        self._kept.forget_damaged()

    def _is_kept(self, content: Content) -> bool:
        kept = self._sound(content.sha256)
        return kept is not None and self._is_read(kept) and content.sha256 not in self.dropped

    def has(self, sha256: str) -> bool:
        """Whether a content's rows are kept, read as they would be read now, with the columns of this view."""
        kept = self._sound(sha256)
        return kept is not None and not (kept.unread if self.view is None else kept.unread & self.view)

    def fits(self, sha256: str) -> bool:
        """Whether a content's columns, as far as it has them, have the types of what is there."""
        kept = self._find(sha256)
        found = {name: self._kept.type_of(kept, name) for name in self.schema if name in kept.columns}
        return all(kind in (None, self.schema[name]) for name, kind in found.items())

    def is_empty(self, sha256: str) -> bool:
        """Whether a content is kept, and no row of it any more."""
        kept = self._kept.index.contents.get(sha256)
        return kept is not None and not kept.pieces

    def _sound(self, sha256: str) -> Kept | None:
        """A content that is kept, if what is kept of it was read as it would be read now."""
        kept = self._kept.find(sha256, self.reading)
        if kept is None:
            return None
        alike = all(
            self._expected(name) in (None, kind) or (kind == "int" and self._is_widened(kept, name))
            for name, kind in kept.columns.items()
            if name not in kept.unread and self._is_free(name)
        )
        return kept if alike else None

    def _expected(self, name: str) -> Scalar | None:
        """The type of a free column, as far as it is known by now."""
        return self._pins.get(name) or self.inferred.get(name)

    def _is_read(self, kept: Kept) -> bool:
        """Whether a content is kept with all columns that are to be read."""
        return not kept.unread or (self._needs is not None and kept.unread.isdisjoint(self._chosen(list(kept.columns))))

    def _chosen(self, names: Sequence[str]) -> Collection[str]:
        """Which columns are to be read."""
        return names if self._needs is None else {*self._needs(names), *self._held}

    def holds(self, columns: Collection[str]) -> bool:
        """Whether whatever is kept is kept with these columns, as far as it has them."""
        return all(kept.unread.isdisjoint(columns) for kept in self._kept.index.contents.values())

    def _is_widened(self, kept: Kept, name: str) -> bool:
        """Whether rows that were read as integers are the same as floats.

        None was set aside for being no integer, and none is so large that a float does not hold it.
        """
        if self._expected(name) != "float" or kept.rejected_count or kept.misfit_counts:
            return False
        return self._kept.largest(kept, name) < EXACT_FLOAT

    def _unpinned(self, kept: Kept) -> dict[str, Scalar | None]:
        return {
            name: kind
            for name, kind in kept.columns.items()
            if kind is not None and self._is_free(name) and name not in self._pins
        }

    def _is_free(self, name: str) -> bool:
        """Whether a column's type is inferred: nothing declares it."""
        source = self.source
        return name not in self._keys and name not in source.columns and name not in source.roles

    def _parse(self, contents: Sequence[Content], before: Sequence[Taken]) -> None:
        starts = {content.name: self._start(content, before) for content in contents}
        ids = [name for name, kind in self._keys.items() if kind == "string"]
        writer = self._kept.writer(sum(content.size for content in contents), ids)
        only = {name: None if start is None else Start(start.size, start.last) for name, start in starts.items()}
        try:
            read = read_contents(
                self.source, self._opened, self._offer, self._keys, self._pins, only, writer, self._progress,
                columns=None if self._needs is None else self._chosen,
            )  # fmt: skip
            writer.flush()
        except BaseException:
            writer.forget()
            raise
        release_unused()
        for content in contents:
            facts = read.facts[content.name]
            self.parsed_rows += facts.rows
            self._kept.add(
                writer.kept(content.name, content.sha256, content.size, self.reading, facts, starts[content.name])
            )
            self.parsed.add(content.sha256)
        self.widened |= read.widened
        self._pins |= read.widened
        self._note_lacking(contents, before)
        self.warnings += [*read.warnings, *wording.warn_of_zones(self.source, read.naive)]
        before_them = frozenset(piece for start in starts.values() if start is not None for piece in start.pieces)
        self._warn(contents, read.inferred, writer.odd_ids, before_them)

    def _note_lacking(self, contents: Sequence[Content], before: Sequence[Taken]) -> None:
        """Says which columns the new contents lack that earlier ones had; of formats that name all columns.

        A server's table says that by itself.
        """
        if not self._opened.complete or isinstance(self._opened, ComparingSource):
            return
        known = [self._find(sha256) for taken in before for sha256 in taken.parts if self._kept.find(sha256)]
        names = list(dict.fromkeys(name for kept in known for name in kept.columns))
        new = {content.sha256 for content in contents} - {sha256 for taken in before for sha256 in taken.parts}
        for content in contents:
            lacking = [name for name in names if name not in self._find(content.sha256).columns]
            if lacking and content.sha256 in new:
                self.lacking.append(wording.lacks_columns(content.name, lacking))

    def _start(self, content: Content, before: Sequence[Taken]) -> Kept | None:
        """What is kept of a file's beginning, where the file has grown and the rest can be read alone."""
        for taken in before:
            old = self._kept.find(taken.files.get(content.name, ""), self.reading)
            if old is None or old.sha256 in self.dropped or self._sound(old.sha256) is None or not self._is_read(old):
                continue
            if self._unpinned(old) or old.size >= content.size:
                continue
            if self._opened.can_start(self._offer, content.name, old.size) and self.begins_with(content, old):
                return old
        return None

    def begins_with(self, content: Content, old: Kept) -> bool:
        return old.size < content.size and self._opened.begins_with(self._offer, content.name, old.size, old.sha256)

    def continues(self, sha256: str, since: Taken | None) -> bool:
        """Whether a content that is gone is the beginning of one that is new since a position."""
        old = self._kept.find(sha256)
        known = {} if since is None else since.files
        new = [content for content in self._contents() if known.get(content.name) != content.sha256]
        return old is not None and any(self.begins_with(content, old) for content in new)

    def _contents(self) -> tuple[Content, ...]:
        assert self._offer.contents is not None
        return self._offer.contents

    def _warn(
        self,
        contents: Sequence[Content],
        inferred: Mapping[str, Scalar],
        odd_ids: Collection[str],
        known: Collection[Piece],
    ) -> None:
        """Says what is odd about ids and texts of contents, but for those of pieces that were parsed before."""
        kept = [self._find(content.sha256) for content in contents]
        looked_at = {*odd_ids, *(name for name, kind in inferred.items() if kind == "string")}
        schema = {name: kind for name, kind in self._kept.schema(kept).items() if name in looked_at}
        if not schema:
            return
        names = [content.name for content in contents]
        frames = self._kept.frames(kept, schema, without=known)
        for frame in self._naming_files(frames, [content.sha256 for content in contents]):

            def place(index: int, frame: pl.DataFrame = frame) -> str:
                return self._opened.place(names[frame[CONTENT][index]], frame[ROW][index]).text

            found = [
                *wording.warn_of_ids(frame, self._keys),
                *wording.warn_of_text(frame, inferred, place, self.source.dialect),
            ]
            self.warnings += [line for line in found if line not in self.warnings]

    def _check_columns(self) -> None:
        """A key that some files have must be in all of them."""
        if not self._opened.complete:
            return
        kept = {sha256: self._find(sha256).columns for sha256 in self.there}
        for key in self._keys:
            without = [sha256 for sha256, columns in kept.items() if key not in columns]
            if without and len(without) < len(kept):
                raise without_key(key, list(kept[without[0]]), self.there[without[0]].name)

    def require(self, names: Iterable[str]) -> None:
        """Raises SourceError for a column that is not there."""
        for sha256, content in self.there.items():
            present = list(self._find(sha256).columns) if self._opened.complete else self.names
            for name in names:
                if name not in present:
                    raise missing_column(name, present, self.source, self._keys, content.name)

    # Rows

    def _find(self, sha256: str) -> Kept:
        return self._kept.index.contents[sha256]

    @property
    def names(self) -> list[str]:
        """The columns of what is there, whether they are read or not."""
        kept = [self._find(sha256) for sha256 in self._order(self.there)]
        return list(dict.fromkeys(name for each in kept for name in each.columns))

    @property
    def columns(self) -> list[str]:
        return list(self.schema)

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """The columns of what is there, whichever of it is read, as far as they are in this view."""
        found = self._kept.schema([self._find(sha256) for sha256 in self._order(self.there)])
        return found if self.view is None else {name: kind for name, kind in found.items() if name in self.view}

    def _order(self, contents: Iterable[str]) -> list[str]:
        known = {sha256: number for number, sha256 in enumerate(self.files.values())}
        return sorted(contents, key=lambda sha256: (known.get(sha256, len(known)), sha256))

    @property
    def kept_schema(self) -> dict[str, pl.DataType]:
        """The columns of `stream`."""
        streams: dict[str, pl.DataType] = {PARTITION: pl.Int32(), ORDER: pl.Int64()} if self._streams else {}
        return {**self.schema, ROW: pl.UInt32(), CONTENT: pl.UInt32(), **streams}

    def frames(
        self,
        ranks: Ranks,
        clock: int | None,
        *,
        between: tuple[int | None, int | None] = (None, None),
        matching: pl.DataFrame | None = None,
        without: Collection[Piece] = (),
    ) -> Iterator[pl.DataFrame]:
        """The same, a file at a time; pieces of ``without`` are passed over."""
        contents = self._order(ranks)
        where, schema = None, self.schema
        if clock is not None:
            between = between[0], clock if between[1] is None else min(between[1], clock)
            where = self._time() <= clock
        if self.without:
            schema[MISFITS] = pl.List(pl.String())
            fits = fits_all(self.without)
            where = fits if where is None else where & fits
        numbers = pl.Series(RANK, [ranks[sha256] for sha256 in contents], pl.Int64)
        found = self._kept.frames(
            [self._find(sha256) for sha256 in contents],
            schema,
            between=between,
            where=where,
            matching=matching,
            without=without,
        )
        for frame in self._naming_files(found, contents):
            at = frame[CONTENT]
            yield self._told_apart(frame, contents).with_columns(numbers.gather(at)).select(*self.kept_schema, RANK)

    def shared(self, some: Collection[str], others: Collection[str], clock: int | None) -> frozenset[Piece]:
        """The pieces that two sets of contents have in common, each once, with rows up to the clock (µs) alone."""
        counts = [Counter(piece for sha256 in names for piece in self._find(sha256).pieces) for names in (some, others)]
        return frozenset(
            piece
            for piece, count in counts[0].items()
            if count == 1 == counts[1][piece] and (clock is None or (piece.high is not None and piece.high <= clock))
        )

    def _told_apart(self, frame: pl.DataFrame, contents: Sequence[str]) -> pl.DataFrame:
        """The frame with the numbers that contents have in this run, and with the places of rows of streams."""
        at = frame[CONTENT]
        ids = pl.Series(CONTENT, [self.number(sha256) for sha256 in contents], pl.UInt32)
        named = frame.with_columns(ids.gather(at))
        return named.with_columns(self._in_streams(contents, at, frame[ROW])) if self._streams else named

    def _in_streams(self, contents: Sequence[str], at: pl.Series, rows: pl.Series) -> list[pl.Series]:
        """The partition of each row of a stream, and its place there."""
        found = [self._streams[_bytes_of(sha256)] for sha256 in contents]
        partitions = pl.Series(PARTITION, [partition for partition, _ in found], pl.Int32)
        places = pl.Series(ORDER, [place << 32 for _, place in found], pl.Int64)
        return [partitions.gather(at), (places.gather(at) + rows.cast(pl.Int64)).alias(ORDER)]

    def misfits(self, columns: frozenset[str]) -> tuple[list[RejectedRow], int]:
        """The rows of what is there that don't fit the pinned type of one of these columns, and how many."""
        kept = self._once()
        rows = [row for each in kept for row in each.misfits if row.column in columns]
        return rows, sum(_count_misfits(each, columns) for each in kept)

    @property
    def misfit_columns(self) -> frozenset[str]:
        """The columns that some kept row does not fit."""
        contents = self._kept.index.contents.values()
        return frozenset(name for kept in contents for names, _ in kept.misfit_counts for name in names)

    def fitting(self, columns: frozenset[str]) -> SourceContents:
        """The same contents without the rows that don't fit the pinned type of one of these columns."""
        if not columns:
            return self
        chosen = copy.copy(self)
        chosen.without = columns
        return chosen

    def seen(self, columns: frozenset[str] | None) -> SourceContents:
        """The same contents as features see them that need no other columns (None: that may need all)."""
        chosen = copy.copy(self)
        chosen.view = columns
        return chosen

    def lacks(self, sha256: str) -> list[str]:
        """The columns of this view that a content has, and with which it is not kept."""
        kept = self._sound(sha256)
        return [] if kept is None or self.view is None else sorted(kept.unread & self.view)

    def highest(self, sha256: str) -> int | None:
        """The highest event time of a content that is kept, however it was read."""
        kept = self._kept.index.contents.get(sha256)
        return None if kept is None else kept.high

    def count(self, contents: Iterable[str]) -> int:
        """How many rows some contents have."""
        return sum(self._find(sha256).accepted for sha256 in contents)

    def row_bytes(self) -> int:
        """About how many bytes of memory a row takes."""
        return max((self._kept.row_bytes(self._find(sha256)) for sha256 in list(self.there)[:8]), default=1)

    def stream(
        self,
        contents: Iterable[str],
        columns: Collection[str] | None = None,
        *,
        between: tuple[int | None, int | None] = (None, None),
    ) -> Iterator[pl.DataFrame]:
        """The rows of some contents, a file at a time: the source's columns, or some of them, `ROW` and `CONTENT`."""
        order = self._order(contents)
        schema = {name: kind for name, kind in self.schema.items() if columns is None or name in columns}
        where = None
        if self.without:
            schema[MISFITS], where = pl.List(pl.String()), fits_all(self.without)
        found = self._kept.frames([self._find(sha256) for sha256 in order], schema, between=between, where=where)
        for frame in self._naming_files(found, order):
            yield self._told_apart(frame.drop(MISFITS, strict=False), order)

    def _naming_files(self, frames: Iterator[pl.DataFrame], contents: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The same frames. Where contents disagree on a column the error names the files, and not only the types."""
        try:
            yield from frames
        except FilesDisagreeError as exc:
            names = {sha256: name for name, sha256 in reversed(self.files.items())}
            found: dict[pl.DataType, str] = {}
            for sha256 in self._order({*self.there, *contents}):
                kind = self._kept.type_of(self._find(sha256), exc.column)
                if kind is not None:
                    found.setdefault(kind, names.get(sha256, "a file that is gone"))
            if len(found) < 2:
                raise
            (one, here), (other, there) = list(found.items())[:2]
            raise FilesDisagreeError(self.source, exc.column, (here, one), (there, other)) from exc

    def _time(self) -> pl.Expr:
        return pl.col(str(self.source.event_time)).to_physical()

    def number(self, sha256: str) -> int:
        """A number of a content that stays for the run."""
        return self._numbers.setdefault(sha256, len(self._numbers))

    def is_in(self, contents: Iterable[str]) -> pl.Expr:
        """Whether a row that `rows` gave is of one of these contents."""
        return pl.col(CONTENT).is_in(sorted(self.number(sha256) for sha256 in contents))

    def locate(self, row: Mapping[str, object]) -> str:
        """Where a row is, in the source's words."""
        sha256 = next(one for one, number in self._numbers.items() if number == row[CONTENT])
        name = self.there[sha256].name if sha256 in self.there else f"a file that vanished ({sha256[:12]})"
        number = row[ROW]
        assert isinstance(number, int)
        return self._opened.place(name, number).text

    def times(self, contents: Iterable[str]) -> dict[str, Times]:
        return {sha256: Times(self._find(sha256).low, self._find(sha256).high) for sha256 in contents}

    def lowest(self, contents: Iterable[str]) -> int | None:
        """The lowest event time (µs) of the rows of some contents; None where there is none."""
        return min((each.low for each in self.times(contents).values() if each.low is not None), default=None)

    def newest(self, contents: Iterable[str], clock: int) -> int | None:
        """The latest event time of the rows of some contents up to the clock (µs)."""
        found: list[int] = []
        for kept in map(self._find, contents):
            if kept.high is None or kept.high <= clock:
                found += [] if kept.high is None else [kept.high]
                continue
            time = {str(self.source.event_time): self.schema[str(self.source.event_time)]}
            for frame in self._kept.frames([kept], time, where=self._time() <= clock):
                found += [] if frame.is_empty() else [int(frame.select(self._time().max()).item())]
        return max(found, default=None)

    @property
    def dropped(self) -> Mapping[str, int]:
        """The contents of which rows are not kept any more, with the latest event time of these (µs)."""
        return self._kept.index.dropped

    def check(self, last: Taken | None, named: frozenset[str]) -> None:
        """Raises SourceError for a value that comes twice in a unique column, and for too many new rows set aside.

        ``named`` are the columns that any feature names: rows that don't fit another one are set aside for nobody.
        """
        unique = [column for column in self.source.columns.values() if column.unique]
        if unique:
            rows = self.rows(dict.fromkeys(self.there, THERE), None)
            check_unique(rows, unique, lambda index: self.locate(rows.row(index, named=True)))
        known = frozenset() if last is None else last.contents
        new = [self._find(sha256) for sha256 in self._order(self.there) if sha256 not in known]
        misfits = [row for kept in new for row in kept.misfits if row.column in named]
        rejected = [*(row for kept in new for row in kept.rejected[:1]), *misfits[:1]]
        if rejected:
            read, count = sum(kept.rows for kept in new), sum(kept.rejected_count for kept in new)
            count += sum(_count_misfits(kept, named) for kept in new)
            check_rejected(self.source, read, count, f"{rejected[0].place}: {rejected[0].reason}")

    def rejected(self, contents: Iterable[str]) -> tuple[list[RejectedRow], int]:
        """The rows of some contents that were set aside, as far as they are kept, and how many there were."""
        kept = [self._find(sha256) for sha256 in contents]
        return [row for each in kept for row in each.rejected], sum(each.rejected_count for each in kept)

    def _once(self) -> list[Kept]:
        """All that is there, with rows that were set aside as often as they are there now."""
        if self._counted is None:
            order = self._order(self.there)
            self._counted = [self._find(sha256) for sha256 in order]
            if self._tells_repeats:
                starts = [self._streams[_bytes_of(sha256)] for sha256 in order]
                of_stream = list(zip(self._counted, starts, strict=True))
                self._counted = without_repeats(of_stream, self.source.id, self._identities)
        return self._counted

    @property
    def _tells_repeats(self) -> bool:
        """Whether a row that came again can be told, and is kept beside what it was before."""
        return self.of_stream and bool(self.source.id)

    def _identities(self) -> Iterator[pl.DataFrame]:
        return self.stream(self.there, self.source.id)

    def total(self) -> int:
        """The rows of all that is there, those that were set aside among them."""
        return sum(kept.rows for kept in self._once())

    def set_aside(self, clock: int | None, moment: int) -> SetAsideRows:
        """The rows of what is there that were set aside, for their values or for being ahead of ``moment`` (µs).

        A row after the clock, and not after the moment, is due and not set aside: the next step of a backfill takes it.
        """
        found = SetAsideRows()
        for kept in self._once():
            found.count += kept.rejected_count
            found.rows += kept.rejected[: MAX_REJECTED - len(found.rows)]
        late = [sha256 for sha256 in self.there if clock is not None and (self._find(sha256).high or clock) > clock]
        if late and clock is not None:
            self._add_ahead(found, late, clock, moment)
        return found

    def _add_ahead(self, found: SetAsideRows, contents: Sequence[str], clock: int, moment: int) -> None:
        event_time = str(self.source.event_time)
        for frame in self._kept.frames(
            [self._find(sha256) for sha256 in contents],
            self.schema,
            between=(clock + 1, None),
            where=self._time() > clock,
        ):
            if not frame.height:
                continue
            first = int(frame[event_time].to_physical().min())  # type: ignore[arg-type]
            found.due = first if found.due is None else min(found.due, first)
            ahead = frame.filter(self._time() > moment)
            if self._tells_repeats:
                placed = self._told_apart(ahead, contents)
                ahead = ahead.filter(~came_again(placed, self.source.id, self._identities))
            found.count += ahead.height
            for row in ahead.head(MAX_REJECTED - len(found.rows)).iter_rows(named=True):
                name = self.there[contents[row.pop(CONTENT)]].name
                place = self._opened.place(name, row.pop(ROW))
                values = {column: _plain(value) for column, value in row.items()}
                reason = f"{show(values[event_time])} {AHEAD}"
                found.rows.append(
                    RejectedRow(self.source.name, place.file, place.row, event_time, reason, values, place.text)
                )


def _count_misfits(kept: Kept, columns: frozenset[str]) -> int:
    """The rows of a content that don't fit one of these columns."""
    return sum(count for names, count in kept.misfit_counts if not columns.isdisjoint(names))


def _bytes_of(sha256: str) -> str:
    return sha256.partition("@")[0]


def _plain(value: object) -> str | bool | int | None:
    import datetime

    if isinstance(value, datetime.datetime):
        return times.format_instant((value - times.EPOCH) // times.MICROSECOND)
    return value if isinstance(value, str | bool | int | None) else str(value)
