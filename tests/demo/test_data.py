"""The example's data is as fixtures/heart/README.md describes it."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEART = ROOT / "fixtures" / "heart"
MADE = sorted([*HEART.glob("visits-*.csv"), *HEART.glob("incoming/*.csv"), HEART / "labels.csv"])
ARRIVED = [path for path in MADE if path.name.startswith("visits-")]


def rows(*paths: Path) -> list[dict[str, str]]:
    return [row for path in paths for row in csv.DictReader(path.open(newline="", encoding="utf-8"))]


@pytest.fixture(scope="module")
def visits() -> list[dict[str, str]]:
    return rows(*ARRIVED)


def test_the_script_writes_the_same_bytes_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "make_heart_data.py", tmp_path], check=True)

    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.csv")}
    assert written == {path.relative_to(HEART): path.read_bytes() for path in MADE}


def test_every_real_patient_is_one_untouched_visit(visits: list[dict[str, str]]) -> None:
    real = {row.pop("patient_id").zfill(3): row for row in rows(HEART / "heart_cleveland.csv")}
    untouched = [visit for visit in visits if visit["simulated"] == "0"]

    assert len(untouched) == len(real) == 303
    for visit in untouched:
        original = dict(real[visit["patient_id"]])
        del original["num"]
        assert {name: visit[name] for name in original} == original


def test_the_visits_cover_more_than_a_year(visits: list[dict[str, str]]) -> None:
    assert min(visit["visit_at"] for visit in visits) < "2024-01-10"
    assert max(visit["visit_at"] for visit in visits) > "2025-03-01"


def test_a_file_holds_what_arrived_in_its_quarter() -> None:
    for path in ARRIVED:
        year, quarter = path.stem.removeprefix("visits-").split("Q")
        months = {f"{year}-{month:02}" for month in range(3 * int(quarter) - 2, 3 * int(quarter) + 1)}
        assert {row["updated_at"][:7] for row in rows(path)} <= months


def test_some_rows_arrive_after_the_quarter_of_their_visit(visits: list[dict[str, str]]) -> None:
    quarters = [
        (visit[name][:4], (int(visit[name][5:7]) - 1) // 3) for visit in visits for name in ("visit_at", "updated_at")
    ]
    assert sum(seen != sent for seen, sent in zip(quarters[::2], quarters[1::2], strict=True)) == 26


def test_six_visits_are_sent_again_corrected_with_a_later_updated_at(visits: list[dict[str, str]]) -> None:
    sent: dict[tuple[str, str], list[dict[str, str]]] = {}
    for visit in visits:
        sent.setdefault((visit["patient_id"], visit["visit_at"]), []).append(visit)
    twice = [sorted(pair, key=lambda row: row["updated_at"]) for pair in sent.values() if len(pair) > 1]

    assert Counter(len(pair) for pair in sent.values()) == {1: 1187, 2: 6}
    for wrong, right in twice:
        assert right["updated_at"] > wrong["updated_at"]
        assert {name for name in wrong if wrong[name] != right[name]} == {"updated_at", "chol"}
        assert sorted(wrong["chol"]) == sorted(right["chol"])
        assert wrong["simulated"] == "1"
    arriving = {(row["patient_id"], row["visit_at"]) for row in rows(HEART / "incoming" / "visits-2025Q1.csv")}
    assert sum((pair[0]["patient_id"], pair[0]["visit_at"]) in arriving for pair in twice) == 3


def test_labels_lie_before_at_and_after_a_patients_first_visit(visits: list[dict[str, str]]) -> None:
    first: dict[str, str] = {}
    times: dict[str, set[str]] = {}
    for visit in visits:
        first[visit["patient_id"]] = min(visit["visit_at"], first.get(visit["patient_id"], "9"))
        times.setdefault(visit["patient_id"], set()).add(visit["visit_at"])
    labels = rows(HEART / "labels.csv")

    before = sum(label["diagnosed_at"] < first[label["patient_id"]] for label in labels)
    at = sum(label["diagnosed_at"] in times[label["patient_id"]] for label in labels)
    assert (len(labels), sum(label["diagnosis"] == "1" for label in labels)) == (303, 139)
    assert 15 <= before <= 40
    assert 10 <= at <= 30
