"""``/health``, ``/ready``, ``/metrics`` and ``/docs``: for whoever runs the server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse, Response

from featurestore import __version__
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, StoreError
from featurestore.model import Json
from featurestore.offline.duckdb.place import history_path
from featurestore.serve.answers import json_response
from featurestore.serve.errors import without_paths
from featurestore.serve.live import LiveProject
from featurestore.serve.metrics import CONTENT_TYPE
from featurestore.serve.openapi import describe, errors, page
from featurestore.serve.services import Services


def operating_routes(app: FastAPI, services: Services) -> APIRouter:
    """The routes that say how the server is."""
    router = APIRouter(tags=["operating"])

    @router.get("/health", response_model=None, summary="Whether the process answers", responses=errors("Health"))
    async def health() -> Response:
        """Asks no store."""
        return json_response({"status": "ok", "version": __version__})

    @router.get(
        "/ready", response_model=None, summary="Whether online values can be served",
        responses=errors("Ready") | {503: {
            "description": "The online store does not answer.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ready"}}},
        }},
    )  # fmt: skip
    async def ready() -> Response:
        """Store by store, with the reason. The online store decides: without the offline store serving goes on."""
        found = await services.run(services.lookers, readiness, services.live, services.settings.root)
        return json_response(found, 200 if found["status"] == "ready" else 503)

    @router.get(
        "/metrics", response_model=None, summary="Metrics for Prometheus",
        responses=errors("Document") | {200: {"description": "Text.", "content": {"text/plain": {}}}},
    )  # fmt: skip
    async def metrics() -> Response:
        """The counts of all workers added up, and freshness, drift and sync lag of each feature."""
        text = await services.run(services.lookers, services.metrics.page)
        return Response(text, media_type=CONTENT_TYPE)

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page(app.openapi()), headers={"Content-Security-Policy": SAFE})

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return json_response(app.openapi())

    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # as FastAPI documents it
    return router


SAFE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def readiness(live: LiveProject, root: Path) -> dict[str, Json]:
    """Whether each store answers; ``project`` says whether its files could be read when they last were."""
    project = live.snapshot().project
    stores: dict[str, Json] = {
        "online": _state(root, lambda: live.online().store.table("active")),
        "offline": _state(root, lambda: _reach_offline(project)),
        "project": _state(root, lambda: _raise(live.problem)),
    }
    online = stores["online"]
    is_ready = isinstance(online, dict) and online["status"] == "ok"
    return {"status": "ready" if is_ready else "not ready", "stores": stores}


def _state(root: Path, ask: Callable[[], object]) -> Json:
    try:
        ask()
    except FeatureStoreError as exc:
        return {"status": "failed", "reason": without_paths(exc.message, root)}
    return {"status": "ok", "reason": None}


def _reach_offline(project: Project) -> None:
    """Asks a server; of the embedded store only whether its file is there and readable, without loading DuckDB."""
    if project.offline_url is not None:
        from featurestore.offline.open import open_offline

        open_offline(project).stamp()
        return
    path = history_path(project)
    if not path.exists():
        raise StoreError("nothing was ingested yet")
    if not os.access(path, os.R_OK):
        raise StoreError("the history can't be read by this user")


def _raise(problem: FeatureStoreError | None) -> None:
    if problem is not None:
        raise problem
