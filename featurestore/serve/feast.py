"""Feast's online request and answer, so that its clients move over by changing a URL.

Its request has the entities by column and the features as ``view:name``; its answer has one item for each column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from featurestore import times
from featurestore.errors import UsageError, did_you_mean
from featurestore.model import EntityType, Json, Key
from featurestore.serve.live import Snapshot
from featurestore.serve.online import Asked, Names
from featurestore.serving.decoding import Status
from featurestore.tables.values import json_value
from featurestore.workflows.feature_sets import expand_sets
from featurestore.workflows.get import GetResult
from featurestore.workflows.request_reader import GivenRequest

STATUSES: dict[Status, str] = {
    "ok": "PRESENT", "null": "NULL_VALUE", "missing": "NOT_FOUND", "expired": "OUTSIDE_MAX_AGE",
    "stale": "PRESENT",
}  # fmt: skip
NO_TIME = times.format_instant(0)  # Feast's, where it knows none

Column = list[Any]


class FeastQuestion(BaseModel):
    """Entities by column; features as ``view:name``, of which only the name counts, or a set as ``feature_service``.

    What else Feast's clients send is passed over.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"features": ["heart:age_normalized"], "entities": {"patient_id": ["007", "042"]}}]
        },
    )
    entities: Annotated[dict[str, Column], Field(min_length=1)]
    features: Names | None = None
    feature_service: StrictStr | None = None
    full_feature_names: StrictBool = False


def names_of(snapshot: Snapshot, question: FeastQuestion) -> list[tuple[str, str]]:
    """The features asked for: (name in the answer, reference). Raises UsageError."""
    if (question.features is None) == (question.feature_service is None):
        raise UsageError("features or feature_service must be there, and only one of them")
    if question.feature_service is not None:
        return [(name, name) for name in expand_sets(snapshot.project, [f"@{question.feature_service}"])]
    found = []
    for text in question.features or ():
        view, _, name = text.rpartition(":")
        found.append((f"{view}__{name}" if view and question.full_feature_names else name, name))
    return list(dict.fromkeys(found))


def asked_of(snapshot: Snapshot, question: FeastQuestion) -> list[Asked]:
    """One question for each entity type that a feature is of. Raises UsageError."""
    count = _rows(question)
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, reference in names_of(snapshot, question):
        groups.setdefault(_type_of(snapshot, reference, question).name, []).append((name, reference))
    asked = []
    for type_name, columns in groups.items():
        entity_type = snapshot.project.entity_types[type_name]
        keys = [_key_column(key, question) for key in entity_type.keys]
        entities = [{key.name: keys[at][row] for at, key in enumerate(entity_type.keys)} for row in range(count)]
        asked.append(Asked(entity_type, entities, tuple(columns), _request(snapshot, question, columns, count)))
    return asked


def _request(
    snapshot: Snapshot, question: FeastQuestion, columns: Sequence[tuple[str, str]], count: int
) -> GivenRequest | None:
    """The fields of a request among the columns of entities: those that the features declare."""
    declared = snapshot.lives.declared
    names = [reference.partition("@")[0] for _, reference in columns]
    fields = {field for name in names if name in declared for field in declared[name].request}
    given = [name for name in question.entities if name in fields]
    if not given:
        return None
    return GivenRequest([{name: question.entities[name][row] for name in given} for row in range(count)])


def answer_document(snapshot: Snapshot, question: FeastQuestion, results: Sequence[GetResult]) -> dict[str, Json]:
    """Feast's answer: the entities' columns, then the features in the order asked."""
    count = _rows(question)
    columns: dict[str, Json] = {
        name: {"values": list(values), "statuses": ["PRESENT"] * count, "event_timestamps": [NO_TIME] * count}
        for name, values in question.entities.items()
    }
    names = list(columns)
    for result in results:
        for at, served in enumerate(result.entities[0].features if result.entities else ()):
            column = [entity.features[at] for entity in result.entities]
            columns[served.name] = {
                "values": [json_value(item.value) for item in column],
                "statuses": [STATUSES[item.status] for item in column],
                "event_timestamps": [
                    NO_TIME if item.computed_at is None else times.format_instant(item.computed_at) for item in column
                ],
            }
    empty: dict[str, Any] = {"values": [], "statuses": [], "event_timestamps": []}
    names += [name for name, _ in names_of(snapshot, question)]
    return {"metadata": {"feature_names": names}, "results": [columns.get(name, empty) for name in names]}


def _rows(question: FeastQuestion) -> int:
    counts = {len(column) for column in question.entities.values()}
    if len(counts) > 1:
        raise UsageError("the columns of entities have different lengths", hint="one item for each entity")
    return counts.pop()


def _type_of(snapshot: Snapshot, reference: str, question: FeastQuestion) -> EntityType:
    """The entity type of a feature: as declared, else the one whose keys are given."""
    name = reference.partition("@")[0]
    declared = snapshot.lives.declared.get(name)
    if declared is not None:
        return declared.entity_type
    given = [
        entity_type
        for entity_type in snapshot.project.entity_types.values()
        if set(entity_type.key_names) <= set(question.entities)
    ]
    if len(given) != 1:
        raise UsageError(f"there is no feature {name!r}", hint=did_you_mean(name, snapshot.lives.declared))
    return given[0]


def _key_column(key: Key, question: FeastQuestion) -> list[str | int]:
    if key.name not in question.entities:
        raise UsageError(f"entities has no {key.name!r}", hint=did_you_mean(key.name, question.entities))
    return [_key_value(key, value) for value in question.entities[key.name]]


def _key_value(key: Key, value: object) -> str | int:
    """A key in its type: Feast's clients send ids as whatever their frames hold. Raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f"entities.{key.name} has something that is no id", hint="texts or whole numbers")
    if key.type == "string":
        return str(value)
    try:
        number = int(value)
    except ValueError:
        number = 2**63
    if not -(2**63) <= number < 2**63:
        raise UsageError(f"{value!r} is not a {key.name}, which is an int")
    return number
