"""Avro payloads and keys: by one schema from a file, or each by the one of a registry that its first five bytes name.

A record is read by the schema that it was written with. Schemas of a registry never change, so each is asked for once.
"""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import numpy as np
import polars as pl

from featurestore.errors import ConfigError, SourceError
from featurestore.frozen import frozen
from featurestore.hosts import name_server
from featurestore.sources.kafka.decoding import Decode, Decoded, Keys, ReadKeys
from featurestore.sources.kafka.settings import KafkaSettings, read_schema, read_secret

_FRAME = 5  # a zero, and the schema's number in four bytes
_MOST_ANSWER = 16 << 20
_READING = (ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, UnicodeDecodeError, RecursionError)
"""What fastavro raises for bytes that are not what a schema says."""


def open_avro(settings: KafkaSettings, root: Path, source: str) -> Decode:
    """What reads the payloads of a source. Raises ConfigError for a schema that is none, SourceError."""
    fastavro = _load()
    if settings.registry is None:
        schema = _schema(fastavro, root, source, "schema", str(settings.schema))
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise ConfigError(f"sources.{source}.schema is not a record, which has fields", where="featurestore.toml")
        return lambda values, origin: _decode(fastavro, [(value, schema) for value in values], origin)
    registry = Registry(fastavro, settings, root, source)
    return lambda values, origin: _decode(fastavro, [registry.framed(value) for value in values], origin)


def open_avro_keys(settings: KafkaSettings, root: Path, source: str) -> ReadKeys:
    """What reads the keys of a source. Raises ConfigError for a schema that is none, SourceError."""
    fastavro = _load()
    if settings.key_schema is None:
        registry = Registry(fastavro, settings, root, source)
        return lambda values: _read_keys(fastavro, values, registry.framed)
    schema = _schema(fastavro, root, source, "key_schema", settings.key_schema)
    return lambda values: _read_keys(fastavro, values, lambda value: (value, schema))


def _load() -> Any:
    try:
        import fastavro
        import fastavro.schema
    except ImportError as exc:
        hint = "pip install 'featurestore[kafka]' brings it"
        raise SourceError(f"Avro can't be read: {exc}", hint=hint) from None
    return fastavro


def _schema(fastavro: Any, root: Path, source: str, name: str, path: str) -> Any:
    text, _ = read_schema(root, source, name, path)
    try:
        return fastavro.parse_schema(json.loads(text))
    except (ValueError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as exc:
        raise ConfigError(f"sources.{source}.{name} is not an Avro schema: {exc}", where="featurestore.toml") from None


@frozen
class Wrong:
    """Why bytes can't be read."""

    reason: str


Payload = tuple[bytes, Any] | Wrong
"""Bytes and the schema that they were written with, or why there is none."""


def _read(fastavro: Any, payload: Payload) -> Any:
    """What the bytes stand for, or `Wrong`."""
    if isinstance(payload, Wrong):
        return payload
    stream = io.BytesIO(payload[0])
    try:
        found = fastavro.schemaless_reader(stream, payload[1], None)
    except _READING as exc:
        return Wrong(f"is not what its Avro schema says: {type(exc).__name__}")
    return Wrong("has bytes after its record") if stream.read(1) else found


def _read_keys(fastavro: Any, values: pl.Series, payload: Callable[[bytes], Payload]) -> Keys:
    texts: list[str | None] = []
    wrong: dict[int, str] = {}
    for place, value in enumerate(values):
        found = None if value is None else _key_text(_read(fastavro, payload(value)))
        if isinstance(found, Wrong):
            wrong[place] = f"its key {found.reason}"
        texts.append(None if isinstance(found, Wrong) else found)
    return Keys(pl.Series(texts, dtype=pl.String), wrong)


def _key_text(key: Any) -> str | Wrong | None:
    """A text, a number or a UUID as text; that of a record's only field."""
    if isinstance(key, dict):
        if len(key) != 1:
            return Wrong(f"is a record of {len(key)} fields, not of one")
        (key,) = key.values()
    if key is None or isinstance(key, Wrong):
        return key
    if isinstance(key, bool) or not isinstance(key, str | int | uuid.UUID):
        return Wrong(f"is neither text nor a whole number ({type(key).__name__})")
    return str(key)


def _decode(fastavro: Any, payloads: Sequence[Payload], origin: str) -> Decoded:
    records: list[dict[str, Any]] = []
    at: list[int] = []
    wrong: dict[int, str] = {}
    for place, payload in enumerate(payloads):
        record = _read(fastavro, payload)
        if not isinstance(record, dict):
            wrong[place] = record.reason if isinstance(record, Wrong) else "is not a record, which has fields"
            continue
        records.append(record)
        at.append(place)
    return Decoded(_frame(records, origin), np.array(at, np.uint32), wrong=wrong)


def _frame(records: Sequence[Mapping[str, Any]], origin: str) -> pl.DataFrame:
    """Records as columns, each in the type of its values."""
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = []
    for name in names:
        values = _alike([record.get(name) for record in records])
        try:
            columns.append(pl.Series(name, values, strict=True))
        except (TypeError, pl.exceptions.PolarsError, OverflowError):
            found = sorted({type(value).__name__ for value in values if value is not None})
            raise SourceError(
                f"field {name!r} has values of several types: {', '.join(found)}", where=origin,
                hint="write the field in one type",
            ) from None  # fmt: skip
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=len(records))


def _alike(values: list[Any]) -> list[Any]:
    """Values as Polars has them: a UUID is a text, and a whole number beside others that are not is one of these."""
    kinds = {type(value) for value in values}
    if uuid.UUID in kinds:
        return [str(value) if isinstance(value, uuid.UUID) else value for value in values]
    if kinds >= {int, float}:
        return [float(value) if type(value) is int else value for value in values]
    return values


@dataclass
class Registry:
    """A schema registry. Its url may name a user; the password is in the url or a file, and never shown."""

    fastavro: Any
    settings: KafkaSettings
    root: Path
    source: str
    _schemas: dict[int, Any] = field(default_factory=dict)

    def framed(self, value: bytes) -> Payload:
        """The payload and the schema of framed bytes. Raises SourceError where the registry does not answer."""
        if len(value) < _FRAME or value[0] != 0:
            return Wrong("is not framed as a schema registry's clients write it")
        number = int.from_bytes(value[1:_FRAME], "big")
        if number not in self._schemas:
            self._schemas[number] = self._fetch(number)
        schema = self._schemas[number]
        return schema if isinstance(schema, Wrong) else (value[_FRAME:], schema)

    def _fetch(self, number: int) -> Any:
        answer = self._get(f"/schemas/ids/{number}")
        if answer is None:
            return Wrong(f"its schema {number} is not in the registry")
        if answer.get("schemaType", "AVRO") != "AVRO":
            return Wrong(f"its schema {number} is {answer['schemaType']}, not Avro")
        named: dict[str, Any] = {}
        try:
            self._add_references(answer, named)
            return self.fastavro.parse_schema(json.loads(answer["schema"]), named_schemas=named)
        except (
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
            self.fastavro.schema.SchemaParseException,
            self.fastavro.schema.UnknownType,
        ):
            return Wrong(f"its schema {number} can't be read as Avro")

    def _add_references(self, answer: Mapping[str, Any], named: dict[str, Any]) -> None:
        """Parses the schemas that another one names, before it."""
        for reference in answer.get("references") or ():
            subject, version = quote(str(reference["subject"]), safe=""), int(reference["version"])
            found = self._get(f"/subjects/{subject}/versions/{version}")
            if found is not None and str(reference["name"]) not in named:
                self._add_references(found, named)
                self.fastavro.parse_schema(json.loads(found["schema"]), named_schemas=named)

    def _get(self, path: str) -> dict[str, Any] | None:
        """An answer of the registry; None where it knows no such schema. Raises SourceError."""
        url, user, password = self._address()
        request = urllib.request.Request(  # noqa: S310  # the scheme is checked
            url.rstrip("/") + path, headers={"Accept": "application/vnd.schemaregistry.v1+json"}
        )
        if user is not None:
            token = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        try:
            with urllib.request.urlopen(request, timeout=self.settings.timeout) as answer:  # noqa: S310
                found = json.loads(answer.read(_MOST_ANSWER))
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                return None
            raise self._error(f"answers {exc.code}", url) from None
        except (OSError, ValueError, HTTPException, RecursionError) as exc:
            reason = getattr(exc, "reason", exc)
            raise self._error(f"can't be read: {type(exc).__name__}: {reason}", url) from None
        if not isinstance(found, dict):
            raise self._error("does not answer as a schema registry", url)
        return found

    def _error(self, what: str, url: str) -> SourceError:
        hint = "its user and password belong into the url, or registry_password_file"
        # A password that is not encoded may end the name of the host: then what stands there is a part of it.
        parts = urlsplit(url)
        port = "" if parts.port is None else str(parts.port)
        place = name_server(parts.scheme, ((str(parts.hostname), port),), f"sources.{self.source}.registry")
        return SourceError(f"the schema registry at {place} {what}", where=f"source {self.source}", hint=hint)

    def _address(self) -> tuple[str, str | None, str | None]:
        """(the url without its user, the user, the password)."""
        try:
            parts = urlsplit(str(self.settings.registry))
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that are not closed, a port that is none: it may be a piece of the password
            is_url = False
        if not is_url:
            raise ConfigError(
                f"sources.{self.source}.registry is not an http or https url", where="featurestore.toml",
                hint="percent-encode what its password holds of / ? # @ : and [ ], or use registry_password_file",
            )  # fmt: skip
        host = parts.netloc.rpartition("@")[2]
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        if self.settings.registry_password_file is not None:
            password = read_secret(
                self.root, self.settings.registry_password_file, f"sources.{self.source}.registry_password_file"
            )
        return urlunsplit((parts.scheme, host, parts.path, "", "")), user, password
