"""Which of a table's columns are read. Without a library of its own: each reader asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from featurestore.errors import SourceError
from featurestore.tables.batch import MAX_COLUMNS

Choose: TypeAlias = Callable[[Sequence[str]], Collection[str]]
"""Of the names of a table's columns those that are needed."""


def select_columns(names: list[str], choose: Choose | None, name: str) -> list[str]:
    """Those of a file's columns that are needed. Raises SourceError for names that appear twice or can't be used."""
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=name)
    for column, count in Counter(names).items():
        if count > 1:
            raise SourceError(f"has {count} columns named {column!r}", where=name, hint="rename all but one")
        if "\0" in column:
            raise SourceError(f"has a NUL in the name of a column: {column!r}", where=name, hint="rename it")
    if choose is None:
        return names
    needed = set(choose(names))
    return [column for column in names if column in needed]


def others(names: Sequence[str], chosen: Collection[str]) -> list[str]:
    """The columns that are not among those that were chosen."""
    taken = set(chosen)
    return [name for name in names if name not in taken]
