"""``[sources.NAME]`` of a Kafka topic: where it is, how its records are written, and what the client is told."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from featurestore import times
from featurestore.errors import ConfigError, did_you_mean, os_reason
from featurestore.frozen import frozen
from featurestore.model import Json
from featurestore.regular import in_home
from featurestore.toml import TomlTable, interpolate

KEYS = (
    "brokers", "topic", "format", "start", "key", "key_format", "key_schema", "timestamp", "schema", "registry",
    "registry_password_file", "tombstone", "group", "timeout", "kafka",
)  # fmt: skip
FORMATS = ("json", "avro", "text")
KEY_FORMATS = ("text", "avro")
TOMBSTONES = ("skip", "delete")
TIMEOUT = "30s"
TEXT = "value"
"""The column of a record's payload with ``format = "text"``."""

OWN = {
    "bootstrap.servers": "is `brokers` of the source",
    "metadata.broker.list": "is `brokers` of the source",
    "group.id": "is `group` of the source",
    "auto.offset.reset": 'is "error": an offset that is gone stops the source',
    "isolation.level": 'is "read_committed"',
    "enable.auto.commit": "is false: offsets are kept in the history",
    "enable.auto.offset.store": "is false: offsets are kept in the history",
    "enable.partition.eof": "is true: it says when a partition is read",
}
"""What a user can't set, since exactly once depends on it."""

CLIENT = (
    "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "sasl.kerberos.keytab",
    "sasl.kerberos.principal", "sasl.kerberos.service.name", "sasl.oauthbearer.method", "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret", "sasl.oauthbearer.scope", "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.config", "ssl.ca.location", "ssl.ca.pem",
    "ssl.certificate.location", "ssl.certificate.pem", "ssl.key.location", "ssl.key.pem", "ssl.key.password",
    "ssl.keystore.location", "ssl.keystore.password", "ssl.crl.location", "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification", "client.id", "client.rack",
    "socket.timeout.ms", "socket.keepalive.enable", "socket.nagle.disable", "socket.connection.setup.timeout.ms",
    "connections.max.idle.ms", "reconnect.backoff.ms", "reconnect.backoff.max.ms", "metadata.max.age.ms",
    "broker.address.family", "broker.address.ttl", "fetch.wait.max.ms", "fetch.min.bytes", "fetch.max.bytes",
    "fetch.message.max.bytes", "max.partition.fetch.bytes", "receive.message.max.bytes", "message.max.bytes",
    "queued.min.messages", "queued.max.messages.kbytes", "check.crcs", "debug", "client.dns.lookup",
    "test.mock.num.brokers",
)  # fmt: skip
"""Settings of the client that are often needed: for suggestions. The client itself says which it knows."""

_FILE = "_file"


@frozen
class KafkaSettings:
    """Where a topic is and how its records are read.

    ``start`` is ``earliest``, ``latest`` or an instant (µs): where a source begins that was never read. The record's
    key is the column ``key``, its timestamp the column ``timestamp``, where they are set. ``schema`` is the path of an
    Avro schema, ``key_schema`` that of keys in Avro; ``registry`` the url of a registry of them. ``timeout`` (s) is how
    long a broker may say nothing. ``client`` are settings of the client. It and ``registry`` may hold secrets, and are
    not shown.
    """

    brokers: str
    topic: str
    format: str
    start: str | int
    key: str | None = None
    timestamp: str | None = None
    schema: str | None = None
    registry: str | None = field(default=None, repr=False)
    registry_password_file: str | None = None
    tombstone: str = "skip"
    key_format: str = "text"
    key_schema: str | None = None
    group: str | None = None
    timeout: float = 30.0
    client: Mapping[str, str] = field(default_factory=dict, repr=False)
    client_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def location(self) -> str:
        return f"topic {self.topic} at {self.brokers}"

    @property
    def identity(self) -> Mapping[str, Json]:
        """How a record becomes a row. Where it comes from is in the stored position, which knows the topic's id."""
        found = {"format": self.format, "key": self.key, "timestamp": self.timestamp, "tombstone": self.tombstone}
        return found if self.key_format == "text" else {**found, "key_format": self.key_format}


def read_settings(table: TomlTable) -> KafkaSettings:
    """Raises ConfigError naming the key."""
    kind = _one_of(table, "format", FORMATS)
    schema, registry = table.text("schema"), table.text("registry")
    if kind == "avro" and (schema is None) == (registry is None):
        raise table.error(
            "format", "avro needs schema or registry", 'schema = "orders.avsc", or registry = "https://…"'
        )
    key, key_schema = table.text("key"), table.text("key_schema")
    key_kind = _one_of(table, "key_format", KEY_FORMATS, "text")
    if schema is not None and kind != "avro":
        raise table.error("schema", 'is for format = "avro"')
    if registry is not None and "avro" not in (kind, key_kind):
        raise table.error("registry", 'is for format = "avro", or key_format = "avro"')
    if key_schema is not None and key_kind != "avro":
        raise table.error("key_schema", 'is for key_format = "avro"')
    if key_kind == "avro" and key is None:
        raise table.error(
            "key_format", "is of the column that key names", 'key = "customer_id" says which column it is'
        )
    if key_kind == "avro" and (key_schema is None) == (registry is None):
        raise table.error(
            "key_format", "avro needs key_schema or registry", 'key_schema = "id.avsc", or registry = "https://…"'
        )
    if table.text("registry_password_file") is not None and registry is None:
        raise table.error("registry_password_file", "is for a registry")
    if "duplicates" in table.data:
        hint = "a record is one event of its entity and time, or of its id"
        raise table.error("duplicates", "is not for a stream", hint)
    tombstone = _one_of(table, "tombstone", TOMBSTONES, "skip")
    if tombstone == "delete" and key is None:
        raise table.error(
            "tombstone", "deletes the entity that the record's key names", 'key = "customer_id" says which column it is'
        )
    client, files = _read_client(table)
    return KafkaSettings(
        brokers=table.required_text("brokers"), topic=table.required_text("topic"), format=kind,
        start=_read_start(table), key=key, timestamp=table.text("timestamp"), schema=schema, registry=registry,
        key_format=key_kind, key_schema=key_schema,
        registry_password_file=table.text("registry_password_file"), tombstone=tombstone, group=table.text("group"),
        timeout=_read_timeout(table), client=client, client_files=files,
    )  # fmt: skip


def _one_of(table: TomlTable, name: str, choices: Collection[str], default: str | None = None) -> str:
    text = table.text(name, default)
    if text is None:
        raise table.error(name, "is missing", f"one of {', '.join(choices)}")
    if text not in choices:
        raise table.error(name, f"must be one of {', '.join(choices)}", did_you_mean(text, choices))
    return text


def _read_start(table: TomlTable) -> str | int:
    hint = 'start = "earliest" takes what the topic holds, "latest" only what comes, "2026-01-01" from a time on'
    text = table.text("start")
    if text is None:
        raise table.error("start", "is missing", hint)
    if text in ("earliest", "latest"):
        return text
    try:
        return times.parse_instant(text)[0]
    except ValueError:
        raise table.error("start", "is neither earliest, latest nor a time", hint) from None


def _read_timeout(table: TomlTable) -> float:
    text = table.text("timeout", TIMEOUT)
    try:
        seconds = times.parse_duration(str(text)) / 1_000_000
    except ValueError as exc:
        raise table.error("timeout", "is not a duration", str(exc)) from None
    if seconds < 1:
        raise table.error("timeout", "must be at least one second")
    return seconds


def _read_client(table: TomlTable) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The client's settings, and those whose value is in a file: ``sasl.password_file``."""
    inner = table.table("kafka")
    values: dict[str, str] = {}
    files: dict[str, str] = {}
    for name, value in _flat(inner.data):
        bare = name.removesuffix(_FILE)
        if bare in OWN:
            raise inner.error(bare, OWN[bare])
        if not isinstance(value, str | int | float):
            raise inner.error(name, "must be text, a number, true or false")
        text = str(value).lower() if isinstance(value, bool) else interpolate(str(value), inner, name)
        (values if bare == name else files)[bare] = text
    return values, files


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """``sasl.password = …`` is a table inside a table to TOML, and one name to the client."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def client_settings(settings: KafkaSettings, root: Path, source: str) -> dict[str, str]:
    """What the client is given, secrets of files among it. Raises ConfigError for a file that can't be read."""
    values = {name: _from_root(root, name, value) for name, value in settings.client.items()}
    for name, path in settings.client_files.items():
        values[name] = read_secret(root, path, f"sources.{source}.kafka.{name}{_FILE}")
    return {**values, "bootstrap.servers": settings.brokers}


def _from_root(root: Path, name: str, value: str) -> str:
    """A value of the client's; one that is a file is looked for in the project, as every other path is."""
    is_file = name.endswith(".location") and value != "probe"  # which librdkafka takes for the system's certificates
    return str(root / in_home(value)) if is_file else value


def read_secret(root: Path, path: str, key: str) -> str:
    """The text of a file without its last line end. Raises ConfigError."""
    try:
        return (root / in_home(path)).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = os_reason(exc) if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(f"{key} can't be read: {reason}", where="featurestore.toml") from None


def read_schema(root: Path, source: str, name: str, path: str) -> tuple[str, str]:
    """(the text of the Avro schema that the setting ``name`` has the path of, its SHA-256). Raises ConfigError."""
    text = read_secret(root, path, f"sources.{source}.{name}")
    return text, hashlib.sha256(text.encode()).hexdigest()
