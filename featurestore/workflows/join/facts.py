"""What a join reports about itself: counts of labels, rows and values, and warnings. Not the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from featurestore.frozen import frozen
from featurestore.model import EntityType, StoredVersion
from featurestore.workflows.join.entities import LabelKeys


@frozen
class Ages:
    """How old the values of a feature were (µs): how many labels got one, and of these the least, the sum, the most."""

    count: int = 0
    least: int = 0
    total: float = 0.0
    most: int = 0

    def add(self, other: Ages) -> Ages:
        """Those of both."""
        if not self.count or not other.count:
            return self if self.count else other
        least, most = min(self.least, other.least), max(self.most, other.most)
        return Ages(self.count + other.count, least, self.total + other.total, most)


NO_AGES = Ages()


KnownBy = Literal["row", "run"]


@frozen
class JoinedFeature:
    """The counts of one feature.

    ``rows_scanned`` counts the history rows of the labels' entities, ``matched`` the labels that a row answers, and
    ``nulls`` the labels without a value: those that no row answers, and those answered by a stored null. ``ages`` are
    those of the values at the labels' times. ``empty`` says that the version has no row at all. ``role`` is whose
    feature it is, where several entities of a label are of its type, and ``scope`` what its values depend on, as
    declared or found. ``known_by`` says what ``--known`` compares with: "row", the known time of the value's own row,
    or "run".
    ``inputs`` are the versions that a request-time feature is computed from, with the age limits that held.
    Of a window ``beyond_horizon`` counts the labels with a value that may be another one: they lie from the
    step after the last known one on.
    """

    column_name: str
    version: StoredVersion
    rows_scanned: int
    matched: int
    nulls: int
    max_age: int | None
    empty: bool = False
    warnings: tuple[str, ...] = ()
    role: str | None = None
    ages: Ages = NO_AGES
    scope: str | None = None
    known_by: KnownBy = "run"
    inputs: tuple[StoredVersion, ...] = ()
    beyond_horizon: int | None = None


@frozen
class JoinFacts:
    """The counts of a whole join.

    ``first`` and ``last`` are the earliest and latest label time (microseconds), None without labels; ``columns`` are
    the result's. ``keys`` are those of each feature, in their order. ``as_of_run`` is the last run whose rows could
    answer. ``on_own_event`` counts the labels that got a value dated at their very time, None where the question
    excludes such values; ``splits`` counts the labels of each part. ``warnings`` are about the labels.
    """

    labels: int
    first: int | None
    last: int | None
    columns: tuple[str, ...]
    keys: tuple[LabelKeys, ...]
    features: tuple[JoinedFeature, ...]
    as_of_run: int
    warnings: tuple[str, ...]
    on_own_event: int | None = None
    splits: Mapping[str, int] | None = None

    @property
    def entity_type(self) -> EntityType | None:
        """The entity type of all features, None where they are of several."""
        types = {keys.entity_type for keys in self.keys}
        return self.keys[0].entity_type if len(types) == 1 else None

    def share(self, feature: JoinedFeature) -> float:
        """The share of labels, 0 to 1, that get a value."""
        return (self.labels - feature.nulls) / self.labels if self.labels else 0.0

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Those about the labels, then those about each feature."""
        return (*self.warnings, *(warning for feature in self.features for warning in feature.warnings))


def add_batch(facts: JoinFacts, batch: JoinFacts) -> JoinFacts:
    """The facts of the batches so far and of one more."""
    features = (
        replace(
            one,
            rows_scanned=one.rows_scanned + other.rows_scanned,
            matched=one.matched + other.matched,
            nulls=one.nulls + other.nulls,
            ages=one.ages.add(other.ages),
            beyond_horizon=None if one.beyond_horizon is None else one.beyond_horizon + (other.beyond_horizon or 0),
        )
        for one, other in zip(facts.features, batch.features, strict=True)
    )
    return replace(
        facts,
        labels=facts.labels + batch.labels,
        first=min((at for at in (facts.first, batch.first) if at is not None), default=None),
        last=max((at for at in (facts.last, batch.last) if at is not None), default=None),
        features=tuple(features),
        on_own_event=None if facts.on_own_event is None else facts.on_own_event + (batch.on_own_event or 0),
        splits=None if facts.splits is None else _sum(facts.splits, batch.splits or {}),
        warnings=tuple(dict.fromkeys((*facts.warnings, *batch.warnings))),
    )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    return {name: count + other.get(name, 0) for name, count in one.items()}
