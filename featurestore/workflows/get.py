"""``get``: what is served online for some entities. Without Polars and DuckDB, so that it answers in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from featurestore import times
from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.model import EntityType
from featurestore.offline.erasing import unfinished_erasure
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from featurestore.online.tables import Pointers
from featurestore.point_in_time.entities import parse_entity
from featurestore.serving.decoding import ServedValue
from featurestore.serving.reader import NotOnlineError, Reader
from featurestore.workflows.feature_sets import expand_sets, parse_asked
from featurestore.workflows.lives import Lives, read_lives


@dataclass(frozen=True, slots=True)
class EntityValues:
    """One entity's key columns by name, and its features in the order asked."""

    keys: Mapping[str, str | int]
    features: tuple[ServedValue, ...]


@dataclass(frozen=True, slots=True)
class GetResult:
    """What is served online, one item for each entity asked for.

    ``warnings`` are about features that are served though they are not declared any more, and an erasure that is not
    complete: what it erases may still be served.
    """

    entity_type: EntityType
    entities: tuple[EntityValues, ...]
    warnings: tuple[str, ...] = ()


def get_by_id(
    project: Project,
    entity_type: str,
    ids: Sequence[str],
    features: Sequence[str] | None = None,
    *,
    now: int | None = None,
) -> GetResult:
    """Opens the project's online store and runs `get` for ids as typed: ``42``, ``k1=v1,k2=v2`` or JSON.

    ``now`` is the clock by default. Raises UsageError for an id that can't be read, and what `get` raises.
    """
    parsed = find_entity_type(project, entity_type)
    entities = [parse_entity(parsed, text) for text in ids]
    with closing(open_online(project)) as online:
        return get(project, online, entity_type, entities, features, now=times.now() if now is None else now)


def get(
    project: Project,
    online: OnlineStore,
    entity_type: str,
    entities: Sequence[Mapping[str, str | int]],
    features: Sequence[str] | None = None,
    *,
    now: int,
) -> GetResult:
    """The online values of some entities: of the features referred to (``name``, ``name@2``), or of all of the type.

    ``@name`` stands for those of a feature set or model that are of the type.

    ``entities`` are key columns by name. ``now`` (µs since 1970) decides what has expired. Raises UsageError for an
    entity type or a feature that does not exist, StoreError where the store fails.
    """
    parsed = find_entity_type(project, entity_type)
    lives = read_lives(project)
    if features is not None:
        features = without_sets(project, lives, entity_type, features)
    reader = Reader(project.name, online, max_ages=partial(max_ages, lives))
    try:
        rows = reader.read(parsed, entities, features, now)
    except NotOnlineError as exc:
        raise with_declared(exc, lives, entity_type) from exc
    names = (served.name.partition("@")[0] for row in rows for served in row)
    return GetResult(
        parsed,
        tuple(EntityValues(keys, tuple(row)) for keys, row in zip(entities, rows, strict=True)),
        (*lives.notes(names), *unfinished_erasure(project)),
    )


def without_sets(project: Project, lives: Lives, entity_type: str, references: Sequence[str]) -> Sequence[str]:
    """The references, and in place of a set or model those of its features that may be of the entity type."""
    found: list[str] = []
    for text in references:
        asked = [parse_asked(each).reference for each in expand_sets(project, [text])] if text[:1] == "@" else [text]
        for reference in asked:
            declared = lives.declared.get(reference.partition("@")[0])
            if asked == [text] or declared is None or declared.entity_type.name == entity_type:
                found.append(reference)
        if not found:
            raise UsageError(f"{text} has no feature of {entity_type}", hint=f"its features: {', '.join(asked)}")
    return list(dict.fromkeys(found))


def with_declared(exc: NotOnlineError, lives: Lives, entity_type: str) -> UsageError:
    """The error with the way out: another name, where it is neither declared nor known under another spelling."""
    names = {name for name, feature in lives.declared.items() if feature.entity_type.name == entity_type}
    if exc.feature in names or exc.feature in lives.broken:
        return UsageError(exc.message, hint="run featurestore sync")
    return UsageError(exc.message, hint=did_you_mean(exc.feature, {*names, *exc.online}) or exc.hint)


def max_ages(lives: Lives, pointers: Pointers) -> Mapping[str, int | None]:
    """The age limits (µs) as declared now, of the features that are declared here."""
    return {name: lives.declared[name].max_age for name in pointers.features if name in lives.declared}


def find_entity_type(project: Project, name: str) -> EntityType:
    """The project's entity type of that name. Raises UsageError with the nearest name."""
    if name not in project.entity_types:
        raise UsageError(f"no entity type {name!r}", hint=did_you_mean(name, project.entity_types))
    return project.entity_types[name]
