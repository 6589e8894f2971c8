"""What a join is asked: which features, which columns of the labels, and which values count. Labels come beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.model import EntityType, StoredVersion
from featurestore.offline.contract import CommittedRun, OfflineStore
from featurestore.point_in_time.labels import ENTITY_ID
from featurestore.workflows.feature_sets import expand_sets
from featurestore.workflows.references import resolve


@dataclass(frozen=True, slots=True)
class ResolvedFeature:
    """A column of the result, named after the reference as typed, and the version that answers it.

    ``note`` is what to say of a feature that is not declared any more.
    """

    column_name: str
    version: StoredVersion
    note: str | None = None


@dataclass(frozen=True, slots=True)
class EntityColumns:
    """Which columns of the labels hold the entity's keys.

    ``type`` names the entity type that the features must be of; None accepts theirs. ``columns`` names one column per
    key, in the order of the keys; without it the columns are called like the keys.
    """

    type: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JoinQuestion:
    """A question that any labels can be joined by. Instants and durations are microseconds.

    ``features`` come from `resolve_features`; ``timestamp_column`` is the labels' column of times. ``known`` asks that
    a value was learned by the label's time. ``as_of`` answers as the store was then, ``last_run`` as it was after that
    run. ``max_age`` replaces each feature's own. ``timezone`` is that of label times without one.
    """

    features: Sequence[ResolvedFeature]
    timestamp_column: str
    entity: EntityColumns = EntityColumns()
    known: bool = False
    as_of: int | None = None
    max_age: int | None = None
    last_run: int | None = None
    timezone: str | None = None

    def max_age_of(self, version: StoredVersion) -> int | None:
        """The age limit that holds for a version."""
        return version.max_age if self.max_age is None else self.max_age

    def counts(self, run: CommittedRun) -> bool:
        """Whether the rows of a run may answer."""
        in_time = self.as_of is None or run.learned_at <= self.as_of
        return in_time and (self.last_run is None or run.run_seq <= self.last_run)


def resolve_features(project: Project, store: OfflineStore, references: Iterable[str]) -> tuple[ResolvedFeature, ...]:
    """The features that references name: ``name``, ``name@2``, ``name@1f2e3d`` or a set of features, ``@set``.

    Raises UsageError for a name that does not exist or has no history, VersionFileError.
    """
    expanded = expand_sets(project, references)
    return tuple(ResolvedFeature(item.text, item.version, item.note) for item in resolve(project, store, expanded))


def check_columns(question: JoinQuestion, label_columns: Sequence[str], labels_name: str) -> None:
    """Raises UsageError where two columns of the result would have one name, or where no feature is named."""
    if not question.features:
        raise UsageError("no feature is named", hint="name some with -f NAME[,NAME...]")
    names = set(label_columns)
    for feature in question.features:
        name = feature.column_name
        if name in label_columns:
            raise UsageError(
                f"the labels already have a column {name!r}",
                where=labels_name,
                hint=f"rename that column, or ask for {name}@{feature.version.number}",
            )
        if name in names:
            raise UsageError(f"{name} is asked for twice", hint="name it once")
        names.add(name)


def key_columns(question: JoinQuestion, entity_type: EntityType) -> tuple[str, ...]:
    """The labels' columns that may hold the entity's text ids."""
    if question.entity.columns:
        pairs = zip(question.entity.columns, entity_type.keys, strict=False)
        return tuple(column for column, key in pairs if key.type == "string")
    texts = tuple(key.name for key in entity_type.keys if key.type == "string")
    return (*texts, ENTITY_ID) if texts and not entity_type.composite else texts


def entity_type_of(project: Project, question: JoinQuestion) -> EntityType:
    """The entity type that all features of the question have. Raises UsageError where they have several."""
    name = question.entity.type
    if name is not None and name not in project.entity_types:
        raise UsageError(f"no entity type {name!r}", hint=did_you_mean(name, project.entity_types))
    wanted = question.features[0].version.entity_type if name is None else project.entity_types[name]
    if any(feature.version.entity_type != wanted for feature in question.features):
        types = ", ".join(f"{feature.column_name} of {_signature(feature)}" for feature in question.features)
        raise UsageError(
            f"a join takes features of one entity type{f', {name}' if name else ''}; these are {types}",
            hint="join each entity type separately, one after the other",
        )
    return wanted


def _signature(feature: ResolvedFeature) -> str:
    entity_type = feature.version.entity_type
    return f"{entity_type.name} ({', '.join(f'{key.name} {key.type}' for key in entity_type.keys)})"
