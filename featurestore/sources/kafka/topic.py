"""A topic as the broker has it: its partitions with their offsets, and its records, each read once and in order.

librdkafka does the work; this module decides where reading begins and ends. Partitions are assigned, never subscribed
to: no group and no rebalance has a say in which records come.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from featurestore.errors import ConfigError, SourceError, did_you_mean
from featurestore.frozen import frozen
from featurestore.progress import SILENT, Progress
from featurestore.sources.kafka.settings import CLIENT, KafkaSettings, client_settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

AT_ONCE = 10_000  # records that are taken from the client's queue in one call
POLL_SECONDS = 0.2
_ID_SECONDS = 3.0  # for what old brokers don't answer: the topic's id
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
_FATAL = (
    "_AUTHENTICATION", "_FATAL", "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "_UNKNOWN_TOPIC",
    "SASL_AUTHENTICATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION",
)  # fmt: skip
_GONE = ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE")
_UNKNOWN_SETTING = re.compile(r'No such configuration property: "(.+)"')


@frozen
class Range:
    """The offsets of a partition: the first that is there, the last stable one, and the one after the last."""

    low: int
    stable: int
    high: int


@frozen
class Topic:
    """A topic at one moment. ``id`` is None where the broker has no ids, ``cluster`` where it does not say."""

    cluster: str | None
    id: str | None
    partitions: Mapping[int, Range]


class Record(NamedTuple):
    """One record. ``timestamp`` is in milliseconds, None where it has none."""

    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None

    @property
    def sha256(self) -> str:
        found = hashlib.sha256()
        for part in (self.key, self.value):
            found.update(b"-" if part is None else b"%d:" % len(part) + part)
        return found.hexdigest()


@dataclass(slots=True)
class Records:
    """Records of one partition in order, by column: twice as fast as one object each."""

    partition: int
    offsets: list[int] = field(default_factory=list)
    timestamps: list[int | None] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def __getitem__(self, at: int) -> Record:
        return Record(self.offsets[at], self.timestamps[at], self.keys[at], self.values[at])

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def size(self) -> int:
        """The bytes of keys and values."""
        return sum(sum(map(len, filter(None, column))) for column in (self.keys, self.values))

    def after(self, offset: int) -> Records:
        """Those after an offset."""
        at = bisect_right(self.offsets, offset)
        if not at:
            return self
        return Records(self.partition, self.offsets[at:], self.timestamps[at:], self.keys[at:], self.values[at:])

    def extend(self, others: Records) -> None:
        self.offsets += others.offsets
        self.timestamps += others.timestamps
        self.keys += others.keys
        self.values += others.values


@dataclass(slots=True)
class Span:
    """What is to be read of a partition: from ``begin`` until the position is ``end``."""

    begin: int
    end: int
    position: int = field(init=False)

    def __post_init__(self) -> None:
        self.position = self.begin

    @property
    def done(self) -> bool:
        return self.position >= self.end


class TopicReader:
    """A connection to the brokers of a source. Used by one thread; `close` ends it."""

    def __init__(self, settings: KafkaSettings, root: Path, source: str) -> None:
        self._settings, self._source = settings, source
        self._config = client_settings(settings, root, source)
        self._said: str | None = None  # by the client, of a broker that does not answer
        self._consumer = self._open()

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._settings.topic

    @property
    def where(self) -> str:
        return f"source {self._source}"

    def _open(self, isolation: str = "read_committed") -> Consumer:
        kafka = load_client()
        config = {
            # The client stops to fetch when its queue is full, and then looks again after a whole second by default.
            "fetch.queue.backoff.ms": 10,
            **self._config,
            # Never joined: librdkafka wants the name of a group from every consumer.
            "group.id": self._settings.group or "featurestore",
            "enable.auto.commit": False, "enable.auto.offset.store": False, "auto.offset.reset": "error",
            "isolation.level": isolation, "enable.partition.eof": True,
            "error_cb": self._note,
        }  # fmt: skip
        with self._refusing():
            return cast("Consumer", kafka.Consumer(config, logger=_quiet()))

    def _note(self, error: Any) -> None:
        self._said = str(error.str())

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Errors of the client as ours: the name of a setting, never a value."""
        kafka = load_client()
        try:
            yield
        except kafka.KafkaException as exc:
            message = str(exc.args[0].str() if hasattr(exc.args[0], "str") else exc.args[0])
            unknown = _UNKNOWN_SETTING.search(message)
            if unknown is not None:
                name = unknown[1]
                raise ConfigError(
                    f"sources.{self._source}.kafka: {name!r} is no setting of the Kafka client",
                    where="featurestore.toml", hint=did_you_mean(name, CLIENT),
                ) from None  # fmt: skip
            self._listen()
            raise self._error(message) from None

    def _listen(self) -> None:
        """Lets the client say what it met while it was asked something: a login that was refused, for one."""
        consumer = getattr(self, "_consumer", None)  # there is none yet where its settings are wrong
        if consumer is not None:
            with suppress(RuntimeError):  # it is closed
                consumer.poll(0)

    def _error(self, message: str) -> SourceError:
        said = f" ({self._said})" if self._said and self._said not in message else ""
        for name in self._secrets():
            message, said = message.replace(name, "…"), said.replace(name, "…")
        return SourceError(
            f"{self._settings.brokers}: {message}{said}", where=self.where,
            hint="featurestore doctor tries the connection; [sources.NAME.kafka] hands settings to the client",
        )  # fmt: skip

    def _secrets(self) -> list[str]:
        words = ("password", "secret", "pem", "oauthbearer.config")
        return [value for name, value in self._config.items() if value and any(word in name for word in words)]

    def describe(self) -> Topic:
        """The topic as it is now. Raises SourceError where it is not there, or the brokers don't answer."""
        kafka = load_client()
        with self._refusing():
            found = self._consumer.list_topics(self._settings.topic, timeout=self._settings.timeout)
        topic = found.topics[self._settings.topic]
        if topic.error is not None or not topic.partitions:
            raise SourceError(
                f"there is no topic {self._settings.topic!r}: {topic.error or 'it has no partitions'}",
                where=self.where, hint=self._suggest(),
            )  # fmt: skip
        numbers = sorted(topic.partitions)
        low = self._offsets(self._consumer, dict.fromkeys(numbers, kafka.OFFSET_BEGINNING))
        stable = self._offsets(self._consumer, dict.fromkeys(numbers, kafka.OFFSET_END))
        with closing(self._open(isolation="read_uncommitted")) as other:
            high = self._offsets(other, dict.fromkeys(numbers, kafka.OFFSET_END))
        ranges = {number: Range(low[number], stable[number], high[number]) for number in numbers}
        return Topic(found.cluster_id, self._topic_id(), ranges)

    def _suggest(self) -> str | None:
        with self._refusing():
            return did_you_mean(self._settings.topic, self._consumer.list_topics(timeout=self._settings.timeout).topics)

    def _topic_id(self) -> str | None:
        """A topic that was deleted and made again has another one. None where the broker is too old to say."""
        kafka, client = load_client(), load_admin().AdminClient(dict(self._config), logger=_quiet())
        asked = client.describe_topics(
            kafka.TopicCollection([self._settings.topic]), request_timeout=min(_ID_SECONDS, self._settings.timeout)
        )
        try:
            found = str(asked[self._settings.topic].result().topic_id)
        except kafka.KafkaException:
            return None
        return None if found == _NO_ID else found

    def offsets_at(self, partitions: Sequence[int], instant: int) -> dict[int, int]:
        """The first offset at or after an instant (µs), of each partition that has one."""
        found = self._offsets(self._consumer, dict.fromkeys(partitions, -(-instant // 1_000)))
        return {number: offset for number, offset in found.items() if offset >= 0}

    def _offsets(self, consumer: Consumer, times: Mapping[int, int]) -> dict[int, int]:
        """The offset of each partition at a time: a timestamp (ms), or the beginning or the end as the protocol has it.

        Where the end is depends on whether the consumer reads what is not committed. An AdminClient could be asked for
        both at once, but `list_offsets` of confluent-kafka 2.16 may crash the process, once in some 10,000 clients.
        """
        kafka = load_client()
        asked = [kafka.TopicPartition(self._settings.topic, number, time) for number, time in times.items()]
        with self._refusing():
            found = consumer.offsets_for_times(asked, timeout=self._settings.timeout)
        for part in found:
            if part.error is not None:
                raise self._error(f"partition {part.partition}: {part.error.str()}")
        return {part.partition: part.offset for part in found}

    def read(self, spans: Mapping[int, Span], progress: Progress = SILENT) -> Iterator[Records]:
        """The records of these partitions, some of one at a time, in order.

        Moves the position of each span. It ends where all are done, or where nothing has come for the source's
        ``timeout``. Raises SourceError for offsets that are not there any more.
        """
        kafka = load_client()
        reading = {number: span for number, span in spans.items() if not span.done}
        parts = [kafka.TopicPartition(self._settings.topic, number, span.begin) for number, span in reading.items()]
        with self._refusing():
            self._consumer.assign(parts)
        quiet = time.monotonic()
        while reading:
            progress.check()
            # The client waits until it has as many, so not for more than there are.
            awaited = sum(span.end - span.position for span in reading.values())
            with self._refusing():
                messages = self._consumer.consume(min(AT_ONCE, awaited), timeout=POLL_SECONDS)
            if messages:
                quiet = time.monotonic()
                yield from self._take(messages, reading)
            elif time.monotonic() - quiet > self._settings.timeout:
                break
            for done in [at for at, span in reading.items() if span.done or self._has_passed(at, span)]:
                self._consumer.incremental_unassign([kafka.TopicPartition(self._settings.topic, done)])
                reading[done].position = max(reading[done].position, reading[done].end)
                del reading[done]
        with self._refusing():
            self._consumer.unassign()

    def _has_passed(self, number: int, span: Span) -> bool:
        """Whether the client is past the end of a span without a record there: marks of transactions stand at ends."""
        kafka = load_client()
        (part,) = self._consumer.position([kafka.TopicPartition(self._settings.topic, number)])
        return bool(part.offset >= span.end)

    def _take(self, messages: Sequence[Message], reading: Mapping[int, Span]) -> Iterator[Records]:
        kind = load_client().Message  # whose methods are mapped, which takes half the time of calls one by one
        errors = [message for message in messages if message.error() is not None]
        records = [message for message in messages if message.error() is None] if errors else messages
        by_partition: dict[int, list[Any]] = {}
        for number, some in groupby(records, kind.partition):
            by_partition.setdefault(number or 0, []).extend(some)
        for number, found in by_partition.items():
            span = reading.get(number)
            offsets = list(map(kind.offset, found))
            # What came after the end was asked for is the next run's.
            begin, end = (0, 0) if span is None else (bisect_left(offsets, at) for at in (span.position, span.end))
            if span is None or begin >= end:
                continue
            span.position = offsets[end - 1] + 1
            chosen = found[begin:end]
            stamps = [stamp if of else None for of, stamp in map(kind.timestamp, chosen)]
            yield Records(
                number, offsets[begin:end], stamps, list(map(kind.key, chosen)), list(map(kind.value, chosen))
            )
        for message in errors:  # after the records: one may say that its partition ends behind them
            self._meet(message.error(), message.partition(), message.offset(), reading)

    def _meet(self, error: Any, number: int | None, offset: int | None, reading: Mapping[int, Span]) -> None:
        name, span = error.name(), None if number is None else reading.get(number)
        if name == "_PARTITION_EOF":
            if span is not None and offset is not None:
                span.position = max(span.position, offset)
        elif name in _GONE:
            raise self.gone(f"partition {number} has no offset {offset if span is None else span.begin}")
        elif name in _FATAL or error.fatal():
            raise self._error(error.str())
        else:
            self._said = str(error.str())

    def gone(self, what: str) -> SourceError:
        """An error about a topic that is not what was read before."""
        return SourceError(
            f"topic {self._settings.topic}: {what}", where=self.where,
            hint=f"featurestore ingest --restart-source {self._source} begins where start says; what was taken stays",
        )  # fmt: skip

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tells the group how far the source was read, for those who watch its lag. Raises SourceError."""
        kafka = load_client()
        parts = [kafka.TopicPartition(self._settings.topic, number, offset) for number, offset in offsets.items()]
        with self._refusing():
            self._consumer.commit(offsets=parts, asynchronous=False)

    def close(self) -> None:
        self._consumer.close()


def _quiet() -> logging.Logger:
    """What librdkafka would print goes nowhere: what matters comes as an error."""
    logger = logging.getLogger("featurestore.kafka")
    logger.addHandler(logging.NullHandler()) if not logger.handlers else None
    logger.propagate = False
    return logger


def load_client() -> Any:
    """The module of the client. Raises SourceError where it is not installed."""
    try:
        import confluent_kafka
    except ImportError as exc:
        raise SourceError(
            f"the Kafka client can't be loaded: {exc}", hint="pip install 'featurestore[kafka]' brings it"
        ) from None
    return confluent_kafka


def load_admin() -> Any:
    """The module of the client that asks brokers about topics."""
    load_client()
    import confluent_kafka.admin

    return confluent_kafka.admin
