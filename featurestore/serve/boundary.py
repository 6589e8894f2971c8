"""Around every request: who may come in, how much it may send and how long it may take, its id, log and metrics."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.errors import BusyError, FeatureStoreError, ForbiddenError, TooLargeError
from featurestore.serve.errors import TimedOutError, error_document, headers_of, status_of
from featurestore.serve.services import Services
from featurestore.serve.tokens import Scope, find_token

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

PUBLIC = frozenset({"/health", "/ready", "/docs", "/openapi.json"})
UNLIMITED = frozenset({"/health", "/ready", "/metrics"})
UPLOADS = frozenset({"/v1/historical", "/v1/latest"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
OTHER = "other"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Boundary:
    """The application that the server calls; ``app`` answers what it lets through."""

    def __init__(self, app: App, services: Services) -> None:
        self._app, self._services = app, services
        self._in_progress = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._services)
        self._in_progress += 1
        self._services.metrics.in_progress.inc()
        try:
            await self._answer(exchange)
        finally:
            self._in_progress -= 1
            self._services.metrics.in_progress.dec()
            exchange.record()

    async def _answer(self, exchange: Exchange) -> None:
        limits, path = self._services.settings.limits, exchange.path
        upload = path in UPLOADS
        exchange.most = limits.upload if upload else limits.body
        try:
            exchange.let_in(busy=self._in_progress > limits.requests)
            async with asyncio.timeout(limits.upload_seconds if upload else limits.seconds):
                await self._app(exchange.scope, exchange.receive, exchange.send)
        except FeatureStoreError as exc:
            await exchange.fail(exc)
        except TimeoutError:
            await exchange.fail(TimedOutError("the request took too long", hint="ask for less at a time"))
        except Exception as exc:  # noqa: BLE001  # a defect of ours must not end the worker, nor be told to strangers
            self._services.log(level="error", id=exchange.id, defect=type(exc).__name__, traceback=_frames(exc))
            await exchange.fail(Defect(f"a defect of the server; its log has more under {exchange.id}"))


class Defect(FeatureStoreError):  # noqa: N818  # what the command line calls it
    """What nobody foresaw."""

    code = "defect"


@dataclass(slots=True)
class Exchange:
    """One request and its answer. ``most`` is how many bytes its body may have."""

    scope: Message
    _receive: Receive
    _send: Send
    services: Services
    most: int = 0
    path: str = ""
    id: str = ""
    client: str | None = None
    status: int = 0
    received: int = 0
    sent: int = 0
    began: float = field(default_factory=time.perf_counter)
    _headers: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._headers = dict(self.scope["headers"])
        self.path = self.scope["path"]
        given = self._headers.get(b"x-request-id", b"").decode("latin-1")
        self.id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)

    def let_in(self, *, busy: bool) -> None:
        """Raises BusyError, AccessError, ForbiddenError or TooLargeError for a request that is refused unread."""
        services = self.services
        if busy and self.path not in UNLIMITED:
            raise BusyError("the server has as much to do as it takes", hint="try again in a second")
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.most:
            raise self._too_large()
        if services.tokens:
            if self.path not in PUBLIC:
                header = self._headers.get(b"authorization")
                text = None if header is None else header.decode("latin-1")
                self.client = find_token(services.tokens, text, scope_of(self.path)).name
        elif services.settings.local and not _is_local(self._headers.get(b"host", b"localhost").decode("latin-1")):
            # A web page may have its own name lead to this machine, and so read what its browser can reach.
            raise ForbiddenError("without tokens only localhost is served", hint="--token-file FILE, or --insecure")

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            if self.received > self.most:
                raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message["headers"], (b"x-request-id", self.id.encode()), (b"x-content-type-options", b"nosniff"),
                (b"cache-control", b"no-store"),
            ]  # fmt: skip
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def fail(self, exc: FeatureStoreError) -> None:
        """Answers with an error, unless an answer has begun: that one is broken off, and the connection with it."""
        if self.status:
            return
        status = status_of(exc)
        body = json.dumps(error_document(exc, self.services.settings.root), ensure_ascii=False).encode(
            "utf-8", "backslashreplace"
        )
        headers = {
            "content-type": "application/json", "content-length": str(len(body)), **headers_of(status, exc),
        }  # fmt: skip
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})

    def record(self) -> None:
        """Counts the request, and logs it: its route, but neither its path, which holds an id, nor any value."""
        seconds, metrics = time.perf_counter() - self.began, self.services.metrics
        found = self.scope.get("route")
        route = getattr(found, "path", OTHER)
        method = self.scope["method"] if self.scope["method"] in METHODS else OTHER
        metrics.requests.labels(route, method, str(self.status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        metrics.received.labels(route).observe(self.received)
        metrics.sent.labels(route).observe(self.sent)
        if self.services.settings.access_log:
            self.services.log(
                at=round(time.time(), 3), id=self.id, method=method, route=route, status=self.status,
                ms=round(seconds * 1e3, 3), received=self.received, sent=self.sent, token=self.client,
            )  # fmt: skip

    def _too_large(self) -> TooLargeError:
        return TooLargeError("the body is too large", hint=f"at most {self.most:,} bytes")


def scope_of(path: str) -> Scope:
    """What a token must be for, to ask for a path."""
    return "online" if path == "/get-online-features" or path.startswith("/v1/online") else "read"


def _is_local(host: str) -> bool:
    return re.sub(r":\d+$", "", host).lower() in LOCAL_NAMES


def _frames(exc: BaseException) -> list[str]:
    """Where a defect arose, without the values that its message may hold."""
    import traceback

    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]
