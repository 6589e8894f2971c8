"""The kept rows of one source: written as they are parsed, and read again by content, time and columns.

They lie in Parquet files of at most about `FILE_ROWS` rows, or `FILE_BYTES` of memory (less where a run may use
little), each with the rows of one or of many contents. A file is written once and checked by its CRC before it is read.
Where one is lost or damaged, the contents that it held count as not kept, and are parsed again.
"""

from __future__ import annotations

import errno
import math
import os
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.errors import SourceError, StoreError, from_os_error, os_reason, quoted_os_error
from featurestore.model import Source
from featurestore.parsed.index import Index, Kept, KeptFile, Piece, read_index, write_index
from featurestore.regular import is_own
from featurestore.sources.reading import ContentFacts, align
from featurestore.tables.batch import Batch
from featurestore.tables.lookalikes import are_plain
from featurestore.tables.types import column_type

FILE_ROWS = 1_000_000
FILE_BYTES = 64_000_000
# Of the memory that a run may use: a few files of rows are in it at once, packed and not.
SHARE_OF_MEMORY = 16
SMALL_ROWS = 100_000
MOST_SMALL = 64
FRESH_FILES = 3
_BLOCK = 1 << 20
_FEW = 8  # of so many rows one may be looked at in vain
_LONGEST = 100  # characters of a text that a file's range of ids begins or ends with

# The number of a row in its file, and the number of that file among those that were asked for. The space keeps them
# apart from every source's columns.
ROW, CONTENT = "featurestore row", "featurestore content"
_AT = "featurestore at"


class KeptRows:
    """The rows that are kept of a source. `save` makes what was added last beyond this run.

    ``memory`` is how many bytes a run may use, None for no bound.
    """

    def __init__(self, folder: Path, source: Source, memory: int | None = None) -> None:
        self._folder, self._source = folder, source
        self._file_bytes = FILE_BYTES if memory is None else min(FILE_BYTES, memory // SHARE_OF_MEMORY)
        self._index_path = folder / "index.json"
        self.index = read_index(self._index_path)
        self._sound: dict[str, bool] = {}
        self._largest: dict[tuple[str, str], int] = {}
        self._fresh = _Fresh(FRESH_FILES * self._file_bytes)

    def find(self, sha256: str, reading: str | None = None) -> Kept | None:
        """A content that is kept, and read in this way; its files are there and sound as far as their size says."""
        kept = self.index.contents.get(sha256)
        if kept is None or (reading is not None and kept.reading != reading):
            return None
        return kept if all(self._is_there(piece.file) for piece in kept.pieces) else None

    def forget_damaged(self) -> None:
        """Forgets the contents that lie in files which are not what was written."""
        for sha256, kept in list(self.index.contents.items()):
            if not all(self._check(piece.file) for piece in kept.pieces):
                del self.index.contents[sha256]

    def writer(self, size: int = 0, ids: Collection[str] = ()) -> KeptWriter:
        """Of rows that take about so many bytes where they are read from: few of them need not be read again.

        ``ids`` are the columns of which is to be known whether their texts are plain.
        """
        fresh = self._fresh if size <= self._fresh.most else None
        return KeptWriter(self._folder, self._source, self.index, self._sound, fresh, self._file_bytes, ids)

    def add(self, kept: Kept) -> None:
        self.index.contents[kept.sha256] = kept
        self.index.dropped.pop(kept.sha256, None)

    def schema(self, contents: Iterable[Kept]) -> dict[str, pl.DataType]:
        """The columns of these contents together, but for those that one of them does not hold; each in its type."""
        schema: dict[str, pl.DataType] = {}
        contents = list(contents)
        unread: frozenset[str] = frozenset().union(*(kept.unread for kept in contents))
        for kept in contents:
            for name, kind in kept.columns.items():
                if name in unread:
                    continue
                if kind == "int" and schema.get(name) == pl.Float64():
                    continue  # it was widened since
                if kind is not None:
                    schema[name] = column_type(kind)
                elif schema.get(name, pl.String()) == pl.String():
                    schema[name] = self._own_type(kept, name)
        return schema

    def type_of(self, kept: Kept, name: str) -> pl.DataType | None:
        """The type in which a content's values of a column are kept; None where it has none."""
        return self._own_type(kept, name) if name in kept.columns and kept.rows else None

    def largest(self, kept: Kept, name: str) -> int:
        """The largest of a content's integers in a column, without their signs."""
        found = self._largest.get((kept.sha256, name))
        if found is None:
            frames = [self._read(file, {name: pl.Int64()}) for file in {piece.file for piece in kept.pieces}]
            values = [frame[name] for frame in frames if name in frame.columns]
            bounds = [bound for each in values for bound in (each.min(), each.max()) if isinstance(bound, int)]
            found = self._largest[kept.sha256, name] = max(map(abs, bounds), default=0)
        return found

    def _own_type(self, kept: Kept, name: str) -> pl.DataType:
        for piece in kept.pieces:
            found = _schema_of(self._folder / piece.file).get(name)
            if found is not None:
                return found
        return pl.String()

    def frames(
        self,
        contents: Iterable[Kept],
        schema: Mapping[str, pl.DataType],
        *,
        between: tuple[int | None, int | None] = (None, None),
        where: pl.Expr | None = None,
        matching: pl.DataFrame | None = None,
        without: Collection[Piece] = (),
    ) -> Iterator[pl.DataFrame]:
        """The rows of these contents, a file at a time, in the columns of ``schema`` and `ROW`, `CONTENT`.

        Other columns are not read. `CONTENT` is the number of a row's content in ``contents``. ``between`` passes over
        pieces that hold no row from one event time to another (µs, both included; None: no bound); ``where`` selects
        rows, and ``matching`` those whose columns of these names are among its rows. Pieces of ``without`` are passed
        over.
        """
        wanted: dict[str, list[tuple[int, Piece]]] = {}
        for number, kept in enumerate(contents):
            for piece in kept.pieces:
                if piece.rows and piece not in without and _overlaps(piece, *between):
                    wanted.setdefault(piece.file, []).append((number, piece))
        for file, pieces in wanted.items():
            if matching is None:
                found = self._rows_of(file, pieces, schema)
            else:
                places = self._matching(file, pieces, schema, matching)
                if not len(places):
                    continue
                found = self._rows_of(file, pieces, schema)[places]
                found = found.join(matching, on=matching.columns, how="semi", maintain_order="left")
            yield found if where is None else found.filter(where)

    def _matching(
        self, file: str, pieces: Sequence[tuple[int, Piece]], schema: Mapping[str, pl.DataType], matching: pl.DataFrame
    ) -> pl.Series:
        """The places of the rows that may match, by few columns: of many rows few match, or none.

        By one of numbers or times alone, which is looked at faster than texts are, unless too many rows would be left.
        """
        if not self._may_hold(file, matching):
            return pl.Series(dtype=pl.UInt32)
        for name, kind in matching.schema.items():
            if (kind.is_integer() or kind.is_temporal()) and schema[name] == kind:
                column = self._rows_of(file, pieces, {name: kind})[name]
                places = column.is_in(matching[name].unique().implode()).arg_true()
                if len(places) * _FEW <= len(column):
                    return places
                break
        by = self._rows_of(file, pieces, {name: schema[name] for name in matching.columns}).with_row_index(_AT)
        return by.join(matching, on=matching.columns, how="semi", maintain_order="left")[_AT]

    def _may_hold(self, file: str, matching: pl.DataFrame) -> bool:
        """Whether a file may have one of some rows, by the lowest and the highest value of its columns."""
        inside = []
        for name, (low, high) in self.index.files[file].ranges.items():
            if name in matching.columns and (matching.schema[name] == pl.String()) == isinstance(low, str):
                inside.append(pl.col(name).is_between(pl.lit(low), pl.lit(high)))
        return not inside or bool(matching.select(pl.all_horizontal(inside).any()).item())

    def _rows_of(
        self, file: str, pieces: Sequence[tuple[int, Piece]], schema: Mapping[str, pl.DataType]
    ) -> pl.DataFrame:
        """The rows of some pieces of a file, each with the number of its content."""
        frame, parts = self._read(file, schema), []
        for number, piece in pieces:
            part = frame if piece.rows == frame.height else frame.slice(piece.start, piece.rows)
            aligned = align(part, {**schema, ROW: pl.UInt32()}, self._source)
            parts.append(aligned.with_columns(pl.lit(number, pl.UInt32).alias(CONTENT)))
        return pl.concat(parts)

    def row_bytes(self, kept: Kept) -> int:
        """About how many bytes of memory a row takes, from the file with the first of them."""
        for piece in kept.pieces:
            if piece.rows:
                known = self.index.files[piece.file].row_bytes
                return known or _row_bytes(self._read(piece.file))
        return 1

    def clean(self, named: Collection[str]) -> None:
        """Forgets contents that nobody names, makes few files of many small ones, removes those that nobody needs."""
        for sha256 in [sha256 for sha256 in self.index.contents if sha256 not in named]:
            del self.index.contents[sha256]
        for sha256 in [sha256 for sha256 in self.index.dropped if sha256 not in named]:
            del self.index.dropped[sha256]
        self._compact()
        used = {piece.file for kept in self.index.contents.values() for piece in kept.pieces}
        self.index.files = {name: item for name, item in self.index.files.items() if name in used}

    def save(self) -> None:
        """Writes the index, then removes files that it does not name. Raises OSError."""
        write_index(self._index_path, self.index)
        for path in self._folder.glob("*.parquet"):
            if path.name not in self.index.files:
                path.unlink(missing_ok=True)

    def save_quietly(self) -> None:
        """The same; where the index can't be written the next run parses again."""
        with suppress(OSError):
            self.save()

    def drop(self, going: Mapping[str, pl.Series], marks: Mapping[str, int]) -> None:
        """Drops rows of contents, by their `ROW`. ``marks`` are the latest event times (µs) of these, by content."""
        files = {piece.file for sha256 in going for piece in self.index.contents[sha256].pieces}
        if self._rewrite([self.index.contents[sha256] for sha256 in going], files, going):
            held = self.index.dropped
            held |= {sha256: max(high, held.get(sha256, high)) for sha256, high in marks.items()}

    def _compact(self) -> None:
        """Makes few files of many small ones, and of those of which little is used any more."""
        small = {name for name, item in self.index.files.items() if self._is_small(item)}
        used = Counter[str]()
        for piece in {piece for kept in self.index.contents.values() for piece in kept.pieces}:
            used[piece.file] += piece.rows
        files = {name for name, item in self.index.files.items() if used[name] * 2 < item.rows}
        if len(small) > MOST_SMALL:
            files |= small
        self._rewrite([one for one in self.index.contents.values() if any(p.file in files for p in one.pieces)], files)

    def _is_small(self, file: KeptFile) -> bool:
        """Whether a file could have many more rows: few rows that are long fill it."""
        return file.rows < SMALL_ROWS and file.rows * (file.row_bytes or 1) < self._file_bytes // 4

    def _rewrite(
        self, contents: Sequence[Kept], files: Collection[str], going: Mapping[str, pl.Series] | None = None
    ) -> bool:
        """Writes the rows that these contents have in these files to others. False where that can't be done."""
        writer = self.writer()
        try:
            for kept in contents:
                pieces: list[Piece] = []
                for piece in kept.pieces:
                    if piece.file not in files:
                        pieces.append(piece)
                        continue
                    rows = self._read(piece.file).slice(piece.start, piece.rows)
                    if going is not None:
                        rows = rows.filter(~rows[ROW].is_in(going[kept.sha256].implode()))
                    pieces += writer.put(rows) if rows.height else []
                self.index.contents[kept.sha256] = replace(kept, pieces=tuple(joined(pieces)))
            writer.flush()
        except (DamagedRowsError, OSError, SourceError, StoreError):
            writer.forget()
            self.index = read_index(self._index_path)
            return False
        return True

    def _read(self, file: str, schema: Mapping[str, pl.DataType] | None = None) -> pl.DataFrame:
        """The rows of a file; of its columns those of ``schema`` and `ROW`."""
        fresh = self._fresh.frames.get(file)
        if fresh is not None:
            return pl.DataFrame(
                column for column in fresh.iter_columns() if schema is None or column.name in {*schema, ROW}
            )
        if not self._check(file):
            raise DamagedRowsError(file)
        path = self._folder / file
        there = None if schema is None else [*(name for name in _schema_of(path) if name in schema), ROW]
        return pl.read_parquet(path, columns=there, glob=False, use_statistics=False)

    def _is_there(self, file: str) -> bool:
        known = self.index.files.get(file)
        try:
            found = (self._folder / file).lstat()
            return known is not None and is_own(found) and found.st_size == known.size
        except OSError:
            return False

    def _check(self, file: str) -> bool:
        if file not in self._sound:
            known = self.index.files.get(file)
            try:
                self._sound[file] = (
                    known is not None and self._is_there(file) and _crc(self._folder / file) == (known.size, known.crc)
                )
            except OSError:
                self._sound[file] = False
        return self._sound[file]


class _Fresh:
    """The rows of files that were written just now, as long as they are few: they need not be read again."""

    def __init__(self, most: int) -> None:
        self.frames: dict[str, pl.DataFrame] = {}
        self.most = most
        self._size: float = 0

    def add(self, file: str, frame: pl.DataFrame) -> None:
        self._size += frame.estimated_size()
        self.frames[file] = frame
        if self._size > self.most:  # nor of what comes later: such a source is not held in memory
            self.frames.clear()


class DamagedRowsError(Exception):
    """A file of kept rows is not what was written. What it held is to be parsed again."""


@dataclass(slots=True)
class _Waiting:
    """Rows that are not written yet, all of one schema."""

    frames: list[pl.DataFrame]
    rows: int
    file: str

    def is_full(self, more: pl.DataFrame, most: int) -> bool:
        """Whether with more rows it would be too large a file, of over ``most`` bytes."""
        size = sum(frame.estimated_size() for frame in [*self.frames, more])
        return self.rows + more.height > FILE_ROWS or size > most


class KeptWriter:
    """Takes rows as they are parsed (`sources.reading.Sink`) and writes them, many contents to a file.

    A file is written on a thread of its own, while the rows of the next are parsed.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        index: Index,
        sound: dict[str, bool],
        fresh: _Fresh | None,
        file_bytes: int,
        ids: Collection[str] = (),
    ) -> None:
        self.odd_ids: set[str] = set()
        """Columns of ids with texts that are not plain, in what was written."""
        self._ids = ids
        self._folder, self._source, self._index, self._sound, self._fresh = folder, source, index, sound, fresh
        self._file_bytes = file_bytes
        self._worker = ThreadPoolExecutor(1, "rows")
        self._writing: Future[None] | None = None
        self._waiting = _Waiting([], 0, _new_name())
        self._pieces: dict[str, list[Piece]] = {}
        self._written: dict[str, KeptFile] = {}

    def add(self, accepted: Batch) -> None:
        if accepted.parts:
            self._add_parts(accepted)
            return
        pieces = self._pieces.setdefault(accepted.origin, [])
        frame = accepted.frame
        if not frame.height:
            return
        numbers = (
            pl.int_range(accepted.first, accepted.first + frame.height, dtype=pl.UInt32, eager=True)
            if accepted.rows is None
            else pl.Series(accepted.rows, dtype=pl.UInt32)
        )
        pieces += self.put(frame.with_columns(numbers.alias(ROW)))

    def _add_parts(self, accepted: Batch) -> None:
        """Takes the rows of several contents, which lie one after the other."""
        sizes = np.array([rows for _, rows in accepted.parts])
        starts = np.cumsum(sizes) - sizes
        numbers = np.arange(1, accepted.frame.height + 1) - np.repeat(starts, sizes)
        (whole,) = self.put(accepted.frame.with_columns(pl.Series(ROW, numbers, pl.UInt32)))
        bounds = self._bounds(accepted.frame, starts)
        for (origin, rows), start, (low, high) in zip(accepted.parts, starts.tolist(), bounds, strict=True):
            piece = Piece(whole.file, whole.start + start, rows, low, high)
            self._pieces.setdefault(origin, []).append(piece)

    def _bounds(self, frame: pl.DataFrame, starts: npt.NDArray[np.int64]) -> list[tuple[int | None, int | None]]:
        """The lowest and the highest event time of the rows from each start to the next."""
        if self._source.event_time is None:
            return [(None, None)] * len(starts)
        times = frame[self._source.event_time].to_physical().to_numpy()
        low, high = np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts)
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def put(self, frame: pl.DataFrame) -> list[Piece]:
        """Takes rows, and says where they will lie."""
        waiting = self._waiting
        if waiting.frames and (waiting.frames[0].schema != frame.schema or waiting.is_full(frame, self._file_bytes)):
            self._begin()
        low, high = self._times(frame)
        piece = Piece(self._waiting.file, self._waiting.rows, frame.height, low, high)
        self._waiting.frames.append(frame)
        self._waiting.rows += frame.height
        return [piece]

    def restart(self) -> None:
        self.forget()
        self._pieces.clear()
        self._waiting = _Waiting([], 0, _new_name())

    def forget(self) -> None:
        """Removes what was written."""
        with suppress(SourceError, StoreError):  # nobody needs it any more
            self._finish()
        self._writing = None
        for name in self._written:
            (self._folder / name).unlink(missing_ok=True)
            self._index.files.pop(name, None)
        self._written.clear()

    def flush(self) -> None:
        """Writes what is waiting. Raises SourceError or StoreError where the disk refuses."""
        self._begin()
        self._finish()

    def _begin(self) -> None:
        """Begins to write what is waiting, once the file before is there. Raises what `flush` raises."""
        waiting, self._waiting = self._waiting, _Waiting([], 0, _new_name())
        self._finish()
        if waiting.frames:
            self._writing = self._worker.submit(self._write, waiting)

    def _finish(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, waiting: _Waiting) -> None:
        path = self._folder / waiting.file
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            frame = pl.concat(waiting.frames)
            with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                frame.write_parquet(file, compression="lz4", statistics=False)
            size, crc = _crc(path)
        except (OSError, pl.exceptions.PolarsError) as exc:
            path.unlink(missing_ok=True)
            refused = exc if isinstance(exc, OSError) else quoted_os_error(str(exc))
            without = f"set keep_parsed = false in [sources.{self._source.name}]"
            if refused is not None and isinstance(from_os_error(refused), StoreError):  # worth another try
                full = "the disk is full" if refused.errno == errno.ENOSPC else os_reason(refused)
                hint = f"free some space and run the same command again, or {without}"
                raise StoreError(full, where=str(self._folder), hint=hint) from exc
            reason = str(exc).splitlines()[0] if refused is None else os_reason(refused)
            raise SourceError(
                f"its rows can't be kept: {reason}", where=f"source {self._source.name}",
                hint=f"see who may write in {self._folder}, or {without}",
            ) from exc  # fmt: skip
        self._written[waiting.file] = self._index.files[waiting.file] = KeptFile(
            frame.height, size, crc, _ranges(frame, self._source.id), _row_bytes(frame)
        )
        self._sound[waiting.file] = True
        self.odd_ids.update(name for name in self._ids if name in frame.columns and not _are_plain(frame[name]))
        if self._fresh is not None:
            self._fresh.add(waiting.file, frame)

    def kept(self, name: str, sha256: str, size: int, reading: str, facts: ContentFacts, before: Kept | None) -> Kept:
        """A content that was read, after what was kept of its beginning."""
        pieces, columns = self._pieces.get(name, []), dict(facts.columns)
        rows, last, rejected_count, rejected = facts.rows, facts.last, facts.rejected_count, tuple(facts.rejected)
        misfits, counts = tuple(facts.misfits), Counter(facts.misfit_counts)
        if before is not None:
            pieces = [*before.pieces, *pieces]
            rows, last = before.rows + rows, before.last + last
            rejected_count, rejected = before.rejected_count + rejected_count, (*before.rejected, *rejected)
            misfits, counts = (*before.misfits, *misfits), Counter(dict(before.misfit_counts)) + counts
            columns = {name: columns.get(name) or before.columns.get(name) for name in (*before.columns, *columns)}
        unread = frozenset(facts.unread) | (frozenset() if before is None else before.unread)
        return Kept(
            sha256, size, reading, columns, tuple(joined(pieces)), rows, last, rejected_count, rejected, misfits,
            tuple(counts.items()), unread,
        )  # fmt: skip

    def _times(self, frame: pl.DataFrame) -> tuple[int | None, int | None]:
        if self._source.event_time is None:
            return None, None
        times = frame[self._source.event_time].to_physical()
        return times.min(), times.max()  # type: ignore[return-value]  # of integers integers


def joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pieces that lie one after the other in one file as one."""
    last: Piece | None = None
    for piece in pieces:
        if last is not None and last.file == piece.file and last.start + last.rows == piece.start:
            low, high = min(_given(last.low, piece.low), default=None), max(_given(last.high, piece.high), default=None)
            last = Piece(last.file, last.start, last.rows + piece.rows, low, high)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last


def _given(*times: int | None) -> list[int]:
    return [time for time in times if time is not None]


def _schema_of(path: Path) -> pl.Schema:
    return pl.scan_parquet(path, glob=False).collect_schema()  # read_parquet_schema takes a path for a pattern


def _overlaps(piece: Piece, low: int | None, high: int | None) -> bool:
    if piece.low is None or piece.high is None:
        return True
    return (low is None or piece.high >= low) and (high is None or piece.low <= high)


def _row_bytes(frame: pl.DataFrame) -> int:
    return max(math.ceil(frame.estimated_size() / max(frame.height, 1)), 1)


def _are_plain(ids: pl.Series) -> bool:
    return ids.dtype == pl.String and are_plain(ids)


def _ranges(frame: pl.DataFrame, columns: Iterable[str]) -> dict[str, tuple[int, int] | tuple[str, str]]:
    """The lowest and the highest value of each of these columns that has integers or short texts."""
    found: dict[str, tuple[int, int] | tuple[str, str]] = {}
    for name in columns:
        if name not in frame.columns or not (frame.schema[name].is_integer() or frame.schema[name] == pl.String()):
            continue
        low, high = frame.select(low=pl.col(name).min(), high=pl.col(name).max()).row(0)
        if low is not None and (isinstance(low, int) or max(len(low), len(high)) <= _LONGEST):
            found[name] = low, high
    return found


def _crc(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
            size += len(block)
    return size, crc


def _new_name() -> str:
    return f"{uuid4().hex}.parquet"
