"""Coming steps in a join: rows of the history whose time had not come when the last run wrote them."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.errors import FeatureStoreError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import UNTIL, VALUE, OfflineStore
from featurestore.point_in_time import kernel
from featurestore.tables.types import INSTANT
from featurestore.times import MAX_INSTANT, format_instant
from featurestore.workflows.join.facts import JoinFacts

Mask = NDArray[np.bool_]


@frozen
class ComingSteps:
    """A version's coming steps, from which instants nothing is known, and the horizons of its runs (µs)."""

    version: StoredVersion
    rows: pl.DataFrame
    horizons: kernel.Integers

    @cached_property
    def steps(self) -> pl.DataFrame:
        """Those of all entities, as a store returns rows of history."""
        return self.rows.filter(pl.col("op") == VALUE)

    @cached_property
    def first(self) -> int:
        """The first instant of any of the rows (µs): before it the history alone answers."""
        least: int | None = self.rows["computed_at"].to_physical().min()  # type: ignore[assignment]  # of integers
        return MAX_INSTANT if least is None else least

    @cached_property
    def history(self) -> kernel.SortedHistory:
        return kernel.sort_history(self.steps, self.version.entity_type.key_names)

    @cached_property
    def ends(self) -> kernel.SortedHistory:
        """The instant of each entity from which on nothing is known."""
        end = pl.lit(MAX_INSTANT).cast(INSTANT)
        found = self.rows.filter(pl.col("op") == UNTIL, pl.col("computed_at") < end)
        found = found.with_columns(pl.lit(VALUE, pl.Int8).alias("op"))
        return kernel.sort_history(found, self.version.entity_type.key_names)

    def horizons_at(self, instants: kernel.Integers, seen_by: int | None) -> kernel.Integers:
        """The last horizon up to each instant, or for all of them the last up to ``seen_by``; the least integer where
        there is none.
        """
        never = np.iinfo(np.int64).min
        known = np.append(never, self.horizons)
        at = instants if seen_by is None else np.full(len(instants), seen_by)
        return known[np.searchsorted(self.horizons, at, side="right")]


@frozen
class WindowStates:
    """The coming steps of the versions that a join asks for, as they were at its first batch."""

    _found: dict[VersionId, ComingSteps] = field(default_factory=dict)

    def read(self, store: OfflineStore, version: StoredVersion, *, last: int | None = None) -> None:
        """Reads those of a version up to the ``last`` label (µs), once.

        To be called where the store is read in one go.
        """
        if version.steps and version.id not in self._found:
            horizons = np.array(store.horizons(version.id), dtype=np.int64)
            self._found[version.id] = ComingSteps(version, store.coming(version, due=last), horizons)

    def of(self, version: StoredVersion) -> ComingSteps | None:
        return self._found.get(version.id)


def beyond(
    coming: ComingSteps,
    labels: kernel.GroupedLabels,
    instants: kernel.Integers,
    *,
    runs: kernel.Runs | None,
    last_run: int,
    as_of: int | None,
) -> Mask:
    """Which labels lie where a window is not known: from the step after the last one on, or after ``as_of``."""
    found = np.zeros(labels.height, dtype=np.bool_)
    if (instants >= coming.first).any():
        matches = kernel.search(coming.ends, labels, runs=runs, last_run=last_run)
        found[matches.label_rows[matches.history_rows != kernel.NONE]] = True
    if as_of is not None:
        found |= instants > as_of
    return found


def outdated(
    coming: ComingSteps, instants: kernel.Integers, max_age: int | None, *, known: bool, seen_by: int | None
) -> Mask:
    """Which labels are later than the horizon that they may see by more than ``max_age`` (µs)."""
    if max_age is None:
        return np.zeros(len(instants), dtype=np.bool_)
    last = np.iinfo(np.int64).max if seen_by is None else seen_by
    horizons = coming.horizons_at(np.minimum(instants, last) if known else instants, None if known else last)
    return (horizons < instants) & (instants.astype(np.float64) - horizons > max_age)


def refuse_beyond(facts: JoinFacts, *, clock: int | None = None) -> None:
    """Raises FeatureStoreError where a label lies beyond what is known of a window, or after the clock (µs)."""
    for feature in facts.features:
        if feature.beyond_horizon:
            raise FeatureStoreError(
                f"{feature.beyond_horizon:,} of {facts.labels:,} labels lie beyond the last known step of "
                f"{feature.column_name}",
                hint=f"run featurestore ingest {feature.version.id.feature} first, or leave out these labels",
            )
        if feature.beyond_horizon is not None and clock is not None and (facts.last or clock) > clock:
            raise FeatureStoreError(
                f"a label of {format_instant(facts.last or clock)} lies ahead of the clock, and {feature.column_name} "
                "has a window: another run may know another value for it",
                hint="leave out the labels that lie in the future",
            )
