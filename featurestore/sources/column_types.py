"""Raw batches to typed rows: which type each column gets, and which rows are rejected on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from featurestore.dialect import ISO_8601
from featurestore.errors import SourceError
from featurestore.model import Json, KeyType, RejectedRow, Scalar, Source
from featurestore.sources.casts.cast import Cast, ColumnType
from featurestore.sources.casts.from_types import cast
from featurestore.sources.contract import Place
from featurestore.sources.inference import infer
from featurestore.sources.rules import find_violations
from featurestore.sources.wording import misfit_reason, show
from featurestore.tables.batch import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    MAX_REJECTED,
    MISFITS,
    NULL,
    STRING,
    TEXT,
    Batch,
    Mask,
)
from featurestore.tables.iso8601 import DAY
from featurestore.times import MAX_INSTANT

AHEAD = "is ahead of the clock: the first run after that time takes the row, --allow-future takes it now"

_WRITABLE = {"ns": 1 << 63, "us": MAX_INSTANT, "ms": MAX_INSTANT // 1_000, "d": MAX_INSTANT // DAY}
_WORTH_THREADS = 20_000  # rows
_OF_POINTS = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"  # a decimal fraction, or a number with a mark between thousands
_FIRST = 1_000
_NO_TEXTS = (INTEGER, DECIMAL, BOOLEAN)
_PLAIN = (str, bool, int, type(None))
_ONE_HOLDS_BOTH = ({"int", "float"}, {"date", "datetime"})


class ReadAgainError(Exception):
    """A later row shows that earlier ones were read in the wrong way; `ColumnTypes` knows better the next time."""


@dataclass
class ColumnTypes:
    """The types of a source's columns, declared, pinned or inferred, and the rows that were rejected so far.

    ``keys`` are the entity types' keys, ``pinned`` the types of earlier runs, ``inferred`` what these rows add. Rows
    with an event time after ``latest`` (µs) are rejected; ``due`` is the first of their times.

    With ``by_column`` a row is not rejected where a value does not fit the type of an undeclared column: that
    value is null, and the row has the column in `MISFITS`, for whoever names it. ``misfits`` are these rows, one for
    each such column, ``misfit_counts`` how many have which columns. ``widened`` are pinned columns of integers that
    turned out to hold floats, each with the place and the value that showed it; ``mixed`` are undeclared columns of
    texts in which a file has values of another kind, with the first of these. ``of_points`` is a first number such as
    1.500, with its place, where points may as well stand between thousands; ``has_decimals`` that other numbers show
    that they don't.
    """

    source: Source
    keys: Mapping[str, KeyType]
    pinned: Mapping[str, Scalar]
    place: Callable[[str, int], Place]
    latest: int | None = None
    due: int | None = None
    inferred: dict[str, Scalar] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    rejected_count: int = 0
    naive: set[str] = field(default_factory=set)
    by_column: bool = False
    misfits: list[RejectedRow] = field(default_factory=list)
    misfit_counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    widened: dict[str, str] = field(default_factory=dict)
    mixed: dict[str, str] = field(default_factory=dict)
    of_points: str | None = None
    has_decimals: bool = False
    _of_batch: list[tuple[int, RejectedRow]] = field(default_factory=list)

    @property
    def doubtful_point(self) -> str | None:
        """A number such as 1.500, with its place, where nothing shows what its point is; None without one."""
        return None if self.has_decimals else self.of_points

    def restart(self) -> None:
        """Forgets the rows, not the types: another pass over the same rows follows."""
        self.rejected.clear()
        self.rejected_count = 0
        self.due = None
        self.naive.clear()
        self.of_points, self.has_decimals = None, False
        self.misfits.clear()
        self.misfit_counts.clear()
        self._of_batch.clear()

    def take_back(
        self, rejected_count: int, listed: int, due: int | None, misfits: int, counts: Counter[tuple[str, ...]]
    ) -> None:
        """Forgets the rows that were rejected, or did not fit a column, since there were so many."""
        self.rejected_count, self.due, self.misfit_counts = rejected_count, due, counts
        del self.misfits[misfits:]
        del self.rejected[listed:]
        self._of_batch.clear()

    def type_of(self, name: str) -> ColumnType | None:
        """The type that a column gets; None while only nulls were seen of it."""
        source = self.source
        if name in self.keys:
            return ColumnType(self.keys[name], strict=True, key=True)
        dialect, times = source.dialect, source.dialect.time_format(name)
        if name in source.roles:
            return ColumnType("datetime", zone=source.timezone, times=times)
        declared = source.columns.get(name)
        if times != ISO_8601 and declared is None:  # one that was detected
            return ColumnType("datetime", zone=source.timezone, times=times)
        if declared:
            return ColumnType(declared.type, zone=source.timezone, dialect=dialect, times=times)
        kind = "float" if name in self.widened else self.pinned.get(name) or self.inferred.get(name)
        return ColumnType(kind, strict=True, zone=source.timezone, dialect=dialect) if kind else None

    def accept(self, batch: Batch) -> Batch:
        """The accepted rows of a batch, typed; rejects those that don't fit or break a rule.

        Raises SourceError where a column can't be of its type at all, ReadAgainError where all must be read anew.
        """
        self._reject_unreadable(batch)
        bad = np.zeros(batch.frame.height, bool)
        casts = dict(zip(batch.frame.columns, self._cast_all(batch), strict=True))
        aside: dict[str, Mask] = {}
        undeclared = [name for name in casts if self._is_undeclared(name)]
        for name, (done, target) in casts.items():
            if name not in undeclared:
                self._note(batch.frame[name], done, target, batch, bad, aside)
                self._check(name, done.values, batch, bad)
        seen = batch
        if bad.any():  # a header in mid-file is a row that is set aside, and makes no column of numbers one of texts
            seen = _without(batch, undeclared, bad)
            again = [name for name in undeclared if self.type_of(name) is None or casts[name][0].misfits is not None]
            casts |= {name: self._cast(seen.frame[name], seen) for name in again}
        if self.latest is not None and self.source.event_time in casts:
            self._reject_ahead(casts[self.source.event_time][0].values, self.latest, batch, bad)
        for name in undeclared:
            self._note(seen.frame[name], *casts[name], seen, bad, aside)
        typed = [done.values.alias(name) for name, (done, _) in casts.items()]
        if aside:
            typed.append(self._mark(batch, aside, bad))
        self.rejected += [row for _, row in sorted(self._of_batch, key=lambda numbered: numbered[0])]
        self._of_batch.clear()
        return batch.accept(pl.DataFrame(typed), ~bad)

    def _cast_all(self, batch: Batch) -> Iterator[tuple[Cast, ColumnType | None]]:
        """Each column in its type, and the type; in parallel, since Polars and NumPy use one core for each."""
        columns = batch.frame.get_columns()
        if batch.frame.height < _WORTH_THREADS:
            yield from (self._cast(column, batch) for column in columns)
            return
        with ThreadPoolExecutor() as pool:
            yield from pool.map(lambda column: self._cast(column, batch), columns)

    def _cast(self, column: pl.Series, batch: Batch) -> tuple[Cast, ColumnType | None]:
        name, kinds, zone = column.name, batch.kinds.get(column.name), self.source.timezone
        column = column.alias("")  # Polars takes some names for patterns: ^a$ and * are columns too
        target = self.type_of(name)
        try:
            if target is not None:
                return cast(column, target, kinds), target
            inferred = infer(column, kinds, zone=zone, dialect=self.source.dialect)
        except SourceError as exc:
            columns = f"[sources.{self.source.name}.columns]"
            hint = f"write it with another type, or fix its type in {self._place_of_type(name)}"
            hint = hint if exc.hint is None else f"{exc.hint} for column {name!r} in {columns}"
            raise SourceError(f"column {name!r}: {exc.message}", where=batch.origin, hint=hint) from None
        if inferred is None:  # nothing but nulls so far, or a type that the store does not have
            return Cast(column.cast(pl.String) if column.dtype == pl.Null else column), None
        return inferred[1], ColumnType(inferred[0], strict=True, zone=zone, dialect=self.source.dialect)

    def _note(
        self,
        column: pl.Series,
        done: Cast,
        target: ColumnType | None,
        batch: Batch,
        bad: Mask,
        aside: dict[str, Mask],
    ) -> None:
        """Records what a cast showed: a type, times without a zone, rows that don't fit."""
        if target is None:
            return
        name = column.name
        if self.type_of(name) is None:
            self.inferred[name] = target.kind
        kinds = batch.kinds.get(name)
        is_open = self.source.dialect.may_group_by_points and not self.has_decimals
        if is_open and target.kind == "float" and column.dtype == pl.String:
            # What JSON has as a number leaves nothing open.
            texts = column if kinds is None else column.set(~kinds.is_in([STRING, TEXT]), None)
            self._note_points(texts, batch)
        if target.kind == "string" and name not in self.mixed and self._is_undeclared(name):
            self._note_mixed(column, kinds, batch)
        if name in self.inferred and (done.misfits is not None or _are_texts(kinds, target)):
            self._widen(column, target.kind, kinds)
        if done.misfits is not None:
            if self.by_column and self._is_undeclared(name):
                if name in self.pinned:
                    self._widen_pin(column, done.misfits, target, batch)
                aside[name] = done.misfits
            else:
                self._reject(batch, bad, done.misfits, name, lambda value: misfit_reason(value, target, kinds))
        if done.naive:
            self.naive.add(name)

    def _note_mixed(self, column: pl.Series, kinds: pl.Series | None, batch: Batch) -> None:
        """Records the first value of a column of texts that its file has as something else, as far as files say."""
        if kinds is not None:
            others = kinds.is_in(_NO_TEXTS)
        elif column.dtype.is_numeric() or column.dtype == pl.Boolean:
            others = column.is_not_null()
        else:
            return
        at = others.arg_max() if others.any() else None
        if at is not None:
            place = self.place(*batch.place(at)).text
            self.mixed[column.name] = f"{place}: {str(column[at])!r}"

    def _note_points(self, column: pl.Series, batch: Batch) -> None:
        """Records the first number with a point before three digits, unless another one shows what points are."""
        for some in (column.head(_FIRST), column):
            if (~some.str.contains(_OF_POINTS) & some.str.contains(".", literal=True)).any():
                self.has_decimals = True
                return
        said = self.pinned.get(column.name) == "float"  # when it was pinned
        at = column.str.contains(_OF_POINTS).arg_max()
        if self.of_points is None and not said and at is not None and column[at] and "." in column[at]:
            self.of_points = f"{column[at]} in {self.place(*batch.place(at)).text}, column {column.name!r},"

    def _widen(self, column: pl.Series, kind: Scalar, kinds: pl.Series | None) -> None:
        """Raises ReadAgainError where a column that was ``kind`` so far must have a wider type."""
        inferred = infer(column.alias(""), kinds, above=kind, dialect=self.source.dialect)
        wider = inferred[0] if inferred else kind
        if wider != kind:
            self.inferred[column.name] = wider if {kind, wider} in _ONE_HOLDS_BOTH else "string"
            raise ReadAgainError

    def _is_undeclared(self, name: str) -> bool:
        """Whether a column's type is only pinned, or about to be: rows without a key, a time or an id are nobody's."""
        source = self.source
        roles = (*source.roles, *source.id)
        return name not in source.columns and name not in self.keys and name not in roles

    def _widen_pin(self, column: pl.Series, misfits: Mask, target: ColumnType, batch: Batch) -> None:
        """Raises ReadAgainError where a pinned column of integers holds a float."""
        if target.kind != "int":
            return
        kinds = batch.kinds.get(column.name)
        as_float = cast(column.alias(""), replace(target, kind="float"), kinds)
        fits = misfits if as_float.misfits is None else misfits & ~as_float.misfits
        at = np.flatnonzero(fits)
        if len(at):
            place = self.place(*batch.place(int(at[0]))).text
            self.widened[column.name] = f"{place}: {show(column[int(at[0])])}"
            raise ReadAgainError

    def _mark(self, batch: Batch, aside: Mapping[str, Mask], bad: Mask) -> pl.Series:
        """`MISFITS` of a batch, and the rows that have any: of those that are not rejected."""
        marks: list[list[str] | None] = [None] * batch.frame.height
        for name, rows in aside.items():
            target = self.type_of(name)
            assert target is not None, "it was cast to it"
            chosen = np.flatnonzero(rows & ~bad)
            for index in chosen.tolist():
                marks[index] = [*(marks[index] or []), name]
            kept = chosen[: max(MAX_REJECTED - len(self.misfits), 0)]
            for index, values in zip(kept.tolist(), _rows(batch.frame[kept]), strict=True):
                pin = f"its type is pinned in {self._place_of_type(name)}: change it there, or fix the row"
                reason = f"{misfit_reason(values[name], target, batch.kinds.get(name))}; {pin}"
                place = self.place(batch.origin, batch.row(index))
                self.misfits.append(
                    RejectedRow(self.source.name, place.file, place.row, name, reason, _json(values), place.text)
                )
        self.misfit_counts.update(tuple(mark) for mark in marks if mark is not None)
        return pl.Series(MISFITS, marks, pl.List(pl.String))

    def _place_of_type(self, name: str) -> str:
        if name in self.keys:
            return "[entity_types]"
        if self._is_undeclared(name):
            return f"features/.versions/{self.source.name}.columns.toml"
        return f"[sources.{self.source.name}.columns]"

    def _check(self, name: str, values: pl.Series, batch: Batch, bad: Mask) -> None:
        source = self.source
        if name in self.keys and values.null_count():
            self._reject(batch, bad, values.is_null().to_numpy(), name, lambda _: "entity key is null")
        if name in source.id and values.null_count():
            self._reject(batch, bad, values.is_null().to_numpy(), name, lambda _: "id is null")
        if name == source.event_time and values.null_count():
            self._reject(batch, bad, values.is_null().to_numpy(), name, lambda _: "event time is null")
        if name == source.known_at and values.null_count():
            self._reject(batch, bad, values.is_null().to_numpy(), name, lambda _: "known time is null")
        declared = source.columns.get(name)
        if declared is not None:
            for violation in find_violations(values, declared, source.timezone):
                self._reject(batch, bad, violation.rows, name, _with_value(violation.reason))

    def _reject_ahead(self, values: pl.Series, latest: int, batch: Batch, bad: Mask) -> None:
        """Rejects rows that are dated ahead of the clock. They come again: a run after their time takes them."""
        micros = values.to_physical()
        ahead = (micros > latest).fill_null(value=False).to_numpy() & ~bad
        if ahead.any():
            first = int(micros.to_numpy()[ahead].min())
            self.due = first if self.due is None else min(self.due, first)
            self._reject(batch, bad, ahead, str(self.source.event_time), _with_value(AHEAD))

    def _reject_unreadable(self, batch: Batch) -> None:
        self.rejected_count += batch.unreadable_count
        for row in batch.unreadable[: self._room()]:
            self._add(batch.origin, row.row, None, row.reason, {"line": row.text})

    def _reject(self, batch: Batch, bad: Mask, rows: Mask, name: str, reason: Callable[[object], str]) -> None:
        """Rejects rows, each for the first thing that is wrong with it."""
        new = rows & ~bad
        bad |= rows
        self.rejected_count += int(new.sum())
        kept = np.flatnonzero(new)[: self._room()]
        for index, values in zip(kept.tolist(), _rows(batch.frame[kept]), strict=True):
            self._add(batch.origin, batch.row(index), name, reason(values[name]), _json(values))

    def _add(self, origin: str, row: int, column: str | None, reason: str, values: Mapping[str, Json]) -> None:
        place = self.place(origin, row)
        rejected = RejectedRow(self.source.name, place.file, place.row, column, reason, values, place.text)
        self._of_batch.append((row, rejected))

    def _room(self) -> int:
        return MAX_REJECTED - len(self.rejected) - len(self._of_batch)


def _are_texts(kinds: pl.Series | None, target: ColumnType) -> bool:
    """Whether a file has texts of digits where others have integers: they are ids, whichever file came first."""
    return target.kind == "int" and kinds is not None and bool((kinds == TEXT).any())


def _without(batch: Batch, names: Sequence[str], rows: Mask) -> Batch:
    """The batch with nothing in some columns of some rows."""
    mask = pl.Series(rows)
    kinds = {name: kinds.set(mask, NULL) if name in names else kinds for name, kinds in batch.kinds.items()}
    return replace(
        batch, frame=batch.frame.with_columns(batch.frame[name].set(mask, None) for name in names), kinds=kinds
    )


def _with_value(reason: str) -> Callable[[object], str]:
    return lambda value: reason if value is None else f"{show(value)} {reason}"


def _rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    """Rows as Python values; times as text, since Python's own end with the year 9999."""
    names = frame.columns
    columns = [_values(column.alias("")) for column in frame.iter_columns()]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(cells: pl.Series) -> list[object]:
    if not isinstance(cells.dtype, pl.Datetime | pl.Date):
        return cells.to_list()
    counts, unit = cells.to_physical().to_list(), getattr(cells.dtype, "time_unit", "d")
    limit = _WRITABLE[unit]
    if all(count is None or abs(count) <= limit for count in counts):
        return cells.cast(pl.String).to_list()
    return [
        cells[at : at + 1].cast(pl.String).item()
        if count is None or abs(count) <= limit
        else f"{count} {unit} after 1970"
        for at, count in enumerate(counts)
    ]


def _json(values: Mapping[str, object]) -> dict[str, Json]:
    return {name: value if isinstance(value, _PLAIN) else str(value) for name, value in values.items()}
