"""Sources that hold everybody who is: who is gone from them is deleted, and who comes back is not deleted any more."""

from __future__ import annotations

from typing import Any

import pytest

from featurestore import times
from tests.conftest import Folder

TOML = """
[project]
name = "shop"
[entity_types.user]
keys = {{ user = "string" }}
[sources.users]
type = "csv"
path = "users*.csv"
{snapshot}
{time}
[sources.orders]
type = "csv"
path = "orders.csv"
event_time = "at"
timezone = "UTC"
"""
FEATURES = """
import polars as pl
from featurestore import feature


@feature(entity_type="user", data_type="string", source="users")
def city() -> pl.Expr:
    return pl.col("city")


@feature(entity_type="user", data_type="float", source="orders")
def amount() -> pl.Expr:
    return pl.col("amount") * 1.0
"""
TIMES = {
    "always": ('valid = "always"', ""),
    "no times": ("", ""),
    "times": ('event_time = "since"\ntimezone = "UTC"', ",2024-01-01"),
}
SNAPSHOT = 'snapshot = true\nmax_vanished = "50%"'


class Shop:
    """A project with a snapshot of users, and their orders."""

    def __init__(self, folder: Folder, kind: str) -> None:
        self.folder, (self.time, self.more) = folder, TIMES[kind]
        for path in (folder.root / "features").glob("*.py"):
            path.unlink()
        folder.write({"features/shop.py": FEATURES, "orders.csv": "user,at,amount\na,2024-01-01,1\nb,2024-01-01,2\n"})
        self.declare(SNAPSHOT)

    def declare(self, snapshot: str) -> None:
        self.folder.write({"featurestore.toml": TOML.format(snapshot=snapshot, time=self.time)})

    def users(self, names: str, file: str = "users.csv", more: str = "") -> None:
        head = "user,city" + (",since" if self.more else "")
        rows = [f"{name},X{self.more}" for name in names]
        self.folder.write({file: "\n".join([head, *rows]) + "\n" + more})

    def ingest(self, *options: str, code: int = 0) -> str:
        return self.folder.run("ingest", *options, code=code).err

    def answers(self, feature: str = "city") -> dict[str, Any]:
        rows = self.folder.json("latest", "user", "-f", feature)["rows"]
        return {row["user"]: row[feature] for row in rows}


@pytest.fixture(params=TIMES)
def shop(project: Folder, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(project.root)
    return Shop(project, request.param)


@pytest.fixture
def static(project: Folder, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(project.root)
    return Shop(project, "always")


def test_who_is_gone_is_deleted_in_every_feature_and_who_returns_is_not_with_the_same_value_too(shop: Shop) -> None:
    shop.users("abc")
    shop.ingest()
    shop.folder.run("sync")
    shop.users("ac")
    assert "1 user (b) is gone from its snapshot and deleted" in shop.ingest()
    assert (shop.answers(), shop.answers("amount")) == ({"a": "X", "c": "X"}, {"a": 1.0})
    before = shop.folder.json("runs")["runs"][0]["finished_at"]
    shop.folder.run("sync")
    found = shop.folder.json("get", "user", "b")["entities"][0]["features"]
    assert {item["status"] for item in found.values()} == {"missing"}
    assert "gone" not in shop.ingest(), "nothing is new"
    shop.users("abc")
    assert "1 user (b) is back" in shop.ingest()
    assert (shop.answers(), shop.answers("amount")) == ({"a": "X", "b": "X", "c": "X"}, {"a": 1.0, "b": 2.0})
    shop.folder.run("sync")
    assert shop.folder.json("verify")["missing"] == 0
    assert shop.folder.json("get", "user", "b")["entities"][0]["features"]["city"]["value"] == "X"
    shop.folder.write({"labels.csv": "user,at\nb,2100-01-01T00:00:00Z\n"})
    joined = shop.folder.run("join", "labels.csv", "-f", "amount", "--timestamp-column", "at", "--as-of", before).out
    assert joined.splitlines()[1].endswith(","), "as of then it was deleted"
    shop.ingest()
    assert {item["rows_written"] for item in shop.folder.features("--full").values()} == {0}


def test_more_gone_than_allowed_deletes_nobody_and_is_said_until_it_is_settled(static: Shop) -> None:
    static.users("abcd")
    static.ingest()
    static.users("a")
    for _ in range(2):
        said = static.ingest(code=3)
        assert '3 user (b, c, d) are gone from its snapshot, 75.0% of 4, more than max_vanished = "50%" allows' in said
        assert len(static.answers()) == 4
        (problem,) = static.folder.json("status", code=1)["project_problems"]
        assert problem.startswith("source users was no whole snapshot in its last run")
        assert problem in [check["what"] for check in static.folder.json("doctor")["checks"]]
    static.declare(SNAPSHOT.replace("50%", "75%"))
    assert "3 user (b, c, d) are gone from its snapshot and deleted" in static.ingest()
    assert static.folder.json("status")["project_problems"] == []
    assert "no whole snapshot" not in static.folder.run("doctor").out
    assert static.answers() == {"a": "X"}
    static.ingest()


def test_the_newest_file_by_name_holds_everybody(static: Shop) -> None:
    static.declare(SNAPSHOT.replace("true", '"newest"'))
    static.users("abc", "users-1.csv")
    static.ingest()
    static.users("ab", "users-2.csv")
    assert "1 user (c) is gone" in static.ingest()
    assert static.answers() == {"a": "X", "b": "X"}


def test_a_users_deletion_is_not_undone_by_the_snapshot_that_has_the_entity(static: Shop) -> None:
    static.users("abc")
    static.ingest()
    static.folder.run("delete", "user", "b")
    static.users("abcd")
    static.ingest()
    assert static.answers() == {"a": "X", "c": "X", "d": "X"}


def test_a_users_deletion_of_who_is_gone_outlasts_the_return(shop: Shop) -> None:
    shop.users("abc")
    shop.ingest()
    shop.users("ac")
    shop.ingest()
    assert "deleted" in shop.folder.run("delete", "user", "b").out
    assert "deleted already" in shop.folder.run("delete", "user", "b").out
    shop.users("abc")
    shop.ingest()
    shop.ingest()
    assert (shop.answers(), shop.answers("amount")) == ({"a": "X", "c": "X"}, {"a": 1.0})


def test_who_stands_in_a_row_that_was_set_aside_is_there(static: Shop) -> None:
    static.time += '\n[sources.users.columns]\ncity = { type = "string", null = false }'
    static.declare(SNAPSHOT)
    static.users("abc")
    static.ingest()
    static.users("ab", more="c,\n")
    assert "gone" not in static.ingest(code=3)
    static.users("ab", more="c,X,Y,Z\n")
    assert "don't say whose they are: nobody was deleted" in static.ingest(code=3)
    assert len(static.answers()) == 3


def test_a_later_version_does_not_answer_for_who_was_deleted(static: Shop) -> None:
    static.users("abc")
    static.ingest()
    static.users("ac")
    static.ingest()
    static.folder.edit("features/shop.py", "* 1.0", "* 2.0")
    static.ingest()
    assert static.answers("amount") == {"a": 2.0}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('snapshot = "latest"', "is neither true nor"),
        ('max_vanished = "10%"', "is about a snapshot"),
        ('snapshot = true\nmax_vanished = "ten"', "is not a share"),
    ],
)
def test_what_a_snapshot_can_not_be_is_refused(static: Shop, setting: str, words: str) -> None:
    static.declare(setting)
    assert words in static.ingest(code=2)


WINDOW = """

@feature(entity_type="user", data_type="float", source="orders", scope="entity")
def total() -> pl.Expr:
    return pl.col("amount").cum_sum().over("user") * 1.0


@feature(entity_type="user", data_type="int", source="orders", window="36500d")
def orders() -> pl.Expr:
    return pl.len()
"""


def test_windows_and_entities_end_with_the_snapshot_and_go_on_after_the_return(static: Shop) -> None:
    static.folder.write({"features/shop.py": FEATURES + WINDOW})
    static.folder.edit("featurestore.toml", 'path = "orders.csv"', 'path = "orders.csv"\nid = ["no"]')
    orders = "user,at,amount,no\na,2024-01-01,1,1\nb,2024-01-01,2,2\n"
    static.folder.write({"orders.csv": orders})
    static.users("abc")
    static.ingest()
    static.users("ac")
    static.ingest()
    assert (static.answers("total"), static.answers("orders")) == ({"a": 1.0}, {"a": 1})
    static.users("abc")
    static.ingest()
    static.folder.write({"orders.csv": orders + "b,2024-01-02,3,3\n"})
    static.ingest()
    assert static.answers("total") == {"a": 1.0, "b": 5.0}
    assert static.answers("orders") == {"a": 1, "b": 2}


DAY = 86_400_000_000
NOW = 1_780_272_000_000_000  # 2026-06-01
HALF_A_YEAR = WINDOW.replace("36500d", "180d")


def set_clock(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(times, "now", lambda: at)


def test_who_goes_with_new_rows_is_in_no_window_as_time_passes_and_is_in_them_from_the_return_on(
    static: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    static.folder.write({"features/shop.py": FEATURES + HALF_A_YEAR})
    static.folder.edit("featurestore.toml", 'path = "orders.csv"', 'path = "orders.csv"\nid = ["no"]')
    orders = "user,at,amount,no\na,2026-05-01,1,1\nb,2026-05-01,2,2\n"
    static.folder.write({"orders.csv": orders})
    static.users("abc")
    set_clock(monkeypatch, NOW)
    static.ingest()
    static.users("ac")
    static.folder.write({"orders.csv": orders + "b,2026-06-01,3,3\na,2026-06-01,4,4\n"})
    set_clock(monkeypatch, NOW + 2 * DAY)
    static.ingest()
    for days in (2, 160, 200):
        set_clock(monkeypatch, NOW + days * DAY)
        assert "b" not in static.answers("orders"), days
    static.ingest()
    static.users("abc")
    assert "1 user (b) is back" in static.ingest()
    assert (static.answers("orders"), static.answers("total")) == ({"a": 0, "b": 0}, {"a": 5.0, "b": 5.0})
    labels = "user,at\n" + "".join(f"b,{at}T12:00:00Z\n" for at in ("2026-06-02", "2026-07-01", "2026-11-10"))
    static.folder.write({"labels.csv": labels})
    found = static.folder.json("join", "labels.csv", "-f", "orders", "--timestamp-column", "at")["rows"]
    assert [row["orders"] for row in found] == [2, 2, 1], "as if nobody had been gone"


@pytest.mark.parametrize("in_one_run", [False, True])
def test_rows_ahead_of_the_clock_hold_when_their_time_comes_although_who_they_are_of_is_gone(
    static: Shop, monkeypatch: pytest.MonkeyPatch, *, in_one_run: bool
) -> None:
    """What is dated after a deletion is made of later rows, and the next run writes it again."""
    static.folder.write({"features/shop.py": FEATURES + HALF_A_YEAR})
    static.folder.edit("featurestore.toml", 'path = "orders.csv"', 'path = "orders.csv"\nid = ["no"]')
    orders = "user,at,amount,no\na,2026-05-01,1,1\nb,2026-05-01,2,2\n"
    late = "b,2026-06-01T00:02:00,3,3\n"
    static.users("abc")
    static.folder.write({"orders.csv": orders + ("" if in_one_run else late)})
    set_clock(monkeypatch, NOW)
    static.ingest()
    static.users("ac")
    static.folder.write({"orders.csv": orders + late})
    set_clock(monkeypatch, NOW + 1_000_000)
    assert "1 user (b) is gone" in static.ingest()
    set_clock(monkeypatch, NOW + 60_000_000)
    assert "b" not in static.answers("amount")
    static.ingest()
    set_clock(monkeypatch, NOW + 700_000_000)
    for run in range(2):
        assert static.answers("amount")["b"] == 3.0, run
        assert static.answers("total")["b"] == 3.0, "of the rows after the deletion"
        assert static.answers("orders")["b"] == 1, run
        static.ingest()


def test_a_row_of_the_very_instant_of_the_deletion_answers_after_the_return(
    static: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    static.folder.write({"features/shop.py": FEATURES + HALF_A_YEAR})
    static.folder.edit("featurestore.toml", 'path = "orders.csv"', 'path = "orders.csv"\nid = ["no"]')
    orders = "user,at,amount,no\na,2026-05-01,1,1\nb,2026-05-01,2,2\n"
    static.users("abc")
    static.folder.write({"orders.csv": orders})
    set_clock(monkeypatch, NOW)
    static.ingest()
    static.users("ac")
    static.folder.write({"orders.csv": orders + "b,2026-06-01T00:00:01,3,3\n"})
    set_clock(monkeypatch, NOW + 1_000_000)
    static.ingest()
    static.users("abc")
    set_clock(monkeypatch, NOW + 60_000_000)
    static.ingest()
    static.ingest()  # a pair has one row of each run, and that of the one before undoes the deletion
    found = {name: static.answers(name)["b"] for name in ("amount", "total", "orders")}
    assert found == {"amount": 3.0, "total": 5.0, "orders": 2}, "as if nobody had been gone"
    static.ingest("--full")
    assert found == {name: static.answers(name)["b"] for name in found}
