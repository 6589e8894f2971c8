"""Entities of other types that have an erased one's id among their keys: they are others, and are said."""

from __future__ import annotations

import polars as pl

from featurestore.model import EntityType
from featurestore.offline.contract import History
from featurestore.point_in_time.entities import Entity, format_entity

_MOST_SHOWN = 3


def find_namesakes(offline: History, entity_type: EntityType, entity: Entity) -> tuple[str, ...]:
    """A line for each entity type that has such entities, with the commands that erase them."""
    found: dict[str, tuple[EntityType, set[tuple[str | int, ...]]]] = {}
    names = entity_type.key_names
    is_it = pl.all_horizontal(pl.col(name).cast(pl.String) == str(entity[name]) for name in names)
    with offline.reading():
        for version in offline.versions():
            other = version.entity_type
            if other.name == entity_type.name or not {*names} < {*other.key_names}:
                continue
            ids = found.setdefault(other.name, (other, set()))[1]
            for batch in offline.batches(version):
                ids.update(batch.select(other.key_names).filter(is_it).unique().rows())
    return tuple(_line(other, ids, entity_type, entity) for other, ids in found.values() if ids)


def _line(other: EntityType, ids: set[tuple[str | int, ...]], entity_type: EntityType, entity: Entity) -> str:
    shown = sorted(format_entity(other, dict(zip(other.key_names, each, strict=True))) for each in ids)
    commands = " && ".join(f"featurestore delete {other.name} '{each}' --erase" for each in shown[:_MOST_SHOWN])
    more = f" and so on, {len(shown)} in all" if len(shown) > _MOST_SHOWN else ""
    name = f"{entity_type.name} {format_entity(entity_type, entity)}"
    return f"{other.name} has entities with the keys of {name}, which are left: {commands}{more}"
