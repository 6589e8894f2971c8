"""Scope ``row`` of many expressions over the same rows, checked together: each step is taken once for all of them.

This only says where the scope holds. What differs is looked at once more by `ScopeCheck`, which says what and why.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Generic, TypeVar

import polars as pl

from featurestore.evaluation.evaluate import SortedRows, evaluate_short
from featurestore.evaluation.rounding import equal, greatest
from featurestore.evaluation.scope_check import SampleSize, mixed
from featurestore.evaluation.scope_sample import Sampling, seeded_rows
from featurestore.frozen import frozen

Name = TypeVar("Name", bound=Hashable)


@frozen
class Again:
    """What an expression gave for some rows when it saw no others: their positions among all, and its values."""

    positions: pl.Series
    values: pl.Series


class RowCheck(Generic[Name]):
    """What expressions of scope ``row`` give for a sample of rows: for all of it alone, and for some one by one.

    No two of the rows are of one entity and time. ``named`` are the columns that each expression names, ``seed``
    decides the seeded half of the sample. Raises what the expressions raise.
    """

    def __init__(
        self,
        expressions: Mapping[Name, pl.Expr],
        named: Mapping[Name, Sequence[str]],
        rows: SortedRows,
        *,
        seed: int,
        size: SampleSize,
        sampling: Sampling,
    ) -> None:
        self._expressions, self._rows = expressions, rows
        half = size.rows // 2
        seeded = seeded_rows(rows.frame.height, half, seed)
        telling = {names: sampling.telling(names, half) for names in {tuple(each) for each in named.values()}}
        single = {names: mixed(those, seeded, size.alone) for names, those in telling.items()}
        # What tells something of one of them is looked at for all.
        chosen = sorted({*seeded, *chain.from_iterable(telling.values())})
        # Half of the rows tell little of what a value owes to the others.
        self.small = 2 * len(chosen) <= rows.frame.height
        if not self.small:
            return
        self._chosen = pl.Series(chosen, dtype=pl.Int64)
        self._together = evaluate_short(expressions, _taken(rows, chosen))
        self._by_one = self._one_by_one({name: single[tuple(names)] for name, names in named.items()})

    def holds(
        self, name: Name, values: pl.Series, cast: Callable[[pl.Series], pl.Series], tolerance: float | None
    ) -> bool:
        """Whether an expression's values among all rows, one for each, are those that it gave without the others.

        ``cast`` makes values of what it gave. Raises FeatureError.
        """
        again = (Again(self._chosen, self._together[name]), self._by_one[name]) if self.small else ()
        return self.small and all(_same(values[each.positions], cast(each.values), tolerance) for each in again)

    def _one_by_one(self, wanted: Mapping[Name, Sequence[int]]) -> dict[Name, Again]:
        positions = sorted(set(chain.from_iterable(wanted.values())))
        taken = _taken(self._rows, positions)
        found: dict[Name, list[pl.Series]] = {name: [] for name in wanted}
        for at, position in enumerate(positions):
            own = replace(taken, frame=taken.frame.slice(at, 1), origin=taken.origin.slice(at, 1))
            asked = {name: self._expressions[name] for name, those in wanted.items() if position in those}
            for name, values in evaluate_short(asked, own).items():
                found[name].append(values)
        return {
            name: Again(pl.Series(sorted(those), dtype=pl.Int64), pl.concat(found[name]))
            for name, those in wanted.items()
        }


def _same(within: pl.Series, alone: pl.Series, tolerance: float | None) -> bool:
    """Whether values are the same but for rounding."""
    other = within.ne_missing(alone)
    if not other.any():
        return True
    largest = greatest(within)
    pairs = zip(within.filter(other).to_list(), alone.filter(other).to_list(), strict=True)
    return all(equal(one, two, tolerance, largest) for one, two in pairs)


def _taken(rows: SortedRows, positions: Sequence[int]) -> SortedRows:
    at = pl.Series(positions, dtype=pl.Int64)
    # Column by column, as in `ScopeCheck`: one of equal values may be stored as a single value.
    frame = pl.DataFrame([column[at].rechunk() for column in rows.frame])
    return replace(rows, frame=frame, origin=rows.origin[at])
