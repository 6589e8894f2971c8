"""Small tables of payments with the values that a person gets with pencil and paper, one row a question."""

from __future__ import annotations

import json

import pytest

from featurestore import times
from tests.conftest import Folder

TOML = """
[project]
name = "shop"
[entity_types.user]
keys = { user = "string" }
[sources.orders]
type = "csv"
path = "data/*.csv"
event_time = "at"
id = ["order"]
updated_at = "updated"
[sources.orders.columns]
amount = { type = "int" }
updated = { type = "datetime" }
"""
HEAD = "order,user,at,amount,shop,updated\n"
CODE = """
import polars as pl

from featurestore import feature


@feature(entity_type="user", data_type="int", window="30d")
def spent_30d():
    return pl.col("amount").sum()


@feature(entity_type="user", data_type="int", window="1h", delay="15m")
def clicks_1h():
    return pl.len()


@feature(entity_type="user", data_type="int", window="1h", delay="15m", every="30m")
def clicks_on_the_half_hour():
    return pl.len()


@feature(entity_type="user", data_type="int", window="7d")
def shops_7d():
    return pl.col("shop").n_unique()


@feature(entity_type="user", data_type="float", window="7d")
def mean_7d():
    return pl.col("amount").mean()
"""


@pytest.fixture
def shop(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    folder.write({"featurestore.toml": TOML, "features/shop.py": CODE})
    monkeypatch.setattr(times, "now", lambda: times.parse_instant("2026-06-01T00:00:00Z")[0])
    return folder


def check(folder: Folder, feature: str, table: str) -> None:
    """``table`` has lines of user, time and what the feature is then; ``-`` is null."""
    rows = [line.split() for line in table.strip().splitlines()]
    folder.write({"labels.csv": "user,t\n" + "".join(f"{user},{at}\n" for user, at, _ in rows)})
    found = folder.json("join", str(folder.root / "labels.csv"), "-f", feature, "--timestamp-column", "t")
    got = [[user, at, "-" if row[feature] is None else str(row[feature])] for (user, at, _), row in zip(
        rows, found["rows"], strict=True)]  # fmt: skip
    assert got == rows


def test_a_sum_decays_and_corrections_reach_back_as_far_as_their_row(shop: Folder) -> None:
    shop.write({"data/a.csv": HEAD + """\
1,ann,2026-01-01T00:00:00Z,100,x,2026-01-01T00:00:00Z
2,ann,2026-01-20T00:00:00Z,30,x,2026-01-20T00:00:00Z
3,bob,2026-01-10T12:00:00Z,7,y,2026-01-10T12:00:00Z
"""})  # fmt: skip
    shop.run("ingest")
    check(
        shop,
        "spent_30d",
        """
ann 2025-12-31T23:59:59Z -
ann 2026-01-01T00:00:00Z 100
ann 2026-01-20T00:00:00Z 130
ann 2026-01-30T23:59:59Z 130
ann 2026-01-31T00:00:00Z 30
ann 2026-02-18T23:59:59Z 30
ann 2026-02-19T00:00:00Z 0
bob 2026-02-09T11:59:59Z 7
bob 2026-02-09T12:00:00Z 0
""",
    )
    # Order 1 was 80 and not 100, order 2 was bob's, and order 4, a refund, comes late.
    shop.write({"data/b.csv": HEAD + """\
1,ann,2026-01-01T00:00:00Z,80,x,2026-02-01T00:00:00Z
2,bob,2026-01-20T00:00:00Z,30,x,2026-02-01T00:00:00Z
4,ann,2026-01-15T00:00:00Z,-20,x,2026-02-01T00:00:00Z
"""})  # fmt: skip
    shop.run("ingest")
    check(
        shop,
        "spent_30d",
        """
ann 2026-01-01T00:00:00Z 80
ann 2026-01-14T23:59:59Z 80
ann 2026-01-15T00:00:00Z 60
ann 2026-01-20T00:00:00Z 60
ann 2026-01-31T00:00:00Z -20
ann 2026-02-14T00:00:00Z 0
bob 2026-01-19T23:59:59Z 7
bob 2026-01-20T00:00:00Z 37
bob 2026-02-09T12:00:00Z 30
bob 2026-02-19T00:00:00Z 0
""",
    )


def test_a_delay_is_simulated_in_training(shop: Folder) -> None:
    shop.write({"data/a.csv": HEAD + """\
1,ann,2026-05-01T10:00:00Z,1,x,2026-05-01T10:00:00Z
2,ann,2026-05-01T10:20:00Z,1,x,2026-05-01T10:20:00Z
3,ann,2026-05-01T10:50:00Z,1,x,2026-05-01T10:50:00Z
"""})  # fmt: skip
    shop.run("ingest")
    check(
        shop,
        "clicks_1h",
        """
ann 2026-05-01T10:14:59Z -
ann 2026-05-01T10:15:00Z 1
ann 2026-05-01T10:35:00Z 2
ann 2026-05-01T11:05:00Z 3
ann 2026-05-01T11:14:59Z 3
ann 2026-05-01T11:15:00Z 2
ann 2026-05-01T11:35:00Z 1
ann 2026-05-01T12:05:00Z 0
""",
    )
    check(
        shop,
        "clicks_on_the_half_hour",
        """
ann 2026-05-01T10:29:59Z -
ann 2026-05-01T10:30:00Z 1
ann 2026-05-01T10:59:59Z 1
ann 2026-05-01T11:00:00Z 2
ann 2026-05-01T11:30:00Z 2
ann 2026-05-01T12:00:00Z 1
ann 2026-05-01T12:30:00Z 0
""",
    )


def test_distinct_values_count_while_any_row_of_theirs_is_in_the_window(shop: Folder) -> None:
    shop.write({"data/a.csv": HEAD + """\
1,ann,2026-05-01T00:00:00Z,10,bakery,2026-05-01T00:00:00Z
2,ann,2026-05-02T00:00:00Z,20,bakery,2026-05-02T00:00:00Z
3,ann,2026-05-03T00:00:00Z,60,cinema,2026-05-03T00:00:00Z
"""})  # fmt: skip
    shop.run("ingest")
    check(
        shop,
        "shops_7d",
        """
ann 2026-05-01T00:00:00Z 1
ann 2026-05-02T00:00:00Z 1
ann 2026-05-03T00:00:00Z 2
ann 2026-05-08T00:00:00Z 2
ann 2026-05-09T00:00:00Z 1
ann 2026-05-10T00:00:00Z 0
""",
    )
    check(
        shop,
        "mean_7d",
        """
ann 2026-05-01T00:00:00Z 10.0
ann 2026-05-02T00:00:00Z 15.0
ann 2026-05-03T00:00:00Z 30.0
ann 2026-05-08T00:00:00Z 40.0
ann 2026-05-09T00:00:00Z 60.0
ann 2026-05-10T00:00:00Z -
""",
    )


EDGES = """
import polars as pl

from featurestore import feature

AMOUNT = pl.col("amount")


@feature(entity_type="user", data_type="int", window="1d")
def total():
    return AMOUNT.sum()


@feature(entity_type="user", data_type="int", window="1d")
def rows():
    return pl.len()


@feature(entity_type="user", data_type="int", window="1d")
def most():
    return AMOUNT.max()


@feature(entity_type="user", data_type="int", window="1d")
def shops():
    return pl.col("shop").n_unique()


@feature(entity_type="user", data_type="int", window="3650d")
def ever():
    return AMOUNT.sum()
"""


@pytest.mark.parametrize(
    ("feature", "answers"),
    [
        ("total", "- - 4 4 9 5 0 0"),
        ("rows", "- - 1 1 2 1 0 0"),
        ("most", "- - 4 4 5 5 - -"),
        ("shops", "- - 1 1 2 1 0 0"),
        ("ever", "- - 4 4 9 9 9 9"),
    ],
)
def test_both_ends_of_a_window_and_an_empty_one(shop: Folder, feature: str, answers: str) -> None:
    """A row counts from its own instant on, and at the instant a window later no more. Of no rows an expression says
    what it says: a sum is 0, an extreme null. Before the first row there is nothing."""
    shop.write(
        {
            "features/shop.py": EDGES,
            "data/a.csv": HEAD
            + "1,u,2026-03-01T06:00:00Z,4,s,2026-03-01T06:00:00Z\n"
            + "2,u,2026-03-02T05:59:59.999999Z,5,t,2026-03-02T06:00:00Z\n",
        }
    )
    shop.run("ingest", feature)
    instants = (
        "2026-02-01T00:00:00Z", "2026-03-01T05:59:59.999999Z", "2026-03-01T06:00:00Z", "2026-03-02T05:59:59.999998Z",
        "2026-03-02T05:59:59.999999Z", "2026-03-02T06:00:00Z", "2026-03-03T05:59:59.999999Z", "2026-04-01T00:00:00Z",
    )  # fmt: skip
    check(shop, feature, "\n".join(f"u {at} {value}" for at, value in zip(instants, answers.split(), strict=True)))


def test_a_log_of_a_window_that_had_expired_is_replayed_as_it_was_answered(
    shop: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clock(text: str) -> None:
        at = times.parse_instant(text)[0]
        monkeypatch.setattr(times, "now", lambda: at)

    shop.edit("features/shop.py", 'data_type="float", window="7d"', 'data_type="float", window="7d", max_age="36h"')
    shop.write({"data/a.csv": f"{HEAD}1,ann,2026-01-01T10:00:00Z,12,s,2026-01-01T10:00:00Z\n"})
    clock("2026-01-02T10:00:00Z")
    shop.run("ingest", "mean_7d")
    shop.run("sync")
    log = shop.root / "requests.jsonl"
    for asked in ("2026-01-03T21:59:00Z", "2026-01-03T22:01:00Z"):
        clock(asked)
        shop.run("get", "user", "ann", "-f", "mean_7d", "--log", str(log))
    clock("2026-01-05T02:00:00Z")
    shop.write({"data/b.csv": f"{HEAD}2,ann,2026-01-04T10:00:00Z,20,s,2026-01-04T10:00:00Z\n"})
    shop.run("ingest", "mean_7d")
    found = shop.json("verify", "--requests", str(log))
    assert (found["checked"], found["different"]) == (2, 0)
    answered = [json.loads(line)["features"]["mean_7d"]["value"] for line in log.read_text().splitlines()]
    assert answered == [12.0, None]
