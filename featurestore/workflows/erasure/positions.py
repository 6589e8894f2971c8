"""Where versions stand in their sources, without an entity: what was due of it, and files that were called after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from featurestore.frozen import frozen
from featurestore.model import EntityType
from featurestore.offline.contract import OfflineStore, Position, RunTransaction
from featurestore.offline.naming import naming
from featurestore.point_in_time.entities import Entity

FORMER = "a file called after an erased entity"


@frozen
class PositionErasure:
    """Positions that tell of an entity, each without it, and the new names of files, by source and name."""

    positions: tuple[Position, ...] = ()
    names: tuple[tuple[str, str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.positions)

    def store(self, run: RunTransaction) -> None:
        """Raises StoreError."""
        for position in self.positions:
            run.replace_position(position)
        for source, old, new in self.names:
            run.rename_file(source, old, new)


def positions_without(
    offline: OfflineStore, entity_type: EntityType, entity: Entity, there: Callable[[str], Collection[str] | None]
) -> PositionErasure:
    """Looks through all positions. Stores nothing.

    ``there`` gives the files that a source has now, None where that is not known. Such a file keeps its name, by which
    the next run tells that it has changed; of one that is gone only the content counts.
    """
    keys = [entity[name] for name in entity_type.key_names]
    names = naming(keys)
    changed: list[Position] = []
    renamed: dict[tuple[str, str], str] = {}
    with offline.reading():
        own = {version.id for version in offline.versions() if version.entity_type == entity_type}
        for position in offline.positions_with(str(keys[0])):
            cursor, here = position.cursor, there(position.source)
            if not isinstance(cursor, dict) or not isinstance(cursor.get("files"), dict):
                continue
            files: dict[str, str] = cursor["files"]
            gone = [name for name in files if here is not None and name not in here and names(name)]
            for name in gone:
                renamed.setdefault((position.source, name), _free(FORMER, {*files, *renamed.values()}))
            less = {**cursor, "files": {renamed.get((position.source, name), name): files[name] for name in files}}
            if position.version in own:
                less = _without_due(less, keys)
            if less != cursor:
                changed.append(replace(position, cursor=less))
    return PositionErasure(tuple(changed), tuple((source, old, new) for (source, old), new in renamed.items()))


def _without_due(cursor: dict[str, Any], keys: Sequence[str | int]) -> dict[str, Any]:
    taken = cursor.get("taken")
    if not isinstance(taken, dict) or not taken.get("due"):
        return cursor
    due = [pair for pair in taken["due"] if pair[: len(keys)] != list(keys)]
    return {**cursor, "taken": {**taken, "due": due}}


def _free(name: str, others: Collection[str]) -> str:
    """The name, with a number where others have it."""
    numbered = (name if number == 1 else f"{name} ({number})" for number in count(1))
    return next(each for each in numbered if each not in others)
