"""A delay without a window: a value is dated when it can be used, and answers then without another run or sync."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore import times
from featurestore.workflows.ingest import divided
from tests.conftest import Folder

HOUR = 3_600_000_000
NOW = times.parse_instant("2026-06-01T12:00:00Z")[0]
TOML = """
[project]
name = "cards"
[entity_types.card]
keys = { card = "string" }
[sources.payments]
type = "csv"
path = "data/*.csv"
event_time = "at"
id = ["number"]
updated_at = "updated"
[sources.payments.columns]
amount = { type = "int" }
updated = { type = "datetime" }
"""
CODE = """
import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="int", delay="2h")
def last_paid():
    return pl.col("amount")


@feature(entity_type="card", data_type="int", delay="2h")
def settled(frame):
    earlier = frame.with_columns(computed_at=pl.col("at").dt.offset_by("-1h"))
    return earlier.select("card", "computed_at", value=pl.col("amount"))
"""
PAYMENTS = """
number,card,at,amount,updated
1,a,2026-06-01T06:00:00Z,5,2026-06-01T06:00:00Z
2,a,2026-06-01T11:00:00Z,7,2026-06-01T11:00:00Z
3,b,2026-06-01T11:30:00Z,2,2026-06-01T11:30:00Z
"""


@pytest.fixture
def cards(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    folder.write({"featurestore.toml": TOML, "features/late.py": CODE, "data/a.csv": PAYMENTS})
    set_clock(monkeypatch, NOW)
    return folder


def set_clock(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(times, "now", lambda: at)


def joined(folder: Folder, feature: str, card: str, *instants: str) -> list[object]:
    folder.write({"labels.csv": "card,t\n" + "".join(f"{card},2026-06-01T{at}Z\n" for at in instants)})
    found = folder.json("join", str(folder.root / "labels.csv"), "-f", feature, "--timestamp-column", "t")
    return [row[feature] for row in found["rows"]]


def served(folder: Folder, feature: str, card: str) -> tuple[object, object, object]:
    found = folder.json("get", "card", card, "-f", feature)["entities"][0]["features"][feature]
    return found["value"], found["status"], found["computed_at"]


def test_a_value_answers_from_its_time_plus_the_delay_on(cards: Folder) -> None:
    cards.run("ingest")
    at = ["07:59:59.999999", "08:00:00", "12:59:59.999999", "13:00:00"]
    assert joined(cards, "last_paid", "a", *at) == [None, 5, 5, 7]


def test_the_time_that_a_function_gives_is_shifted_too(cards: Folder) -> None:
    cards.run("ingest")
    assert joined(cards, "settled", "a", "06:59:59.999999", "07:00:00", "12:00:00") == [None, 5, 7]


def test_what_waits_is_neither_set_aside_nor_said_to_be_ahead(cards: Folder) -> None:
    found = cards.json("ingest")
    assert [(one["rows_written"], one["rows_rejected"]) for one in found["features"]] == [(3, 0), (3, 0)]
    assert found["warnings"] == []


def test_it_is_served_when_its_time_comes_without_another_sync(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.run("ingest")
    cards.run("sync")
    said = {}
    for hours in (0, 1, 2):
        set_clock(monkeypatch, NOW + hours * HOUR)
        said[hours] = [served(cards, "last_paid", card)[:2] for card in "ab"]
    assert said == {0: [(5, "ok"), (None, "missing")], 1: [(7, "ok"), (None, "missing")], 2: [(7, "ok"), (2, "ok")]}
    assert served(cards, "last_paid", "a")[2] == "2026-06-01T13:00:00Z"


def test_syncs_before_and_after_its_time_leave_what_verify_expects(
    cards: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards.run("ingest")
    for hours in (0, 1, 2, 3):
        set_clock(monkeypatch, NOW + hours * HOUR)
        cards.run("sync")
        assert "all match the history" in cards.run("verify").out
        assert served(cards, "last_paid", "b")[0] == (2 if hours > 1 else None)


def test_a_correction_of_what_waits_replaces_it_online(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.run("ingest")
    cards.run("sync")
    head = "number,card,at,amount,updated\n"
    cards.write({"data/b.csv": head + "2,a,2026-06-01T11:00:00Z,70,2026-06-01T12:00:00Z\n"})
    set_clock(monkeypatch, NOW + HOUR // 2)
    cards.run("ingest")
    cards.run("sync")
    set_clock(monkeypatch, NOW + HOUR)
    assert served(cards, "last_paid", "a")[0] == 70
    assert joined(cards, "last_paid", "a", "13:00:00") == [70]


def test_a_row_that_moves_takes_what_waits_along(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.run("ingest")
    cards.run("sync")
    head = "number,card,at,amount,updated\n"
    cards.write({"data/b.csv": head + "2,b,2026-06-01T11:00:00Z,7,2026-06-01T12:00:00Z\n"})
    set_clock(monkeypatch, NOW + HOUR // 2)
    cards.run("ingest")
    cards.run("sync")
    set_clock(monkeypatch, NOW + HOUR)
    assert [served(cards, "last_paid", card)[0] for card in "ab"] == [5, 7]
    assert "all match the history" in cards.run("verify").out


def test_after_a_deletion_rows_from_before_it_do_not_come_when_their_time_does(
    cards: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards.run("ingest")
    cards.run("delete", "card", "a", "--at", "2026-06-01T11:30:00Z")
    late = "number,card,at,amount,updated\n4,a,2026-06-01T11:20:00Z,9,2026-06-01T11:20:00Z\n"
    cards.write({"data/late.csv": late})
    cards.run("ingest")
    cards.run("sync")
    assert joined(cards, "last_paid", "a", "11:00:00", "11:30:00", "13:00:00", "13:20:00") == [5, None, None, None]
    set_clock(monkeypatch, NOW + 2 * HOUR)
    cards.write({"data/new.csv": late.replace("4,a,", "5,a,").replace("T11:20", "T11:40")})
    cards.run("ingest")
    assert joined(cards, "last_paid", "a", "13:39:59", "13:40:00") == [None, 9]


def test_max_age_counts_from_when_a_value_can_be_used(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.edit("features/late.py", 'delay="2h"', 'delay="2h", max_age="1h"')
    cards.run("ingest")
    cards.run("sync")
    assert joined(cards, "last_paid", "a", "09:00:00", "09:00:00.000001") == [5, None]
    set_clock(monkeypatch, NOW + HOUR)
    assert served(cards, "last_paid", "a")[:2] == (7, "ok")
    set_clock(monkeypatch, NOW + 2 * HOUR + 1)
    assert served(cards, "last_paid", "a")[:2] == (None, "expired")


def test_another_delay_is_another_version(cards: Folder) -> None:
    cards.run("ingest")
    cards.edit("features/late.py", 'delay="2h"', 'delay="3h"')
    assert cards.json("show", "last_paid")["delay"] == "3h"
    assert "delay" in cards.run("plan").out
    cards.run("ingest")
    assert joined(cards, "last_paid", "a", "08:59:59", "09:00:00") == [None, 5]


def test_larger_than_memory_it_gives_the_same(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    head = "number,card,at,amount,updated\n"
    base = times.parse_instant("2026-05-01T00:00:00Z")[0]
    at = [times.format_instant(base + n * 60_000_000) for n in range(5_000)]
    lines = [f"{n},c{n % 50},{when},{n},{when}" for n, when in enumerate(at)]
    cards.write({"data/a.csv": head + "\n".join(lines) + "\n", "features/late.py": CODE.split("@feature")[0] + (
        '@feature(entity_type="card", data_type="int", delay="2h")\ndef whole():\n    return pl.col("amount")\n'
    )})  # fmt: skip
    cards.run("ingest")
    whole = [row["value"] for row in cards.json("history", "whole", "c7")["values"]]
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1_000)
    again = cards.json("ingest", "--full")["features"][0]
    assert (again["rows_written"], again["rows_corrected"]) == (0, 0)
    assert [row["value"] for row in cards.json("history", "whole", "c7")["values"]] == whole


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('event_time = "at"\n', "needs event times"),
        ('id = ["number"]\n', "is a snapshot of who is there"),
        ('updated_at = "updated"\n', "says it of each row"),
    ],
)
def test_where_a_delay_says_nothing_it_is_refused(cards: Folder, toml: str, said: str) -> None:
    instead = {"event_time": "", "id": "snapshot = true\n", "updated_at": 'known_at = "updated"\n'}
    cards.edit("featurestore.toml", toml, instead[toml.split()[0]])
    assert said in cards.run("ingest", "last_paid", code=2).err


def test_what_could_be_used_before_a_backfill_answers_at_its_first_instant(cards: Folder) -> None:
    cards.run(
        "ingest", "last_paid", "--since", "2026-06-01T10:00:00Z", "--until", "2026-06-01T12:00:00Z", "--step", "1h"
    )
    assert joined(cards, "last_paid", "a", "09:59:59.999999", "10:00:00", "12:59:59", "13:00:00") == [None, 5, 5, 7]
    first = cards.json("history", "last_paid", "a")["values"]
    assert [(row["value"], row["computed_at"]) for row in first] == [
        (5, "2026-06-01T10:00:00Z"), (7, "2026-06-01T13:00:00Z"),
    ]  # fmt: skip


def test_a_row_that_comes_late_from_before_it_replaces_that(cards: Folder) -> None:
    cards.run("ingest", "last_paid", "--full", "--since", "2026-06-01T10:00:00Z")
    head = "number,card,at,amount,updated\n"
    cards.write({"data/b.csv": head + "4,a,2026-06-01T07:00:00Z,9,2026-06-01T12:00:00Z\n"})
    (found,) = cards.json("ingest", "last_paid")["features"]
    assert (found["rows_corrected"], "--since" in found["reason"]) == (1, True)
    assert joined(cards, "last_paid", "a", "09:59:59", "10:00:00", "13:00:00") == [None, 9, 7]


def test_what_was_deleted_before_a_backfill_does_not_answer_in_it(cards: Folder) -> None:
    cards.run("ingest", "settled")
    cards.run("delete", "card", "a", "--at", "2026-06-01T07:00:00Z")
    cards.run("ingest", "last_paid", "--since", "2026-06-01T10:00:00Z")
    assert joined(cards, "last_paid", "a", "10:00:00", "12:59:59", "13:00:00") == [None, None, 7]


def test_no_path_of_a_delayed_value_is_left_out_of_erasure(cards: Folder) -> None:
    cards.run("ingest")
    cards.run("sync")
    cards.run("delete", "card", "b", "--erase", code=3)
    assert served(cards, "last_paid", "b")[1] == "missing"
    assert b"card:b" not in Path(cards.root, ".featurestore", "online.sqlite").read_bytes()
