"""The application of one worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from featurestore.errors import FeatureStoreError, UsageError
from featurestore.serve.answers import json_response
from featurestore.serve.boundary import App, Boundary
from featurestore.serve.direct import Direct
from featurestore.serve.errors import NotFoundError, error_document, headers_of, status_of
from featurestore.serve.routes_historical import historical_routes
from featurestore.serve.routes_online import online_routes
from featurestore.serve.routes_operating import operating_routes
from featurestore.serve.routes_registry import registry_routes
from featurestore.serve.services import Services
from featurestore.serve.settings import Settings, from_environment


def create() -> App:
    """The application by the settings that the environment holds: what a worker process calls first."""
    return make_app(from_environment())


def make_app(settings: Settings) -> App:
    """The application. Raises ConfigError, NoProjectError or OutputError where it can't be started."""
    services = Services(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    online = online_routes(services)
    app.include_router(online)
    app.include_router(historical_routes(services))
    app.include_router(registry_routes(services))
    app.include_router(operating_routes(app, services))

    async def failed(_request: Request, exc: Exception) -> Response:
        return _error(cast("FeatureStoreError", exc), settings)

    async def refused(_request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        answered = _error(_RefusedError(exc), settings)
        answered.headers.update(exc.headers or {})
        return answered

    async def invalid(_request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        first = exc.errors()[0]
        place = str(first["loc"][-1])
        return _error(UsageError(f"{place}: {first['msg']}", hint="/docs shows the form of a request"), settings)

    app.add_exception_handler(FeatureStoreError, failed)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    return Boundary(Direct(cast("App", app), online), services)


def _error(exc: FeatureStoreError, settings: Settings) -> Response:
    status = status_of(exc)
    answered = json_response(error_document(exc, settings.root), status)
    answered.headers.update(headers_of(status, exc))
    return answered


class _RefusedError(NotFoundError):
    """What the router refuses."""

    def __init__(self, exc: HTTPException) -> None:
        methods = exc.status_code == 405
        super().__init__(
            "the method is not allowed here" if methods else "there is nothing at this address",
            hint="/docs has the addresses",
        )
        self.code = "method_not_allowed" if methods else "not_found"
