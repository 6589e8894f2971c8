"""One project on both stores, command line by command line: the same answers, to the last digit."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from featurestore.config import Project
from featurestore.offline.contract import OfflineStore
from featurestore.offline.postgres.store import PostgresStore
from tests.conftest import AGE, TOML, VISITS, Folder
from tests.join.groups import Group, check_in_store, groups
from tests.join.several import Several, several
from tests.join.several import check_in_store as check_several
from tests.join.test_join import NIGHTLY
from tests.offline.conftest import postgres_project
from tests.often import examples
from tests.services_postgres import PostgresServer

RISK = """

@feature(entity_type="patient", data_type="float", max_age="30d", tolerance=0.001)
def risk(df: pl.DataFrame) -> pl.DataFrame:
    return df.select(
        pl.col("patient_id").alias("entity_id"),
        (0.25 * pl.col("age") + pl.col("chol") / 100).alias("value"),
        pl.col("visit_at").alias("computed_at"),
    )


@feature(entity_type="patient", data_type="list[float, 2]")
def pair() -> pl.Expr:
    return pl.concat_list(pl.col("age").cast(pl.Float64), pl.col("chol"))


@feature(entity_type="patient", data_type="string")
def band() -> pl.Expr:
    return pl.when(pl.col("age") > 55).then(pl.lit("é high")).otherwise(pl.lit(""))


@feature(entity_type="patient", data_type="date")
def day() -> pl.Expr:
    return pl.col("visit_at").dt.date()
"""
LABELS = """
patient_id,at,label
001,2024-01-20T00:00:00Z,1
001,2024-02-01T00:00:00Z,0
002,2024-01-01T00:00:00Z,1
002,2024-06-01T00:00:00Z,0
003,2024-02-01T00:00:00Z,1
003,2024-02-01T00:00:00Z,1
"""
FEATURES = "age_share@1,risk@1,risk@2,pair,band,day"

# What no two runs have in common: their ids, and the present. An erasure also says what of its store it can't reach.
_RUN = re.compile(r"20\d{6}T\d{6}-[0-9a-f]{8}")
_NOW = re.compile(r"20(?:2[6-9]|[3-9]\d)-\d\d-\d\dT[\d:.]+Z?")
_OURS = {"duration_s", "started_at", "finished_at", "learned_at", "freshness_s", "beyond_reach"}


def settle(found: Any, folder: Path) -> Any:
    """The answer without what differs from run to run."""
    if isinstance(found, dict):
        return {name: "…" if name in _OURS else settle(item, folder) for name, item in found.items()}
    if isinstance(found, list):
        return [settle(item, folder) for item in found]
    if isinstance(found, str):
        return _NOW.sub("NOW", _RUN.sub("RUN", found.replace(str(folder), "")))
    return found


def tell(project: Folder) -> Iterator[tuple[str, Any]]:
    """The life of a project, and what each command said."""

    join = ("join", str(project.root / "labels.csv"), "-f", FEATURES, "--timestamp-column", "at")

    def say(*arguments: str, code: int = 0) -> tuple[str, Any]:
        return arguments[0], settle(project.json(*arguments, code=code), project.root)

    def say_plainly(*arguments: str) -> tuple[str, Any]:
        return arguments[0], settle(project.run(*arguments).out, project.root)

    project.write(
        {"featurestore.toml": TOML, "features/cardiac.py": AGE + RISK, "visits.csv": VISITS, "labels.csv": LABELS}
    )
    yield say("ingest", "--dry-run")
    yield say("runs")
    yield say("ingest")
    yield say("ingest")
    project.edit("visits.csv", "001,2024-02-01T00:00:00Z,51,210", "001,2024-02-01T00:00:00Z,52,210")
    project.write(
        {
            "visits-2.csv": "patient_id,visit_at,age,chol\n003,2024-01-31T23:59:59.999999Z,70,1e300\n"
            "003,2024-03-01T00:00:00Z,430,1\n"
        }
    )
    yield say("ingest", code=3)
    project.edit("features/cardiac.py", "0.25", "0.30")
    yield say("ingest", code=3)
    yield say("runs")
    yield say("runs", "2")
    yield say("show", "risk")
    yield say("stats", "risk")
    yield say("drift", "risk")
    yield say("diff", "risk", "1", "2")
    yield say("history", "risk", "001")
    yield say("history", "risk@1", "003")
    yield say_plainly(*join)
    yield say_plainly(*join, "--known")
    yield say_plainly(*join, "--max-age", "10d")
    yield say_plainly("export", "pair")
    yield say("sync", "--full")
    yield say("get", "patient", "001", "-f", "risk,band,day,pair")
    yield say("delete", "patient", "002", "--yes")
    yield say("sync")
    yield say_plainly(*join)
    yield say_plainly(*join, "--output", str(project.root / "train.csv"), "--dataset", "trial")
    yield say("dataset", "trial", "--verify")
    again = project.root / "again.csv"
    yield say("dataset", "trial", "--rebuild", "--output", str(again))
    yield "train.csv", again.read_bytes() == (project.root / "train.csv").read_bytes()
    yield say("baseline", "risk")
    yield say("stats", "risk")
    yield say("verify")
    project.edit("features/cardiac.py", "0.30", "nothing_of_the_kind")
    yield say("ingest", "risk", code=4)
    yield say("runs", "--last", "1")
    yield say("promote", "risk", "1")
    yield say("delete", "patient", "001", "--erase", "--yes", code=3)  # the source still names it
    yield say("dataset", "trial", "--verify", code=4)  # its labels went with the entity
    yield say_plainly(*join)


@pytest.fixture
def folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Folder, Folder]:
    def capture() -> tuple[str, str]:
        found = capsys.readouterr()
        return found.out, found.err

    made = (tmp_path / "duckdb", tmp_path / "postgresql")
    for path in made:
        path.mkdir()
    return Folder(made[0], capture), Folder(made[1], capture)


def test_a_project_lives_the_same_life_on_postgresql(
    folders: tuple[Folder, Folder], postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, shared = folders
    expected = list(tell(embedded))
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", postgres.url)
    try:
        found = list(tell(shared))
    finally:
        postgres.run("DROP SCHEMA IF EXISTS fs_test CASCADE")
    for (command, answer), (_, right) in zip(found, expected, strict=True):
        if isinstance(answer, dict):
            assert {name: item for name, item in answer.items() if right.get(name) != item} == {}, command
        assert answer == right, command


NUL = """

@feature(entity_type="patient", data_type="string")
def torn() -> pl.Expr:
    return pl.lit("a\\x00b")
"""


def test_a_feature_that_postgresql_has_no_place_for_fails_alone(
    project: Folder, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_OFFLINE_URL", postgres.url)
    project.write({"features/cardiac.py": AGE + NUL})
    try:
        only = project.json("ingest", "torn", code=4)
        assert "patient_id='001'" in only["features"][0]["error"]["message"]
        assert only["run_seq"] is None
        found = project.features(code=3)
        assert (found["torn"]["status"], found["age_share"]["status"]) == ("failed", "ok")
        assert [run["run_seq"] for run in project.json("runs")["runs"]] == [1, None]
        assert project.features("torn", code=4)["torn"]["error"]["hint"]
    finally:
        postgres.run("DROP SCHEMA IF EXISTS fs_test CASCADE")


def check_in_postgres(postgres: PostgresServer, asked: Group | Several) -> None:
    made: list[Project] = []

    def make(folder: Path) -> OfflineStore:
        made.append(postgres_project(postgres, folder))
        return PostgresStore(made[-1])

    try:
        if isinstance(asked, Several):
            check_several(make, asked)
        else:
            check_in_store(make, asked)
    finally:
        postgres.run(";".join(f'DROP SCHEMA IF EXISTS "fs_{each.name}" CASCADE' for each in made))


@settings(max_examples=examples(3))
@given(groups(4))
def test_a_join_from_postgresql_gives_what_the_judge_says(postgres: PostgresServer, group: Group) -> None:
    check_in_postgres(postgres, group)


@settings(max_examples=examples(3))
@given(several())
def test_postgresql_gives_every_entity_of_a_label_what_the_judge_says(postgres: PostgresServer, asked: Several) -> None:
    check_in_postgres(postgres, asked)


@pytest.mark.nightly
@settings(max_examples=1_000)
@given(groups(NIGHTLY, least=NIGHTLY))
def test_a_join_from_postgresql_gives_what_the_judge_says_ten_thousand_times(
    postgres: PostgresServer, group: Group
) -> None:
    check_in_postgres(postgres, group)
