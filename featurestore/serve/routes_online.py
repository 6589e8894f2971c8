"""``/v1/online`` and Feast's ``/get-online-features``."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import partial
from json import dumps, loads
from math import isinf
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.responses import Response

from featurestore import times
from featurestore.errors import FeatureStoreError, UsageError
from featurestore.model import Json
from featurestore.serve import feast, online
from featurestore.serve.answers import json_response
from featurestore.serve.gathering import Gathering
from featurestore.serve.live import Snapshot
from featurestore.serve.openapi import body_of, errors
from featurestore.serve.services import Services
from featurestore.workflows.get import GetResult

_EXTREME = re.compile(rb"[0-9.][eE][+-]?[0-9]{2}|[0-9]{300}")  # what may hold a number beyond those of floats
_BEGIN = "Input should be "
SMALL = 2_000  # bytes of a body that is read by the event loop itself
Body = TypeVar("Body", bound=BaseModel)


def online_routes(services: Services) -> APIRouter:
    """The routes that ask the online store."""
    router = APIRouter(tags=["online"])
    gathering: Gathering[Hashable, online.Question, Response] = Gathering(
        services.readers, partial(_answer_together, services)
    )

    @router.post(
        "/v1/online", response_model=None, summary="Online values of some entities",
        openapi_extra=body_of("Question", "Questions"), responses=errors("Answer", "Answers"),
    )  # fmt: skip
    async def post_online(request: Request) -> Response:
        """One question, or several as `questions`: the documents of `featurestore get --json`."""
        body = await request.body()
        if len(body) > SMALL:
            return await services.run(services.readers, _answer_body, services, body)
        data = read_json(body)
        question = _plain_question(services, data)
        if question is None:
            return await services.run(services.readers, _answer, services, data)
        kind = (question.entity_type, question.model, None if question.features is None else tuple(question.features))
        return await gathering.ask(kind, question)

    @router.get(
        "/v1/online/{entity_type}/{id:path}", response_model=None, summary="Online values of one entity",
        responses=errors("Answer", missing=True),
    )  # fmt: skip
    async def get_online(entity_type: str, id: str, features: str | None = None) -> Response:  # noqa: A002  # its name
        """The features are names with commas between; all that are online by default."""
        return await services.run(services.readers, _answer_one, services, entity_type, id, features)

    @router.post(
        "/get-online-features", response_model=None, summary="Online values, as Feast asks for them",
        openapi_extra=body_of("FeastQuestion"), responses=errors("FeastAnswer"),
    )  # fmt: skip
    async def post_feast(request: Request) -> Response:
        """What stands before the colon of a feature is passed over."""
        body = await request.body()
        return await services.run(services.readers, _answer_feast, services, body)

    return router


def parse(kind: type[Body], data: object) -> Body:
    """A checked body. Raises UsageError that names the field and not its value."""
    try:
        return kind.model_validate(data)
    except ValidationError as exc:
        misfit = _misfit(exc.errors(include_url=False, include_context=False))
        raise UsageError(misfit, hint="/docs shows the form of a request") from None


def _misfit(errors: Sequence[ErrorDetails]) -> str:
    """What is wrong in a request. A value that may be of several types has an error of each, named by its last part."""
    worst = max(errors, key=lambda each: len(each["loc"]))  # the innermost: the others say that it is no other type
    place, wanted = worst["loc"], [worst["msg"]]
    if len(place) > 1 and worst["type"] != "missing":
        wanted += [
            each["msg"].removeprefix(_BEGIN)
            for each in errors
            if each is not worst and each["loc"][:-1] == place[:-1] and each["input"] is worst["input"]
        ]
    if len(wanted) == 1:
        return f"{_dotted(place) or 'the body'}: {wanted[0]}"
    *most, last = dict.fromkeys(wanted)
    return f"{_dotted(place[:-1])}: {', '.join(most)} or {last}"


def _dotted(place: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in place if "[" not in str(part))  # that is a type


def read_json(body: bytes) -> Any:
    """The JSON of a body. Raises UsageError."""
    try:
        found = from_json(body, allow_inf_nan=False)
        return loads(body, parse_float=_exactly) if _EXTREME.search(body) else found
    except ValueError as exc:
        raise UsageError(f"the body is not JSON: {exc}", hint="/docs shows the form of a request") from None


def _exactly(text: str) -> float:
    """A number of JSON. Raises ValueError for one that would become infinite, or zero."""
    from featurestore.tables.precision import is_lost_as_zero  # with Polars, which a worker does not need otherwise

    value = float(text)
    if isinf(value) or is_lost_as_zero(text, value):
        raise ValueError(f'no float is {text[:20]}; "Infinity" is written as a text')
    return value


def _plain_question(services: Services, data: object) -> online.Question | None:
    """A question that may be answered together with others that ask for the same features; None for other bodies."""
    if services.request_log is not None:  # which takes each request by itself
        return None
    if isinstance(data, dict) and "questions" in data:
        return None
    question = parse(online.Question, data)
    return None if question.request is not None else question


def _answer_together(services: Services, questions: Sequence[online.Question]) -> list[Response | Exception]:
    """The answers of questions that ask for the same features of entities of one type."""
    snapshot, now = services.live.snapshot(), times.now()
    asked: list[online.Asked | Exception] = []
    for question in questions:
        try:
            online.check_size([question], services.settings.limits)
            asked.append(online.asked_of(snapshot, question))
        except FeatureStoreError as exc:
            asked.append(exc)
    good = [each for each in asked if isinstance(each, online.Asked)]
    found = iter(online.documents(_answered(services, snapshot, good, now)))
    return [
        each if isinstance(each, Exception) else _with_keys(services, each.entity_type.name, _object(next(found)))
        for each in asked
    ]


def _answer_body(services: Services, body: bytes) -> Response:
    return _answer(services, read_json(body))


def _answer(services: Services, data: object) -> Response:
    several = isinstance(data, dict) and "questions" in data
    questions = parse(online.Questions, data).questions if several else [parse(online.Question, data)]
    found = _documents(services, questions)
    return (
        json_response({"answers": found}) if several else _with_keys(services, questions[0].entity_type, _only(found))
    )


def _answer_one(services: Services, entity_type: str, text: str, features: str | None) -> Response:
    names = None if features is None else [name for name in map(str.strip, features.split(",")) if name]
    asked = {"entity_type": entity_type, "entities": [text], "features": names}
    found = _only(_documents(services, [parse(online.Question, asked)]))
    return _with_keys(services, entity_type, found)


def _documents(services: Services, questions: list[online.Question]) -> list[Json]:
    online.check_size(questions, services.settings.limits)
    snapshot, now = services.live.snapshot(), times.now()
    asked = [online.asked_of(snapshot, question) for question in questions]
    return online.documents(_answered(services, snapshot, asked, now))


def _answered(services: Services, snapshot: Snapshot, asked: Sequence[online.Asked], now: int) -> list[GetResult]:
    """The answers, which are logged where that was asked for."""
    logged = services.request_log is not None and services.request_log.wants()
    results = online.answer(snapshot, services.live.online(), asked, now, with_run=logged)
    if services.request_log is not None and logged:
        services.request_log.add(results)
    return [online.renamed(*each) for each in zip(asked, results, strict=True)]


def _answer_feast(services: Services, body: bytes) -> Response:
    question = parse(feast.FeastQuestion, read_json(body))
    if any(":" in name for name in question.features or ()):
        services.log_once("what stands before the colon of a feature is passed over: names are unique here")
    snapshot, now = services.live.snapshot(), times.now()
    asked = feast.asked_of(snapshot, question)
    online.check_entities(sum(len(each.entities) for each in asked), services.settings.limits)
    results = _answered(services, snapshot, asked, now)
    return json_response(feast.answer_document(snapshot, question, results))


def _with_keys(services: Services, entity_type: str, document: dict[str, Json]) -> Response:
    """The answer, with the names and types of the entity's keys in a header: the document has only their texts."""
    answered = json_response(document)
    keys = services.live.snapshot().project.entity_types[entity_type].keys
    answered.headers["Featurestore-Keys"] = dumps({key.name: key.type for key in keys})
    return answered


def _only(found: list[Json]) -> dict[str, Json]:
    (document,) = found
    return _object(document)


def _object(document: Json) -> dict[str, Json]:
    assert isinstance(document, dict)
    return document
