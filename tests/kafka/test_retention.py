"""`keep` of a topic: raw records go once they are older than that and every version has taken them."""

from __future__ import annotations

import pytest

from featurestore.config import load_project
from featurestore.offline.open import open_offline
from tests.kafka.conftest import Shop

SUMS = """
@feature(entity_type="customer", data_type="float", lookback="5d")
def total(rows: pl.DataFrame) -> pl.DataFrame:
    sums = rows.sort("at").rolling("at", period="5d", closed="both", group_by="customer_id").agg(pl.col("amount").sum())
    return sums.select("customer_id", computed_at="at", value=pl.col("amount") * 1.0)
"""


@pytest.fixture
def keeping(shop: Shop) -> Shop:
    """Rows are kept for ten days."""
    code = (shop.folder.root / "features" / "shop.py").read_text()
    shop.folder.write(
        {"features/shop.py": code[: code.index('@feature(entity_type="customer", data_type="float", scope')] + SUMS}
    )
    shop.edit('event_time = "at"', 'event_time = "at"\nkeep = "10d"')
    return shop


def raw_rows(shop: Shop) -> int:
    store = open_offline(load_project(shop.folder.root))
    return sum(batch.rows for batch in store.raw_batches("orders"))


def unchanged(shop: Shop) -> bool:
    return {one["status"] for one in shop.folder.features().values()} == {"unchanged"}


def test_records_go_in_whole_batches_and_their_values_stay(keeping: Shop) -> None:
    keeping.send(("a", 1, 10), ("a", 4, 20))
    keeping.folder.features()
    keeping.send(("a", 5, 40))
    keeping.folder.features()
    assert (raw_rows(keeping), unchanged(keeping)) == (3, True)
    keeping.send(("a", 14, 80))  # ten days after the last record of the first batch: not older than that
    keeping.folder.features()
    assert raw_rows(keeping) == 4
    keeping.send(("a", 15, 160))
    keeping.folder.features()
    assert (raw_rows(keeping), unchanged(keeping)) == (3, True), "what went is nothing new"
    keeping.send(("a", 16, 320))
    found = keeping.folder.features()
    assert {name: one["rows_written"] for name, one in found.items()} == {"amount": 1, "total": 1}
    assert keeping.values("total", "a") == [10, 30, 70, 80, 240, 560]
    again = keeping.folder.features("--full")
    assert [(one["rows_written"], one["rows_corrected"], one["rows_withdrawn"]) for one in again.values()] == [
        (0, 0, 0)
    ] * 2
    assert keeping.values("total", "a") == [10, 30, 70, 80, 240, 560]
    said = [each["what"] for each in keeping.folder.json("doctor")["checks"] if "raw rows" in each["what"]]
    assert said == [
        "orders: 3 raw rows are kept, for 10d at least",
        "orders: raw rows past its keep were dropped, the last of 2026-01-05T00:00:00Z",
    ]


def test_a_new_version_has_no_values_that_depend_on_what_went(keeping: Shop) -> None:
    for customer, day, amount in (("a", 1, 10), ("a", 5, 20), ("b", 20, 40)):
        keeping.send((customer, day, amount))
        keeping.folder.features()
    assert raw_rows(keeping) == 1
    keeping.folder.edit("features/shop.py", 'pl.col("amount").sum()', 'pl.col("amount").sum() + 1')
    keeping.folder.edit("features/shop.py", 'pl.col("amount") * 1.0\n\n', 'pl.col("amount") * 2.0\n\n')
    keeping.folder.features()
    assert (keeping.values("total", "a"), keeping.values("total", "b")) == ([], [41])
    assert (keeping.values("amount", "a"), keeping.values("amount", "b")) == ([], [80])


def test_what_a_feature_has_not_taken_stays(keeping: Shop) -> None:
    keeping.send(("a", 1, 10))
    keeping.folder.features()
    keeping.folder.edit("features/shop.py", "rows.sort", "rows.lacks")
    for day in (2, 20, 21):
        keeping.send(("a", day, 20))
        keeping.folder.features(code=3)
    assert raw_rows(keeping) == 4
    keeping.folder.edit("features/shop.py", "rows.lacks", "rows.sort")
    assert keeping.folder.features()["total"]["rows_written"] == 3
    assert keeping.values("total", "a") == [10, 30, 20, 40]
    assert raw_rows(keeping) == 2


def test_a_record_that_comes_late_counts_from_the_end_of_frozen_time_on(keeping: Shop) -> None:
    for day in (1, 20):
        keeping.send(("a", day, 10))
        keeping.folder.features()
    keeping.send(("a", 3, 20), ("a", 8, 40))
    found = keeping.folder.json("ingest", code=3)
    (line,) = [line for line in found["warnings"] if "came late" in line]
    assert line.startswith("total: 1 row that came late lies at or before 2026-01-06T00:00:00Z")
    assert keeping.values("total", "a") == [10, 60, 10]
    assert keeping.values("amount", "a") == [10, 20, 40, 10], "a value of a row alone is not frozen"


def test_whatever_looks_at_all_rows_is_refused(keeping: Shop) -> None:
    keeping.folder.edit("features/shop.py", 'lookback="5d"', 'scope="source"')
    message = keeping.folder.json("ingest", code=2)["error"]["message"]
    assert message == (
        '[sources.orders] keep = "10d" is shorter than what total looks back on: all rows of the source '
        '(scope="source" is declared)'
    )
