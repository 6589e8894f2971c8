"""`known_at` in a source: `--known` compares with the row's own time instead of its run's."""

from __future__ import annotations

import pytest

from tests.conftest import Folder

VISITS = (
    "patient_id,visit_at,age,chol,loaded_at\n"
    "001,2024-01-01,50,200,2024-01-02\n001,2024-01-01,51,200,2024-02-01\n002,2024-01-05,60,180,2024-01-05T00:00:00.0000001Z\n"
)
LABELS = (
    "patient_id,at\n001,2024-01-01T12:00:00Z\n001,2024-01-20T00:00:00Z\n001,2024-03-01T00:00:00Z\n"
    "002,2024-01-05T00:00:00Z\n002,2024-01-05T00:00:00.000001Z\n"
)
FEATURES = """
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="float", scope="row")
def by_frame(df: pl.DataFrame) -> pl.DataFrame:
    return df.select("patient_id", value=pl.col("age") / 100)


@feature(entity_type="patient", data_type="float", scope="entity")
def oldest() -> pl.Expr:
    return pl.col("age").cum_max().over("patient_id") / 100
"""


@pytest.fixture
def known(project: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    project.edit("featurestore.toml", 'event_time = "visit_at"\n', 'event_time = "visit_at"\nknown_at = "loaded_at"\n')
    for path in (project.root / "features").glob("*.py"):
        path.unlink()
    project.write({"features/ages.py": FEATURES, "visits.csv": VISITS, "labels.csv": LABELS})
    monkeypatch.chdir(project.root)
    return project


def joined(folder: Folder, feature: str, *options: str) -> list[str]:
    words = ("join", "labels.csv", "-f", feature, "--timestamp-column", "at", *options)
    return [line.rsplit(",", 1)[1] for line in folder.run(*words).out.splitlines()[1:]]


def test_a_label_gets_what_was_known_by_then_although_one_run_brought_it_all(known: Folder) -> None:
    counts = {name: item["rows_written"] for name, item in known.features().items()}
    assert counts == {"age_share": 3, "by_frame": 3, "oldest": 2}
    for name in ("age_share", "by_frame"):
        assert joined(known, name) == ["0.51", "0.51", "0.51", "0.6", "0.6"]
        assert joined(known, name, "--known") == ["", "0.5", "0.51", "", "0.6"], "below a microsecond it is rounded up"
    assert {item["status"] for item in known.features().values()} == {"unchanged"}
    assert {item["rows_written"] for item in known.features("--full").values()} == {0}


def test_other_scopes_go_by_their_runs_and_the_answer_says_so(known: Folder) -> None:
    known.run("ingest")
    assert joined(known, "oldest", "--known") == [""] * 5
    assert joined(known, "oldest") == ["0.51", "0.51", "0.51", "0.6", "0.6"], (
        "of a row that is known again the last counts"
    )
    words = (
        "join",
        "labels.csv",
        "-f",
        "age_share,oldest",
        "--timestamp-column",
        "at",
        "--known",
        "--output",
        "out.csv",
    )
    found = known.json(*words)
    assert [item["known_by"] for item in found["features"]] == ["row", "run"]
    assert "oldest: --known goes by the times of its runs" in str(found["warnings"])
    latest = known.json("latest", "patient", "-f", "age_share,oldest", "--at", "2024-01-20T00:00:00Z", "--known")
    assert [item["known_by"] for item in latest["features"]] == ["row", "run"]
    assert [row["age_share"] for row in latest["rows"]] == [0.5, 0.6]


def test_what_is_known_later_is_a_row_of_its_own_and_reaches_every_reader(known: Folder) -> None:
    known.run("ingest")
    known.run("sync")
    more = VISITS + "001,2024-01-01,53,200,2024-01-10\n002,2024-01-05,61,180,2024-01-06\n"
    known.write({"visits.csv": more})
    found = known.features()["age_share"]
    assert (found["rows_written"], found["rows_corrected"], found["rows_computed"]) == (2, 0, 2)
    assert joined(known, "age_share", "--known") == ["", "0.53", "0.51", "", "0.6"]
    assert joined(known, "age_share") == ["0.51", "0.51", "0.51", "0.61", "0.61"]
    known.run("sync")
    online = {
        who: known.json("get", "patient", who)["entities"][0]["features"]["age_share"]["value"]
        for who in ("001", "002")
    }
    assert online == {"001": 0.51, "002": 0.61}, "the last known answers, not the last learned"
    assert known.json("verify")["checked"] == 6
    values = known.json("history", "age_share", "001")["values"]
    assert [(item["value"], item["known_at"]) for item in values] == [
        (0.5, "2024-01-02T00:00:00Z"), (0.53, "2024-01-10T00:00:00Z"), (0.51, "2024-02-01T00:00:00Z")
    ]  # fmt: skip
    assert "known at" in known.run("history", "age_share", "001").out
    assert {item["rows_written"] for item in known.features("--full").values()} == {0}


def test_known_times_are_the_same_where_no_rows_are_kept(known: Folder) -> None:
    known.edit("featurestore.toml", 'known_at = "loaded_at"\n', 'known_at = "loaded_at"\nkeep_parsed = false\n')
    known.run("ingest")
    more = "001,2024-01-01,52,200,2024-02-20\n001,2024-01-01,49,200,2024-01-01T06:00:00Z\n"
    known.write({"visits.csv": VISITS + more})
    counts = {name: item["rows_written"] for name, item in known.features().items()}
    assert (counts["age_share"], counts["by_frame"]) == (2, 2)
    for name in ("age_share", "by_frame"):
        assert joined(known, name) == ["0.52", "0.52", "0.52", "0.6", "0.6"]
        assert joined(known, name, "--known") == ["0.49", "0.5", "0.52", "", "0.6"]
    assert {item["rows_written"] for item in known.features("--full").values()} == {0}


def test_a_data_set_is_rebuilt_from_known_times(known: Folder) -> None:
    known.run("ingest")
    words = ("join", "labels.csv", "-f", "age_share", "--timestamp-column", "at", "--known", "--dataset", "ages")
    known.run(*words, "--output", "out.csv")
    known.write({"visits.csv": VISITS + "001,2024-01-01,53,200,2024-01-10\n"})
    known.run("ingest")
    known.run("dataset", "ages", "--verify")


def test_a_row_that_nobody_says_when_it_was_known_is_set_aside(known: Folder) -> None:
    known.write({"visits.csv": VISITS + "003,2024-01-01,53,200,\n"})
    ran = known.run("ingest", code=3)
    assert "known time is null" in ran.err
    assert known.features()["age_share"]["status"] == "unchanged"


def test_a_function_must_give_a_value_for_each_row(known: Folder) -> None:
    filtered = 'df.filter(pl.col("age") > 50).select("patient_id", computed_at="visit_at", '
    known.edit("features/ages.py", 'df.select("patient_id", ', filtered)
    known.run("ingest", code=3)
    error = known.json("runs")["runs"][0]["features"][1]["error"]
    assert "which loaded_at belongs to which value is not known" in error["message"]
    assert 'scope="entity"' in error["hint"]


def test_attributes_without_event_times_have_known_times_too(known: Folder) -> None:
    known.edit("featurestore.toml", 'event_time = "visit_at"\n', 'valid = "always"\n')
    known.run("ingest")
    assert joined(known, "age_share", "--known") == ["", "0.5", "0.51", "", "0.6"]
    assert joined(known, "by_frame") == ["0.51", "0.51", "0.51", "0.6", "0.6"]


def test_known_times_are_part_of_the_version(known: Folder) -> None:
    known.run("ingest")
    known.edit("featurestore.toml", 'known_at = "loaded_at"\n', "")
    assert "source known_at" in known.run("plan").out


def test_without_a_time_when_rows_were_true_it_is_refused(known: Folder) -> None:
    known.edit("featurestore.toml", 'event_time = "visit_at"\n', "")
    ran = known.run("ingest", code=2)
    assert "nothing says when they were true" in ran.err
