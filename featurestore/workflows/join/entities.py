"""Whose features the labels get: which of their columns hold the keys of each entity type, or of a role of it.

Two entities of a label may be of one type: the payer and the payee of a payment are both customers. Each is a *role*,
with columns of its own, and its features are asked for as ``ROLE.NAME``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME, EntityType
from featurestore.point_in_time.labels import find_key_columns
from featurestore.workflows.feature_sets import roles_of_sets
from featurestore.workflows.join.question import EntityColumns, JoinQuestion, ResolvedFeature


@frozen
class LabelKeys:
    """The keys of an entity type, or of a role of it, in the labels: one column per key, in the order of the keys.

    ``by_name`` says that the columns were not named, but are called like the keys.
    """

    entity_type: EntityType
    role: str | None
    columns: tuple[str, ...]
    by_name: bool = False

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.role or self.entity_type.name


def parse_entity_columns(text: str) -> EntityColumns:
    """Reads ``TYPE=COLUMN[,COLUMN…]`` or ``ROLE:TYPE=COLUMN[,COLUMN…]``. Raises UsageError."""
    whose, _, listed = text.partition("=")
    role, colon, entity_type = whose.rpartition(":")
    columns = tuple(column.strip() for column in listed.split(","))
    names = [role, entity_type] if colon else [entity_type]
    if not all(columns) or not all(FEATURE_NAME.fullmatch(name) for name in names):
        raise UsageError(
            f"--entity {text!r} does not say which columns hold the keys",
            hint="for example --entity customer=buyer_id; for one of two customers, --entity payer:customer=from_id",
        )
    return EntityColumns(entity_type, columns, role or None)


def resolve_entities(
    project: Project, references: Iterable[str], entities: Iterable[EntityColumns]
) -> tuple[EntityColumns, ...]:
    """The columns as they were named, with the entity types of the roles that the asked feature sets declare.

    So ``payer=from_id`` is enough where a set says that a payer is a customer. Raises UsageError for an entity type
    that does not exist, and where the columns of one are named twice.
    """
    roles = roles_of_sets(project, references)
    resolved: list[EntityColumns] = []
    for given in entities:
        item = given
        if given.role is None and given.type and given.type in {*roles} - {*project.entity_types}:
            item = replace(given, type=roles[given.type], role=given.type)
        if item.type not in project.entity_types:
            hint = did_you_mean(str(item.type), {*project.entity_types, *roles})
            raise UsageError(f"there is no entity type {item.type!r}", hint=hint)
        if item.role is not None and roles.get(item.role, item.type) != item.type:
            raise UsageError(
                f"{item.role} can't be a {item.type}: the feature set says that it is a {roles[item.role]}",
                hint=f"--entity {item.role}:{roles[item.role]}={','.join(item.columns)}",
            )
        if any((item.role or item.type) == (other.role or other.type) for other in resolved if _alike(item, other)):
            raise UsageError(f"--entity names the columns of {item.role or item.type} twice", hint="name them once")
        resolved.append(item)
    return tuple(resolved)


def _alike(one: EntityColumns, other: EntityColumns) -> bool:
    """Whether both name a role, or both an entity type."""
    return (one.role is None) == (other.role is None)


def label_keys(
    project: Project, question: JoinQuestion, label_columns: Sequence[str], labels_name: str = "labels"
) -> tuple[LabelKeys, ...]:
    """The keys in the labels for each feature of the question, in their order: equal ones are searched together.

    Raises UsageError where a feature's entity type has no columns, only roles or another role, and where two entity
    types would take the same column by its name alone.
    """
    one_type = _one_type(project, question)
    keys = tuple(_keys_of(question, feature, label_columns, labels_name, one_type) for feature in question.features)
    for one, other in combinations(dict.fromkeys(keys), 2):
        shared = [column for column in one.columns if column in other.columns]
        if shared and (one.by_name or other.by_name) and one.entity_type != other.entity_type:
            first, second = (f"--entity {item.title}={','.join(item.columns)}" for item in (one, other))
            raise UsageError(
                f"{one.title} and {other.title} would both take their keys from the column {shared[0]!r}",
                where=labels_name,
                hint=f"say which columns hold the keys of each; if they do share it: {first} {second}",
            )
    return keys


def unused_roles(question: JoinQuestion) -> tuple[str, ...]:
    """The roles and entity types whose columns are named, and of which no feature is asked for."""
    asked = {(feature.role, feature.version.entity_type.name) for feature in question.features}
    return tuple(item.role or str(item.type) for item in question.entities if (item.role, item.type) not in asked)


def _one_type(project: Project, question: JoinQuestion) -> EntityType | None:
    """The entity type of all features, where the question says that they have one. Raises UsageError where not.

    Two definitions of one entity type are refused too: the keys of one would be looked up as those of the other.
    """
    types = dict.fromkeys(feature.version.entity_type for feature in question.features)
    name, columns = question.entity.type, question.entity.columns
    if name is not None and name not in project.entity_types:
        raise UsageError(f"there is no entity type {name!r}", hint=did_you_mean(name, project.entity_types))
    if name is None and not columns:
        if len({each.name for each in types}) == len(types):
            return None
    elif question.entities:
        raise UsageError("--entity can't be combined with --entity-type or --entity-column", hint="use --entity alone")
    elif set(types) == ({project.entity_types[name]} if name else set(list(types)[:1])):
        return next(iter(types))
    shown = ", ".join(f"{feature.column_name} of {_signature(feature)}" for feature in question.features)
    of_one = f"features of one entity type, {name}" if name else "features of one entity type"
    raise UsageError(
        f"the question is about {of_one}; these are {shown}",
        hint="for several entity types, say which columns hold the keys of each: --entity TYPE=COLUMN",
    )


def _keys_of(
    question: JoinQuestion,
    feature: ResolvedFeature,
    label_columns: Sequence[str],
    labels_name: str,
    one_type: EntityType | None,
) -> LabelKeys:
    entity_type, role = feature.version.entity_type, feature.role
    named = question.entity.columns if one_type else ()
    roles: Mapping[str | None, EntityColumns] = {item.role: item for item in question.entities if item.role}
    if role is not None:
        named = _columns_of_role(feature, roles)
    else:
        plain = [item for item in question.entities if item.role is None and item.type == entity_type.name]
        own = [item.role for item in roles.values() if item.type == entity_type.name]
        if own and not plain:
            raise UsageError(
                f"{feature.column_name} is of {entity_type.name}, and the labels have only roles of it: "
                f"{', '.join(map(str, own))}",
                hint=f"say whose it is: -f {own[0]}.{feature.column_name}, or give --entity {entity_type.name}=COLUMN",
            )
        named = plain[0].columns if plain else named
    columns = find_key_columns(label_columns, entity_type, named, role=role, name=labels_name)
    return LabelKeys(entity_type, role, columns, by_name=not named)


def _columns_of_role(feature: ResolvedFeature, roles: Mapping[str | None, EntityColumns]) -> tuple[str, ...]:
    entity_type, role = feature.version.entity_type, feature.role
    if role not in roles:
        given = did_you_mean(str(role), [str(name) for name in roles])
        raise UsageError(
            f"{feature.column_name}: no columns are named for the role {role}",
            hint=given or f"say which hold its keys: --entity {role}:{entity_type.name}=COLUMN",
        )
    if roles[role].type != entity_type.name:
        raise UsageError(
            f"{feature.column_name}: {role} is a {roles[role].type}, and {feature.version.id.feature} a feature of "
            f"{entity_type.name}",
            hint=f"ask for a feature of {roles[role].type}, or name columns for a {entity_type.name}",
        )
    return roles[role].columns


def _signature(feature: ResolvedFeature) -> str:
    entity_type = feature.version.entity_type
    return f"{entity_type.name} ({', '.join(f'{key.name} {key.type}' for key in entity_type.keys)})"
