"""A shop whose orders come by a topic."""

import json

import pytest

from tests.conftest import Folder
from tests.services_kafka import Kafka

TOML = """
[project]
name = "test"
[entity_types.customer]
keys = {{ customer_id = "string" }}
[sources.orders]
type = "kafka"
brokers = "{brokers}"
topic = "{topic}"
format = "json"
start = "earliest"
event_time = "at"
timeout = "5s"
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="customer", data_type="float")
def amount() -> pl.Expr:
    return pl.col("amount") * 1.0


@feature(entity_type="customer", data_type="float", scope="entity")
def total(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select(
        "customer_id", computed_at="at", value=pl.col("amount").cum_sum().over("customer_id", order_by="at") * 1.0
    )
"""


def order(customer: str, day: int, amount: float) -> str:
    return json.dumps({"customer_id": customer, "at": f"2026-01-{day:02}T00:00:00Z", "amount": amount})


class Shop:
    """A project on a topic of its own."""

    def __init__(self, folder: Folder, kafka: Kafka, topic: str) -> None:
        self.folder, self.kafka, self.topic = folder, kafka, topic

    def send(self, *orders: tuple[str, int, float], partition: int = 0) -> None:
        self.kafka.send(self.topic, [order(*each) for each in orders], partition=partition)

    def values(self, feature: str, customer: str) -> list[float]:
        return [each["value"] for each in self.folder.json("history", feature, customer)["values"]]

    def edit(self, old: str, new: str) -> None:
        """Replaces text in featurestore.toml."""
        self.folder.edit("featurestore.toml", old, new)


@pytest.fixture
def shop(folder: Folder, kafka: Kafka) -> Shop:
    topic = kafka.topic(2)
    folder.write({"featurestore.toml": TOML.format(brokers=kafka.brokers, topic=topic), "features/shop.py": FEATURES})
    return Shop(folder, kafka, topic)
