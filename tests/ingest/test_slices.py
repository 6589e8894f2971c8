"""A slice by ``--input``: its rows come before those of the files, and a later `updated_at` outlasts both."""

from __future__ import annotations

import random

import pytest

from tests.conftest import Folder
from tests.often import nightly

HEAD = "patient_id,visit_at,age,chol,changed\n"


def row(age: int, day: int, patient: str = "001", visit: str = "2024-01-01") -> str:
    return f"{patient},{visit}T00:00:00Z,{age},,2024-02-{day:02}T00:00:00Z\n"


@pytest.fixture
def stamped(project: Folder) -> Folder:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nupdated_at = "changed"')
    project.write({"visits.csv": HEAD + row(50, 10)})
    return project


def ages(project: Folder) -> dict[tuple[str, str], float]:
    """What answers now, by entity and time."""
    found = {}
    for patient in ("001", "002"):
        for value in project.json("history", "age_share", patient)["values"]:
            found[patient, value["computed_at"][:10]] = value["value"]
    return found


def counts(project: Folder, *options: str) -> tuple[int, int, int]:
    feature = project.features(*options)["age_share"]
    return feature["rows_written"], feature["rows_corrected"], feature["rows_older"]


def give(project: Folder, text: str) -> tuple[int, int, int]:
    """Ingests rows by ``--input``."""
    project.write({"given/today.csv": HEAD + text})
    return counts(project, "--input", str(project.root / "given/today.csv"))


def test_an_older_state_by_input_changes_nothing_and_is_counted(stamped: Folder) -> None:
    stamped.run("ingest")
    assert give(stamped, row(49, 9)) == (0, 0, 1)
    assert give(stamped, row(48, 8) + row(60, 1, visit="2024-01-05")) == (1, 0, 1)
    assert give(stamped, row(51, 11)) == (0, 1, 0)
    assert counts(stamped, "--full")[:2] == (0, 0)


def test_an_older_state_changes_nothing_although_the_newer_one_came_by_input(stamped: Folder) -> None:
    stamped.run("ingest")
    assert give(stamped, row(51, 11)) == (0, 1, 0)
    assert counts(stamped)[:2] == (0, 0)
    stamped.write({"visits2.csv": HEAD + row(40, 9)})
    assert counts(stamped) == (0, 0, 1)
    assert give(stamped, row(41, 10)) == (0, 0, 1)


def test_an_older_state_changes_nothing_although_the_file_of_the_newer_one_is_gone(stamped: Folder) -> None:
    stamped.write({"visits2.csv": HEAD + row(52, 20)})
    stamped.run("ingest")
    (stamped.root / "visits2.csv").unlink()
    assert counts(stamped)[:2] == (0, 0)
    assert give(stamped, row(53, 19)) == (0, 0, 1)


def test_it_holds_where_rows_are_not_to_be_kept(stamped: Folder) -> None:
    stamped.edit("featurestore.toml", "updated_at", "keep_parsed = false\nupdated_at")
    assert "rows of visits are kept although keep_parsed is false: updated_at needs them" in stamped.run("ingest").err
    assert give(stamped, row(49, 9)) == (0, 0, 1)


def test_without_updated_at_the_next_run_over_the_source_restates(project: Folder) -> None:
    project.run("ingest")
    project.write({"given/today.csv": "patient_id,visit_at,age,chol\n001,2024-01-01T00:00:00Z,70,\n"})
    assert counts(project, "--input", str(project.root / "given/today.csv")) == (0, 1, 0)
    feature = project.features()["age_share"]
    assert (feature["rows_corrected"], feature["rows_written"], feature["rows_computed"]) == (1, 0, 1)
    assert counts(project) == (0, 0, 0)


def test_a_row_that_a_slice_moves_takes_its_value_along(project: Folder) -> None:
    project.edit("featurestore.toml", 'event_time = "visit_at"', 'event_time = "visit_at"\nid = ["visit"]')
    head = "visit,patient_id,visit_at,age,chol\n"
    project.write({"visits.csv": head + "1,001,2024-01-01T00:00:00Z,50,\n"})
    project.run("ingest")
    project.write({"given/today.csv": head + "1,002,2024-01-01T00:00:00Z,50,\n"})
    feature = project.features("--input", str(project.root / "given/today.csv"))["age_share"]
    assert (feature["rows_written"], feature["rows_withdrawn"]) == (1, 1)


@pytest.mark.parametrize("seed", [0, *nightly([1, 2])])
def test_one_run_day_by_day_and_shuffled_come_to_the_same(stamped: Folder, seed: int) -> None:
    chance = random.Random(seed)
    parts = [
        row(20 + day, day, chance.choice(["001", "002"]), f"2024-01-0{chance.randint(1, 2)}") for day in range(1, 9)
    ]
    expected = {}
    for part in parts:  # in the order of updated_at
        patient, visit, age, *_ = part.split(",")
        expected[patient, visit[:10]] = int(age) / 100
    chance.shuffle(parts)
    (stamped.root / "visits.csv").unlink()
    stamped.write({"visits.csv": HEAD + parts[0]})
    stamped.run("ingest")
    for number, part in enumerate(parts[1:]):
        if chance.random() < 0.5:
            give(stamped, part)
        else:
            stamped.write({f"visits{number}.csv": HEAD + part})
            stamped.run("ingest")
    assert ages(stamped) == expected
