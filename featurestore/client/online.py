"""Online values, for serving processes: neither Polars nor DuckDB is imported by one that only serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from featurestore import times
from featurestore.client import options
from featurestore.client.options import names
from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.model import EntityType
from featurestore.online.format import OnlineValue
from featurestore.online.open import open_online
from featurestore.online.tables import Pointers
from featurestore.point_in_time.entities import EntityId, entity_keys
from featurestore.serving.decoding import ServedValue
from featurestore.serving.reader import Reader
from featurestore.workflows.get import find_entity_type, max_ages
from featurestore.workflows.lives import Lives, read_lives
from featurestore.workflows.request_reader import RequestReader, given_request

Request = Mapping[str, object] | Sequence[Mapping[str, object]]
"""The fields of a request by name: for all entities, or for each."""


class OnlineReader:
    """Reads online values: any number of entities and features in one round trip (per shard).

    Threads may share it; call `close` when none of them is reading.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._store = open_online(project)
        self._reader = Reader(project.name, self._store, max_ages=self._max_ages)
        self._requests = RequestReader(project, self._reader)
        self._lives: tuple[str, Lives] | None = None

    def get(
        self,
        entity_type: str,
        entities: Sequence[EntityId],
        features: Sequence[str] | None = None,
        *,
        request: Request | None = None,
        now: int | None = None,
    ) -> list[dict[str, ServedValue]]:
        """What is served of each entity, in order: value, time, version and status by feature.

        An entity is its id as typed on the command line, or its key columns by name. ``features`` are names, or
        ``name@2`` for a version that is online; all features of the entity type by default. Both are lists, also where
        they have one item: a text in place of a list is an error. ``request`` has the fields that request-time features
        take, by name: one mapping for all entities, or a list of one for each. ``now`` (microseconds since 1970 UTC;
        the clock by default) decides what has expired, and is the time of the request. Raises UsageError for an entity
        or a feature that does not exist and for a request that does not fit, FeatureError where a feature can't be
        computed, StoreError where the online store fails.
        """
        question, asked = self._question(entity_type, entities), _asked(features)
        clock = times.now() if now is None else now
        if request is None and not self._computes(asked):
            rows = self._reader.read(*question, asked, clock)
        else:
            given = given_request(request, len(entities))
            answer = self._requests.read(self._declared(), *question, asked, clock, given)
            rows = answer.rows
            options.warn(answer.warnings)
        return [{item.name: item for item in row} for row in rows]

    def values(
        self,
        entity_type: str,
        entities: Sequence[EntityId],
        features: Sequence[str] | None = None,
        *,
        request: Request | None = None,
        now: int | None = None,
    ) -> list[dict[str, OnlineValue]]:
        """The bare values of `get`: None for what is null, missing or expired."""
        if request is not None or self._computes(_asked(features)):
            rows = self.get(entity_type, entities, features, request=request, now=now)
            return [{name: served.value for name, served in row.items()} for row in rows]
        question = self._question(entity_type, entities)
        return self._reader.values(*question, _asked(features), times.now() if now is None else now)

    def keys(self, entity_type: str, entity: EntityId) -> Mapping[str, str | int]:
        """An entity's key columns by name. Raises UsageError for what is no id of that entity type."""
        return entity_keys(find_entity_type(self._project, entity_type), entity)

    def _computes(self, features: Sequence[str] | None) -> bool:
        return features is not None and self._requests.computes(self._declared(), features)

    def _declared(self) -> Lives:
        """The declarations as they were when the pointers were read: a sync, or a new reader, sees later ones."""
        generation = self._reader.pointers().generation
        if self._lives is None or self._lives[0] != generation:
            self._lives = generation, read_lives(self._project)
        return self._lives[1]

    def _max_ages(self, pointers: Pointers) -> Mapping[str, int | None]:
        """As declared when the pointers were read: a sync that changes any is followed by reading both again."""
        return max_ages(read_lives(self._project), pointers)

    def _question(
        self, entity_type: str, entities: Sequence[EntityId]
    ) -> tuple[EntityType, list[Mapping[str, str | int]]]:
        parsed = find_entity_type(self._project, entity_type)
        if isinstance(entities, str | bytes | Mapping | int):  # of a text each letter would be an entity
            raise UsageError(f"entities is a list of ids, not {entities!r}", hint=f"write [{entities!r}]")
        return parsed, [entity_keys(parsed, entity) for entity in entities]

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> OnlineReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _asked(features: Sequence[str] | None) -> Sequence[str] | None:
    return None if features is None else names("features", features)
