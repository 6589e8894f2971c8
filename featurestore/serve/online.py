"""Online questions: from JSON to what the reader is asked, and its rows as the documents of ``get --json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from featurestore.errors import TooLargeError, UsageError
from featurestore.model import EntityType, Json
from featurestore.point_in_time.entities import Entity, entity_keys
from featurestore.render.json.get import get_document
from featurestore.serve.live import Snapshot
from featurestore.serve.settings import Limits
from featurestore.serving.decoding import ServedValue
from featurestore.serving.reader import NotOnlineError, Reader
from featurestore.workflows.feature_sets import parse_asked
from featurestore.workflows.get import EntityValues, GetResult, find_entity_type, with_declared, without_sets

KeyInt = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
Id = StrictStr | KeyInt | dict[str, StrictStr | KeyInt]
Names = Annotated[list[StrictStr], Field(min_length=1, max_length=1_000)]


class Question(BaseModel):
    """Features of some entities of one type: those that are named, those of a model, or all that are online."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"entity_type": "patient", "entities": ["007", "042"], "features": ["age_normalized"]}]
        },
    )
    entity_type: StrictStr
    entities: list[Id]
    features: Names | None = None
    model: StrictStr | None = None
    request: dict[str, Any] | list[dict[str, Any]] | None = None


class Questions(BaseModel):
    """Several questions in one request, answered together."""

    model_config = ConfigDict(extra="forbid")
    questions: Annotated[list[Question], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its entities as keys and its features as (name in the answer, reference); None for all."""

    entity_type: EntityType
    entities: Sequence[Entity]
    columns: tuple[tuple[str, str], ...] | None


def asked_of(snapshot: Snapshot, question: Question) -> Asked:
    """A question as the reader takes it. Raises UsageError."""
    entity_type = find_entity_type(snapshot.project, question.entity_type)
    if question.request is not None:
        raise UsageError("none of the features is computed from a request", hint="leave request out")
    if question.features is not None and question.model is not None:
        raise UsageError("features and model can't be combined", hint="give one of them; @NAME in features is a set")
    columns = _columns(snapshot, question, entity_type.name)
    return Asked(entity_type, [entity_keys(entity_type, entity) for entity in question.entities], columns)


def check_size(questions: Sequence[Question], limits: Limits) -> None:
    """Raises TooLargeError for more questions or entities than a request may have."""
    if len(questions) > limits.questions:
        raise TooLargeError(f"{len(questions)} questions are asked", hint=f"at most {limits.questions} a request")
    check_entities(sum(len(question.entities) for question in questions), limits)


def check_entities(entities: int, limits: Limits) -> None:
    """Raises TooLargeError for more entities than a request may ask for."""
    if entities > limits.entities:
        raise TooLargeError(f"{entities:,} entities are asked for", hint=f"at most {limits.entities:,} a request")


def answer(snapshot: Snapshot, reader: Reader, asked: Sequence[Asked], now: int) -> list[GetResult]:
    """The answers of questions, in order: one round trip to the store for each entity type.

    (Two, where of one type some questions name features and others ask for all.) ``now`` (µs) decides what has
    expired. Raises UsageError, StoreError.
    """
    groups: dict[tuple[str, bool], list[int]] = {}
    for at, each in enumerate(asked):
        groups.setdefault((each.entity_type.name, each.columns is None), []).append(at)
    found: dict[int, GetResult] = {}
    for places in groups.values():
        some = [asked[at] for at in places]
        rows = _read(snapshot, reader, some[0], now) if len(some) == 1 else _read_together(snapshot, reader, some, now)
        for at, own in zip(places, rows, strict=True):
            found[at] = _result(snapshot, asked[at], own)
    return [found[at] for at in range(len(asked))]


def documents(results: Iterable[GetResult]) -> list[Json]:
    """The documents of ``get --json``."""
    return [get_document(result) for result in results]


Rows = Sequence[Sequence[ServedValue]]


def _read(snapshot: Snapshot, reader: Reader, asked: Asked, now: int) -> list[Rows]:
    references = None if asked.columns is None else [reference for _, reference in asked.columns]
    try:
        return [reader.read(asked.entity_type, asked.entities, references, now)]
    except NotOnlineError as exc:
        raise with_declared(exc, snapshot.lives, asked.entity_type.name) from exc


def _read_together(snapshot: Snapshot, reader: Reader, asked: Sequence[Asked], now: int) -> list[Rows]:
    """Questions about one type, read as one: all entities with all features, of which each gets its own."""
    names = asked[0].entity_type.key_names
    entities = {tuple(entity[name] for name in names): entity for each in asked for entity in each.entities}
    columns = None
    if asked[0].columns is not None:
        columns = tuple(dict.fromkeys((reference, reference) for each in asked for _, reference in each.columns or ()))
    together = Asked(asked[0].entity_type, list(entities.values()), columns)
    (rows,) = _read(snapshot, reader, together, now)
    by_key = dict(zip(entities, rows, strict=True))
    place = {reference: at for at, (_, reference) in enumerate(columns or ())}
    found: list[Rows] = []
    for each in asked:
        own = [by_key[tuple(entity[name] for name in names)] for entity in each.entities]
        found.append(own if each.columns is None else [[row[place[ref]] for _, ref in each.columns] for row in own])
    return found


def _result(snapshot: Snapshot, asked: Asked, rows: Rows) -> GetResult:
    entities = [
        EntityValues(keys, _named(asked, row))  # as `get` has them, under the names of the question
        for keys, row in zip(asked.entities, rows, strict=True)
    ]
    names = [served.name.partition("@")[0] for served in rows[0]] if rows else []
    return GetResult(asked.entity_type, tuple(entities), snapshot.warnings(names))


def _named(asked: Asked, row: Sequence[ServedValue]) -> tuple[ServedValue, ...]:
    if asked.columns is None:
        return tuple(row)
    return tuple(
        served if served.name == name else served._replace(name=name)
        for (name, _), served in zip(asked.columns, row, strict=True)
    )


def _columns(snapshot: Snapshot, question: Question, entity_type: str) -> tuple[tuple[str, str], ...] | None:
    """As `get` takes them; a model's features of other entity types are asked for in questions of their own."""
    asked = question.features if question.model is None else [f"@{question.model}"]
    if asked is None:
        return None
    named = without_sets(snapshot.project, snapshot.lives, entity_type, asked)
    return tuple(dict.fromkeys(_column(text) for text in named))


def _column(text: str) -> tuple[str, str]:
    asked = parse_asked(text)
    if asked.role is not None:
        raise UsageError(
            f"{text!r} is asked of a role", hint=f"ask for {asked.reference}, of the entity that has the role"
        )
    return asked.column_name, asked.reference
