"""Windows: the value at a time is the expression over the rows of that long before it, whenever they came."""

from __future__ import annotations

import re
import sqlite3
import weakref
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore import times
from featurestore.workflows.ingest import divided, evaluating, stepping
from tests.conftest import Folder
from tests.often import nightly
from tests.services import Server
from tests.services_postgres import PostgresServer
from tests.windows.judge import MembersJudge, play

DAY = 86_400_000_000
NOW = times.parse_instant("2026-06-01T00:00:00Z")[0]
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
[sources.payments.columns]
amount = { type = "int" }
[sources.readings]
type = "csv"
path = "data/*.csv"
event_time = "at"
"""
SPEND = """
import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="int", source="payments", name="spend_{days}d", params={"days": [7, 30]},
         window="{days}d")
def spend(days: int) -> pl.Expr:
    return pl.col("amount").sum()
"""
PAYMENTS = """
number,card,at,amount
1,a,2026-05-01T00:00:00Z,5
2,a,2026-05-10T00:00:00Z,7
3,b,2026-05-30T00:00:00Z,2
"""


@pytest.mark.parametrize("seed", [30, *nightly(range(30))])  # 30: late rows from before a deletion
def test_a_history_of_windows_answers_what_brute_force_does(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "p", seed, monkeypatch)


@pytest.mark.parametrize(("seed", "rows"), [(13, 1), *nightly([(0, 3), *((seed, 1) for seed in range(300, 310))])])
def test_a_history_that_does_not_fit_into_memory_answers_the_same(
    tmp_path: Path, seed: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By parts of so many rows: of everything where all is computed, of the entities with news otherwise."""
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: rows)
    play(tmp_path / "p", seed, monkeypatch)


@pytest.mark.parametrize("seed", [600, *nightly(range(601, 630))])
def test_a_history_with_a_snapshot_of_the_entities_answers_what_brute_force_does(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is gone from it is deleted in the run that brings other rows too, until they come back."""
    if seed % 3 == 2:  # by parts
        monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1)
    play(tmp_path / "p", seed, monkeypatch, make=MembersJudge)


@pytest.mark.parametrize("seed", [100, *nightly(range(101, 115))])
def test_a_history_in_postgresql_answers_the_same_and_so_does_valkey(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer, valkey: Server
) -> None:
    name = f"windows{seed}"
    more = f'[offline]\nurl = "{postgres.url}"\n[online]\nurl = "{valkey.url}"'
    play(tmp_path / "p", seed, monkeypatch, name=name, more=more)
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{name}" CASCADE')


@pytest.mark.parametrize("seed", [200, *nightly(range(201, 210))])
def test_a_history_online_in_a_cluster_answers_the_same(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, cluster: list[Server]
) -> None:
    more = f'[online]\nurl = "redis+cluster://127.0.0.1:{cluster[0].port}"'
    play(tmp_path / "p", seed, monkeypatch, name=f"cluster{seed}", more=more)


@pytest.fixture
def cards(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Two windows over three payments, of which none has left the longer one at the first run."""
    folder.write({"featurestore.toml": TOML, "features/spend.py": SPEND, "data/a.csv": PAYMENTS})
    set_clock(monkeypatch, NOW)
    return folder


def set_clock(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(times, "now", lambda: at)


def spend_at(folder: Folder, *instants: str, **more: str) -> list[object]:
    """What card a spent in the 30 days before each instant."""
    folder.write({"labels.csv": "card,t\n" + "".join(f"a,{at}\n" for at in instants)})
    flags = [each for name, value in more.items() for each in (f"--{name}", value)]
    found = folder.json("join", str(folder.root / "labels.csv"), "-f", "spend_30d", "--timestamp-column", "t", *flags)
    return [row["spend_30d"] for row in found["rows"]]


def test_a_row_counts_from_its_time_until_the_window_has_passed(cards: Folder) -> None:
    cards.run("ingest")
    before, end = "2026-04-30T23:59:59.999999Z", "2026-05-30T23:59:59.999999Z"
    assert spend_at(cards, before, "2026-05-01", "2026-05-10", end) == [None, 5, 12, 12]
    assert spend_at(cards, "2026-05-31", "2026-06-09", "2026-07-09") == [7, 0, 0]


def test_a_run_without_news_takes_no_number_until_a_step_is_due(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cards.json("ingest")
    set_clock(monkeypatch, NOW + DAY // 2)
    quiet = cards.json("ingest")
    assert (first["run_seq"], quiet["run_seq"]) == (1, None)
    set_clock(monkeypatch, NOW + 10 * DAY)
    due = cards.features()
    assert (due["spend_30d"]["rows_written"], due["spend_30d"]["reason"]) == (0, "due")
    assert [row["value"] for row in cards.json("history", "spend_30d", "a")["values"]] == [5, 12, 7, 0]


def test_the_run_counts_rows_of_events_and_other_steps(cards: Folder) -> None:
    counts = cards.features()
    assert {name: (one["rows_written"], one["steps_written"]) for name, one in counts.items()} == {
        "spend_7d": (3, 2), "spend_30d": (3, 1),
    }  # fmt: skip


def test_labels_beyond_the_last_known_step_are_counted_and_refused_on_demand(cards: Folder) -> None:
    cards.write({"featurestore.toml": f"{TOML}[history]\nsteps = 1\n", "data/b.csv": PAYMENTS.replace("b,", "a,")})
    cards.edit("data/b.csv", "\n1,", "\n11,")
    cards.edit("data/b.csv", "\n2,", "\n12,")
    cards.edit("data/b.csv", "\n3,", "\n13,")
    cards.run("ingest")
    cards.write({"labels.csv": "card,t\na,2026-06-30T00:00:00Z\n"})
    command = ["join", str(cards.root / "labels.csv"), "-f", "spend_30d", "--timestamp-column", "t"]
    found = cards.json(*command)
    assert found["features"][0]["beyond_horizon"] == 1
    assert "beyond the last step" in found["warnings"][0]
    assert "beyond the last known step" in cards.run(*command, "--strict", code=4).err
    output = str(cards.root / "out.csv")
    assert "beyond" in cards.run(*command, "--output", output, "--dataset", "d", code=4).err
    assert not Path(output).exists()


def test_a_data_set_of_windows_rebuilds_after_steps_fell_due(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, NOW - 2 * DAY)
    cards.run("ingest")
    set_clock(monkeypatch, NOW)
    cards.write({"labels.csv": "card,t\na,2026-05-31T12:00:00Z\na,2026-05-20T00:00:00Z\n"})
    path = str(cards.root / "labels.csv")
    out = str(cards.root / "out.csv")
    cards.run("join", path, "-f", "spend_30d", "--timestamp-column", "t", "--output", out, "--dataset", "d")
    set_clock(monkeypatch, NOW + 20 * DAY)
    cards.write({"data/late.csv": "number,card,at,amount\n9,a,2026-05-15T00:00:00Z,100\n"})
    cards.run("ingest")
    assert spend_at(cards, "2026-05-20") == [112]
    cards.run("dataset", "d", "--verify")


def test_windows_take_no_more_rows_than_is_allowed(cards: Folder) -> None:
    many = "".join(f"{n},a,2026-05-20T00:00:{n % 60:02}Z,1\n" for n in range(100, 160))
    cards.write(
        {"featurestore.toml": TOML + "[offline]\nwindow_rows = 2\n", "data/b.csv": "number,card,at,amount\n" + many}
    )
    errors = [feature["error"] for feature in cards.json("ingest", code=4)["features"]]
    assert all("hold" in error["message"] and 'every="1h"' in error["hint"] for error in errors)
    needed = [int(found) for error in errors for found in re.findall(r"window_rows = (\d+) in", error["hint"])]
    cards.edit("featurestore.toml", "window_rows = 2", f"window_rows = {min(needed) - 1}")
    cards.run("ingest", code=4)
    cards.edit("featurestore.toml", f"window_rows = {min(needed) - 1}", f"window_rows = {max(needed)}")
    cards.run("ingest")


@pytest.mark.parametrize(("rows", "held"), [(1, "132 rows or more"), (1_000, "264 rows")])
def test_windows_that_are_evaluated_by_parts_take_no_more_rows_together(
    cards: Folder, monkeypatch: pytest.MonkeyPatch, rows: int, held: str
) -> None:
    """No card alone has too many."""
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: rows)
    cards.write(
        {"data/a.csv": "number,card,at,amount\n" + "".join(f"{n},{n},2026-05-20T00:00:00Z,1\n" for n in range(4))}
    )
    cards.edit("featurestore.toml", "[entity_types.card]", "[offline]\nwindow_rows = 2\n[entity_types.card]")
    cards.run("ingest")
    more = "".join(f"{n},{n % 4},2026-05-20T00:00:{n:02}Z,1\n" for n in range(10, 50))
    cards.write({"data/b.csv": "number,card,at,amount\n" + more})
    error = cards.json("ingest", "--full", code=4)["features"][0]["error"]
    assert f"its windows hold {held} together, and 88 are allowed" in error["message"]


def test_nothing_of_a_part_stays_in_memory_beside_the_next(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 1)
    made: list[weakref.ref[pl.DataFrame]] = []
    alive: list[int] = []

    def make_steps(*arguments: Any, **more: Any) -> stepping.Steps:
        alive.append(sum(frame() is not None for frame in made))
        steps = stepping.make_steps(*arguments, **more)
        made.append(weakref.ref(steps.points))
        return steps

    monkeypatch.setattr(evaluating, "make_steps", make_steps)
    lines = "".join(f"{n},{n % 5},2026-05-20T00:00:{n:02}Z,1\n" for n in range(40))
    cards.write({"data/a.csv": "number,card,at,amount\n" + lines})
    cards.edit("features/spend.py", '"days": [7, 30]', '"days": [7]')
    cards.run("ingest")
    assert len(alive) > 3
    assert set(alive) == {0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('window="1mo"', "of the calendar"),
        ('window="0"', "longer than 0"),
        ('window="1d", every="2d"', "is longer than window"),
        ('every="1h"', "needs window="),
        ('delay="1mo"', "of the calendar"),
        ('window="1d", scope="entity"', "scope= says it too"),
        ('window="1d", lookback="1d"', "lookback= says it too"),
    ],
)
def test_what_can_be_no_window_is_refused(cards: Folder, arguments: str, said: str) -> None:
    cards.edit("features/spend.py", 'window="{days}d"', arguments)
    assert said in cards.run("ingest", "spend", code=2).err


def test_a_window_needs_rows_that_are_told_apart(cards: Folder) -> None:
    cards.edit("features/spend.py", 'source="payments"', 'source="readings"')
    assert "which rows are one event" in cards.run("ingest", "spend", code=2).err


def test_a_window_is_over_an_expression(cards: Folder) -> None:
    cards.edit("features/spend.py", "def spend(days: int)", "def spend(frame: pl.DataFrame, days: int)")
    assert "takes a frame" in cards.run("ingest", "spend", code=2).err


def test_a_value_for_each_row_is_none_of_a_window(cards: Folder) -> None:
    cards.edit("features/spend.py", 'pl.col("amount").sum()', 'pl.col("amount")')
    assert "a value for each row" in cards.json("ingest", code=4)["features"][0]["error"]["message"]


def test_window_every_and_delay_are_shown_and_part_of_the_hash(cards: Folder) -> None:
    cards.run("ingest")
    cards.edit("features/spend.py", 'window="{days}d"', 'window="{days}d", every="1h", delay="2h"')
    shown = cards.json("show", "spend_7d")
    assert (shown["window"], shown["every"], shown["delay"], shown["scope"]["kind"]) == ("7d", "1h", "2h", "entity")
    assert "delay" in cards.run("plan").out


def test_a_slice_by_input_is_refused(cards: Folder) -> None:
    cards.write({"one.csv": PAYMENTS})
    assert (
        "--input gives"
        in cards.json("ingest", "--input", str(cards.root / "one.csv"), code=4)["features"][0]["error"]["message"]
    )


def test_a_backfill_writes_nothing_before_its_beginning_and_counts_rows_from_before_it(cards: Folder) -> None:
    cards.run("ingest", "--since", "2026-05-05")
    assert spend_at(cards, "2026-05-04T23:59:59", "2026-05-05", "2026-05-10", "2026-05-31") == [None, 5, 12, 7]


def test_a_window_whose_code_changes_is_a_new_version_with_its_own_steps(cards: Folder) -> None:
    cards.run("ingest")
    cards.edit("features/spend.py", '"amount").sum()', '"amount").max()')
    assert cards.features()["spend_30d"]["version"] == 2
    assert spend_at(cards, "2026-05-10", "2026-05-31", "2026-06-09") == [7, 7, None]


def test_a_quiet_run_is_fresh_and_leaves_nothing_to_sync(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.run("ingest")
    cards.run("sync")
    set_clock(monkeypatch, NOW + DAY // 2)
    assert cards.json("status", "--max-age", "10h", code=1)["problems"] == 2
    assert cards.json("ingest")["run_seq"] is None
    found = {one["name"]: one for one in cards.json("status", "--max-age", "10h")["features"]}
    assert (found["spend_30d"]["freshness_s"] < 3600, found["spend_30d"]["online_lag_runs"]) == (True, 0)


def test_status_says_how_far_behind_readers_are_when_steps_fell_due(
    cards: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards.run("ingest")
    cards.run("sync")
    set_clock(monkeypatch, NOW + 10 * DAY)
    cards.run("ingest")  # moves what fell due as it is, and replaces the lists of what comes next
    behind = {one["name"]: one["online_lag_runs"] for one in cards.json("status")["features"]}
    assert behind["spend_30d"] == 1
    cards.run("sync")
    assert {one["online_lag_runs"] for one in cards.json("status")["features"]} == {0}


def test_an_erased_entity_leaves_no_coming_step(cards: Folder) -> None:
    cards.run("ingest")
    cards.run("delete", "card", "b", "--erase", code=3)
    assert spend_at(cards, "2026-06-15") == [0]
    cards.write({"labels.csv": "card,t\nb,2026-06-15T00:00:00Z\n"})
    found = cards.json("join", str(cards.root / "labels.csv"), "-f", "spend_30d", "--timestamp-column", "t")
    assert found["rows"][0]["spend_30d"] is None


def served(folder: Folder, feature: str, card: str = "a") -> dict[str, object]:
    """What `get --json` says of a feature of a card."""
    found: dict[str, object] = folder.json("get", "card", card, "-f", feature)["entities"][0]["features"][feature]
    return found


def test_a_window_is_served_as_time_passes_without_another_run_or_sync(
    cards: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards.run("ingest")
    cards.run("sync")
    assert served(cards, "spend_30d") == {
        "status": "ok", "value": 7, "computed_at": "2026-05-31T00:00:00Z", "version": 1,
        "sha256": served(cards, "spend_30d")["sha256"],
    }  # fmt: skip
    set_clock(monkeypatch, NOW + 8 * DAY)
    now = served(cards, "spend_30d")
    assert (now["value"], now["computed_at"], now["status"]) == (0, "2026-06-09T00:00:00Z", "ok")


def test_a_value_is_stale_where_its_coming_steps_are_used_up(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.write({"featurestore.toml": f"{TOML}[history]\nsteps = 1\n"})
    set_clock(monkeypatch, NOW - 2 * DAY)
    cards.run("ingest")
    cards.run("sync")
    said = {}
    for days in (-2, -1, 8):
        set_clock(monkeypatch, NOW + days * DAY)
        now = served(cards, "spend_30d")
        said[days] = now["value"], now["status"]
    assert said == {-2: (12, "ok"), -1: (7, "ok"), 8: (7, "stale")}
    assert "stale" in cards.run("get", "card", "a", "-f", "spend_30d").out


def test_max_age_counts_from_the_last_run_not_from_the_last_step(
    cards: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards.edit("features/spend.py", 'window="{days}d"', 'window="{days}d", max_age="2d"')
    cards.run("ingest")
    cards.run("sync")
    set_clock(monkeypatch, NOW + 3 * DAY)
    assert served(cards, "spend_30d")["status"] == "expired"
    assert cards.json("ingest")["run_seq"] is None
    cards.run("sync")
    assert served(cards, "spend_30d")["status"] == "ok"


def test_a_run_writes_the_steps_that_it_changed(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cards.run("ingest")
    cards.run("sync")
    assert "nothing to do" in cards.run("sync").out
    cards.write({"data/late.csv": "number,card,at,amount\n9,b,2026-05-29T00:00:00Z,100\n"})
    set_clock(monkeypatch, NOW + DAY)
    cards.run("ingest")
    assert "wrote 2 values" in cards.run("sync").out  # of card b, one of each feature
    assert "all match the history" in cards.run("verify").out
    assert served(cards, "spend_7d", "b")["value"] == 102


def test_an_erased_entity_has_no_step_online(cards: Folder) -> None:
    cards.run("ingest")
    cards.run("sync")
    cards.run("delete", "card", "b", "--erase", code=3)
    assert served(cards, "spend_30d", "b")["status"] == "missing"
    assert b"card:b" not in (cards.root / ".featurestore" / "online.sqlite").read_bytes()


def test_a_damaged_list_of_steps_is_found_and_written_again(cards: Folder) -> None:
    cards.run("ingest")
    cards.run("sync")
    with closing(sqlite3.connect(cards.root / ".featurestore" / "online.sqlite")) as file, file:
        file.execute("UPDATE entities SET packed = substr(packed, 1, length(packed) - 3) WHERE key LIKE '%:a'")
    assert "damaged" in cards.run("get", "card", "a", "-f", "spend_30d", code=12).err
    assert cards.json("verify", "--fix")["different"] == 2
    assert served(cards, "spend_30d")["status"] == "ok"
