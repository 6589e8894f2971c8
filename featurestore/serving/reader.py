"""Reading what is served: the pointers are kept, and read again only when their generation has moved.

Standard library only, thread-safe: this is what a serving process holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from featurestore.errors import StoreError, UsageError, did_you_mean
from featurestore.model import EntityType
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore
from featurestore.online.format import OnlineValue
from featurestore.online.tables import Pointer, Pointers
from featurestore.serving.directory import Directory
from featurestore.serving.served import Served, Wanted, serve, serve_column, value_column

ATTEMPTS = 8
QUESTIONS = 1_000  # kept resolved: whoever asks chooses the order of features, and there are very many orders


@dataclass(frozen=True, slots=True)
class Resolved:
    """Several of them, with their fields side by side."""

    features: tuple[Wanted, ...]
    fields: tuple[int, ...]


class Reader:
    """Reads entities of one project from one online store."""

    def __init__(self, project: str, store: OnlineStore) -> None:
        self._project = project
        self._store = store
        self._known = _Known(Pointers("", {}), {})

    def read(
        self,
        entity_type: EntityType,
        entities: Sequence[Mapping[str, str | int]],
        features: Sequence[str] | None,
        now: int,
    ) -> list[list[Served]]:
        """The features of each entity, in the order asked; all features of the type when none are named.

        ``features`` are references: ``name``, ``name@2`` or ``name@1f2e3d``, of the versions that are online.
        ``now`` (µs) decides what is expired. Raises UsageError for a feature that isn't online, StoreError.
        """
        wanted, rows = self._ask(entity_type, entities, features)
        if len(rows) == 1:
            return [[serve(item, packed, now) for item, packed in zip(wanted.features, rows[0], strict=True)]]
        columns = [serve_column(*each, now) for each in zip(wanted.features, zip(*rows, strict=True), strict=False)]
        return [list(row) for row in zip(*columns, strict=True)] or [[] for _ in rows]

    def values(
        self,
        entity_type: EntityType,
        entities: Sequence[Mapping[str, str | int]],
        features: Sequence[str] | None,
        now: int,
    ) -> list[dict[str, OnlineValue]]:
        """The bare values of `read`, by reference: None for what is null, missing or expired."""
        wanted, rows = self._ask(entity_type, entities, features)
        names = [item.reference for item in wanted.features]
        columns = [value_column(*each, now) for each in zip(wanted.features, zip(*rows, strict=True), strict=False)]
        pairs = map(zip, repeat(names), zip(*columns, strict=True))  # no loop of Python's: half the time
        return list(map(dict, pairs)) or [{} for _ in rows]

    def _ask(
        self, entity_type: EntityType, entities: Sequence[Mapping[str, str | int]], features: Sequence[str] | None
    ) -> tuple[Resolved, list[list[bytes | None]]]:
        """What a question comes to, and its packed answers, both of one generation of the pointers."""
        keys = layout.entity_keys(self._project, entity_type, entities)
        question = (entity_type.name, None if features is None else tuple(features))
        known = self._known
        for attempt in range(ATTEMPTS):
            wanted = known.answers.get(question)
            if wanted is None:
                if not attempt:
                    known = self._refresh()  # a feature may have come online since
                if len(known.answers) >= QUESTIONS:
                    known.answers.clear()
                wanted = known.answers[question] = resolve(known.pointers, *question)
            generation, rows = self._store.fetch(keys, wanted.fields)
            if generation == known.pointers.generation:
                return wanted, rows
            known = self._refresh()
        raise StoreError("the online store's active versions keep changing", hint="try again")

    def _refresh(self) -> _Known:
        self._known = known = _Known(Directory(self._store).pointers(), {})
        return known


@dataclass(frozen=True, slots=True)
class _Known:
    """One generation's pointers, and the questions that were resolved by them."""

    pointers: Pointers
    answers: dict[tuple[str, tuple[str, ...] | None], Resolved]


def resolve(pointers: Pointers, entity_type: str, references: Sequence[str] | None) -> Resolved:
    """Each reference as something to ask for; all features of the type when None. Raises UsageError."""
    known = {name: pointer for name, pointer in pointers.features.items() if pointer.entity_type == entity_type}
    if references is None:
        references = sorted(known)
    features = tuple(_resolve(known, entity_type, reference) for reference in references)
    return Resolved(features, tuple(item.field for item in features))


def _resolve(known: Mapping[str, Pointer], entity_type: str, reference: str) -> Wanted:
    name, at, version = reference.partition("@")
    pointer = known.get(name)
    if pointer is None:
        raise UsageError(
            f"no feature {name!r} of {entity_type} is online",
            hint=did_you_mean(name, known) or "run featurestore sync",
        )
    if not at or _matches(version, pointer.number, pointer.sha256):
        return _active(reference, pointer)
    before = pointer.previous
    if before is not None and _matches(version, before.number, before.sha256):
        return Wanted(reference, before.field, before.data_type.kind, before.number, before.sha256, pointer.max_age)
    online = f"{name}@{pointer.number}" + (f" and {name}@{before.number}" if before else "")
    raise UsageError(f"{reference} is not online", hint=f"online: {online}; others are read by featurestore history")


def _active(reference: str, pointer: Pointer) -> Wanted:
    return Wanted(reference, pointer.field, pointer.data_type.kind, pointer.number, pointer.sha256, pointer.max_age)


def _matches(version: str, number: int, sha256: str) -> bool:
    return version == str(number) or (len(version) >= 6 and sha256.startswith(version))
