"""`keep` of a source: how long rows that can't be read again are kept, and what may look at them."""

from __future__ import annotations

import pytest

from tests.conftest import Folder
from tests.ingest.test_forgotten_rows import HEAD, SUMS, day, kept_line, kept_rows, values_of

WINDOW = """
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="float", source="visits", window="10d")
def chol_10d() -> pl.Expr:
    return pl.col("chol").sum() * 1.0
"""
MOVED = WINDOW.replace('window="10d"', 'window="8d", delay="1d", every="1d"')
WHOLE_ENTITY = SUMS.replace('lookback="10d"', 'scope="entity"')
ROWS = """
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="float", source="visits")
def chol() -> pl.Expr:
    return pl.col("chol") * 1.0
"""
WHOLE = """
import polars as pl
from featurestore import feature


@feature(entity_type="patient", data_type="float", source="visits")
def chol_10d() -> pl.Expr:
    return pl.col("chol").cum_sum().over("patient_id") * 1.0
"""


def declare(project: Folder, keep: str, more: str = "") -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', f'event_time = "visit_at"\nkeep = "{keep}"\n{more}')


def rotate(project: Folder, code: str, keep: str, more: str = "") -> None:
    """Runs over files of January, February and March, of which that of January is gone in March."""
    declare(project, keep, more)
    project.write({"features/cardiac.py": code, "visits.csv": HEAD + day("01-01", 1) + day("01-05", 2)})
    project.run("ingest")
    project.write({"visits-02.csv": HEAD + day("02-01", 4)})
    project.run("ingest")
    (project.root / "visits.csv").unlink()
    project.write({"visits-03.csv": HEAD + day("03-01", 8)})
    project.run("ingest")


def test_rows_stay_for_that_long_and_then_go(project: Folder) -> None:
    rotate(project, SUMS, "60d")
    assert kept_rows(project) == 4
    assert (
        kept_line(project)
        == "visits: 2 rows of 1 file that is gone are kept: keep is 60d, or other rows have their keys"
    )
    project.write({"visits-03b.csv": HEAD + day("03-02", 16)})  # the first row is 61 days older
    project.run("ingest")
    assert kept_rows(project) == 4
    assert "were dropped, the last of 2024-01-01T00:00:00Z" in kept_line(project)
    project.edit("features/cardiac.py", 'pl.col("chol").sum()', 'pl.col("chol").sum() + 1')
    project.run("ingest")  # of a new version what depends on the row of January the 1st is not written
    assert values_of(project) == [("02-01", 5), ("03-01", 9), ("03-02", 25)]


def test_a_new_version_has_values_as_far_back_as_rows_are_kept(project: Folder) -> None:
    rotate(project, SUMS, "60d")
    project.edit("features/cardiac.py", 'pl.col("chol").sum()', 'pl.col("chol").sum() + 1')
    project.run("ingest")
    assert values_of(project) == [("01-01", 2), ("01-05", 4), ("02-01", 5), ("03-01", 9)]


def test_rows_with_updated_at_go_too_and_what_comes_late_then_changes_nothing(project: Folder) -> None:
    """Of a row that went nobody knows whether another state of it is a later one."""
    head, state = HEAD.replace("age", "age,seen"), "001,2024-{},50,2024-{},{}\n"
    declare(project, "30d", 'updated_at = "seen"\n')
    project.write({"features/cardiac.py": ROWS, "visits.csv": head + state.format("01-01", "01-09", 2)})
    project.run("ingest")
    (project.root / "visits.csv").unlink()
    project.write({"visits-03.csv": head + state.format("03-01", "03-01", 8)})
    project.run("ingest")
    assert kept_rows(project) == 1
    project.write({"visits-late.csv": head + state.format("01-01", "01-02", 1) + state.format("01-20", "01-20", 4)})
    found = project.json("ingest", code=3)
    (line,) = [line for line in found["warnings"] if "came late" in line]
    assert line.startswith("chol: 1 row that came late lies at or before 2024-01-01T00:00:00Z")
    found = project.json("history", "chol", "001")["values"]
    assert [(each["computed_at"][5:10], each["value"]) for each in found] == [("01-01", 2), ("01-20", 4), ("03-01", 8)]


@pytest.mark.parametrize("keep", ["10d", "40d"])
def test_windows_let_their_rows_go(project: Folder, keep: str) -> None:
    rotate(project, WINDOW, keep, 'duplicates = "keep"\n')
    assert kept_rows(project) == 2
    steps = [
        ("01-01", 1),
        ("01-05", 3),
        ("01-11", 2),
        ("01-15", 0),
        ("02-01", 4),
        ("02-11", 0),
        ("03-01", 8),
        ("03-11", 0),
    ]
    assert values_of(project) == steps
    project.write({"visits-late.csv": HEAD + day("01-14", 16) + day("01-20", 32)})
    found = project.json("ingest", code=3)
    (line,) = [line for line in found["warnings"] if "came late" in line]
    assert line.startswith("chol_10d: 1 row that came late lies at or before 2024-01-15T00:00:00Z")
    late = [("01-15", 16), ("01-20", 48), ("01-24", 32), ("01-30", 0)]  # the first of them a microsecond after
    assert values_of(project) == [*steps[:4], *late, *steps[4:]]
    (feature,) = project.json("ingest", "--full")["features"]
    assert (feature["rows_written"], feature["steps_written"], feature["rows_withdrawn"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("code", "keep", "far"),
    [
        (SUMS, "9d", 'lookback="10d"'),
        (WINDOW, "9d", 'window="10d"'),
        (MOVED, "9d", 'window="8d" + delay="1d" + every="1d"'),
        (WHOLE_ENTITY, "400d", 'all rows of its entity (scope="entity" is declared)'),
    ],
)
@pytest.mark.parametrize("command", ["ingest", "plan", "check"])
def test_a_retention_that_is_too_short_is_refused(
    project: Folder, code: str, keep: str, far: str, command: str
) -> None:
    declare(project, keep, 'duplicates = "keep"\n' if "window" in code else "")
    project.write({"features/cardiac.py": code})
    error = project.json(command, code=2)["error"]
    assert error["message"] == f'[sources.visits] keep = "{keep}" is shorter than what chol_10d looks back on: {far}'
    assert error["where"] == "features/cardiac.py:6"


def test_what_is_found_in_an_expression_fails_that_feature(project: Folder) -> None:
    declare(project, "30d")
    project.write({"features/more.py": WHOLE})
    found = {item["name"]: item for item in project.json("ingest", code=3)["features"]}
    assert found["age_share"]["status"] == "ok"
    error = found["chol_10d"]["error"]
    assert error["message"].startswith(
        '[sources.visits] keep = "30d" is shorter than what chol_10d looks back on: all rows'
    )
    assert error["hint"] == "leave keep out, or declare lookback="


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ("12h", "is too short: 12h; at least a day"),
        ("soon", "is not a duration"),
        (400, "must be text, not a whole number"),
    ],
)
def test_a_setting_that_is_no_retention_is_refused(project: Folder, keep: object, words: str) -> None:
    value = f'"{keep}"' if isinstance(keep, str) else keep
    project.edit("featurestore.toml", 'event_time = "visit_at"', f'event_time = "visit_at"\nkeep = {value}')
    message = project.json("list", code=2)["error"]["message"]
    assert message.startswith("sources.visits.keep ")
    assert words in message


def test_a_source_without_times_has_no_retention(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'keep = "30d"')
    error = project.json("list", code=2)["error"]
    assert error["message"] == "sources.visits.keep is counted in event times, and nothing names them"


def test_show_says_how_long_rows_are_kept(project: Folder) -> None:
    declare(project, "400d")
    assert project.json("show", "age_share")["keep"] == {"visits": "400d"}
    assert "visits: for 400d" in project.run("show", "age_share").out
