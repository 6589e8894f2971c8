"""Online questions: from JSON to what the reader is asked, and its rows as the documents of ``get --json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from featurestore.errors import TooLargeError, UsageError
from featurestore.frozen import frozen
from featurestore.model import EntityType, Json
from featurestore.point_in_time.entities import Entity, entity_keys
from featurestore.render.json.get import get_document
from featurestore.serve.live import Online, Snapshot
from featurestore.serve.settings import Limits
from featurestore.serving.decoding import ServedValue
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import NotOnlineError, Reader
from featurestore.workflows.feature_sets import parse_asked
from featurestore.workflows.get import (
    EntityValues,
    GetResult,
    find_entity_type,
    get_result,
    stands_at,
    with_declared,
    without_sets,
)
from featurestore.workflows.request_reader import GivenRequest, given_request

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


@frozen
class Asked:
    """A question with its entities as keys and its features as (name in the answer, reference); None for all.

    ``request`` has the fields that it gives.
    """

    entity_type: EntityType
    entities: Sequence[Entity]
    columns: tuple[tuple[str, str], ...] | None
    request: GivenRequest | None = None

    @property
    def references(self) -> list[str] | None:
        return None if self.columns is None else [reference for _, reference in self.columns]


def asked_of(snapshot: Snapshot, question: Question) -> Asked:
    """A question as the reader takes it. Raises UsageError."""
    entity_type = find_entity_type(snapshot.project, question.entity_type)
    if question.features is not None and question.model is not None:
        raise UsageError("features and model can't be combined", hint="give one of them; @NAME in features is a set")
    columns = _columns(snapshot, question, entity_type.name)
    entities = [entity_keys(entity_type, entity) for entity in question.entities]
    return Asked(entity_type, entities, columns, given_request(question.request, len(entities)))


def check_size(questions: Sequence[Question], limits: Limits) -> None:
    """Raises TooLargeError for more questions or entities than a request may have."""
    if len(questions) > limits.questions:
        raise TooLargeError(f"{len(questions)} questions are asked", hint=f"at most {limits.questions} a request")
    check_entities(sum(len(question.entities) for question in questions), limits)


def check_entities(entities: int, limits: Limits) -> None:
    """Raises TooLargeError for more entities than a request may ask for."""
    if entities > limits.entities:
        raise TooLargeError(f"{entities:,} entities are asked for", hint=f"at most {limits.entities:,} a request")


def answer(
    snapshot: Snapshot, online: Online, asked: Sequence[Asked], now: int, *, with_run: bool = False
) -> list[GetResult]:
    """The answers of questions, in order: one round trip to the store for each entity type.

    (Two, where of one type some questions name features and others ask for all; and one for each question about
    request-time features.) The features have the names that they are called by. ``now`` (µs) decides what has expired.
    ``with_run`` asks for the run that what is read stands at. Raises UsageError, FeatureError, StoreError.
    """
    groups: dict[tuple[str, bool], list[int]] = {}
    found: dict[int, GetResult] = {}
    for at, each in enumerate(asked):
        if with_run or each.request is not None or online.requests.computes(snapshot.lives, each.references):
            found[at] = _answer_alone(snapshot, online, each, now, with_run=with_run)
        else:
            groups.setdefault((each.entity_type.name, each.columns is None), []).append(at)
    reader = online.reader
    for places in groups.values():
        some = [asked[at] for at in places]
        rows = _read(snapshot, reader, some[0], now) if len(some) == 1 else _read_together(snapshot, reader, some, now)
        for at, own in zip(places, rows, strict=True):
            found[at] = _result(snapshot, asked[at], own)
    return [found[at] for at in range(len(asked))]


def documents(results: Iterable[GetResult]) -> list[Json]:
    """The documents of ``get --json``."""
    return [get_document(result) for result in results]


def _answer_alone(snapshot: Snapshot, online: Online, asked: Asked, now: int, *, with_run: bool) -> GetResult:
    tables = OnlineTables(online.store)
    before = tables.markers() if with_run else None
    try:
        found = online.requests.read(
            snapshot.lives, asked.entity_type, asked.entities, asked.references, now, asked.request
        )
    except NotOnlineError as exc:
        raise with_declared(exc, snapshot.project, snapshot.lives, asked.entity_type.name) from exc
    run = None if before is None else stands_at(found, before, tables.markers())
    warnings = snapshot.warnings(found.names)
    return get_result(asked.entity_type, asked.entities, found, warnings, now, asked.request, run)


def renamed(asked: Asked, result: GetResult) -> GetResult:
    """The answer with the features under the names that the question gives them."""
    entities = tuple(EntityValues(item.keys, _named(asked, item.features)) for item in result.entities)
    return replace(result, entities=entities)


Rows = Sequence[Sequence[ServedValue]]


def _read(snapshot: Snapshot, reader: Reader, asked: Asked, now: int) -> list[Rows]:
    try:
        return [reader.read(asked.entity_type, asked.entities, asked.references, now)]
    except NotOnlineError as exc:
        raise with_declared(exc, snapshot.project, snapshot.lives, asked.entity_type.name) from exc


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
    entities = [EntityValues(keys, tuple(row)) for keys, row in zip(asked.entities, rows, strict=True)]
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
