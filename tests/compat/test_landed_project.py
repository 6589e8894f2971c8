"""A project that an earlier release made goes on as if that release had never been replaced."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Folder

PROJECTS = Path(__file__).parents[2] / "fixtures" / "projects"
RELEASES = sorted(path.name for path in PROJECTS.iterdir() if path.is_dir())
COLUMNS = "amount,amount@2,cents,above_10,above_100,minutes"
ON_JOIN = ("--timestamp-column", "at")

# What depends on the clock, and a key that became `hint` before the first release.
PASSING = {"duration_s", "freshness_s", "mend"}


@pytest.fixture(params=RELEASES)
def landed(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folder:
    """A fresh copy of a release's project."""
    with tarfile.open(PROJECTS / request.param / "project.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")

    def capture() -> tuple[str, str]:
        found = capsys.readouterr()
        return found.out, found.err

    return Folder(tmp_path / "landed", capture)


def answered(project: Folder, name: str) -> Any:
    """What the release answered."""
    text = (project.root / "answers" / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else text


def differences(now: Any, then: Any, place: str = "") -> list[str]:
    """Where an answer differs from the release's. Keys that were added since are not a difference."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            line
            for name in then.keys() - PASSING
            for line in differences(now.get(name, "gone"), then[name], f"{place}.{name}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            line
            for at, (one, other) in enumerate(zip(now, then, strict=True))
            for line in differences(one, other, f"{place}[{at}]")
        ]
    return [] if now == then and type(now) is type(then) else [f"{place}: {then!r} became {now!r}"]


QUESTIONS = {
    "list": ["list"],
    "show": ["show", "amount"],
    "plan": ["plan"],
    "runs": ["runs"],
    "rejected": ["runs", "1"],
    "history": ["history", "amount", "u1"],
    "stats": ["stats", "amount"],
    "drift": ["drift"],
    "get": ["get", "user", "u1", "u7", "nobody"],
    "get-listing": ["get", "listing", "country=DE,item=1"],
    "dataset": ["dataset", "training"],
    "verify": ["verify"],
    "lineage": ["lineage", "amount"],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_it_is_answered_as_it_was(landed: Folder, name: str) -> None:
    assert differences(landed.json(*QUESTIONS[name]), answered(landed, f"{name}.json")) == []


def joined(project: Folder, labels: str, columns: str, *options: str) -> str:
    output = project.root / "joined.csv"
    project.run("join", str(project.root / labels), "-f", columns, *ON_JOIN, *options, "--output", str(output))
    return output.read_text(encoding="utf-8")


def test_joins_and_exports_give_what_they_gave(landed: Folder) -> None:
    keys = ("--entity-column", "country", "--entity-column", "item")
    assert joined(landed, "labels.csv", COLUMNS) == answered(landed, "join.csv")
    assert joined(landed, "labels.csv", COLUMNS, "--known") == answered(landed, "join-known.csv")
    assert joined(landed, "listings.csv", "mood", *keys) == answered(landed, "join-listing.csv")
    output = landed.root / "exported.csv"
    landed.run("export", "cents", "--output", str(output))
    assert output.read_text(encoding="utf-8") == answered(landed, "export-cents.csv")


def test_its_data_set_is_made_again_and_verified(landed: Folder) -> None:
    landed.run("dataset", "training", "--verify")
    again = landed.root / "again.parquet"
    landed.run("dataset", "training", "--rebuild", "--output", str(again))
    assert again.read_bytes() == (landed.root / "training.parquet").read_bytes()


def test_its_version_files_are_good_and_nothing_is_to_be_locked(landed: Folder) -> None:
    folder = landed.root / "features" / ".versions"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    landed.run("check")
    assert landed.json("lock") == {"written": [], "settled": []}
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path: data for path, data in after.items() if path.name != "recipes.toml"} == before
    assert {path.parent for path in after if path.name == "recipes.toml"} == {path.parent for path in before} - {folder}
    landed.run("check")
    landed.run("lock")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == after


def test_nothing_new_is_found_in_the_same_files(landed: Folder) -> None:
    before = landed.json("runs")["runs"]
    for _ in range(2):
        found = landed.json("ingest")
        assert {item["status"] for item in found["features"]} == {"unchanged"}
        assert found["run_seq"] is None
    assert [run for run in landed.json("runs")["runs"] if run["run_seq"] is not None] == before
    assert joined(landed, "labels.csv", COLUMNS) == answered(landed, "join.csv")


def test_sync_and_verify_find_all_in_order(landed: Folder) -> None:
    assert landed.json("sync")["features"][0]["entities_written"] == 0
    full = landed.json("sync", "--full")
    assert sum(item["entities_written"] for item in full["features"]) == 0
    assert landed.json("verify")["different"] == 0
    assert differences(landed.json("get", "user", "u1", "u7", "nobody"), answered(landed, "get.json")) == []


def new_csv(project: Folder) -> None:
    project.write({"data/orders-3.csv": "user_id,at,amount,note\nu1,2025-03-01T00:00:00Z,12.5,new\n"})


def new_ndjson(project: Folder) -> None:
    project.write({"data/ratings-2.ndjson": '{"country":"DE","item":1,"at":"2025-03-01T00:00:00Z","stars":5}\n'})


@pytest.mark.parametrize(("bring", "touched"), [(new_csv, 5), (new_ndjson, 1)])
def test_a_new_file_is_taken(landed: Folder, bring: Callable[[Folder], None], touched: int) -> None:
    bring(landed)
    code = 3 if bring is new_csv else 0  # the rows that were rejected then are read again, and rejected again
    found = landed.json("ingest", code=code)
    assert found["run_seq"] == 5
    assert [item["rows_written"] for item in found["features"] if item["status"] == "ok"] == [1] * touched
    assert all(item["rows_corrected"] == 0 for item in found["features"])
    landed.run("sync")
    landed.run("verify")
    if bring is new_csv:
        assert landed.json("history", "amount", "u1")["values"][-1]["value"] == 12.5
        drift = next(item["drift"] for item in found["features"] if item["name"] == "cents")
        assert drift["reference_run"], "the sample that was stored then is what it is compared with"
    assert landed.json("ingest", code=0)["run_seq"] is None


def test_an_entity_can_be_erased_from_it(landed: Folder) -> None:
    landed.run("delete", "user", "u1", "--erase", "--yes", code=3)
    assert landed.json("history", "amount", "u2")["values"]
    assert landed.json("history", "amount", "u1")["values"] == []
    assert "labels" in str(landed.json("dataset", "training"))


def test_its_verdicts_are_computed_again_from_its_samples(landed: Folder) -> None:
    found = landed.json("drift", "--recompute")
    assert found["checked"] > 0
    assert found["different"] == 0
    assert {item["recomputed"] is None for item in found["runs"]} == {False}
