"""Raw batches to typed rows: what every column is to become, and which rows are set aside on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from featurestore.errors import SourceError
from featurestore.model import Json, KeyType, RejectedRow, Source
from featurestore.sources.batch import MAX_REJECTED, Batch, Mask
from featurestore.sources.casts import Cast, Target
from featurestore.sources.inference import infer
from featurestore.sources.instants import DAY, MAX_INSTANT
from featurestore.sources.natives import cast
from featurestore.sources.reasons import misfit_reason, show
from featurestore.sources.rules import breaches

_WRITABLE = {"ns": 1 << 63, "us": MAX_INSTANT, "ms": MAX_INSTANT // 1_000, "d": MAX_INSTANT // DAY}
_WORTH_THREADS = 20_000  # rows
_ONE_HOLDS_BOTH = ({"int", "float"}, {"date", "datetime"})


class ReadAgainError(Exception):
    """Something that came later tells how what came before should have been read; with that known, it can be."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The rows of a batch that passed: ``kept`` marks them among the batch's rows; None means all."""

    frame: pl.DataFrame
    kept: Mask | None


@dataclass
class Columns:
    """The types of a source's columns, found or given, and the tally of rows set aside.

    ``keys`` are the entity types' keys, ``pinned`` the types of earlier slices, ``found`` what this slice adds to them.
    """

    source: Source
    keys: Mapping[str, KeyType]
    pinned: Mapping[str, str]
    found: dict[str, str] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    rejected_count: int = 0
    naive: set[str] = field(default_factory=set)

    def restart(self) -> None:
        """Forgets the rows, not the types: another pass over the same slice follows."""
        self.rejected.clear()
        self.rejected_count = 0
        self.naive.clear()

    def target(self, name: str) -> Target | None:
        """What a column is to become; None while only nulls were seen of it."""
        source = self.source
        if name in self.keys:
            return Target(self.keys[name], strict=True, key=True)
        if name in (source.event_time, source.updated_at):
            return Target("datetime", zone=source.timezone)
        declared = source.columns.get(name)
        if declared:
            return Target(declared.type, zone=source.timezone)
        kind = self.pinned.get(name) or self.found.get(name)
        return Target(kind, strict=True, zone=source.timezone) if kind else None

    def accept(self, batch: Batch) -> Accepted:
        """Types a batch's columns and sets aside the rows that don't fit or break a rule.

        Raises SourceError where a column can't be of its type at all, ReadAgainError where all must be read anew.
        """
        before = len(self.rejected)
        self._reject_broken(batch)
        bad = np.zeros(batch.frame.height, bool)
        typed: list[pl.Series] = []
        for column, (done, target) in zip(batch.frame.iter_columns(), self._cast_all(batch), strict=True):
            self._note(column, done, target, batch, bad)
            self._check(column.name, done.values, batch, bad)
            typed.append(done.values.alias(column.name))
        self.rejected[before:] = sorted(self.rejected[before:], key=lambda row: row.row)
        frame = pl.DataFrame(typed)
        if not bad.any():
            return Accepted(frame, None)
        return Accepted(frame.filter(pl.Series(~bad)), ~bad)

    def _cast_all(self, batch: Batch) -> Iterator[tuple[Cast, Target | None]]:
        """Each column in its type, and the type; side by side, since Polars and NumPy take one core for each."""
        columns = batch.frame.get_columns()
        if batch.frame.height < _WORTH_THREADS:
            yield from (self._cast(column, batch) for column in columns)
            return
        with ThreadPoolExecutor() as pool:
            yield from pool.map(lambda column: self._cast(column, batch), columns)

    def _cast(self, column: pl.Series, batch: Batch) -> tuple[Cast, Target | None]:
        name, kinds, zone = column.name, batch.kinds.get(column.name), self.source.timezone
        column = column.alias("")  # Polars takes some names for patterns: ^a$ and * are columns too
        target = self.target(name)
        try:
            if target is not None:
                return cast(column, target, kinds), target
            found = infer(column, kinds, zone=zone)
        except SourceError as exc:
            raise SourceError(
                f"column {name!r}: {exc.message}",
                where=batch.file,
                hint=f"write it with another type, or mend its type in {self._place_of_type(name)}",
            ) from None
        if found is None:  # nothing but nulls so far, or a type of Parquet that the store has no word for
            return Cast(column.cast(pl.String) if column.dtype == pl.Null else column), None
        return found[1], Target(found[0], strict=True, zone=zone)

    def _note(self, column: pl.Series, done: Cast, target: Target | None, batch: Batch, bad: Mask) -> None:
        """Keeps what a cast brought to light: a type, times without a zone, rows that don't fit."""
        if target is None:
            return
        name = column.name
        if self.target(name) is None:
            self.found[name] = target.kind
        if done.misfits is not None:
            if name in self.found:
                self._widen(column, target.kind, batch.kinds.get(name))
            self._reject(batch, bad, done.misfits, name, lambda value: misfit_reason(value, target))
        if done.naive:
            self.naive.add(name)

    def _widen(self, column: pl.Series, kind: str, kinds: pl.Series | None) -> None:
        """Raises ReadAgainError where a column that was ``kind`` so far has to be more than that."""
        found = infer(column.alias(""), kinds, above=kind)
        wider = found[0] if found else kind
        if wider != kind:
            self.found[column.name] = wider if {kind, wider} in _ONE_HOLDS_BOTH else "string"
            raise ReadAgainError

    def _place_of_type(self, name: str) -> str:
        if name in self.keys:
            return "[entity_types]"
        if name in self.pinned and name not in self.source.columns:
            return f"features/.versions/{self.source.name}.columns.toml"
        return f"[sources.{self.source.name}.columns]"

    def _check(self, name: str, values: pl.Series, batch: Batch, bad: Mask) -> None:
        source = self.source
        if name in self.keys and values.null_count():
            self._reject(batch, bad, values.is_null().to_numpy(), name, lambda _: "entity key is null")
        if name == source.event_time and values.null_count():
            self._reject(batch, bad, values.is_null().to_numpy(), name, lambda _: "event time is null")
        declared = source.columns.get(name)
        if declared is not None:
            for breach in breaches(values, declared, source.timezone):
                self._reject(batch, bad, breach.rows, name, _with_value(breach.reason))

    def _reject_broken(self, batch: Batch) -> None:
        self.rejected_count += batch.broken_count
        for row in batch.broken[: self._room()]:
            self.rejected.append(
                RejectedRow(self.source.name, batch.file, row.row, None, row.reason, {"line": row.text})
            )

    def _reject(self, batch: Batch, bad: Mask, rows: Mask, name: str, reason: Callable[[object], str]) -> None:
        """Sets rows aside, each for the first thing found wrong with it."""
        new = rows & ~bad
        bad |= rows
        self.rejected_count += int(new.sum())
        for index in np.flatnonzero(new)[: self._room()].tolist():
            values = _row(batch.frame, index)
            self.rejected.append(
                RejectedRow(self.source.name, batch.file, batch.row(index), name, reason(values[name]), _json(values))
            )

    def _room(self) -> int:
        return MAX_REJECTED - len(self.rejected)


def _with_value(reason: str) -> Callable[[object], str]:
    return lambda value: reason if value is None else f"{show(value)} {reason}"


def _row(frame: pl.DataFrame, index: int) -> dict[str, object]:
    """One row as Python values; times as text, since Python's own end with the year 9999."""
    return {column.name: _value(column.slice(index, 1).alias("")) for column in frame.iter_columns()}


def _value(cell: pl.Series) -> object:
    if isinstance(cell.dtype, pl.Datetime | pl.Date) and not cell.null_count():
        count, unit = cell.to_physical().item(), getattr(cell.dtype, "time_unit", "d")
        return cell.cast(pl.String).item() if abs(count) <= _WRITABLE[unit] else f"{count} {unit} after 1970"
    return cell.item()


def _json(values: Mapping[str, object]) -> dict[str, Json]:
    return {name: value if isinstance(value, str | bool | int | None) else str(value) for name, value in values.items()}
