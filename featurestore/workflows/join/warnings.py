"""What a join warns of: labels in another zone than the source's, and features that no label has a value of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from unicodedata import normalize

import polars as pl

from featurestore.config import Project
from featurestore.errors import FeatureStoreError
from featurestore.evaluation.scope import declared_scope
from featurestore.model import Feature, Source, StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.tables.lookalikes import find_pair
from featurestore.times import is_utc
from featurestore.versioning.folder import files
from featurestore.versioning.folder.versionfile import read_version
from featurestore.workflows.join.entities import LabelKeys, unused_roles
from featurestore.workflows.join.facts import JoinedFeature, JoinFacts, KnownBy
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature

MANY_ON_OWN_EVENT = 0.01  # of the labels
MOST_ROWS = 2_000_000  # of a history that is looked through for ids like those of the labels


def zone_warnings(project: Project, features: Sequence[ResolvedFeature], table: str, column: str) -> tuple[str, ...]:
    """For labels without a zone: each zone but UTC that the features' sources have their own local times in."""
    zones: dict[str, str] = {}
    if any(not is_utc(source.timezone) for source in project.sources.values()):
        for feature in features:
            for source in _sources_of(project, feature.version):
                if source.timezone is not None and not is_utc(source.timezone):
                    zones.setdefault(source.timezone, f"{feature.column_name} comes from {source.name}")
    return tuple(
        f"{table}, column {column!r}: times without a zone were taken as UTC, but {where}, whose local times are those "
        f"of {zone}; if the labels' are too, say --timezone {zone}, else --timezone UTC"
        for zone, where in zones.items()
    )


def with_warnings(
    project: Project,
    store: OfflineStore,
    question: JoinQuestion,
    facts: JoinFacts,
    keys: Mapping[LabelKeys, pl.DataFrame],
) -> JoinFacts:
    """The facts with what to say of all labels, of each feature that no label has a value of, or that is gone.

    ``keys`` are those of some labels.
    """
    features = []
    for asked, feature, own in zip(question.features, facts.features, facts.keys, strict=True):
        warnings = [] if asked.note is None else [asked.note]
        warnings += known_warnings(project, question, feature.column_name, feature.version, feature.known_by)
        if feature.beyond_horizon:
            warnings.append(
                f"{feature.column_name}: {feature.beyond_horizon:,} of {facts.labels:,} labels lie beyond the last "
                f"step that is known; featurestore ingest {feature.version.id.feature} makes it known"
            )
        if facts.labels and not feature.matched:
            warnings.append(_no_match(project, store, question, feature, keys[own]))
        features.append(replace(feature, warnings=tuple(warnings), scope=_scope_of(project, store, feature.version)))
    return replace(facts, features=tuple(features), warnings=(*facts.warnings, *_label_warnings(question, facts)))


def known_warnings(
    project: Project, question: JoinQuestion, column_name: str, version: StoredVersion, known_by: KnownBy
) -> list[str]:
    """For ``--known``: a feature that goes by the times of its runs, although its source says when rows were known."""
    sources = _sources_of(project, version) if question.known and known_by == "run" else ()
    own = ", ".join(f"{each.known_at} of its source {each.name}" for each in sources if each.known_at is not None)
    if not own:
        return []
    return [f'{column_name}: --known goes by the times of its runs; {own} is for values of one row each, scope="row"']


def _label_warnings(question: JoinQuestion, facts: JoinFacts) -> Iterator[str]:
    for name in unused_roles(question):
        yield f"no feature is asked for of {name}, whose columns --entity names"
    own = facts.on_own_event
    if own and own > MANY_ON_OWN_EVENT * facts.labels:
        yield (
            f"{own:,} of {facts.labels:,} labels got a value that is dated at their very time, which may not be there "
            "yet when a model is asked: --before leaves such values out"
        )
    for name, count in (facts.splits or {}).items():
        if facts.labels and not count:
            yield f"no label falls into the split {name}"


def _no_match(
    project: Project, store: OfflineStore, question: JoinQuestion, feature: JoinedFeature, keys: pl.DataFrame
) -> str:
    name = feature.column_name
    if feature.empty:
        return f"{name} has no values yet: no run has written one"
    found = f"no label has a value of {name}"
    pair = _find_lookalikes(store, feature.version, keys)
    if pair is not None:
        same_form = normalize("NFC", pair[0]) == normalize("NFC", pair[1])  # which look the same on a screen
        mine, theirs = (ascii(each) if same_form else repr(each) for each in pair)
        return f"{found}: the labels have the id {mine} where the history has {theirs}"
    sources = _sources_of(project, feature.version)
    if sources and all(source.event_time is None and source.valid is None for source in sources):
        names = ", ".join(source.name for source in sources)
        return (
            f"{found}: its source {names} has no event_time, so that its values count from the run on that learned "
            "them; labels from before that get none"
        )
    options = {
        "--known": question.known,
        "--as-of": question.as_of is not None,
        "--lag": question.lag > 1,
        "max_age": feature.max_age is not None,
    }
    used = ", ".join(name for name, given in options.items() if given)
    also = f", and whether {used} excludes too much" if used else ""
    return f"{found}: check that keys and times are of the same kind{also}"


def _find_lookalikes(store: OfflineStore, version: StoredVersion, keys: pl.DataFrame) -> tuple[str, str] | None:
    """An id of the labels and one of the history that a person would take for the same; None where ids are equal."""
    texts = [key.name for key in version.entity_type.keys if key.type == "string"]
    with store.reading():
        mark = store.mark(version)
        if not texts or mark is None or mark.rows > MOST_ROWS or store.scan(version, entities=keys).height:
            return None
        held = store.scan(version)
    pairs = (find_pair(keys[name].drop_nulls(), held[name]) for name in texts)
    return next((pair for pair in pairs if pair is not None), None)


def _scope_of(project: Project, store: OfflineStore, version: StoredVersion) -> str | None:
    """The scope that a version declares, else the one that a run found; None where neither is known."""
    feature = _feature_of(project, version)
    scope = (None if feature is None else declared_scope(feature)) or store.scope(version.id)
    return None if scope is None else scope.kind


def _sources_of(project: Project, version: StoredVersion) -> tuple[Source, ...]:
    """The sources that a version declares, as its file has them; none where the file can't be read."""
    feature = _feature_of(project, version)
    return () if feature is None else feature.reads


def _feature_of(project: Project, version: StoredVersion) -> Feature | None:
    try:
        return read_version(files.resolve(project.versions, version.id.feature, version.id.sha256).path).feature
    except (FeatureStoreError, OSError):
        return None
