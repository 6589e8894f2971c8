"""A server of `featurestore serve`, asked over HTTP: the questions as requests, the answers as values and errors.

`Connection` waits, `AsyncConnection` does not; both send what the functions here make, and read answers by them. All
that is asked changes nothing, so that it may be asked again.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from featurestore.client import options
from featurestore.client.labels import as_frame, as_path
from featurestore.errors import FeatureStoreError, StoreError, UsageError
from featurestore.frozen import frozen
from featurestore.point_in_time.entities import EntityId
from featurestore.toml import toml_value

if TYPE_CHECKING:
    import httpx
    import polars as pl

ARROW_STREAM = "application/vnd.apache.arrow.stream"
RETRIES = 4
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
AGAIN = (502, 503)
OPTIONS = frozenset({
    "known", "as_of", "max_age", "before", "lag", "with_times", "times_suffix", "timezone", "strict", "delimiter",
})  # fmt: skip
_TABLES = ("dialect", "entities", "request")


@frozen
class Request:
    """What is sent: a path with its query, and a body of a media type."""

    path: str
    body: bytes
    media_type: str
    accept: str
    query: Sequence[tuple[str, str]] = ()


@frozen
class Server:
    """Where a server is and how it is asked. ``seconds`` is how long one attempt may take."""

    url: str
    token: str | None = field(default=None, repr=False)
    seconds: float = 60.0

    def check(self) -> None:
        """Raises UsageError for what is not the address of a server."""
        from urllib.parse import urlsplit

        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("url is not the address of a server", hint="for example http://localhost:8000")
        if parts.username or parts.password:
            raise UsageError("url can't hold a password", hint="give the token as token=…")

    def options(self) -> dict[str, Any]:
        """The arguments of an httpx client. Redirects are not followed: the token is for this server only."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {"base_url": self.url, "timeout": self.seconds, "headers": headers, "follow_redirects": False}


class Connection:
    """Sends requests, and waits for the answers. Threads may share it."""

    def __init__(self, server: Server) -> None:
        server.check()
        self._server, self._client = server, _httpx().Client(**server.options())

    def send(self, request: Request) -> httpx.Response:
        """The answer; asked for again where that may help. Raises the error that the server tells, or StoreError."""
        for pause in _pauses():
            try:
                found = self._client.post(request.path, **_arguments(request))
            except _httpx().TransportError as exc:
                if pause is None:
                    raise unreachable(self._server, exc) from None
            else:
                if pause is None or found.status_code not in AGAIN:
                    return checked(found)
                time.sleep(_retry_after(found))
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        self._client.close()


class AsyncConnection:
    """The same for programs with an event loop."""

    def __init__(self, server: Server) -> None:
        server.check()
        self._server, self._client = server, _httpx().AsyncClient(**server.options())

    async def send(self, request: Request) -> httpx.Response:
        """As `Connection.send`."""
        for pause in _pauses():
            try:
                found = await self._client.post(request.path, **_arguments(request))
            except _httpx().TransportError as exc:
                if pause is None:
                    raise unreachable(self._server, exc) from None
            else:
                if pause is None or found.status_code not in AGAIN:
                    return checked(found)
                await asyncio.sleep(_retry_after(found))
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        await self._client.aclose()


def online_request(
    entity_type: str, entity_ids: Sequence[EntityId], features: Sequence[str], request: object
) -> Request:
    """The question of `get_online_features`. Raises UsageError."""
    if isinstance(entity_ids, str | bytes | Mapping | int):
        raise UsageError(f"entity_ids is a list of ids, not {entity_ids!r}", hint=f"write [{entity_ids!r}]")
    ids = [dict(entity) if isinstance(entity, Mapping) else entity for entity in entity_ids]
    asked: dict[str, Any] = {
        "entity_type": entity_type, "entities": ids, "features": options.names("features", features),
    }  # fmt: skip
    if request is not None:
        asked["request"] = request
    return Request("/v1/online", json.dumps(asked).encode(), "application/json", "application/json")


def online_columns(found: httpx.Response) -> dict[str, list[Any]]:
    """The columns of an online answer: the entities' keys, then the features."""
    document, kinds = found.json(), json.loads(found.headers["Featurestore-Keys"])
    options.warn(document["warnings"])
    entities = document["entities"]
    ids = [each["entity_id"] if isinstance(each["entity_id"], dict) else None for each in entities]
    columns: dict[str, list[Any]] = {}
    for key, kind in kinds.items():
        texts = [each["entity_id"] if keys is None else keys[key] for each, keys in zip(entities, ids, strict=True)]
        columns[key] = [int(text) for text in texts] if kind == "int" else texts
    for name in entities[0]["features"] if entities else ():
        columns[name] = [each["features"][name]["value"] for each in entities]
    return columns


def historical_request(
    labels: Any,
    features: Sequence[str],
    entity_columns: Sequence[str],
    timestamp_column: str,
    entity_type: str | None,
    how: Mapping[str, Any],
) -> Request:
    """The question of `get_historical_features`, with the labels as an Arrow stream. Raises UsageError."""
    unknown = [name for name in how if name not in OPTIONS and name not in _TABLES]
    if unknown:
        raise UsageError(f"{unknown[0]} is not there over HTTP", hint=", ".join([*_TABLES, *sorted(OPTIONS)]))
    query = [("features", name) for name in options.names("features", features)]
    query += [("timestamp_column", timestamp_column), *(("entity_column", name) for name in entity_columns)]
    query += [] if entity_type is None else [("entity_type", entity_type)]
    for each in options.entity_columns(how.get("entities")):
        whose = f"{each.role}:{each.type}" if each.role else str(each.type)
        query.append(("entity", f"{whose}={','.join(each.columns)}"))
    query += [("request", f"{name}={column}") for name, column in (how.get("request") or {}).items()]
    query += [("dialect", setting) for setting in _dialect(how.get("dialect") or {})]
    query += [(name, _spelled(name, how[name])) for name in sorted(OPTIONS) if how.get(name) is not None]
    path = as_path(labels)
    if path is not None:
        return Request("/v1/historical", path.read_bytes(), "application/octet-stream", ARROW_STREAM, query)
    return Request("/v1/historical", _arrow(as_frame(labels, "entity_df")), ARROW_STREAM, ARROW_STREAM, query)


def historical_frame(found: httpx.Response) -> pl.DataFrame:
    """The table of an answer."""
    import polars as pl
    import pyarrow as pa

    options.warn(json.loads(found.headers.get("Featurestore-Warnings", "[]")))
    table: Any = pa.ipc.open_stream(io.BytesIO(found.content)).read_all()
    return pl.DataFrame(table)


def checked(found: httpx.Response) -> httpx.Response:
    """The answer. Raises the error that it tells: the class that the same error has here, by its code."""
    if found.status_code == 200:
        return found
    try:
        error = found.json()["error"]
        kind, message, hint = _classes().get(error["code"], FeatureStoreError), str(error["message"]), error["hint"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"what answers is not a featurestore server (status {found.status_code})", hint="check the url"
        ) from None
    raise kind(message, hint=hint)


def unreachable(server: Server, exc: Exception) -> StoreError:
    """Why a server can't be asked."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            message = f"the certificate of {server.url} is not trusted: {cause.verify_message}"
            return StoreError(message, hint="SSL_CERT_FILE=FILE names the authorities that are trusted")
        cause = cause.__cause__ or cause.__context__
    return StoreError(f"{server.url} does not answer: {type(exc).__name__}", hint="see whether featurestore serve runs")


def _classes() -> dict[str, type[FeatureStoreError]]:
    """The classes of errors by code: of those with the same code the most general."""
    found: dict[str, type[FeatureStoreError]] = {}
    waiting = [FeatureStoreError]
    while waiting:
        kind = waiting.pop(0)
        found.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return found


def _pauses() -> Iterator[float | None]:
    """Seconds before each further attempt, at random so that clients don't come back together; None after the last."""
    for attempt in range(RETRIES):
        yield FIRST_PAUSE * 2**attempt * (0.5 + random.random())  # noqa: S311  (jitter)
    yield None


def _retry_after(found: httpx.Response) -> float:
    text = found.headers.get("Retry-After", "")
    return min(float(text), LONGEST_PAUSE) * random.random() if text.isdigit() else 0.0  # noqa: S311  (jitter)


def _arguments(request: Request) -> dict[str, Any]:
    headers = {"Content-Type": request.media_type, "Accept": request.accept}
    return {"content": request.body, "headers": headers, "params": list(request.query)}


def _arrow(frame: pl.DataFrame) -> bytes:
    import pyarrow as pa

    table, body = frame.to_arrow(), io.BytesIO()
    with pa.ipc.new_stream(body, table.schema) as writer:
        writer.write_table(table)
    return body.getvalue()


def _dialect(settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings of text as ``--dialect`` takes them."""
    for name, value in settings.items():
        if name == "columns":
            for column, facts in value.items():
                yield from (f"columns.{column}.{fact}={toml_value(given)}" for fact, given in facts.items())
        else:
            yield f"{name}={toml_value(value)}"


def _spelled(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    from featurestore import times

    if name == "as_of":
        return times.format_instant(options.instant(name, value) or 0)
    if name in ("max_age", "lag"):
        return times.format_duration(options.duration(name, value) or 0)
    return str(value)


def _httpx() -> Any:
    try:
        import httpx
    except ModuleNotFoundError:
        raise UsageError("httpx is not installed", hint="pip install 'featurestore[serve]'") from None
    return httpx
