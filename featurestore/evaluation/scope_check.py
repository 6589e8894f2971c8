"""Whether a scope holds: values are computed again from only the rows that it allows, and compared.

A scope that does not hold is never corrected: the feature fails, and the error shows the row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TypeVar

import polars as pl

from featurestore import times
from featurestore.errors import FeatureError, ScopeError
from featurestore.evaluation.evaluate import SortedRows
from featurestore.evaluation.rounding import equal, greatest
from featurestore.evaluation.scope_sample import Groups, Sampling, seeded_rows
from featurestore.frozen import frozen
from featurestore.model import Feature, Scope
from featurestore.tables.types import INSTANT

# A feature's checked values over some rows: keys, ``computed_at`` (none where nothing has times) and ``value``. Raises
# FeatureError.
T = TypeVar("T")
Evaluate = Callable[[Sequence[SortedRows]], pl.DataFrame]

_LAYERS = 12
# The spaces keep these apart from every key.
_VALUE, _ALONE, _IN_ALONE, _IN_ALL = "value", "featurestore alone", "featurestore in alone", "featurestore in all"
_ROW, _GROUP = "featurestore row", "featurestore group"


@frozen
class SampleSize:
    """How much is evaluated again: rows or pairs, entities, the rows of these at most, and how many one by one."""

    rows: int = 1_000
    entities: int = 64
    entity_rows: int = 100_000
    alone: int = 16


@frozen
class _Part:
    """Some rows, in one frame or in several, and which values can be told from them: of its entities and instants.

    ``pairs`` is a frame of columns of the values (keys, ``computed_at`` or both), one row for each.
    """

    rows: list[SortedRows]
    pairs: pl.DataFrame


@frozen
class _Difference:
    """The first value that is another one alone; an absent one is None with ``missing`` text."""

    place: str
    within: str
    alone: str
    pair: pl.DataFrame


class ScopeCheck:
    """One feature's values over some rows, and its scope, to be compared.

    Args:
        feature: Its declaration.
        scope: What is checked.
        rows: The rows that it was computed from.
        values: What it gave: keys, ``computed_at`` (absent where nothing has times) and ``value``.
        evaluate: Computes it from other rows, from one frame after the other and from nothing beside them: no `pad`,
            whose copies a function that looks further would see.
        named: The columns that its code names.
        seed: Decides the seeded half of the sample.
        size: How large the sample is.
        sampling: What the samples of all features over these rows have in common.
    """

    def __init__(
        self,
        feature: Feature,
        scope: Scope,
        rows: SortedRows,
        values: pl.DataFrame,
        evaluate: Evaluate,
        *,
        named: Sequence[str],
        seed: int,
        size: SampleSize | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self._feature, self._scope, self._rows, self._values = feature, scope, rows, values
        self._evaluate, self._seed, self._size = evaluate, seed, size or SampleSize()
        self._sampling = sampling or Sampling(rows)
        self._sampled = values  # less of them once the sample is known
        event_time = rows.source.event_time
        timed = event_time in rows.frame.columns and "computed_at" in values.columns
        self._instants = self._sampling.instants if timed else None
        self._keys = list(feature.entity_type.key_names)
        own = {*self._keys, *rows.source.roles}
        self._named = [name for name in named if name in rows.frame.columns and name not in own]

    def run(self) -> None:
        """Raises ScopeError, naming the entity, the time, both values and the scope that would hold."""
        if not self._rows.frame.height:
            return
        entire = self._scope.kind == "row" and self._instants is not None
        for parts in self._parts():
            # One after the other only where they differ: what is checked of each result takes longer than the result.
            if len(parts) > 1 and self._holds_for_all(parts, entire=entire):
                continue
            for part in parts:
                found = self._compare(part, entire=entire)
                if found is not None:
                    raise self._error(found)

    def _holds_for_all(self, parts: Sequence[_Part], *, entire: bool) -> bool:
        """Whether values of parts without a row in common, each computed from its part alone, are those among all."""
        pairs = pl.concat([part.pairs for part in parts])
        if pairs.is_duplicated().any():
            return False
        try:
            return self._compare(_Part([rows for part in parts for rows in part.rows], pairs), entire=entire) is None
        except (FeatureError, pl.exceptions.PolarsError):
            return False

    def _parts(self) -> Iterator[list[_Part]]:
        """Lists of parts that are evaluated each by itself; those of a list may be compared together."""
        kind, lookback = self._scope.kind, self._scope.lookback
        if kind == "row":
            return self._row_parts()
        if kind == "entity" and not self._rows.keyed:
            return iter(())
        if kind == "entity" and lookback is None:
            return self._entity_parts()
        if lookback is not None and self._instants is not None:
            parts = self._pair_parts if kind == "entity" else self._instant_parts
            return parts(self._instants, lookback)
        return iter(())

    # Rows

    def _row_parts(self) -> Iterator[list[_Part]]:
        """Sampled rows together, then some one by one; with each the others of its entity and time."""
        names = self._present_keys()
        if names and not self._rows.keyed:  # the others of its time are not beside it
            return
        names += [] if self._instants is None else [str(self._rows.source.event_time)]
        if not names:
            return
        groups = self._sampling.groups(names)
        half = self._size.rows // 2
        telling = groups.of(self._telling(half))
        seeded = groups.of(seeded_rows(self._rows.frame.height, half, self._seed))
        most = 4 * self._size.rows
        chosen = groups.within(sorted({*telling, *seeded}), most)
        together = self._rows_of(groups, chosen)
        self._only(together.pairs)
        yield [together]
        alone = sorted(mixed(telling, seeded, self._size.alone, of=chosen))
        yield list(self._one_by_one(groups, alone))

    def _rows_of(self, groups: Groups, chosen: Sequence[int]) -> _Part:
        """Groups of rows that are equal in all that a pair is made of."""
        names = [*(self._keys if self._rows.keyed else []), *([] if self._instants is None else ["computed_at"])]
        starts = groups.starts[pl.Series(chosen, dtype=pl.Int64)]
        return _Part(self._take(groups.rows(chosen)), self._columns(names, starts))

    def _one_by_one(self, groups: Groups, chosen: Sequence[int]) -> Iterator[_Part]:
        """The same, a part for each group: taken together, since to take few rows costs as much as to take many."""
        together = self._rows_of(groups, chosen)
        (rows,) = together.rows
        start = 0
        for at, group in enumerate(chosen):
            size = int(groups.sizes[group])
            own = replace(rows, frame=rows.frame.slice(start, size), origin=rows.origin.slice(start, size))
            yield _Part([own], together.pairs.slice(at, 1))
            start += size

    # Entities

    def _entity_parts(self) -> Iterator[list[_Part]]:
        """All rows of sampled entities together, then of some one by one."""
        groups = self._sampling.groups(self._keys)
        half = self._size.entities // 2
        telling = groups.of(self._telling(half))
        seeded = seeded_rows(len(groups.starts), half, self._seed)
        most = max(self._size.entity_rows, self._rows.frame.height // 20)
        chosen = groups.within(sorted({*telling, *seeded}), most)
        together = self._entities_of(groups, chosen)
        self._only(together.pairs)
        if len(chosen) < len(groups.starts):  # otherwise it would be the same again
            yield [together]
        alone = mixed(telling, seeded, self._size.alone, of=chosen)
        yield [self._entities_of(groups, [group]) for group in sorted(alone)]

    def _entities_of(self, groups: Groups, chosen: Sequence[int]) -> _Part:
        positions = groups.rows(chosen)
        return _Part(self._take(positions), self._columns(self._keys, positions).unique())

    # Pairs of an entity and an instant, each with the rows of its lookback

    def _pair_parts(self, instants: pl.Series, lookback: int) -> Iterator[list[_Part]]:
        """Pairs in layers, in each of which an entity is once, then some one by one."""
        groups = self._sampling.groups(self._keys)
        half = self._size.rows // 2
        edge = self._sampling.nearest_to_edge(lookback, half)
        telling = pl.Series(mixed(edge, self._telling(half), half), dtype=pl.Int64)
        chosen = [(groups.of_row(at), int(instants[at])) for at in telling]
        seeded = self._seeded_pairs(groups, half)
        single = mixed(chosen, seeded, self._size.alone)
        self._only(self._pairs(groups, [*chosen, *seeded]))
        for pairs in [*_layers(chosen + seeded, self._size.rows), *([pair] for pair in single)]:
            yield [self._pairs_of(groups, instants, sorted(pairs), lookback)]

    def _seeded_pairs(self, groups: Groups, count: int) -> list[tuple[int, int]]:
        """Groups and instants of values, which may be dated otherwise than rows."""
        values = self._values[seeded_rows(self._values.height, count, self._seed)]
        entities = self._columns(self._keys, groups.starts).with_row_index(_GROUP)
        found = values.join(entities, on=self._keys, maintain_order="left")
        return list(zip(found[_GROUP].to_list(), found["computed_at"].dt.epoch("us").to_list(), strict=True))

    def _pairs_of(self, groups: Groups, instants: pl.Series, pairs: Sequence[tuple[int, int]], lookback: int) -> _Part:
        spans = [pl.Series([], dtype=pl.Int64)]
        taken, total = [], 0
        for group, instant in pairs:
            start, size = int(groups.starts[group]), int(groups.sizes[group])
            own = instants.slice(start, size)
            first = start + int(own.search_sorted(instant - lookback, side="left"))
            last = start + int(own.search_sorted(instant, side="right"))
            total += last - first
            if total > self._size.entity_rows:
                break
            spans.append(pl.int_range(first, last, eager=True))
            taken.append((group, instant))
        return _Part(self._take(pl.concat(spans)), self._pairs(groups, taken))

    def _pairs(self, groups: Groups, pairs: Sequence[tuple[int, int]]) -> pl.DataFrame:
        """Keys and ``computed_at`` of groups and instants."""
        at = pl.Series([instant for _, instant in pairs], dtype=pl.Int64).cast(INSTANT).alias("computed_at")
        starts = groups.starts[pl.Series([group for group, _ in pairs], dtype=pl.Int64)]
        return self._columns(self._keys, starts).with_columns(at)

    # Instants, each with everybody's rows of its lookback

    def _instant_parts(self, instants: pl.Series, lookback: int) -> Iterator[list[_Part]]:
        edge = self._sampling.nearest_to_edge(lookback, self._size.alone)
        seeded = seeded_rows(self._rows.frame.height, self._size.alone, self._seed)
        for at in mixed(edge, seeded, self._size.alone):
            instant = int(instants[at])
            inside = ((instants >= instant - lookback) & (instants <= instant)).arg_true()
            if len(inside) <= self._size.entity_rows:
                yield [_Part(self._take(inside), self._columns(["computed_at"], pl.Series([at], dtype=pl.Int64)))]

    # What they share

    def _only(self, pairs: pl.DataFrame) -> None:
        """What follows is about these values: they are looked up among them, and not among all."""
        values = self._values
        if self._keys[0] in pairs.columns:  # they are sorted by it: to search costs less than to hash them all
            wanted = pairs[self._keys[0]].unique().sort()
            first, end = (values[self._keys[0]].search_sorted(wanted, side=side) for side in ("left", "right"))
            if int((end - first).sum()) < values.height // 4:
                values = values[pl.int_ranges(first, end, dtype=pl.Int64, eager=True).explode()]
        self._sampled = values.join(pairs, on=pairs.columns, how="semi")

    def _telling(self, most: int) -> pl.Series:
        return self._sampling.telling(self._named, most)

    def _present_keys(self) -> list[str]:
        return [name for name in self._keys if name in self._rows.frame.columns]

    def _take(self, positions: pl.Series) -> list[SortedRows]:
        # Column by column: one of equal values may be stored as a single value, and be another one each time that it is
        # asked for: nobody could see then that a function hands it back as it was.
        frame = pl.DataFrame([column[positions].rechunk() for column in self._rows.frame])
        return [replace(self._rows, frame=frame, origin=self._rows.origin[positions])]

    def _columns(self, names: Sequence[str], positions: pl.Series) -> pl.DataFrame:
        """Columns of rows, keys and event times, as the values have them."""
        columns = []
        for name in names:
            if name == "computed_at":
                assert self._instants is not None, "nothing has times"
                columns.append(self._instants[positions].cast(INSTANT).alias(name))
            else:
                columns.append(self._rows.frame[name][positions].cast(self._values.schema[name]))
        return pl.DataFrame(columns)

    def _compare(self, part: _Part, *, entire: bool) -> _Difference | None:
        """The first of the part's values that is another one alone; ``entire``: the part's rows give nothing else."""
        on = part.pairs.columns
        within = self._sampled.join(part.pairs, on=on, how="semi")
        try:
            alone = self._evaluate(part.rows)
        except FeatureError as exc:
            first = (within if within.height else part.pairs).head(1)
            value = _shown(within[_VALUE][0]) if within.height else "nothing"
            return _Difference(self._place(first), value, f"an error ({exc.message})", part.pairs.head(1))
        other = alone.join(part.pairs, on=on, how="anti")
        if entire and other.height:
            raise ScopeError(
                f'scope="row" does not hold: the value for {self._place(other.head(1))} is about another entity or '
                "time than the row that gives it",
                hint='scope="entity" would hold, with the entity\'s keys in the source; '
                "or date each value at its row's event time",
            )
        return self._first_difference(within, alone.join(part.pairs, on=on, how="semi"), part)

    def _first_difference(self, within: pl.DataFrame, alone: pl.DataFrame, part: _Part) -> _Difference | None:
        pair = [name for name in within.columns if name != _VALUE]
        both = within.with_columns(pl.lit(value=True).alias(_IN_ALL)).join(
            alone.rename({_VALUE: _ALONE}).with_columns(pl.lit(value=True).alias(_IN_ALONE)),
            on=pair, how="full", coalesce=True, nulls_equal=True,
        )  # fmt: skip
        missing = pl.col(_IN_ALL).is_null() | pl.col(_IN_ALONE).is_null()
        suspects = both.filter(missing | pl.col(_VALUE).ne_missing(pl.col(_ALONE))).sort(pair)
        largest = greatest(within[_VALUE])
        for at, row in enumerate(suspects.iter_rows(named=True)):
            there = bool(row[_IN_ALL] and row[_IN_ALONE])
            if there and equal(row[_VALUE], row[_ALONE], self._feature.tolerance, largest):
                continue
            where = suspects.slice(at, 1).select(pair)
            in_all = _shown(row[_VALUE]) if row[_IN_ALL] else "nothing"
            alone_it_is = _shown(row[_ALONE]) if row[_IN_ALONE] else "nothing"
            return _Difference(self._place(where), in_all, alone_it_is, where.select(part.pairs.columns))
        return None

    def _place(self, row: pl.DataFrame) -> str:
        """``patient_id=007 at 2024-01-01T00:00:00Z``."""
        entity = ", ".join(f"{name}={row[name][0]}" for name in self._keys if name in row.columns)
        if "computed_at" not in row.columns:
            return entity
        at = times.format_instant(int(row["computed_at"].dt.epoch("us")[0]))
        return f"{entity} at {at}" if entity else f"at {at}"

    def _error(self, found: _Difference) -> ScopeError:
        kind = self._scope.kind
        lookback = self._scope.lookback if kind != "row" else None
        declared, reach = f'scope="{kind}"', ""
        if lookback is not None:
            duration = times.format_duration(lookback)
            declared, reach = f'{declared} with lookback="{duration}"', f" of the last {duration}"
        allowed = {"row": "its own row", "entity": "its entity's rows", "source": "the rows"}[kind]
        hint = f"{self._wider(found)} would hold"
        if not self._scope.declared:
            hint += "; that a narrower one was found in the expression is a defect, please report it"
        return ScopeError(
            f"{declared} does not hold: for {found.place} the value is {found.within} among all rows and {found.alone} "
            f"from {allowed}{reach} alone",
            hint=hint,
        )

    def _wider(self, found: _Difference) -> str:
        """The narrowest scope under which the value would be that among all rows."""
        kind, lookback = self._scope.kind, self._scope.lookback
        if kind == "source":
            return 'scope="source" without lookback='
        if (kind == "row" or lookback is not None) and self._rows.keyed and self._holds_by_entity(found):
            return 'scope="entity"' + (" with a longer lookback=, or without," if kind == "entity" else "")
        return 'scope="source"'

    def _holds_by_entity(self, found: _Difference) -> bool:
        keys = found.pair.select(name for name in self._keys if name in found.pair.columns)
        if keys.width != len(self._keys):
            return False
        everyone = self._columns(self._keys, pl.int_range(self._rows.frame.height, eager=True))
        positions = everyone.with_row_index(_ROW).join(keys, on=self._keys, how="semi")[_ROW]
        if len(positions) > self._size.entity_rows:
            return False
        self._sampled = self._values
        return self._compare(_Part(self._take(positions.sort()), keys), entire=False) is None


def _shown(value: object) -> str:
    return "null" if value is None else repr(value)


def mixed(first: Iterable[T], second: Iterable[T], most: int, *, of: Collection[T] | None = None) -> list[T]:
    """Up to ``most`` of two lists, half of each as far as they reach, each once; only what ``of`` has."""
    allowed = None if of is None else set(of)
    one, other = ([item for item in items if allowed is None or item in allowed] for items in (first, second))
    shared = min(len(one), len(other))
    pairs = chain.from_iterable(zip(one, other, strict=False))
    return list(islice(dict.fromkeys(chain(pairs, one[shared:], other[shared:])), most))


def _layers(chosen: Sequence[tuple[int, int]], most: int) -> list[list[tuple[int, int]]]:
    """The pairs in lists of which none has two of one group; ``most`` in all, in a bounded number of lists."""
    layers: list[dict[int, int]] = []
    for group, instant in list(dict.fromkeys(chosen))[:most]:
        free = next((layer for layer in layers if group not in layer), None)
        if free is None and len(layers) < _LAYERS:
            free = {}
            layers.append(free)
        if free is not None:
            free[group] = instant
    return [list(layer.items()) for layer in layers]
