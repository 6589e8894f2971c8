"""Corners of the protocol, with librdkafka's own cluster, whose watermarks are right."""

import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer

from featurestore.errors import SourceError
from featurestore.model import Source
from featurestore.sources.kafka.settings import KafkaSettings
from featurestore.sources.kafka.source import KafkaSource
from featurestore.sources.kafka.topic import Range, Span, Topic, TopicReader
from featurestore.workflows.source_preview import Nowhere
from tests.services_kafka import Kafka

SECONDS = 20.0


@pytest.fixture
def reader(mock_kafka: Kafka, tmp_path: Path) -> TopicReader:
    settings = KafkaSettings(mock_kafka.brokers, f"t{uuid.uuid4().hex}", "json", "earliest", timeout=2)
    return TopicReader(settings, tmp_path, "orders")


def send(kafka: Kafka, reader: TopicReader, count: int, transaction: bool = False) -> None:
    """Sends records in batches, perhaps in one transaction, whose mark stands after them."""
    options: dict[str, str] = {"transactional.id": reader.topic} if transaction else {}
    producer = Producer({"bootstrap.servers": kafka.brokers, **options})
    if transaction:
        producer.init_transactions(SECONDS)
        producer.begin_transaction()
    for number in range(count):
        producer.produce(reader.topic, str(number), partition=0)
    assert producer.flush(SECONDS) == 0
    if transaction:
        producer.commit_transaction(SECONDS)


def test_a_partition_is_read_where_its_end_is_the_mark_of_a_transaction(mock_kafka: Kafka, reader: TopicReader) -> None:
    send(mock_kafka, reader, 100)
    send(mock_kafka, reader, 50, transaction=True)
    topic = reader.describe()
    assert topic.partitions[0] == Range(0, 151, 151)
    spans = {number: Span(found.low, found.stable) for number, found in topic.partitions.items()}
    offsets = [offset for records in reader.read(spans) for offset in records.offsets]
    assert offsets == list(range(150))
    assert [span.position for span in spans.values()] == [151, 0, 0, 0]
    reader.close()


def test_offsets_that_no_record_has_leave_every_other_record_at_its_place(mock_kafka: Kafka, tmp_path: Path) -> None:
    settings = KafkaSettings(mock_kafka.brokers, f"t{uuid.uuid4().hex}", "json", "earliest", timeout=2)
    reader = TopicReader(settings, tmp_path, "orders")
    for _ in range(2):  # each mark of a transaction is an offset without a record, as is what was compacted away
        send(mock_kafka, reader, 3, transaction=True)
    send(mock_kafka, reader, 2)
    reader.close()
    source = KafkaSource(Nowhere(tmp_path), Source("orders", "kafka", settings))
    fetched = source.fetch(None, tmp_path, 0)
    (batch,) = source.read(source.offer_of(fetched.parts), report=print)
    assert [source.place(batch.origin, row.row).text.split()[-1] for row in batch.unreadable] == list("01245689")
    (part,) = fetched.parts
    assert (part.rows, part.facts["first"], part.facts["last"]) == (8, 0, 9)  # type: ignore[index, call-overload]
    again = source.fetch(fetched.cursor, tmp_path, 1)
    assert (again.parts, again.waiting) == ((), ())


def test_offsets_that_are_gone_stop_the_reading(mock_kafka: Kafka, reader: TopicReader) -> None:
    send(mock_kafka, reader, 3)
    with pytest.raises(SourceError) as caught:
        list(reader.read({0: Span(50, 60)}))
    assert caught.value.message == f"topic {reader.topic}: partition 0 has no offset 50"
    assert caught.value.hint is not None
    assert "--restart-source orders" in caught.value.hint
    reader.close()


def test_a_last_record_that_a_topic_has_forgotten_is_not_looked_for(mock_kafka: Kafka, tmp_path: Path) -> None:
    settings = KafkaSettings(mock_kafka.brokers, "forgetful", "json", "earliest", timeout=2)
    source = KafkaSource(Nowhere(tmp_path), Source("orders", "kafka", settings))
    last = {"offset": 3, "timestamp": 0, "sha256": "x"}
    position = {"cluster": None, "topic": None, "partitions": {"0": {"next": 5, "last": last}}}
    reader = TopicReader(settings, tmp_path, "orders")
    assert source.spans(reader, Topic(None, None, {0: Range(5, 9, 9)}), position) == {0: Span(5, 9)}
    assert source.spans(reader, Topic(None, None, {0: Range(0, 9, 9)}), position) == {0: Span(3, 9)}
    with pytest.raises(SourceError, match="from offset 5 to 6 were removed before they were read"):
        source.spans(reader, Topic(None, None, {0: Range(7, 9, 9)}), position)
    reader.close()


def test_what_comes_after_the_end_is_left_to_the_next_run(mock_kafka: Kafka, reader: TopicReader) -> None:
    send(mock_kafka, reader, 30)
    spans = {0: Span(5, 20)}
    assert [offset for records in reader.read(spans) for offset in records.offsets] == list(range(5, 20))
    assert spans[0].position == 20
    reader.close()


def test_brokers_that_say_nothing_end_the_reading_after_the_timeout(mock_kafka: Kafka, reader: TopicReader) -> None:
    send(mock_kafka, reader, 3)
    spans = {0: Span(0, 10)}
    assert [len(records) for records in reader.read(spans)] == [3]
    assert (spans[0].position, spans[0].done) == (3, False)
    reader.close()
