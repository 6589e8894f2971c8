"""``POST /v1/historical`` and ``/v1/latest``."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from featurestore.errors import BusyError, UsageError
from featurestore.progress import Progress
from featurestore.serve import historical
from featurestore.serve.answers import json_response
from featurestore.serve.openapi import body_of, errors, table_answers
from featurestore.serve.routes_online import parse, read_json
from featurestore.serve.services import Services
from featurestore.serve.uploads import store_labels

CHUNK = 262_144
WAITING = 8
LISTS = frozenset({"features", "entity", "entity_column", "request", "dialect"})


def historical_routes(services: Services) -> APIRouter:
    """The routes whose answers are tables."""
    router = APIRouter(tags=["historical"], prefix="/v1")
    tables = _Tables(services)

    @router.post(
        "/historical", response_model=None, summary="Features of labels, as `join` gives them",
        openapi_extra={"requestBody": {"required": True, "content": {
            "text/csv": {"schema": {"type": "string"}},
            "multipart/form-data": {"schema": {"type": "object", "required": ["labels"], "properties": {
                "labels": {"type": "string", "format": "binary"},
                "question": {"$ref": "#/components/schemas/HistoricalQuestion"},
            }}},
        }}},
        responses=table_answers(),
    )  # fmt: skip
    async def post_historical(request: Request) -> Response:
        """The labels are the body (Arrow, Parquet, CSV, JSON), the options of `join` the query; or both are parts."""

        async def work(folder: Path, progress: Progress) -> historical.Table:
            labels = folder / "labels"
            part = await store_labels(request, labels)
            question = _question(historical.HistoricalQuestion, request, part)
            return await services.run(
                services.joiners, historical.join, services.live.snapshot().project, question, labels,
                request.headers.get("accept"), services.settings.limits.answer, progress,
            )  # fmt: skip

        return await tables.answer(work)

    @router.post(
        "/latest", response_model=None, summary="One row per entity as of a time, as `latest` gives it",
        openapi_extra=body_of("LatestQuestion"), responses=table_answers() | errors("Document"),
    )  # fmt: skip
    async def post_latest(request: Request) -> Response:
        async def work(folder: Path, progress: Progress) -> historical.Table:
            body = await request.body()
            question = _question(historical.LatestQuestion, request, body or None)
            return await services.run(
                services.joiners, historical.latest, services.live.snapshot().project, question, folder,
                request.headers.get("accept"), services.settings.limits.answer, progress,
            )  # fmt: skip

        return await tables.answer(work)

    return router


Work = Callable[[Path, Progress], Any]


class _Tables:
    """Makes tables in folders of their own. A few requests wait for their turn; more are told that it is busy."""

    def __init__(self, services: Services) -> None:
        self._most = services.settings.limits.joins + WAITING
        self._running = 0

    async def answer(self, work: Work) -> Response:
        if self._running >= self._most:
            raise BusyError("as many joins are running as the server takes", hint="try again in a few seconds")
        self._running += 1
        folder = Path(tempfile.mkdtemp(prefix="featurestore-serve-"))
        gone = threading.Event()  # the caller has left, or has waited long enough
        try:
            table = await work(folder, Progress(cancelled=gone.is_set))
            return _response(table, folder)
        except BaseException:
            gone.set()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        finally:
            self._running -= 1


def _response(table: historical.Table, folder: Path) -> Response:
    headers = {"Featurestore-Warnings": historical.warning_header(table.warnings)} if table.warnings else {}
    if table.file is None:
        shutil.rmtree(folder, ignore_errors=True)
        answered = json_response(table.document or {})
        answered.headers.update(headers)
        return answered
    headers["Content-Length"] = str(table.file.stat().st_size)
    return StreamingResponse(_chunks(table.file, folder), media_type=table.media_type, headers=headers)


async def _chunks(file: Path, folder: Path) -> AsyncIterator[bytes]:
    try:
        with file.open("rb") as stream:
            while chunk := await asyncio.to_thread(stream.read, CHUNK):
                yield chunk
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _question(kind: type[Any], request: Request, part: bytes | None) -> Any:
    """The question of the query, or of a JSON part. Raises UsageError."""
    query: dict[str, Any] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        if name not in LISTS and len(given) > 1:
            raise UsageError(f"{name} is given twice")
        query[name] = given if name in LISTS else given[0]
    data = read_json(part) if part is not None else {}
    if not isinstance(data, dict):
        raise UsageError("the question is not a JSON object", hint="/docs shows the form of a request")
    found: BaseModel = parse(kind, {**data, **query})
    return found
