"""Reading what is online: the pointers are cached, and read again only when their generation has changed.

Standard library only, since this is what a serving process imports. The threads of a process may share a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat

from featurestore.errors import StoreError, UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import EntityType
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore
from featurestore.online.format import OnlineValue
from featurestore.online.tables import Pointer, Pointers
from featurestore.serving.decoding import FeatureField, ServedValue, decode, decode_column, decode_values
from featurestore.serving.online_tables import OnlineTables

ATTEMPTS = 8
LOOKUPS = 1_000  # cached; callers choose the order of features, and there are very many orders


@frozen
class Lookup:
    """The features that a question asks for, with their fields side by side."""

    features: tuple[FeatureField, ...]
    fields: tuple[int, ...]


@frozen
class _Cache:
    """The pointers of one generation, and the lookups made from them."""

    pointers: Pointers
    lookups: dict[tuple[str, tuple[str, ...] | None], Lookup]


def as_synced(_pointers: Pointers) -> Mapping[str, int | None]:
    """No age limits but those that the last sync wrote."""
    return {}


class Reader:
    """Reads the entities of one project from one online store. ``lookups`` bounds what is cached.

    ``max_ages`` gives, for pointers that were just read, the age limits (µs) that hold now of some features; those of
    the others are as the last sync wrote them.
    """

    def __init__(
        self,
        project: str,
        store: OnlineStore,
        *,
        lookups: int = LOOKUPS,
        max_ages: Callable[[Pointers], Mapping[str, int | None]] = as_synced,
    ) -> None:
        self._project = project
        self._store = store
        self._most_lookups = lookups
        self._max_ages = max_ages
        self._cache = _Cache(Pointers("", {}), {})  # threads share it, so it is replaced as a whole

    def read(
        self,
        entity_type: EntityType,
        entities: Sequence[Mapping[str, str | int]],
        features: Sequence[str] | None,
        now: int,
    ) -> list[list[ServedValue]]:
        """The features of each entity, in the order asked; all features of the type when none are named.

        ``features`` are references to versions that are online: ``name``, ``name@2`` or ``name@1f2e3d``. ``now`` (µs)
        decides what has expired. Raises UsageError for a feature that is not online, StoreError.
        """
        lookup, rows = self._fetch(entity_type, entities, features)
        if len(rows) == 1:
            return [[decode(item, packed, now) for item, packed in zip(lookup.features, rows[0], strict=True)]]
        columns = [decode_column(*each, now) for each in zip(lookup.features, zip(*rows, strict=True), strict=False)]
        return [list(row) for row in zip(*columns, strict=True)] or [[] for _ in rows]

    def values(
        self,
        entity_type: EntityType,
        entities: Sequence[Mapping[str, str | int]],
        features: Sequence[str] | None,
        now: int,
    ) -> list[dict[str, OnlineValue]]:
        """The bare values of `read`, by reference: None for what is null, missing or expired."""
        lookup, rows = self._fetch(entity_type, entities, features)
        names = [item.reference for item in lookup.features]
        columns = [decode_values(*each, now) for each in zip(lookup.features, zip(*rows, strict=True), strict=False)]
        pairs = map(zip, repeat(names), zip(*columns, strict=True))  # not a loop in Python: it would take twice as long
        return list(map(dict, pairs)) or [{} for _ in rows]

    def pointers(self) -> Pointers:
        """What is served, as it was when anything was last read. Raises StoreError."""
        return self._cache.pointers if self._cache.pointers.generation else self._refresh().pointers

    def _fetch(
        self, entity_type: EntityType, entities: Sequence[Mapping[str, str | int]], features: Sequence[str] | None
    ) -> tuple[Lookup, list[list[bytes | None]]]:
        """The lookup for a question and its packed values, both of one generation of the pointers."""
        keys = layout.entity_keys(self._project, entity_type, entities)
        question = (entity_type.name, None if features is None else tuple(features))
        cache = self._cache
        for attempt in range(ATTEMPTS):
            lookup = cache.lookups.get(question)
            if lookup is None:
                try:
                    # By the pointers as they were: that they have changed since is seen from the store's answer.
                    lookup = look_up(cache.pointers, *question)
                except UsageError:
                    if attempt:
                        raise
                    cache = self._refresh()  # a feature may have come online since
                    lookup = look_up(cache.pointers, *question)
                if len(cache.lookups) >= self._most_lookups:
                    cache.lookups.clear()
                cache.lookups[question] = lookup
            generation, rows = self._store.fetch(keys, lookup.fields)
            if generation == cache.pointers.generation:
                return lookup, rows
            cache = self._refresh()
        raise StoreError("the online store's active versions keep changing", hint="try again")

    def _refresh(self) -> _Cache:
        pointers = OnlineTables(self._store).pointers()
        limits = self._max_ages(pointers)
        features = {
            name: replace(pointer, max_age=limits.get(name, pointer.max_age))
            for name, pointer in pointers.features.items()
        }
        self._cache = cache = _Cache(Pointers(pointers.generation, features), {})
        return cache


class NotOnlineError(UsageError):
    """A feature is asked for that is not served; ``online`` are those of the entity type that are."""

    def __init__(self, feature: str, entity_type: str, online: tuple[str, ...]) -> None:
        hint = did_you_mean(feature, online) or "run featurestore sync"
        super().__init__(f"no feature {feature!r} of {entity_type} is online", hint=hint)
        self.feature, self.online = feature, online


def look_up(pointers: Pointers, entity_type: str, references: Sequence[str] | None) -> Lookup:
    """The fields of these references; of all features of the type where it is None. Raises UsageError."""
    of_type = {name: pointer for name, pointer in pointers.features.items() if pointer.entity_type == entity_type}
    if references is None:
        references = sorted(of_type)
    features = tuple(_field_of(of_type, entity_type, reference) for reference in references)
    return Lookup(features, tuple(item.field for item in features))


def _field_of(pointers: Mapping[str, Pointer], entity_type: str, reference: str) -> FeatureField:
    name, at, version = reference.partition("@")
    pointer = pointers.get(name)
    if pointer is None:
        raise NotOnlineError(name, entity_type, tuple(pointers))
    if not at or _matches(version, pointer.number, pointer.sha256):
        kind = pointer.data_type.kind
        return FeatureField(
            reference, pointer.field, kind, pointer.number, pointer.sha256, pointer.max_age, pointer.horizon
        )
    for before in pointer.others:
        if _matches(version, before.number, before.sha256):
            kind = before.data_type.kind
            return FeatureField(
                reference, before.field, kind, before.number, before.sha256, pointer.max_age, before.horizon
            )
    online = " and ".join(f"{name}@{number}" for number in (pointer.number, *(item.number for item in pointer.others)))
    raise UsageError(f"{reference} is not online", hint=f"online: {online}; others are read by featurestore history")


def _matches(version: str, number: int, sha256: str) -> bool:
    return version == str(number) or (len(version) >= 6 and sha256.startswith(version))
