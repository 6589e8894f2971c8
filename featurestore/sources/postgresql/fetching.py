"""One reading of a source with a cursor: what is asked for, which of it is new, and up to where it was read.

A transaction that is still running when a table is read may commit rows with an earlier value of the cursor than rows
that were read. So a reading does not count as having come further than the rows of transactions that are older than
the oldest one that ran then, where the rows say which transaction wrote them; the overlap covers what lies between the
beginning of a transaction and its first write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from featurestore import times
from featurestore.errors import SourceError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import Json, Source
from featurestore.progress import Progress
from featurestore.sources.contract import Cursor, Fetched, Finding, Held, ProjectFolders, RawPart
from featurestore.sources.databases import quoted
from featurestore.sources.postgresql.columns import FIRST, Column, select
from featurestore.sources.postgresql.comparing import Known, compare, hashed
from featurestore.sources.postgresql.reading import carry, find_columns
from featurestore.sources.postgresql.server import Snapshot, in_words, take_snapshot
from featurestore.sources.postgresql.settings import PostgresSettings
from featurestore.sources.postgresql.spool import Spool

ROWS = 250_000
"""Of a batch at most."""
MOST_SMALL = 64
"""Batches after which they are made one, where they are small."""
DAY = 86_400_000_000
SETTLED = "featurestore settled"
ALL_DUE = "all_due"

_KINDS: Mapping[str, Literal["instant", "local", "day", "number"]] = {
    "timestamptz": "instant", "timestamp": "local", "date": "day", "int2": "number", "int4": "number",
    "int8": "number",
}  # fmt: skip


@frozen
class Table:
    """What is read in a snapshot. ``rows`` stand after FROM; ``keys`` tell one row from another (none: nothing does).

    ``running`` is when the oldest transaction began that runs, as far as that can be seen, and ``now`` when the
    snapshot was taken (µs).
    """

    rows: str
    columns: tuple[Column, ...]
    cursor: Column
    keys: tuple[str, ...]
    has_transactions: bool
    place: str
    now: int
    running: int

    @property
    def kind(self) -> str:
        return _KINDS[self.cursor.type.name]


@frozen
class Answer:
    """The rows that came, with those of them that are new, and how far the reading came (None: no further)."""

    spool: Spool
    known: Known
    mask: pl.Series
    upper: int | None


class Fetching:
    """One reading. Batches become files in a folder."""

    def __init__(
        self,
        settings: PostgresSettings,
        source: Source,
        folders: ProjectFolders,
        held: Held,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._settings, self._source, self._folders = settings, source, folders
        self._held, self._folder, self._progress = held, folder, progress
        self._where = f"source {source.name}"
        self._notes: list[str] = []
        self._lost: list[str] = []

    def fetch(self, before: Cursor, sequence: int, *, full: bool) -> Fetched:
        """What is new since a position. Raises SourceError, ConfigError, OSError, StoreError."""
        last: dict[str, Any] = before if isinstance(before, dict) else {}
        address = self._settings.address(self._folders.root)
        with take_snapshot(address, self._settings, self._where) as snapshot:
            table = self._look(snapshot)
            whole = full or self._is_due(last, table)
            lower = None if whole else self._lower(last, table)
            statement = self._statement(snapshot, table, lower)
            with in_words(address, self._settings, self._where):
                spool = carry(address, snapshot, statement, self._folders)
        self._progress.check()
        answer = self._compare(spool, table, whole=whole)
        upper = max((each for each in (last.get("upper"), answer.upper) if each is not None), default=None)
        cursor: dict[str, Json] = {
            "place": table.place, "column": self._settings.cursor, "upper": upper,
            "whole_at": table.now if whole else last.get("whole_at"),
            "columns": [column.name for column in table.columns],
        }  # fmt: skip
        self._say(last, table, answer, whole=whole and bool(last))
        return self._fetched(answer, table, cursor, sequence, whole=whole)

    # What is asked

    def _look(self, snapshot: Snapshot) -> Table:
        found = snapshot.find_table()
        rows = self._settings.rows(found)
        columns, left_out = find_columns(snapshot, rows, self._source)
        if left_out:
            self._notes.append(f"{self._where}: left out, since they can't be carried: {left_out}")
        database, now, running = snapshot.place_and_time()
        what = ".".join(found) if found is not None else hashlib.sha256(str(self._settings.query).encode()).hexdigest()
        keys = tuple(self._source.dialect.in_file(name) for name in self._source.id)
        return Table(
            rows, tuple(columns), self._cursor_of(columns), keys, snapshot.has_transactions(found),
            f"{database} {what}", now, running,
        )  # fmt: skip

    def _cursor_of(self, columns: Sequence[Column]) -> Column:
        named = str(self._settings.cursor)
        column = next((column for column in columns if column.name == named), None)
        key = f"sources.{self._source.name}.cursor"
        if column is None:
            hint = did_you_mean(named, [column.name for column in columns]) or f"{key} names it"
            raise SourceError(f"has no column {named!r}, its cursor", where=self._where, hint=hint)
        if column.type.name not in _KINDS:
            hint = f"{key} names a column of times, days or whole numbers that rises with every change"
            raise SourceError(
                f"column {named!r} is {column.type.name}, which is no cursor", where=self._where, hint=hint
            )
        return column

    def _is_due(self, last: Mapping[str, Any], table: Table) -> bool:
        """Whether everything is to be read: at first, of another place, after an erasure, or again after so long."""
        if not last or last.get(ALL_DUE) or last["place"] != table.place or last["column"] != table.cursor.name:
            return True
        reconcile = self._settings.reconcile
        return reconcile is not None and table.now - int(last["whole_at"]) >= reconcile

    def _lower(self, last: Mapping[str, Any], table: Table) -> str | None:
        """From which value on rows are read, in SQL; None where no reading has come anywhere yet."""
        if last["upper"] is None:
            return None
        upper = int(last["upper"])
        if table.kind == "number":
            return str(upper)
        if table.kind == "day":
            upper = upper * DAY
        text = times.format_instant(max(upper - self._settings.overlap, times.MIN_INSTANT)).removesuffix("Z")
        return {
            "instant": f"'{text}Z'::timestamptz", "local": f"'{text}'::timestamp", "day": f"'{text[:10]}'::date",
        }[table.kind]  # fmt: skip

    def _statement(self, snapshot: Snapshot, table: Table, lower: str | None) -> str:
        settled = "true"
        if table.has_transactions:
            settled = f"age(xmin) > age('{snapshot.oldest_running()}'::xid)"
        column = quoted(table.cursor.name)
        # A row without a value is before and after every other, so it comes every time.
        where = "" if lower is None else f" WHERE {column} >= {lower} OR {column} IS NULL"
        return select(table.columns, table.rows, [f"({settled}) AS {quoted(SETTLED)}"]) + where

    # What is new

    def _compare(self, spool: Spool, table: Table, *, whole: bool) -> Answer:
        names = sorted(column.name for column in table.columns)
        frames, upper = [], None
        for frame in spool.batches():
            frames.append(hashed(frame, names, table.keys, table.cursor.name))
            settled = _settled(frame, table)
            upper = max((each for each in (upper, settled) if each is not None), default=None)
        rows = pl.concat(frames)
        held = [hashed(frame, names, table.keys, table.cursor.name) for frame in self._held_frames(rows, whole=whole)]
        known = compare(rows, pl.concat([rows.clear(), *held]), keyed=bool(table.keys), whole=whole)
        return Answer(spool, known, known.new, upper)

    def _held_frames(self, rows: pl.DataFrame, *, whole: bool) -> Iterator[pl.DataFrame]:
        """The batches that may hold one of these rows, or a later row of its key."""
        lowest = rows["cursor"].min()
        for part in self._held.parts if rows.height or whole else ():
            facts: Any = part.facts
            above = lowest is not None and facts["high"] is not None and facts["high"] >= lowest
            if whole or above or facts["nulls"]:
                self._progress.check()
                yield pl.read_parquet(self._held.open(part))

    def _say(self, last: Mapping[str, Any], table: Table, answer: Answer, *, whole: bool) -> None:
        """What a reading of everything found that readings by the cursor had missed, and which columns are gone."""
        known, cursor = answer.known, self._settings.cursor
        if whole and (known.unmoved or known.gone):
            moved = f"{known.unmoved:,} {'row' if known.unmoved == 1 else 'rows'} had changed without moving {cursor}"
            self._notes.append(
                f"{self._source.name}: {moved}; {known.gone:,} {'is' if known.gone == 1 else 'are'} gone"
            )
        lost = [name for name in last.get("columns", ()) if name not in {column.name for column in table.columns}]
        if lost:
            shown = ", ".join(map(repr, lost))
            self._lost.append(f"{self._source.name}: {self._settings.name} has no column {shown} any more")

    # What is kept

    def _fetched(self, answer: Answer, table: Table, cursor: dict[str, Json], sequence: int, *, whole: bool) -> Fetched:
        held = self._held.parts
        replaced = whole and bool(held) and (answer.known.gone > 0 or len(held) > MOST_SMALL)
        writer = _Writer(self._folder, sequence, table)
        drops: tuple[int, int] | None = None
        if replaced:
            drops = (0, sequence)
        elif (small := _small_ones(held)) and answer.mask.any():
            drops = (small[0].sequence - 1, sequence)
            for part in small:
                writer.take(pl.read_parquet(self._held.open(part)), part.facts)
            writer.flush()
        start = 0
        for frame in answer.spool.batches():
            rows = frame if replaced else frame.filter(answer.mask.slice(start, frame.height))
            start += frame.height
            writer.take((self._within_retention(rows) if whole else rows).drop(SETTLED))
        writer.flush(at_least_one=replaced)
        return Fetched(
            cursor, tuple(writer.parts), waiting=tuple(self._lost), notes=tuple(self._notes), drops=drops, moved=whole,
        )  # fmt: skip

    def _within_retention(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Without rows that went past the source's retention and come again with all others."""
        past, name = self._held.past, self._source.event_time
        if past is None or name is None:
            return rows
        column = rows[self._source.dialect.in_file(name)]
        local = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None
        if type(column.dtype) not in FIRST or (local and self._source.timezone not in (None, "UTC")):
            return rows  # then they count as rows that come late
        times = column.to_physical().cast(pl.Int64) * (DAY if column.dtype == pl.Date else 1)
        return rows.filter((times > past).fill_null(value=True))


def with_all_due(cursor: Cursor) -> Cursor:
    """A position after which everything is read once."""
    assert isinstance(cursor, dict), "made by a fetch"
    return {**cursor, ALL_DUE: True}


def is_before_overlap(high: int, upper: int, columns: Json, settings: PostgresSettings) -> bool:
    """Whether no reading that begins at ``upper`` less the overlap asks for a value of the cursor up to ``high``.

    ``columns`` are those of a batch.
    """
    found = [Column.from_json(each) for each in columns] if isinstance(columns, list) else []
    kind = next((_KINDS[each.type.name] for each in found if each.name == settings.cursor), None)
    if kind is None or kind == "number":
        return kind is not None and high < upper
    if kind == "day":
        return high < (upper * DAY - settings.overlap) // DAY
    return high < upper - settings.overlap


def examine(settings: PostgresSettings, source: Source, folders: ProjectFolders) -> Iterator[Finding]:
    """What `doctor` says of a cursor. Raises SourceError, ConfigError."""
    address = settings.address(folders.root)
    with take_snapshot(address, settings, f"source {source.name}") as snapshot:
        found = snapshot.find_table()
        keys = snapshot.primary_key(found)
        _, now, running = snapshot.place_and_time()
    age = now - running
    if age > settings.overlap:
        since = times.format_duration(age // 1_000_000 * 1_000_000)
        what = f"{source.name}: a transaction has been running for {since}, longer than the overlap"
        hint = f"end it, or set overlap in [sources.{source.name}]: it may commit an earlier {settings.cursor}"
        yield Finding(what, hint, wrong=True)
    if keys and not source.id:
        named = ", ".join(f'"{name}"' for name in keys)
        hint = f"id = [{named}] in [sources.{source.name}], so that a row replaces what it was before"
        yield Finding(f"{source.name}: no id tells its rows apart", hint, wrong=True)


def _settled(frame: pl.DataFrame, table: Table) -> int | None:
    """The greatest value of the cursor in rows that no running transaction can come before.

    Nor is it later than the beginning of one, and so not ahead of the clock.
    """
    column = frame.filter(pl.col(SETTLED))[table.cursor.name]
    values = column.to_physical().cast(pl.Int64)
    first = FIRST.get(type(column.dtype))
    if first is not None:
        latest = table.running if table.kind != "day" else table.running // DAY
        values = values.filter(values >= first).clip(upper_bound=latest)
    greatest = values.max()
    return None if greatest is None else int(greatest)  # type: ignore[arg-type]  # of integers an integer


def _small_ones(parts: Sequence[RawPart]) -> Sequence[RawPart]:
    """The last batches, where they are many and small: they become one."""
    small: list[RawPart] = []
    for part in reversed(parts):
        if part.rows > ROWS // MOST_SMALL:
            break
        small.insert(0, part)
    return small if len(small) > MOST_SMALL else []


class _Writer:
    """Makes batches of rows, each a file. ``sequence`` is the number of the last one that is stored."""

    def __init__(self, folder: Path, sequence: int, table: Table) -> None:
        self._folder, self._sequence, self._table = folder, sequence, table
        self._columns: Json = [column.to_json() for column in table.columns]
        self._waiting: list[pl.DataFrame] = []
        self._facts: Json = self._columns
        self._none = pl.DataFrame()
        self.parts: list[RawPart] = []

    def take(self, frame: pl.DataFrame, facts: Json = None) -> None:
        """Takes rows; ``facts`` are those of the batch that they come from."""
        columns = facts["columns"] if isinstance(facts, dict) else self._columns
        if self._waiting and columns != self._facts:
            self.flush()
        self._facts = columns
        self._none = frame.clear()
        if frame.height:
            self._waiting.append(frame)
        if sum(each.height for each in self._waiting) >= ROWS:
            self.flush()

    def flush(self, *, at_least_one: bool = False) -> None:
        """Writes what is waiting. Raises OSError."""
        if not self._waiting and (not at_least_one or self.parts):
            return
        rows = pl.concat([self._none, *self._waiting])
        self._waiting = []
        self._sequence += 1
        path = self._folder / f"{self._sequence}.parquet"
        self.parts.append(write_part(rows, self._sequence, self._facts, self._table.cursor.name, path))


def write_part(rows: pl.DataFrame, sequence: int, columns: Json, cursor: str, path: Path) -> RawPart:
    """Rows as a batch of that number, in a file. ``columns`` are `Column.to_json` of each. Raises OSError."""
    rows.write_parquet(path, compression="zstd", compression_level=1, statistics=False)
    data = path.read_bytes()
    values = rows[cursor].to_physical()
    facts: Json = {"size": len(data), "columns": columns, "high": _whole(values.max()), "nulls": values.null_count()}
    # With the number, since the same rows may come again, after others.
    content = hashlib.sha256(f"{sequence} ".encode() + data).hexdigest()
    return RawPart(str(sequence), sequence, content, rows.height, len(data), facts, path)


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int) else None
