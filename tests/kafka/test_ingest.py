"""A topic as a source: every record is taken exactly once, and what can't be taken is said."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from featurestore.config import load_project
from featurestore.locking import write_lock
from featurestore.offline.open import open_offline
from featurestore.runs import new_run_id
from tests.kafka.conftest import Shop, order


def test_each_run_takes_what_came_since_the_last_one(shop: Shop) -> None:
    shop.send(("a", 1, 10), ("b", 1, 5))
    shop.send(("a", 2, 20), partition=1)
    assert {name: one["rows_written"] for name, one in shop.folder.features().items()} == {"amount": 3, "total": 3}
    assert {one["status"] for one in shop.folder.features().values()} == {"unchanged"}
    shop.send(("a", 3, 30))
    found = shop.folder.features()
    assert (found["amount"]["rows_written"], found["amount"]["rows_computed"]) == (1, 1)
    assert shop.values("total", "a") == [10, 30, 60]
    assert shop.folder.features("--full")["total"]["rows_unchanged"] == 4


def test_a_new_version_and_a_feature_that_failed_read_what_was_kept(shop: Shop) -> None:
    shop.send(("a", 1, 10))
    shop.folder.edit("features/shop.py", "rows.select", "rows.lacks")
    found = shop.folder.features(code=3)
    assert {name: one["status"] for name, one in found.items()} == {"amount": "ok", "total": "failed"}
    shop.folder.edit("features/shop.py", "rows.lacks", "rows.select")
    shop.folder.edit("features/shop.py", '("amount") * 1.0\n', '("amount") * 2.0\n')
    shop.kafka.remove(shop.topic)
    shop.kafka.topic(2, shop.topic)
    found = shop.folder.features("--restart-source", "orders")
    assert {name: (one["status"], one["rows_written"]) for name, one in found.items()} == {
        "amount": ("ok", 1), "total": ("ok", 1),
    }  # fmt: skip
    assert shop.values("amount@2", "a") == [20]
    assert shop.values("total", "a") == [10]


def test_rows_are_read_again_from_the_history_where_nothing_is_kept_parsed(shop: Shop) -> None:
    shop.send(("a", 1, 10), ("b", 2, 20))
    shop.folder.features()
    shutil.rmtree(shop.folder.root / ".featurestore" / "rows")
    shop.send(("a", 3, 30))
    assert shop.folder.features()["total"]["rows_written"] == 1
    assert shop.values("total", "a") == [10, 40]


@pytest.mark.parametrize("runs", [1, 2])
def test_of_two_records_of_one_entity_and_time_the_later_one_of_a_partition_wins(shop: Shop, runs: int) -> None:
    shop.send(("a", 1, 99), ("a", 1, 10))
    for value in (15, 20):
        if runs == 2:
            shop.folder.features()
        shop.send(("a", 1, value))
    shop.folder.features()
    assert shop.values("total", "a")[-1] == 20
    shop.folder.run("ingest", "--full")
    assert shop.values("amount", "a")[-1] == 20


def test_across_partitions_records_that_differ_contradict_each_other(shop: Shop) -> None:
    shop.send(("a", 1, 10))
    shop.send(("a", 1, 11), partition=1)
    found = shop.folder.features(code=4)
    message = found["total"]["error"]["message"]
    assert f"{shop.topic} partition 0 offset 0 and {shop.topic} partition 1 offset 0" in message
    toml = 'event_time = "at"\nupdated_at = "at"'
    shop.edit('event_time = "at"', toml)
    assert shop.folder.features(code=4)["amount"]["status"] == "failed"


def test_what_can_not_be_decoded_is_set_aside_with_partition_and_offset(shop: Shop) -> None:
    shop.send(("a", 1, 10))
    shop.kafka.send(shop.topic, ["", "{", b"\xff", "[1]", order("b", 1, 5).replace("{", "{\n"), None])
    found = shop.folder.json("ingest", code=3)
    assert [one["rows_rejected"] for one in found["features"]] == [4, 4]
    assert "passed over: 1 record without a payload" in " ".join(found["warnings"])
    rows = shop.folder.json("runs", found["run_id"], "--rejected")["rejected"]
    wrong = "Expecting property name enclosed in double quotes at character 2"
    assert [(one["place"], one["reason"]) for one in rows] == [
        (f"{shop.topic} partition 0 offset 1", "is empty"),
        (f"{shop.topic} partition 0 offset 2", f"is not JSON: {wrong}"),
        (f"{shop.topic} partition 0 offset 3", "is not UTF-8: byte 0xff"),
        (f"{shop.topic} partition 0 offset 4", "is not a JSON object"),
    ]  # fmt: skip
    assert shop.values("amount", "b") == [5]


def test_key_and_time_come_from_the_record(shop: Shop) -> None:
    old = 'event_time = "at"'
    shop.edit(old, f'{old}\nkey = "customer_id"\ntimestamp = "at"')
    shop.kafka.send(shop.topic, ['{"amount": 1}', '{"amount": 2}'], keys=["a", b"\xff"], at=1_767_225_600_123)
    found = shop.folder.json("ingest", code=3)
    assert [one["rows_rejected"] for one in found["features"]] == [1, 1]
    (value,) = shop.folder.json("history", "amount", "a")["values"]
    assert (value["value"], value["computed_at"]) == (1.0, "2026-01-01T00:00:00.123000Z")
    shop.send(("c", 2, 3))
    message = shop.folder.features(code=4)["amount"]["error"]["message"]
    assert "has a field 'customer_id', which the record's key is to be called too" in message


def test_a_partition_that_is_new_begins_at_its_beginning(shop: Shop) -> None:
    shop.edit('"earliest"', '"latest"')
    shop.send(("a", 1, 10))
    shop.send(("b", 2, 5), partition=1)
    found = shop.folder.json("ingest")
    assert [one["note"] for one in found["features"]] == ["nothing has come of its source yet"] * 2
    change_position(shop, lambda cursor: cursor["partitions"].pop("1"))  # as if there had been one partition
    shop.send(("a", 2, 20))
    assert shop.folder.features()["amount"]["rows_written"] == 2
    assert (shop.values("amount", "a"), shop.values("amount", "b")) == ([20], [5])


def test_it_starts_at_a_time(shop: Shop) -> None:
    if not shop.kafka.is_named:
        pytest.skip("neither the wheel's broker nor a mock cluster knows offsets by time")
    shop.edit('"earliest"', '"2026-01-02"')
    for day in (1, 2, 3):
        at = 1_767_225_600_000 + (day - 1) * 86_400_000
        shop.kafka.send(shop.topic, [order("a", day, day)], at=at)
    shop.folder.features()
    assert shop.values("amount", "a") == [2, 3]


def change_position(shop: Shop, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes how far the source was read, as the history has it."""
    project = load_project(shop.folder.root)
    store = open_offline(project)
    cursor = cast("dict[str, Any]", store.source_position("orders"))
    change(cursor)
    with write_lock(project), store.writing(new_run_id()) as run:
        run.set_source_position("orders", cursor)


@dataclass(frozen=True)
class Other:
    """What a topic has become, and what is said of it."""

    makes: Callable[[Shop], None]
    says: str


def _made_anew(shop: Shop) -> None:
    shop.kafka.remove(shop.topic)
    shop.kafka.topic(2, shop.topic)
    shop.send(("a", 1, 10), ("b", 1, 5))


@pytest.mark.parametrize(
    "other",
    [
        Other(_made_anew, "was made anew"),
        Other(
            lambda shop: change_position(shop, lambda cursor: cursor.update(cluster="another")),
            "is in another cluster than before",
        ),
        Other(
            lambda shop: change_position(shop, lambda cursor: cursor["partitions"]["0"]["last"].update(sha256="x")),
            "partition 0 has another record at offset 1 than was read",
        ),
        Other(
            lambda shop: change_position(shop, lambda cursor: cursor["partitions"]["0"].update(next=7)),
            "partition 0 ends at offset 3, and was read up to 7",
        ),
    ],
)
def test_another_topic_stops_the_source_until_it_is_restarted(shop: Shop, other: Other) -> None:
    shop.send(("a", 1, 10), ("b", 1, 5))
    shop.folder.features()
    other.makes(shop)
    shop.send(("a", 2, 20))
    found = shop.folder.features(code=4)
    assert found["amount"]["error"]["message"].endswith(other.says)
    assert "ingest --restart-source orders" in found["amount"]["error"]["hint"]
    found = shop.folder.features("--restart-source", "orders")
    assert (found["amount"]["rows_written"], shop.values("total", "a")) == (1, [10, 30])


def test_a_restart_is_for_streams(shop: Shop) -> None:
    error = shop.folder.json("ingest", "--restart-source", "order", code=2)["error"]
    assert (error["message"], error["hint"]) == ("there is no source 'order'", "did you mean 'orders'?")


def test_an_open_transaction_blocks_its_partition_and_is_said(shop: Shop) -> None:
    producer = shop.kafka.producer(f"tx-{shop.topic}")
    shop.send(("a", 1, 10))
    shop.folder.features()
    producer.init_transactions(20)
    producer.begin_transaction()
    for day in (2, 3):
        producer.produce(shop.topic, order("a", day, day), partition=0)
    producer.flush(20)
    shop.send(("b", 1, 5), partition=1)
    found = shop.folder.json("ingest", code=3)
    assert [one["rows_written"] for one in found["features"]] == [1, 1]
    assert f"topic {shop.topic} partition 0 is blocked by a transaction that is open" in " ".join(found["warnings"])
    producer.commit_transaction(20)
    assert shop.folder.features()["amount"]["rows_written"] == 2
    assert shop.values("amount", "a") == [10, 2, 3]


def test_a_dry_run_takes_nothing(shop: Shop) -> None:
    shop.send(("a", 1, 10))
    assert shop.folder.features("--dry-run")["amount"]["rows_written"] == 1
    assert shop.folder.features()["amount"]["rows_written"] == 1


def test_a_feature_of_a_topic_and_of_files_goes_on_from_both(shop: Shop) -> None:
    shop.edit("[sources.orders]", '[sources.prices]\ntype = "csv"\npath = "prices.csv"\n[sources.orders]')
    shop.folder.write({
        "prices.csv": "currency,rate\nEUR,2\n",
        "features/shop.py": """
        import polars as pl

        from featurestore import feature


        @feature(entity_type="customer", data_type="float", sources=["orders", "prices"])
        def in_euros(orders: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
            value = pl.col("amount") * prices["rate"][0] * 1.0
            return orders.select("customer_id", value=value, computed_at="at")
        """,
    })  # fmt: skip
    assert shop.folder.features()["in_euros"]["note"] == "nothing has come of its source yet"
    shop.send(("a", 1, 10))
    assert shop.folder.features()["in_euros"]["rows_written"] == 1
    shutil.rmtree(shop.folder.root / ".featurestore" / "rows")
    shop.folder.write({"prices.csv": "currency,rate\nEUR,3\n"})
    assert shop.folder.features()["in_euros"]["rows_corrected"] == 1
    shop.send(("a", 2, 20))
    assert shop.folder.features()["in_euros"]["rows_written"] == 1
    assert shop.values("in_euros", "a") == [20, 30, 60]
    assert shop.folder.features()["in_euros"]["status"] == "unchanged"


def test_a_record_that_was_set_aside_counts_until_another_of_its_id_is_accepted(shop: Shop) -> None:
    columns = "[sources.orders.columns]\namount = { type = 'int', min = 0 }"
    shop.edit('timeout = "5s"', f'timeout = "5s"\nid = ["customer_id"]\n{columns}')
    counts = []
    for orders in ([("a", 1, 10), ("b", 1, -1), ("c", 1, -1)], [("b", 1, -2), ("c", 1, -2)], [("b", 1, 5)]):
        shop.send(*orders)
        counts.append({one["rows_rejected"] for one in shop.folder.features(code=3).values()})
    assert counts == [{2}, {2}, {1}]
