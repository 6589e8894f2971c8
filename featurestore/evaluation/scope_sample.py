"""Which rows, entities and instants a scope is checked on: half of them seeded, half those that tell the most.

A plain draw finds a clip at the 99.9th percentile in a third of the runs, and a lookback that is one second too short
in two of a hundred. What finds them always: the extremes, nulls and rarest values of the columns that the code names,
the entities with the most rows, and the rows nearest to the lookback's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import polars as pl

from featurestore.evaluation.declared_type import to_instant
from featurestore.evaluation.evaluate import SortedRows
from featurestore.frozen import frozen

# Rows that are looked at for the rarest value and the lookback's edge, which take a sort or a search.
_SEARCHED = 2_000_000
_BUSIEST = 8
_ROW = "featurestore row"  # the spaces keep them apart from every source's columns
_EDGE, _TIME, _COUNT = "featurestore edge", "featurestore time", "featurestore count"


@frozen
class Groups:
    """Neighbouring rows that are equal in some columns: where each group begins, and how many rows it has."""

    starts: pl.Series
    sizes: pl.Series

    def of(self, rows: pl.Series) -> pl.Series:
        """The groups in which rows are, by their positions: each once."""
        return (self.starts.search_sorted(rows, side="right") - 1).unique(maintain_order=True)

    def of_row(self, row: int) -> int:
        """The group of one row."""
        return int(self.starts.search_sorted(row, side="right")) - 1

    def rows(self, chosen: Sequence[int]) -> pl.Series:
        """The positions of the rows of some groups."""
        at = pl.Series(chosen, dtype=pl.Int64)
        starts = self.starts[at]
        if not len(at):
            return starts
        return pl.int_ranges(starts, starts + self.sizes[at], dtype=pl.Int64, eager=True).explode()

    def within(self, chosen: Sequence[int], most: int) -> list[int]:
        """As many of these groups, in order, as have ``most`` rows together; larger ones are passed over."""
        taken, total = [], 0
        sizes = self.sizes[pl.Series(chosen, dtype=pl.Int64)].to_list()
        for group, size in zip(chosen, sizes, strict=True):
            if total + size <= most:
                taken.append(group)
                total += size
        return taken


class Sampling:
    """What the samples of all features over the same rows have in common, each looked up once."""

    def __init__(self, rows: SortedRows) -> None:
        self._rows = rows
        self._groups: dict[tuple[str, ...], Groups] = {}
        self._extremes: dict[str, list[list[int]]] = {}
        self._edges: dict[tuple[int, int], pl.Series] = {}
        self._busiest: dict[tuple[str, ...], list[int]] = {}

    @cached_property
    def instants(self) -> pl.Series:
        """The rows' event times (µs)."""
        return to_instant(self._rows.frame[str(self._rows.source.event_time)]).dt.epoch("us")

    def groups(self, names: Sequence[str]) -> Groups:
        """The groups of rows that are equal in these columns; without columns all rows are one group."""
        if tuple(names) not in self._groups:
            self._groups[tuple(names)] = group_rows(self._rows.frame, names)
        return self._groups[tuple(names)]

    def telling(self, named: Sequence[str], most: int) -> pl.Series:
        """Up to ``most`` positions of rows that tell the most, in an order of which any beginning is varied.

        ``named`` are the columns that the code names.
        """
        frame = self._rows.frame
        keys = tuple(name for name in self._rows.entity_type.key_names if name in frame.columns)
        entities = self.groups(keys)
        if keys not in self._busiest:
            self._busiest[keys] = entities.sizes.arg_sort(descending=True).head(_BUSIEST).to_list()
        busiest = self._busiest[keys]
        for name in named:
            if name not in self._extremes:
                self._extremes[name] = _extremes(frame[name])
        found = [positions for name in named for positions in self._extremes[name]]
        found += [[int(entities.starts[at] + entities.sizes[at] - 1) for at in busiest]]
        found += [[int(entities.starts[at]) for at in busiest], [frame.height - 1, 0]]
        return _alternate(found, most)

    def nearest_to_edge(self, lookback: int, most: int) -> pl.Series:
        """`nearest_to_edge` of the rows."""
        if (lookback, most) not in self._edges:
            self._edges[lookback, most] = nearest_to_edge(self._rows, self.instants, lookback, most)
        return self._edges[lookback, most]


def group_rows(frame: pl.DataFrame, names: Sequence[str]) -> Groups:
    """The groups of sorted rows that are equal in these columns."""
    if not names or not frame.height:
        return Groups(pl.Series([0]).head(frame.height), pl.Series([frame.height]).head(frame.height))
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in names)
    index = pl.int_range(pl.len(), dtype=pl.Int64)
    starts = frame.lazy().select(index.filter(changed | (index == 0))).collect(engine="in-memory").to_series()
    ends = pl.concat([starts.slice(1), pl.Series([frame.height], dtype=pl.Int64)])
    return Groups(starts, ends - starts)


def seeded_rows(height: int, count: int, seed: int) -> pl.Series:
    """Positions of ``count`` different rows, the same for the same seed."""
    if height <= count:
        return pl.int_range(height, eager=True)
    return pl.int_range(height, eager=True).sample(count, seed=seed % 2**32)


def nearest_to_edge(rows: SortedRows, instants: pl.Series, lookback: int, most: int) -> pl.Series:
    """Positions of the rows at whose edge, ``lookback`` before their instant, another of the entity lies nearest.

    Half of them have it outside, where a longer reach would find it first, half inside.
    """
    names = list(rows.entity_type.key_names) if rows.keyed else []
    frame = rows.frame.select(names).with_columns(instants.alias(_TIME)).head(_SEARCHED).with_row_index(_ROW).lazy()
    left = frame.with_columns((pl.col(_TIME) - lookback).alias(_EDGE)).drop(_TIME).sort(_EDGE)
    right = frame.drop(_ROW).sort(_TIME)
    found = []
    for strategy, exact in (("backward", False), ("forward", True)):
        near = left.join_asof(
            right, left_on=_EDGE, right_on=_TIME, by=names or None, strategy=strategy,  # type: ignore[arg-type]
            coalesce=False, allow_exact_matches=exact, check_sortedness=False,
        )  # fmt: skip
        gap = (pl.col(_EDGE) - pl.col(_TIME)).abs()
        ordered = near.filter(pl.col(_TIME).is_not_null()).sort(gap, maintain_order=True).head(most // 2)
        found.append(ordered.collect(engine="in-memory")[_ROW].to_list())
    return _alternate(found, most)


def _extremes(values: pl.Series) -> list[list[int]]:
    """Positions of a column's least and greatest values, nulls, NaNs and rarest values."""
    found: list[list[int]] = [values.is_null().arg_true().head(2).to_list()]
    dtype = values.dtype
    if dtype.is_float():
        found.append(values.is_nan().fill_null(value=False).arg_true().head(2).to_list())
        values = values.fill_nan(None)
    if dtype.is_numeric() or dtype.is_temporal() or dtype == pl.String:
        found += [[at] for at in (values.arg_max(), values.arg_min()) if at is not None]
    if not dtype.is_float() and not dtype.is_nested():
        beginning = values.head(_SEARCHED).to_frame("value").with_row_index(_ROW)
        counted = beginning.group_by("value").agg(pl.len().alias(_COUNT), pl.col(_ROW).first())
        found.append(counted.bottom_k(4, by=[_COUNT, _ROW])[_ROW].to_list())
    elif dtype.is_float():
        found += [_top(values, largest=True), _top(values, largest=False)]
    return found


def _top(values: pl.Series, *, largest: bool) -> list[int]:
    few = (values.top_k(8) if largest else values.bottom_k(8)).drop_nulls()
    if not len(few):
        return []
    reached = values >= few.min() if largest else values <= few.max()
    return reached.fill_null(value=False).arg_true().head(8).to_list()


def _alternate(found: Sequence[Sequence[int]], most: int) -> pl.Series:
    """The first of each list, then the second of each, and so on; each position once."""
    order: dict[int, None] = {}
    for at in range(max((len(items) for items in found), default=0)):
        order.update(dict.fromkeys(items[at] for items in found if at < len(items)))
    return pl.Series(list(order)[:most], dtype=pl.Int64)
