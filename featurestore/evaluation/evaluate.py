"""Calls the features' functions over a source's rows.

A function sees the whole source, sorted by its entity's keys and event time (then ``known_at`` and ``updated_at``), so
that its values don't depend on how the rows are spread over files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import polars as pl

from featurestore.errors import FeatureError
from featurestore.frozen import frozen
from featurestore.model import EntityType, Feature, ScopeKind, Source
from featurestore.times import is_utc

Function = Callable[..., Any]
Name = TypeVar("Name")

_GREATEST = 2**63 - 1  # of a key that is an integer
# Rows of an entity that are copied to have two of them.
_COPIED = 1_000
# Values that are computed at once: 16 million of 8 bytes are 128 MB.
MOST_VALUES = 16_000_000


@frozen
class SortedRows:
    """A source's accepted rows in the order in which functions see them.

    ``origin`` is the index of each row of ``frame`` among the rows as they were read. The last ``padding`` rows are
    copies that `pad` added; whatever is computed from them is dropped. ``known`` is the column that says when each row
    was known, where values are to have that time; ``identity`` are those that say which row it is, where one may be
    known at another place later. ``unread`` are columns of the source that nobody needs.
    """

    frame: pl.DataFrame
    origin: pl.Series
    entity_type: EntityType
    source: Source
    padding: int = 0
    known: str | None = None
    unread: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()

    @property
    def keyed(self) -> bool:
        """Whether the source has the entity's key columns under their own names."""
        return all(name in self.frame.columns for name in self.entity_type.key_names)


def sort_rows(
    frame: pl.DataFrame, entity_type: EntityType, source: Source, *, unread: Iterable[str] = ()
) -> SortedRows:
    """Sorts by keys, event time, ``known_at`` and ``updated_at``, as far as there are any. Equal rows stay in order."""
    order = [name for name in entity_type.key_names if name in frame.columns]
    times = (source.event_time, source.known_at, source.updated_at)
    order += [name for name in times if name is not None and name not in order]
    index = "featurestore row"  # the space keeps it apart from every source's columns
    numbered = frame.with_row_index(index)
    if order:
        numbered = numbered.sort(order, maintain_order=True)
    return SortedRows(numbered.drop(index), numbered[index], entity_type, source, unread=tuple(unread))


def join_sources(feature: Feature, rows: Sequence[SortedRows]) -> SortedRows:
    """What results of several sources are checked against: no row of any source is that of a value."""
    sources = [each.source for each in rows]
    zone = next((source.timezone for source in sources if not is_utc(source.timezone)), None)
    valid = [source.valid for source in sources]
    joined = Source(
        str(feature.source_name), "", event_time=next((each.event_time for each in sources if each.event_time), None),
        timezone=zone, valid=None if None in valid else max(each for each in valid if each is not None),
    )  # fmt: skip
    nothing = pl.DataFrame()
    return SortedRows(nothing, pl.Series(dtype=pl.UInt32), feature.entity_type, joined)


def pad(rows: SortedRows, kind: ScopeKind) -> SortedRows:
    """The rows as a function of that scope may see them: in one chunk, and never one row or one entity alone.

    Polars gives other bits for a frame of one row than for the same row among others, and for one group than for two.
    A single row is repeated; a single entity gets another beside it, a copy of its first rows under a key that is
    none of the rows'. A function of scope ``source`` sees what there is.
    """
    frame = rows.frame
    if kind == "source" or not frame.height or rows.padding:
        return rows
    copies = _copies(rows) if kind == "entity" and rows.keyed else frame.head(1 if frame.height == 1 else 0)
    # Column by column: a frame stores a column of one row, or of rows like it, as a single value, and computes once.
    if not copies.height:
        return replace(rows, frame=pl.DataFrame([column.rechunk() for column in frame]))
    columns = [pl.concat([mine, its]).rechunk() for mine, its in zip(frame, copies, strict=True)]
    origin = pl.concat([rows.origin, rows.origin.head(copies.height)])
    return replace(rows, frame=pl.DataFrame(columns), origin=origin, padding=copies.height)


def _copies(rows: SortedRows) -> pl.DataFrame:
    """The first rows of the only entity, under another key; none where there are several."""
    frame, names = rows.frame, rows.entity_type.key_names
    if any(frame[name][0] != frame[name][-1] for name in names):  # they are sorted by them
        return frame.clear()
    return frame.head(_COPIED).with_columns(_other_key(frame[names[-1]]))


def _other_key(keys: pl.Series) -> pl.Expr:
    """A key that is none of these, which are all the same: the next text or number."""
    key = keys[0]
    if isinstance(key, str):
        other: str | int = key + "\0"
    else:
        other = key + 1 if key < _GREATEST else key - 1
    return pl.lit(other, dtype=keys.dtype).alias(keys.name)


def call_long(feature: Feature, function: Function, *rows: SortedRows) -> pl.DataFrame:
    """Calls a long-form feature with the rows of its source, or of each of them.

    Raises what the function raises, or FeatureError if it does not return a frame.
    """
    lazy = _wants_lazy(function)
    frames = [each.frame.lazy() if lazy else each.frame for each in rows]
    return _as_frame(feature, function(*frames, **feature.params))


def build_expression(feature: Feature, function: Function) -> pl.Expr:
    """Calls a short-form feature. Raises what the function raises, or FeatureError if it returns no expression."""
    result = function(**feature.params)
    if not isinstance(result, pl.Expr):
        raise FeatureError(
            f"returned {_describe(result)} where an expression was expected", hint="return a pl.Expr, or take a frame"
        )
    return result


def group_expressions(
    expressions: Mapping[Name, pl.Expr], height: int, *, most_values: int = MOST_VALUES
) -> Sequence[Mapping[Name, pl.Expr]]:
    """The expressions in groups of which each gives at most ``most_values`` values for ``height`` rows."""
    names = list(expressions)
    size = max(1, most_values // max(height, 1))
    return [{name: expressions[name] for name in names[at : at + size]} for at in range(0, len(names), size)]


def call_short(expressions: Mapping[Name, pl.Expr], rows: SortedRows) -> dict[Name, pl.DataFrame]:
    """Evaluates expressions over one source together. Returns a frame of the entity's keys and ``value`` for each."""
    keys = list(rows.entity_type.key_names)
    missing = [name for name in keys if name not in rows.frame.columns]
    if missing:
        raise FeatureError(
            f"the source {rows.source.name!r} has no key column {missing[0]!r}",
            hint="the short form needs the entity's keys in the source; rename them in a long-form feature",
        )
    frame = rows.frame.select(keys).head(rows.frame.height - rows.padding)
    return {name: frame.with_columns(values) for name, values in evaluate_short(expressions, rows).items()}


def evaluate_short(expressions: Mapping[Name, pl.Expr], rows: SortedRows) -> dict[Name, pl.Series]:
    """The ``value`` of each of some expressions for each row. The rows have the entity's keys."""
    values = [expression.alias(f"value {at}") for at, expression in enumerate(expressions.values())]
    # With a column of the rows, so that a single value becomes one for each.
    frame = collect(rows.frame.lazy().select(rows.entity_type.key_names[0], *values))
    frame = frame.head(rows.frame.height - rows.padding)
    return {name: frame[f"value {at}"].alias("value") for at, name in enumerate(expressions)}


def collect(frame: pl.LazyFrame) -> pl.DataFrame:
    """Evaluates a lazy frame, never with the streaming engine.

    That engine splits the rows into morsels, and Polars divides differently in a morsel of one row: 70 / 100 is 0.7
    there and 0.7000000000000001 in others. A value must not depend on the number of its neighbours.
    """
    return frame.collect(engine="in-memory")


def _wants_lazy(function: Function) -> bool:
    annotations = getattr(function, "__annotations__", {})
    first = next(iter(annotations.values()), None) if annotations else None
    return first is pl.LazyFrame or (isinstance(first, str) and first.endswith("LazyFrame"))


def _as_frame(feature: Feature, result: object) -> pl.DataFrame:
    if isinstance(result, pl.DataFrame):
        return result
    if isinstance(result, pl.LazyFrame):
        return collect(result)
    if type(result).__module__.partition(".")[0] == "pandas":  # the whole name is "pandas" from pandas 3 on
        return pl.DataFrame(pl.from_pandas(result))
    raise FeatureError(
        f"returned {_describe(result)} where a frame was expected",
        hint=f"{feature.function}() must return a pl.DataFrame with entity_id, value and, optionally, computed_at",
    )


def _describe(result: object) -> str:
    return "nothing" if result is None else f"a {type(result).__name__}"
