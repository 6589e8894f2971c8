"""What a join reports about itself: counts of labels, rows and values, and warnings. Not the table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from featurestore.model import EntityType, StoredVersion


@dataclass(frozen=True, slots=True)
class JoinedFeature:
    """The counts of one feature.

    ``rows_scanned`` counts the history rows of the labels' entities, ``matched`` the labels that a row answers, and
    ``nulls`` the labels without a value: those that no row answers, and those answered by a stored null. ``empty`` says
    that the version has no row at all.
    """

    column_name: str
    version: StoredVersion
    rows_scanned: int
    matched: int
    nulls: int
    max_age: int | None
    empty: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JoinFacts:
    """The counts of a whole join.

    ``first`` and ``last`` are the earliest and latest label time (microseconds), None without labels; ``columns`` are
    the result's. ``as_of_run`` is the last run whose rows could answer; ``warnings`` are about the labels.
    """

    labels: int
    first: int | None
    last: int | None
    columns: tuple[str, ...]
    entity_type: EntityType
    features: tuple[JoinedFeature, ...]
    as_of_run: int
    warnings: tuple[str, ...]

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
        )
        for one, other in zip(facts.features, batch.features, strict=True)
    )
    return replace(
        facts,
        labels=facts.labels + batch.labels,
        first=min((at for at in (facts.first, batch.first) if at is not None), default=None),
        last=max((at for at in (facts.last, batch.last) if at is not None), default=None),
        features=tuple(features),
        warnings=tuple(dict.fromkeys((*facts.warnings, *batch.warnings))),
    )
