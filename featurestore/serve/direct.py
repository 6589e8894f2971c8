"""The routes that are asked thousands of times a second, called without the framework's way to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from featurestore.serve.boundary import App, Message, Receive, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """Calls the endpoints of a router that take the request as it is; what else comes goes to ``app``.

    They are declared once, as FastAPI's, which describes them and answers other methods. Its middleware and its
    dependencies, of which these have none, take longer than their answers do.
    """

    def __init__(self, app: App, router: APIRouter) -> None:
        self._app = app
        self._routes: Mapping[str, tuple[APIRoute, Endpoint]] = {
            route.path: (route, route.endpoint)
            for route in router.routes
            if isinstance(route, APIRoute) and route.methods == {"POST"} and not route.param_convertors
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        found = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], endpoint = found
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)
