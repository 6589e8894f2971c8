"""Measures a run again without an entity that is erased: statistics and sample, as if it had never been there.

The verdict keeps its numbers, which were computed then and say nothing of one entity; of its texts only those stay that
are values of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from featurestore.drift.row_values import RowValues, describe_rows
from featurestore.drift.sample import Sample, draw, pack_sample, unpack_sample
from featurestore.frozen import frozen

if TYPE_CHECKING:
    import polars as pl

    from featurestore.model import DataType, Json


@frozen
class Remade:
    """What a run measured, made again. ``sample`` is None where none was stored, or it can't be made again."""

    statistics: Mapping[str, Json]
    verdict: Mapping[str, Json] | None
    sample: bytes | None


def remake(
    rows: pl.DataFrame,
    keys: Sequence[str],
    data_type: DataType,
    *,
    verdict: Mapping[str, Json] | None,
    sample: bytes | None,
    edges: Sequence[float] | None,
    learned_at: int | None,
    limit: int,
) -> Remade:
    """Measures the rows of a run that remain, as `assess` takes them.

    ``verdict`` and ``sample`` are what is stored of the run; ``edges`` are those of the histogram, None for its own.
    """
    statistics = describe_rows(RowValues(keys, rows), data_type, learned_at=learned_at, edges=edges)
    before = _unpack(sample)
    drawn = None
    if before is not None:
        method, seed = before.facts.method, before.facts.seed
        drawn = draw([rows["value"]], data_type, statistics, method=method, seed=seed, limit=limit)
        drawn = Sample(drawn.values, replace(drawn.facts, remade=True))
    return Remade(
        statistics,
        None if verdict is None else _without_text(verdict, set() if drawn is None else set(drawn.values.unique())),
        None if drawn is None else pack_sample(drawn),
    )


def edges_of(sample: bytes | None) -> tuple[float, ...]:
    """The histogram's edges that a stored sample has; none where there is no sample, or it is damaged."""
    unpacked = _unpack(sample)
    return () if unpacked is None else unpacked.facts.edges


def _unpack(sample: bytes | None) -> Sample | None:
    try:
        return None if sample is None else unpack_sample(sample)
    except (ValueError, KeyError, TypeError):  # damaged; the rest is measured all the same
        return None


def _without_text(verdict: Mapping[str, Json], values: set[object]) -> dict[str, Json]:
    """The verdict with no text but values that are still there, in the one of the previous version too."""
    texts = {str(value) for value in values}
    changed = dict(verdict)
    if isinstance(named := verdict.get("new_categories"), list):
        changed["new_categories"] = [name for name in named if name in texts]
    if str(verdict.get("status")).startswith("error"):
        changed["status"] = "error: its text was removed when an entity was erased"
    if isinstance(previous := verdict.get("previous_version"), Mapping):
        changed["previous_version"] = _without_text(previous, values)
    return changed
