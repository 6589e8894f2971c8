#!/usr/bin/env python3
"""What it takes to read servers as sources, beside their drivers alone.

    .venv/bin/python scripts/bench/servers.py [--rows 500000] [--runs 5] [--only kafka,postgresql]

Bars: a table of PostgreSQL at most 1.5 times what ADBC alone takes to read the same rows into Polars (ours lays them
into a file, hashes them, types each column and checks the keys); a topic of Kafka at most 1.5 times what its client
alone takes (ours keeps the raw records as files for the history, types each column, checks the keys and keeps each
row's offset). The client waits for a second whenever its queue is full, unless it is told otherwise; beside the client
as it comes stands one that is told what ours is told.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import timing
from confluent_kafka import Producer
from reading import make_project, reading

BAR = 1.5
MOST_MB = 800
PARTITIONS = 4
TOPIC = """\
type = "kafka"
brokers = "{brokers}"
topic = "{topic}"
format = "json"
start = "earliest"
event_time = "at"
"""
FETCHED = (
    "import tempfile; folder = tempfile.TemporaryDirectory(); "
    "offer = opened.offer_of(opened.fetch(None, Path(folder.name), 0).parts)"
)
OWN = """\
import io
import polars as pl
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({{"bootstrap.servers": "{brokers}", "group.id": "own", "enable.auto.commit": False, {more}}})
consumer.assign([TopicPartition("{topic}", number, 0) for number in range({partitions})])
values = []
while len(values) < {rows}:
    values += [message.value() for message in consumer.consume(10_000, 0.2) if message.error() is None]
assert pl.read_ndjson(io.BytesIO(b"\\n".join(values))).height == {rows}
"""


TABLE = """\
type = "postgresql"
url = "{url}"
table = "events"
event_time = "at"
"""
OWN_TABLE = """\
import adbc_driver_manager as adbc
import adbc_driver_postgresql as driver
import polars as pl
import pyarrow as pa
connection = adbc.AdbcConnection(driver.connect("{url}"))
statement = adbc.AdbcStatement(connection)
statement.set_sql_query("SELECT * FROM events")
answer = pa.RecordBatchReader.from_stream(statement.execute_query()[0]).read_all()
assert pl.DataFrame(pl.from_arrow(answer)).height == {rows}
"""
EVENTS = (
    "CREATE TABLE events AS SELECT 'u' || i % 5000 AS user_id, timestamptz '2026-01-01' + i * interval '1 s' AS at, "
    "(i % 997 + 0.25)::float8 AS amount, i AS visits, 'word ' || i % 100 AS word FROM generate_series(1, {rows}) i"
)


def measure_postgresql(root: Path, rows: int, runs: int) -> bool:
    sys.path.append(str(Path(__file__).parents[2]))
    from tests.services import short_folder
    from tests.services_postgres import PostgresServer

    server = PostgresServer(short_folder()).create().start()
    try:
        server.run(EVENTS.format(rows=rows))
        names = {"url": server.url, "rows": rows}
        make_project(root / "postgresql", TABLE.format(**names))
        commands = {
            "ours": reading("postgresql", rows),
            "ADBC": [sys.executable, "-c", OWN_TABLE.format(**names)],
        }
        timings = timing.interleave(commands, root, runs)
    finally:
        server.stop()
        shutil.rmtree(server.folder)
    good = timing.report_close(f"{rows:,} rows of a table, whole processes", timings, "ADBC", {"ours": BAR})
    return timing.report_peak("its memory", timings["ours"].peak, MOST_MB) and good


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
        make_project(root / "kafka", TOPIC.format(**names))
        commands = {
            "ours": reading("kafka", rows, FETCHED),
            "client": [sys.executable, "-c", OWN.format(**names, more="")],
            "client, told": [sys.executable, "-c", OWN.format(**names, more='"fetch.queue.backoff.ms": 10')],
        }
        timings = timing.interleave(commands, root, runs)
    finally:
        assert kafka.process is not None
        kafka.process.kill()
    good = timing.report_close(f"{rows:,} records of a topic, whole processes", timings, "client", {"ours": BAR})
    return timing.report_peak("its memory", timings["ours"].peak, MOST_MB) and good


MEASURES = {"kafka": measure_kafka, "postgresql": measure_postgresql}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(MEASURES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = [MEASURES[name](Path(folder), options.rows, options.runs) for name in options.only.split(",")]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
