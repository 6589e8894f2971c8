"""Rows with an `id` that are known at another place later, against brute force: what every reader answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl
import pytest

from featurestore import FeatureStore
from featurestore.parsed.index import read_index
from tests.conftest import Folder
from tests.ingest.judged import name_of
from tests.often import nightly
from tests.services_postgres import PostgresServer

START = datetime(2024, 1, 1, tzinfo=UTC)
PEOPLE, DAYS, HOURS = "abc", range(3), range(240)
TOML = """
[project]
name = "{project}"
[entity_types.user]
keys = {{ user = "string" }}
[sources.orders]
type = "csv"
path = "*.csv"
id = ["order"]
{time}
known_at = "loaded_at"
[sources.orders.columns]
amount = {{ type = "int" }}
{offline}
"""
FEATURES = """
import polars as pl
from featurestore import feature


@feature(entity_type="user", data_type="int")
def amount() -> pl.Expr:
    return pl.col("amount") * 2


@feature(entity_type="user", data_type="int", scope="row")
def by_frame(df: pl.DataFrame) -> pl.DataFrame:
    return df.select("user", value=pl.col("amount") * 2)
"""


class Row(NamedTuple):
    order: int
    user: str
    day: int
    known: int  # hours
    amount: int


Files = Mapping[str, Sequence[Row]]
Known = dict[tuple[int, int], Row]


def text(rows: Sequence[Row]) -> str:
    def moment(days: int = 0, hours: int = 0) -> str:
        return f"{START + timedelta(days=days, hours=hours):%Y-%m-%dT%H:%M:%SZ}"

    lines = (f"{row.order},{row.user},{moment(row.day)},{moment(hours=row.known)},{row.amount}" for row in rows)
    return "\n".join(["order,user,at,loaded_at,amount", *lines]) + "\n"


def answer(known: Known, user: str, day: int, at: int | None) -> int | None:
    """What is known at an hour (None: in the end) of a user on a day: each order counts where it was known last."""
    last: dict[int, Row] = {}
    for row in sorted(known.values(), key=lambda row: row.known):
        if at is None or row.known <= at:
            last[row.order] = row
    there = [row for row in last.values() if row.user == user and row.day <= day]
    return 2 * max(there, key=lambda row: (row.day, row.known)).amount if there else None


def logs(seed: int, *, corrected: float = 0.4) -> list[Files]:
    """Files that grow, come late, are written over with corrected rows, and vanish: nothing that was known is lost."""
    rng = random.Random(seed)
    hours = rng.sample(HOURS, 24)
    files: dict[str, list[Row]] = {}
    states: list[Files] = []
    used: set[tuple[int, int]] = set()
    for _ in range(rng.randint(2, 5)):
        for _ in range(rng.randint(1, 4)):
            order, known = rng.randrange(3), rng.choice(hours)
            if any(known == other for _, other in used):
                continue
            used.add((order, known))
            row = Row(order, rng.choice(PEOPLE), rng.choice(DAYS), known, rng.randrange(100))
            name = rng.choice((*files, f"{len(files)}.csv"))
            rows = files.setdefault(name, [])
            rows.insert(rng.randint(0, len(rows)), row)
        if files and rng.random() < corrected:
            rows = files[rng.choice(list(files))]
            place = rng.randrange(len(rows))
            rows[place] = rows[place]._replace(user=rng.choice(PEOPLE), day=rng.choice(DAYS), amount=rng.randrange(100))
        if corrected and len(files) > 1 and rng.random() < 0.2 and states:
            gone = rng.choice(list(files))
            if files[gone] == states[-1].get(gone):  # all of it was taken
                del files[gone]
        states.append({name: list(rows) for name, rows in files.items()})
    return states


def dumps(seed: int) -> list[Files]:
    """One file that is written over with the last that is known of each order."""
    rng = random.Random(seed)
    now: dict[int, Row] = {}
    states: list[Files] = []
    hour = 0
    for _ in range(rng.randint(2, 6)):
        for order in range(4):
            if rng.random() < 0.5:
                hour += rng.randint(1, 8)
                now[order] = Row(order, rng.choice(PEOPLE), rng.choice(DAYS), hour, rng.randrange(100))
        if now:
            states.append({"dump.csv": rng.sample(list(now.values()), len(now))})
    return states


def mixed(seed: int) -> list[Files]:
    """A dump that is written over, beside files of rows that were known in between: few values, so that they meet."""
    rng = random.Random(seed)
    between = rng.sample(range(1, 80, 2), 20)
    now: dict[int, Row] = {}
    files: dict[str, list[Row]] = {}
    states: list[Files] = []
    hour = 0

    def row(order: int, known: int) -> Row:
        return Row(order, rng.choice("ab"), rng.choice(DAYS[:2]), known, rng.randrange(3))

    for number in range(rng.randint(3, 6)):
        for order in range(3):
            if not now or rng.random() < 0.5:
                hour += 2 * rng.randint(1, 6)
                now[order] = row(order, hour)
        if rng.random() < 0.6:
            name = rng.choice((*files, f"{number}.csv"))
            files.setdefault(name, []).append(row(rng.randrange(5), between.pop()))
        if files and rng.random() < 0.4:
            rows = files[rng.choice(list(files))]
            place = rng.randrange(len(rows))
            rows[place] = row(rows[place].order, rows[place].known)
        states.append({"dump.csv": list(now.values()), **{name: list(rows) for name, rows in files.items()}})
    return states


def judge(
    folder: Folder, states: Sequence[Files], url: str | None, *, timed: bool = True, known: Known | None = None
) -> None:
    offline = "" if url is None else f'[offline]\nurl = "{url}"\n'
    time = 'event_time = "at"' if timed else 'valid = "always"'
    toml = TOML.format(project=name_of(folder.root), time=time, offline=offline)
    folder.write({"featurestore.toml": toml, "features/orders.py": FEATURES})
    known = known or {}
    for files in states:
        for path in folder.root.glob("*.csv"):
            path.unlink()
        folder.write({name: text(rows) for name, rows in files.items()})
        known |= {(row.order, row.known): row for rows in files.values() for row in rows}
        folder.run("ingest")
        folder.run("sync")
        compare(folder, {key: row if timed else row._replace(day=0) for key, row in known.items()})
    assert {(item["rows_written"], item["rows_withdrawn"]) for item in folder.features("--full").values()} == {(0, 0)}


def compare(folder: Folder, known: Known) -> None:
    hours = [START + timedelta(hours=hour, minutes=30) for hour in range(0, HOURS.stop, 3)]
    labels = pl.DataFrame([(user, at) for user in PEOPLE for at in hours], schema=["user", "at"], orient="row")
    store = FeatureStore(folder.root)
    day_of = [(at - START) // timedelta(days=1) for at in labels["at"]]
    hour_of = [(at - START) // timedelta(hours=1) for at in labels["at"]]
    for given in (False, True):
        expected = [
            answer(known, user, day, hour if given else None)
            for user, day, hour in zip(labels["user"], day_of, hour_of, strict=True)
        ]
        found = store.historical_features(labels, ["amount", "by_frame"], timestamp_column="at", known=given)
        for name in ("amount", "by_frame"):
            wrong = labels.with_columns(pl.Series("expected", expected), found[name]).filter(
                pl.col("expected").ne_missing(pl.col(name))
            )
            assert wrong.is_empty(), f"known={given}: {wrong}"
    last = {user: answer(known, user, max(DAYS), None) for user in PEOPLE}
    rows = store.latest("user", ["amount"])
    assert {row["user"]: row["amount"] for row in rows.iter_rows(named=True) if row["amount"] is not None} == {
        user: value for user, value in last.items() if value is not None
    }
    online = folder.json("get", "user", *PEOPLE, "-f", "amount")["entities"]
    assert {item["entity_id"]: item["features"]["amount"]["value"] for item in online} == last
    folder.run("verify")


@pytest.mark.parametrize(
    ("make", "seed"),
    [(logs, 1), (mixed, 1002), *nightly([(logs, 0), (logs, 1000), (dumps, 0), (dumps, 1005), (mixed, 1008)])],
)
def test_a_row_that_is_known_elsewhere_later_leaves_its_place_then(
    folder: Folder, make: Callable[[int], list[Files]], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root)
    judge(folder, make(seed), None)


@pytest.mark.parametrize(("make", "seed"), [(mixed, 1002), *nightly([(logs, 7), (dumps, 7)])])
def test_a_server_answers_the_same(
    folder: Folder,
    make: Callable[[int], list[Files]],
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    postgres: PostgresServer,
) -> None:
    monkeypatch.chdir(folder.root)
    judge(folder, make(seed), postgres.url)
    postgres.run(f'DROP SCHEMA IF EXISTS "fs_{name_of(folder.root)}" CASCADE')


def test_attributes_without_event_times_move_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.root)
    judge(folder, logs(3, corrected=0), None, timed=False)


def test_what_a_file_said_before_it_was_written_over_stays_known(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root)
    there = Row(0, "a", 0, 10, 5)
    states = [
        {"first.csv": [there], "dump.csv": [Row(1, "a", 0, 20, 5)]},
        {"first.csv": [there], "dump.csv": [Row(1, "b", 0, 40, 5)]},
        {"first.csv": [there], "dump.csv": [Row(1, "b", 0, 40, 5)], "late.csv": [Row(2, "a", 0, 15, 9)]},
    ]
    judge(folder, states, None)


def test_of_a_file_that_was_written_over_what_has_changed_is_kept_and_it_may_come_back(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root)
    first = [Row(order, "a", 0, order + 1, order) for order in range(100)]
    second = [*first[1:], Row(0, "b", 0, 150, 7)]
    third = [*second[1:], Row(1, "b", 1, 160, 8)]
    judge(folder, [{"dump.csv": first}, {"dump.csv": second}, {"dump.csv": third}], None)
    index = read_index(folder.root / ".featurestore/rows/orders/index.json")
    rows = {sum(piece.rows for piece in kept.pieces) for kept in index.contents.values()}
    assert rows == {100, 1}, "of what was written over the row that moved"
    assert (
        "orders: 2 rows of files written over are kept: loaded_at says that they were known" in folder.run("doctor").out
    )
    states = [{"dump.csv": third}, {"dump.csv": first}, {"dump.csv": third, "late.csv": [Row(200, "a", 0, 155, 9)]}]
    judge(folder, states, None, known={(row.order, row.known): row for row in (*first, *second, *third)})


@pytest.mark.nightly
@pytest.mark.parametrize("make", [logs, dumps, mixed])
@pytest.mark.parametrize("seed", range(1_000, 1_100))
def test_a_row_that_is_known_elsewhere_later_leaves_its_place_many_more_times(
    folder: Folder, make: Callable[[int], list[Files]], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root)
    judge(folder, make(seed), None)


@pytest.mark.parametrize(
    ("store", "make", "seed"),
    [("duckdb", logs, 2), ("postgres", dumps, 3), *nightly([("duckdb", dumps, 3), ("postgres", logs, 2)])],
)
def test_a_data_set_is_rebuilt_although_rows_have_moved_since(
    folder: Folder,
    make: Callable[[int], list[Files]],
    seed: int,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(folder.root)
    server: PostgresServer | None = request.getfixturevalue("postgres") if store == "postgres" else None
    offline = "" if server is None else f'[offline]\nurl = "{server.url}"\n'
    toml = TOML.format(project=name_of(folder.root), time='event_time = "at"', offline=offline)
    folder.write({"featurestore.toml": toml, "features/orders.py": FEATURES})
    moments = [START + timedelta(hours=hour, minutes=30) for hour in range(0, HOURS.stop, 3)]
    lines = [f"{user},{at:%Y-%m-%dT%H:%M:%SZ}" for user in PEOPLE for at in moments]
    (folder.root / "labels").mkdir()
    folder.write({"labels/labels.csv": "\n".join(["user,at", *lines]) + "\n"})
    given: dict[str, bytes] = {}
    for number, files in enumerate(make(seed)):
        for path in folder.root.glob("*.csv"):
            path.unlink()
        folder.write({name: text(rows) for name, rows in files.items()})
        folder.run("ingest")
        for flags in ((), ("--known",)):
            name = f"d{number}{'k' if flags else ''}"
            words = (
                "join",
                "labels/labels.csv",
                "-f",
                "amount,by_frame",
                "--timestamp-column",
                "at",
                "--dataset",
                name,
            )
            folder.run(*words, *flags, "--output", "made.parquet")
            given[name] = (folder.root / "made.parquet").read_bytes()
    assert len(set(given.values())) > len(given) // 2, "rows moved, and with them the answers"
    for name, made in given.items():
        folder.run("dataset", name, "--rebuild", "--output", "again.parquet")
        assert (folder.root / "again.parquet").read_bytes() == made, name
        folder.run("dataset", name, "--verify")
    if server is not None:
        server.run(f'DROP SCHEMA IF EXISTS "fs_{name_of(folder.root)}" CASCADE')
