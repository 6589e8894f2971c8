"""Scopes in runs: found or declared, shown with their reason, checked where values are computed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from shutil import rmtree

import pytest

from tests.conftest import TOML, Folder

FOUND = """
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="float")
def share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="float")
def above_usual() -> pl.Expr:
    return pl.col("age") - pl.col("age").mean().over("patient_id")


@feature(entity_type="patient", data_type="float")
def above_all() -> pl.Expr:
    return pl.col("age") - pl.col("age").mean()


@feature(entity_type="patient", data_type="float")
def framed(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("patient_id", value="chol", computed_at="visit_at")
"""


def declare(body: str, **facts: str) -> str:
    given = "".join(f", {name}={value!r}" for name, value in facts.items())
    return (
        "import polars as pl\nfrom featurestore import feature\n\n\n"
        f'@feature(entity_type="patient", data_type="float"{given})\n'
        f"def mine(visits: pl.DataFrame) -> pl.DataFrame:\n    {body}\n"
    )


def select(value: str) -> str:
    return f'return visits.select("patient_id", value={value}, computed_at="visit_at")'


def test_a_run_finds_the_scope_and_show_says_why(project: Folder) -> None:
    project.write({"features/cardiac.py": FOUND})
    before = project.json("show", "share")["scope"]
    assert before == {
        "kind": None, "lookback": None, "reason": "the first run finds it", "declared": False, "checked": True,
    }  # fmt: skip
    project.run("ingest")
    scopes = {name: project.json("show", name)["scope"] for name in ("share", "above_usual", "above_all", "framed")}
    assert {name: (scope["kind"], scope["reason"]) for name, scope in scopes.items()} == {
        "share": ("row", "every operation takes one row at a time"),
        "above_usual": ("entity", "what looks at other rows runs over(patient_id)"),
        "above_all": ("source", "mean() may look at other entities' rows"),
        "framed": ("source", "a function that takes a frame may look at all of it"),
    }
    assert "entity (what looks at other rows runs over(patient_id))" in project.run("show", "above_usual").out
    assert {item["name"]: item["scope"]["kind"] for item in project.json("plan")["features"]} == {
        "share": "row", "above_usual": "entity", "above_all": "source", "framed": "source",
    }  # fmt: skip


def test_a_found_scope_is_not_in_the_hash_and_a_declared_one_is(project: Folder) -> None:
    project.write({"features/cardiac.py": declare(select('pl.col("chol") * 2'))})
    project.run("lock")
    plain = project.json("show", "mine")["sha256"]
    project.run("ingest")
    assert project.json("show", "mine")["sha256"] == plain
    project.write({"features/cardiac.py": declare(select('pl.col("chol") * 2'), scope="row")})
    (planned,) = project.json("plan")["features"]
    assert planned["reasons"] == ["scope added: row"]


@pytest.mark.filterwarnings("ignore:`qcut` is deprecated")
@pytest.mark.parametrize(
    ("value", "facts", "hint"),
    [
        ('pl.col("age").shift(1).over("patient_id").cast(float)', {"lookback": "0"}, 'scope="entity" would hold'),
        ('pl.col("age").rank().cast(float)', {"scope": "entity"}, 'scope="source" would hold'),
        ('pl.col("age").cast(float).qcut(2, labels=["1", "2"]).cast(str).cast(float)', {"scope": "row"}, "would hold"),
    ],
)
def test_a_scope_that_does_not_hold_fails_the_feature_alone(
    project: Folder, value: str, facts: dict[str, str], hint: str
) -> None:
    project.write({"features/more.py": declare(select(value), **facts)})
    found = project.features(code=3)
    assert found["age_share"]["status"] == "ok"
    error = found["mine"]["error"]
    assert error["code"] == "scope"
    assert "does not hold: for patient_id=00" in error["message"]
    assert hint in error["hint"]
    assert project.run("history", "mine", "001", code=2).err


def test_without_the_check_nothing_is_checked_and_show_says_so(project: Folder) -> None:
    project.write({
        "featurestore.toml": TOML + "[scopes]\ncheck = false\n",
        "features/more.py": declare(select('pl.col("age").rank().cast(float)'), scope="entity"),
    })  # fmt: skip
    assert project.features()["mine"]["status"] == "ok"
    assert project.json("show", "mine")["scope"]["checked"] is False
    assert "unchecked, by [scopes] check" in project.run("show", "mine").out


def test_scope_entity_needs_the_keys_in_the_source(project: Folder) -> None:
    project.edit("featurestore.toml", 'patient_id = "string"', 'person = "string"')
    body = 'return visits.select(person="patient_id", value="chol", computed_at="visit_at")'
    project.write({"features/cardiac.py": declare(body, scope="entity")})
    (feature,) = project.json("ingest", code=4)["features"]
    assert "needs the entity's keys (person) in the source 'visits'" in feature["error"]["message"]
    assert 'declare scope="source"' in feature["error"]["hint"]


def test_one_row_a_batch_and_any_slicing_give_the_same_bits(project: Folder) -> None:
    """70 / 100 is 0.7 in a frame of one row, and 0.7000000000000001 beside others."""
    lines = [f"{number:03},2024-01-{day:02}T00:00:00Z,{70 + number},35\n" for number in range(3) for day in (1, 2)]
    head = "patient_id,visit_at,age,chol\n"
    functions = FOUND.replace('pl.col("age").mean().over', '(pl.col("chol") / 100).mean().over')
    values = []
    for files in ([lines], [lines[:1], lines[1:]], [[line] for line in lines]):
        for old in project.root.glob("visits*.csv"):
            old.unlink()
        rmtree(project.root / ".featurestore", ignore_errors=True)
        project.write({"features/cardiac.py": functions})
        for number, part in enumerate(files):
            project.write({f"visits{number}.csv": head + "".join(part)})
            project.run("ingest", "share", "above_usual")
        values.append([project.json("history", name, "000")["values"] for name in ("share", "above_usual")])
    plain = [[[item["value"] for item in history] for history in run] for run in values]
    assert plain[0][0][0] == 0.7000000000000001
    assert plain[0] == plain[1] == plain[2]


ROLLING = """
import polars as pl
from featurestore import feature


def rolled(sales: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    return sales.select("customer_id", value=value, computed_at="at")


@feature(entity_type="customer", data_type="float", lookback="30d")
def total(sales: pl.DataFrame) -> pl.DataFrame:
    return rolled(sales, pl.col("amount").rolling_sum_by("at", "30d").over("customer_id"))


@feature(entity_type="customer", data_type="float", lookback="30d")
def spread(sales: pl.DataFrame) -> pl.DataFrame:
    return rolled(sales, pl.col("amount").rolling_std_by("at", "30d").over("customer_id"))


@feature(entity_type="customer", data_type="list[float, 2]", lookback="30d")
def both(sales: pl.DataFrame) -> pl.DataFrame:
    summed = pl.col("amount").rolling_sum_by("at", "30d").over("customer_id")
    return rolled(sales, pl.concat_list("amount", summed))
"""
SALES = (
    '[project]\nname = "shop"\n[entity_types.customer]\nkeys = { customer_id = "string" }\n'
    '[sources.sales]\ntype = "csv"\npath = "data"\nevent_time = "at"\n'
)


def test_last_bits_that_depend_on_where_a_rolling_sum_began_are_no_change_of_a_value(folder: Folder) -> None:
    folder.write({"featurestore.toml": SALES, "features/rolling.py": ROLLING})
    (folder.root / "data").mkdir()
    drawn = random.Random(17)
    for part in range(7):
        begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=12 * part)
        times = [begin + timedelta(microseconds=drawn.randrange(12 * 86_400_000_000)) for _ in range(1_500)]
        rows = [f"c{drawn.randrange(20)},{at.isoformat()},{drawn.random() * 1000:.2f}\n" for at in times]
        (folder.root / "data" / f"{part}.csv").write_text("customer_id,at,amount\n" + "".join(rows))
        features = folder.features()
        assert {name: (found["status"], found["rows_written"]) for name, found in features.items()} == {
            "total": ("ok", 1_500), "spread": ("ok", 1_500), "both": ("ok", 1_500),
        }  # fmt: skip


def test_a_value_that_changes_by_more_than_rounding_still_fails_the_feature(folder: Folder) -> None:
    """The sum reaches back further than it says; without the check of scopes, what is held still shows it."""
    folder.write({"featurestore.toml": SALES + "[scopes]\ncheck = false\n"})
    folder.write({"features/rolling.py": ROLLING.replace('"at", "30d"', '"at", "40d"')})
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(80)]
    rows = [f"a,{day.isoformat()},{1 + at / 1e6}\n" for at, day in enumerate(days)]
    folder.write({"data/0.csv": "customer_id,at,amount\n" + "".join(rows[:60])})
    folder.run("ingest")
    folder.write({"data/1.csv": "customer_id,at,amount\n" + "".join(rows[78:])})
    found = folder.features(code=4)
    assert {item["status"] for item in found.values()} == {"failed"}
    assert "its lookback allows it to depend on" in found["total"]["error"]["message"]
