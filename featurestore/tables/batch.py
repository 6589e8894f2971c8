"""What a reader gives: some rows as they are in a file, with their numbers, and those that can't be read at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import field, replace
from typing import TypeAlias
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.errors import SourceError
from featurestore.frozen import frozen

Rows: TypeAlias = npt.NDArray[np.uint32]
Mask: TypeAlias = npt.NDArray[np.bool_]

MAX_COLUMNS = 5_000
# The same number bounds the rejected rows that a run stores; their count is always exact.
MAX_REJECTED = 10_000

# Of an accepted row: the columns whose value does not fit, and is null in its stead; null where all fit. The space
# keeps the name apart from every source's columns.
MISFITS = "featurestore misfits"

NULL, STRING, INTEGER, DECIMAL, BOOLEAN, NESTED = range(6)  # what a JSON value was
TEXT = 6  # a text in a column whose type says that it holds texts: one of digits is no number, unless it is declared
BITS = 7  # the text of bits, which looks like a number: 0101 is five to a database, and a hundred and one to a cast


def nfc(name: str) -> str:
    """The name of a column in Unicode's composed form: names are equal if these are."""
    return normalize("NFC", name)


def texts(rows: int) -> pl.Series:
    """The kinds of a column of texts."""
    return pl.Series([TEXT], dtype=pl.UInt8).new_from_index(0, rows)


def bits(column: pl.Series) -> pl.Series:
    """The kinds of a column of bits."""
    return pl.Series([NULL, BITS], dtype=pl.UInt8).gather(column.is_not_null().cast(pl.UInt32))


@frozen
class UnreadableRow:
    """A row that its format makes unreadable: too few fields, not JSON. ``row`` counts as in `Batch`."""

    row: int
    reason: str
    text: str

    def moved(self, by: int) -> UnreadableRow:
        """The same row, counted from another start."""
        return UnreadableRow(self.row + by, self.reason, self.text)


@frozen
class Batch:
    """Some rows of one origin (a file, a partition of a topic), in order.

    ``rows`` holds their numbers, from 1; None means ``first`` and up without a gap. In ``frame`` a text format has
    String columns; ``kinds`` then says what each JSON value was, by column, and for texts in other formats that they
    are `TEXT` or `BITS`. ``unreadable`` is bounded,
    ``unreadable_count`` exact. With ``parts`` the rows are all those of several origins, one after the other, given
    with the number of their rows; all of them are readable. ``read`` are the bytes that were read up to its end, of all
    that is read; 0: not known. ``unread`` are the origin's columns that nobody needs: the frame does not have them.
    """

    origin: str
    frame: pl.DataFrame
    first: int = 1
    rows: Rows | None = None
    unreadable: tuple[UnreadableRow, ...] = ()
    unreadable_count: int = 0
    kinds: dict[str, pl.Series] = field(default_factory=dict)
    read: int = 0
    parts: tuple[tuple[str, int], ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The columns of the origin, whether they were read or not."""
        return [*self.frame.columns, *self.unread]

    def of_several(self, parts: tuple[tuple[str, int], ...]) -> Batch:
        """The same rows, as those of several origins."""
        return replace(self, parts=parts)

    def divided(self) -> Iterator[Batch]:
        """The rows of each origin as a batch of its own."""
        if not self.parts:
            yield self
            return
        start = 0
        for origin, rows in self.parts:
            kinds = {name: kind.slice(start, rows) for name, kind in self.kinds.items()}
            yield Batch(origin, self.frame.slice(start, rows), kinds=kinds, unread=self.unread)
            start += rows

    def row(self, index: int) -> int:
        """The number in its file of a row of the frame."""
        return self.first + index if self.rows is None else int(self.rows[index])

    def place(self, index: int) -> tuple[str, int]:
        """The origin of a row of the frame, and its number there."""
        for origin, rows in self.parts:
            if index < rows:
                return origin, index + 1
            index -= rows
        return self.origin, self.row(index)

    def moved(self, by: int) -> Batch:
        """The same rows, counted from another start."""
        return replace(
            self, first=self.first + by, rows=None if self.rows is None else self.rows + np.uint32(by),
            unreadable=tuple(row.moved(by) for row in self.unreadable),
        )  # fmt: skip

    def normalized(self) -> Batch:
        """The same rows with the names of columns in Unicode's composed form, in which people type them.

        Raises SourceError where two names become one.
        """
        names = {name: nfc(name) for name in self.names if not name.isascii() and nfc(name) != name}
        taken = set(self.names)
        for name in names.values():
            if name in taken:
                message = f"has two columns {name!r}, in two Unicode forms"
                raise SourceError(message, where=self.origin, hint="rename one of them")
            taken.add(name)
        return self._with_names(names) if names else self

    def _with_names(self, names: Mapping[str, str]) -> Batch:
        """The same rows with other names of columns, by the old ones."""
        columns = {name: new for name, new in names.items() if name in self.frame.columns}
        kinds = {names.get(name, name): kind for name, kind in self.kinds.items()}
        unread = tuple(names.get(name, name) for name in self.unread)
        return replace(self, frame=self.frame.rename(columns), kinds=kinds, unread=unread)

    def with_nulls(self, words: Collection[str]) -> Batch:
        """The same rows with null in place of texts that are one of these words."""
        texts = [column for column in self.frame.get_columns() if column.dtype == pl.String]
        if not words or not texts:
            return self
        held = pl.Series(list(words), dtype=pl.String).implode()
        found = {column.name: column.alias("").is_in(held).fill_null(value=False) for column in texts}
        found = {name: rows for name, rows in found.items() if rows.any()}
        if not found:
            return self
        columns = [
            pl.select(pl.when(~found[column.name]).then(column.alias(""))).to_series().alias(column.name)
            if column.name in found
            else column
            for column in self.frame.get_columns()
        ]
        kinds = {name: kind.set(found[name], NULL) if name in found else kind for name, kind in self.kinds.items()}
        return replace(self, frame=pl.DataFrame(columns), kinds=kinds)

    def with_constants(self, values: Mapping[str, str | None]) -> Batch:
        """The same rows with columns of one text each. Raises SourceError for a column that is there already."""
        for name in values:
            if name in self.names:
                message = f"has a column {name!r}, which a folder of its path gives too"
                raise SourceError(
                    message, where=self.origin, hint="set partitions = false, or write the file without it"
                )
        height = self.frame.height
        columns = [
            pl.Series(name, [value], dtype=pl.String).new_from_index(0, height) for name, value in values.items()
        ]
        return replace(self, frame=pl.DataFrame([*self.frame.get_columns(), *columns]))

    def renamed(self, in_file: Mapping[str, str]) -> Batch:
        """The same rows with other names of columns, given the names in the file by the new ones.

        Raises SourceError where the file has a column of the new name too.
        """
        present = set(self.names)
        names = {old: new for new, old in in_file.items() if old in present}
        for old, new in names.items():
            if new in present - names.keys():
                message = f"has a column {new!r} beside {old!r}, which is to be called so"
                raise SourceError(message, where=self.origin, hint="take rename away, or give the other column a name")
        return self._with_names(names)

    def select(self, wanted: Collection[str] | None, required: Collection[str]) -> Batch:
        """The same rows with the wanted columns only (None means all); a required one that is missing is null."""
        frame, unread = self.frame, self.unread
        if wanted is not None:
            unread = (*(name for name in frame.columns if name not in wanted), *unread)
            frame = frame[[name for name in frame.columns if name in wanted]]
        missing = [pl.lit(None).alias(name) for name in required if name not in frame.columns]
        return replace(self, frame=frame.with_columns(missing) if missing else frame, unread=unread)

    def accept(self, frame: pl.DataFrame, accepted: Mask) -> Batch:
        """The accepted rows, with the columns of ``frame``, which has all of them."""
        if accepted.all():
            return replace(self, frame=frame)
        rows = self.rows
        if rows is None:
            rows = np.arange(self.first, self.first + len(accepted), dtype=np.uint32)
        return replace(self, frame=frame.filter(pl.Series(accepted)), rows=rows[accepted])
