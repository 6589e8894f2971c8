#!/usr/bin/env python3
"""What it takes to read servers as sources, beside their drivers alone.

    .venv/bin/python scripts/bench/servers.py [--rows 500000] [--runs 5]

Bar: a topic of Kafka at most 1.5 times what its client alone takes to read the same records into Polars. Ours keeps the
raw records as files for the history, types each column, checks the keys and keeps each row's offset.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import timing
from confluent_kafka import Producer

BAR = 1.5
MOST_MB = 800
PARTITIONS = 4
TOML = """\
[project]
name = "bench"
[entity_types.user]
keys = {{ user_id = "string" }}
[sources.events]
type = "kafka"
brokers = "{brokers}"
topic = "{topic}"
format = "json"
start = "earliest"
event_time = "at"
"""
OURS = (
    "import tempfile; from pathlib import Path; from featurestore.config import load_project; "
    "from featurestore.sources.offers import open_source; from featurestore.sources.reading import read_rows; "
    "project = load_project(Path('kafka')); source = project.sources['events']; "
    "opened = open_source(project, source); folder = tempfile.TemporaryDirectory(); "
    "offer = opened.offer_of(opened.fetch(None, Path(folder.name), 0).parts); "
    "assert read_rows(project, source, opened, offer, {{'user_id': 'string'}}).frame.height == {rows}"
)
OWN = """\
import io
import polars as pl
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({{"bootstrap.servers": "{brokers}", "group.id": "own", "enable.auto.commit": False}})
consumer.assign([TopicPartition("{topic}", number, 0) for number in range({partitions})])
values = []
while len(values) < {rows}:
    values += [message.value() for message in consumer.consume(10_000, 0.2) if message.error() is None]
assert pl.read_ndjson(io.BytesIO(b"\\n".join(values))).height == {rows}
"""


def fill(brokers: str, topic: str, rows: int) -> None:
    """Sends the records, and last of all one alone: of a batch the wheel's broker counts one record."""
    for batch in (100_000, 1):
        producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "batch.num.messages": batch})
        numbers = range(rows - PARTITIONS) if batch > 1 else range(rows - PARTITIONS, rows)
        for number in numbers:
            at = f"2026-01-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:{number // 1440 % 60:02}Z"
            value = f'{{"user_id": "u{number % 5000}", "at": "{at}", "amount": {number % 997}.25, "visits": {number}}}'
            producer.produce(topic, value, partition=number % PARTITIONS)
            if number % 10_000 == 0:
                producer.poll(0)
        producer.flush()


def measure_kafka(root: Path, rows: int, runs: int) -> bool:
    sys.path.append(str(Path(__file__).parents[2]))
    from tests.services_kafka import start_broker

    kafka = start_broker()
    try:
        topic = kafka.topic(PARTITIONS)
        fill(kafka.brokers, topic, rows)
        names = {"brokers": kafka.brokers, "topic": topic, "rows": rows, "partitions": PARTITIONS}
        (root / "kafka").mkdir()
        (root / "kafka" / "featurestore.toml").write_text(TOML.format(**names), encoding="utf-8")
        commands = {
            "ours": [sys.executable, "-c", OURS.format(**names)],
            "client": [sys.executable, "-c", OWN.format(**names)],
        }
        timings = timing.interleave(commands, root, runs)
    finally:
        assert kafka.process is not None
        kafka.process.kill()
    good = timing.report_close(f"{rows:,} records of a topic, whole processes", timings, "client", {"ours": BAR})
    return timing.report_peak("its memory", timings["ours"].peak, MOST_MB) and good


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if measure_kafka(Path(folder), options.rows, options.runs) else 1


if __name__ == "__main__":
    sys.exit(main())
