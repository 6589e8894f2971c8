"""What is served online for some entities. Imports neither Polars nor DuckDB: it answers in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.model import EntityType
from featurestore.online.contract import OnlineStore
from featurestore.serving.reader import Reader
from featurestore.serving.served import Served


@dataclass(frozen=True, slots=True)
class EntityValues:
    """One entity's keys by name, and what is served of it, in the order asked."""

    keys: Mapping[str, str | int]
    features: tuple[Served, ...]


@dataclass(frozen=True, slots=True)
class GetResult:
    """What is served online, one item for each entity asked."""

    entity_type: EntityType
    entities: tuple[EntityValues, ...]


def get(
    project: Project,
    online: OnlineStore,
    entity_type: str,
    entities: Sequence[Mapping[str, str | int]],
    features: Sequence[str] | None = None,
    *,
    now: int,
) -> GetResult:
    """The online values of some entities: of the features named (``name``, ``name@2``), or of all of the type.

    ``entities`` are key columns by name. ``now`` (µs) decides what is expired. Raises UsageError for an entity
    type or a feature that isn't there, StoreError where the store fails.
    """
    found = find_entity_type(project, entity_type)
    rows = Reader(project.name, online).read(found, entities, features, now)
    return GetResult(found, tuple(EntityValues(keys, tuple(row)) for keys, row in zip(entities, rows, strict=True)))


def find_entity_type(project: Project, name: str) -> EntityType:
    """The project's entity type of that name. Raises UsageError with the nearest one."""
    if name not in project.entity_types:
        raise UsageError(f"no entity type {name!r}", hint=did_you_mean(name, project.entity_types))
    return project.entity_types[name]
