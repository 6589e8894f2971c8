"""Transactions and compaction as a broker sends them, sorted out by librdkafka: only what was committed comes, once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from featurestore.sources.kafka.settings import KafkaSettings
from featurestore.sources.kafka.topic import Range, Span, TopicReader
from tests.conftest import Folder
from tests.kafka.broker import ABORT, COMMIT, Broker, Log, broker
from tests.kafka.conftest import FEATURES, TOML, order

READ_COMMITTED = 1
PATIENT = 60.0
"""Seconds that the broker may take on a busy machine; nothing waits for so long."""


def patient(toml: str) -> str:
    return toml.replace('timeout = "5s"', 'timeout = "60s"')


def read(found: Broker, folder: Path, timeout: float = PATIENT) -> tuple[dict[int, Range], list[tuple[int, str]], Span]:
    """The offsets of partition 0, its records up to the last stable offset, and where the reading ended."""
    reader = TopicReader(
        KafkaSettings(found.address, found.topic, "text", "earliest", timeout=timeout), folder, "orders"
    )
    topic = reader.describe()
    span = Span(topic.partitions[0].low, topic.partitions[0].stable)
    records = [
        (offset, (value or b"").decode())
        for each in reader.read({0: span})
        for offset, value in zip(each.offsets, each.values, strict=True)
    ]
    reader.close()
    return dict(topic.partitions), records, span


def test_what_was_aborted_does_not_come_and_its_mark_ends_the_reading(tmp_path: Path) -> None:
    log = Log()
    log.add("a")
    log.add("never", producer=7)
    log.add("b", "c", producer=8)
    log.add("never", producer=7)
    log.end(8, COMMIT)
    log.add("d")
    log.end(7, ABORT)
    with broker(log) as found:
        ranges, records, span = read(found, tmp_path)
    assert ranges == {0: Range(0, 8, 8)}
    assert records == [(0, "a"), (2, "b"), (3, "c"), (6, "d")]
    assert (span.position, span.done) == (8, True)
    assert found.asked == {READ_COMMITTED}


def test_a_topic_of_nothing_but_aborted_records_is_read_to_its_end(tmp_path: Path) -> None:
    log = Log()
    log.add("never", "never", producer=7)
    log.end(7, ABORT)
    with broker(log) as found:
        _, records, span = read(found, tmp_path)
    assert (records, span.position) == ([], 3)


def test_what_compaction_took_leaves_the_others_at_their_offsets(tmp_path: Path) -> None:
    log = Log()
    log.skip(3)
    log.add("a")
    log.skip(4)
    log.add("b")
    log.empty(2)
    with broker(log) as found:
        _, records, span = read(found, tmp_path)
    assert records == [(3, "a"), (8, "b")]
    assert (span.position, span.done) == (11, True)


def test_an_end_that_no_batch_leads_to_is_not_taken_for_reached(tmp_path: Path) -> None:
    log = Log()
    log.add("a")
    log.skip(2)
    with broker(log) as found:
        _, records, span = read(found, tmp_path, timeout=3)
    assert records == [(0, "a")]
    assert (span.position, span.done) == (1, False)


def test_an_open_transaction_is_said_and_what_follows_it_waits(folder: Folder) -> None:
    log = Log()
    log.add(order("ada", 1, 10))
    log.add(order("ada", 2, 20), producer=7)
    log.add(order("ada", 3, 30))
    with broker(log) as found:
        toml = patient(TOML.format(brokers=found.address, topic=found.topic))
        folder.write({"featurestore.toml": toml, "features/shop.py": FEATURES})
        assert "blocked by a transaction that is open" in folder.run("ingest", code=3).err

        def values() -> list[float]:
            return [each["value"] for each in folder.json("history", "amount", "ada")["values"]]

        assert values() == [10]
        log.end(7, ABORT)
        log.add(order("ada", 4, 40), producer=7)
        log.end(7, COMMIT)
        folder.run("ingest")
        assert values() == [10, 30, 40]
        folder.run("ingest")
        assert values() == [10, 30, 40]


@pytest.mark.parametrize(("start", "first"), [("1970-01-02", 2), ("1970-01-02T00:00:00.0005Z", 3), ("1971-01-01", 5)])
def test_a_source_begins_at_the_first_record_of_a_time(folder: Folder, start: str, first: int) -> None:
    day = 86_400_000
    log = Log()
    log.add(order("ada", 1, 0), order("ada", 2, 1), at=day - 1)
    log.add(order("ada", 3, 2), at=day)
    log.add(order("ada", 4, 3), order("ada", 5, 4), at=day + 1)
    with broker(log) as found:
        toml = patient(TOML.format(brokers=found.address, topic=found.topic)).replace('"earliest"', f'"{start}"')
        folder.write({"featurestore.toml": toml, "features/shop.py": FEATURES})
        folder.run("ingest")
        log.add(order("ada", 6, 5), at=0)  # whatever its time: it comes after what was read
        folder.run("ingest")
        found_values = [each["value"] for each in folder.json("history", "amount", "ada")["values"]]
    assert found_values == list(range(first, 6))


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 40))])
def test_any_log_gives_what_was_committed_once_in_any_number_of_readings(seed: int, tmp_path: Path) -> None:
    drawn, log, committed = random.Random(seed), Log(), list[tuple[int, str]]()
    pending: dict[int, list[tuple[int, str]]] = {}
    seen: list[tuple[int, str]] = []
    with broker(log) as found:
        reader = TopicReader(
            KafkaSettings(found.address, found.topic, "text", "earliest", timeout=PATIENT), tmp_path, "x"
        )
        position = 0
        for step in range(60):
            who = drawn.choice([None, 1, 2, 3])
            match drawn.choice(["add", "add", "add", "end", "skip", "read"]):
                case "add":
                    texts = [f"{step}.{at}" for at in range(drawn.randint(1, 3))]
                    placed = [(log.high + at, text) for at, text in enumerate(texts)]
                    log.add(*texts, producer=who)
                    (committed if who is None else pending.setdefault(who, [])).extend(placed)
                case "end" if who in pending:
                    mark = drawn.choice([ABORT, COMMIT])
                    log.end(who, mark)
                    ended = pending.pop(who)
                    committed += ended if mark == COMMIT else []
                case "skip":
                    log.skip(drawn.randint(0, 3))
                    log.empty(drawn.randint(1, 3))
                case "read":
                    position = take(reader, position, seen)
                    assert seen == sorted(each for each in committed if each[0] < position), f"step {step}"
        for who in list(pending):
            log.end(who, ABORT)
        position = take(reader, position, seen)
        assert (seen, position) == (sorted(committed), log.high)
        reader.close()


def take(reader: TopicReader, position: int, seen: list[tuple[int, str]]) -> int:
    """Reads on to the last stable offset, as a run does."""
    span = Span(position, reader.describe().partitions[0].stable)
    for each in reader.read({0: span}):
        seen += zip(each.offsets, [(value or b"").decode() for value in each.values], strict=True)
    assert span.done
    return span.position
