"""A deletion divides its entity: what is dated up to it is made of the rows up to then, what is later of later rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Folder

TOML = """
[project]
name = "cards"
[entity_types.card]
keys = { card = "string" }
[sources.payments]
type = "csv"
path = "data/*.csv"
event_time = "at"
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="int", source="payments")
def amount() -> pl.Expr:
    return pl.col("amount")


@feature(entity_type="card", data_type="int", source="payments", scope="entity")
def total() -> pl.Expr:
    return pl.col("amount").cum_sum().over("card")


@feature(entity_type="card", data_type="int", source="payments", lookback="30d")
def total_by_hand(payments: pl.DataFrame) -> pl.DataFrame:
    rolling = payments.rolling("at", period="30d", closed="both", group_by="card").agg(pl.col("amount").sum())
    return rolling.select(pl.col("card").alias("entity_id"), value="amount", computed_at="at")
"""
HEAD = "card,at,amount\n"


@pytest.fixture
def cards(folder: Folder) -> Folder:
    """One card with a payment on each of four days, of which the days between two deletions are one."""
    rows = "".join(f"a,2026-05-{day:02}T00:00:00Z,{amount}\n" for day, amount in ((1, 1), (5, 2), (9, 4), (20, 8)))
    folder.write({
        "featurestore.toml": TOML, "features/cards.py": FEATURES,
        "data/a.csv": f"{HEAD}{rows}b,2026-05-07T00:00:00Z,100\n",
    })  # fmt: skip
    for day in (3, 10):
        folder.run("ingest")
        folder.run("delete", "card", "a", "--at", f"2026-05-{day:02}T00:00:00Z", "--yes")
    return folder


def answers(cards: Folder, feature: str, *days: int, entity: str = "a") -> list[object]:
    labels = "card,t\n" + "".join(f"{entity},2026-05-{day:02}T12:00:00Z\n" for day in days)
    cards.write({"labels.csv": labels})
    found = cards.json("join", str(cards.root / "labels.csv"), "-f", feature, "--timestamp-column", "t")
    return [row[feature] for row in found["rows"]]


DAYS = (1, 2, 3, 4, 5, 6, 9, 10, 11, 20)


@pytest.mark.parametrize("feature", ["total", "total_by_hand"])
def test_late_rows_count_between_the_deletions_that_they_lie_between(cards: Folder, feature: str) -> None:
    cards.run("ingest")
    assert answers(cards, feature, *DAYS) == [1, 1, None, None, 2, 2, 6, None, None, 8]
    late = "".join(f"a,2026-05-{day:02}T00:00:00Z,{amount}\n" for day, amount in ((2, 10), (3, 20), (4, 40), (11, 80)))
    cards.write({"data/b.csv": HEAD + late})
    cards.run("ingest")
    assert answers(cards, feature, *DAYS) == [1, 11, None, 40, 42, 42, 46, None, 80, 88]
    assert answers(cards, feature, 6, 8, entity="b") == [None, 100]
    counts = [(item["rows_written"], item["rows_corrected"]) for item in cards.json("ingest", "--full")["features"]]
    assert counts == [(0, 0)] * 3


def test_a_new_version_makes_the_same_of_a_divided_entity(cards: Folder, tmp_path: Path) -> None:
    cards.run("ingest")
    before = answers(cards, "total", *DAYS)
    cards.edit("features/cards.py", 'return pl.col("amount").cum_sum()', 'return (pl.col("amount") * 1).cum_sum()')
    cards.run("ingest")
    assert answers(cards, "total", *DAYS) == before


def test_a_slice_after_a_deletion_does_not_keep_what_holds_from_being_written_again(cards: Folder) -> None:
    cards.write({"slice.csv": f"{HEAD}a,2026-05-21T00:00:00Z,16\n"})
    cards.run("ingest", "amount", "--input", str(cards.root / "slice.csv"))
    cards.run("ingest")
    assert answers(cards, "amount", *DAYS, 21) == [1, 1, None, None, 2, 2, 4, None, None, 8, 16]
