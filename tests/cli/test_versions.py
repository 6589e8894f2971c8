"""list, show, plan, lock and diff: what is declared, what would change and why, and what a change is worth."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore import FeatureStore
from tests.conftest import Folder

TWO = """
import polars as pl

from featurestore import feature
from features.lib import LIMIT, scale


@feature(
    entity_type="patient", data_type="float", description="Age as a share", owner="ml", tags=["demo"], max_age="365d"
)
def age_share() -> pl.Expr:
    return scale(pl.col("age"))


@feature(entity_type="patient", data_type="bool", status="experimental")
def is_old() -> pl.Expr:
    return pl.col("age") > LIMIT
"""
LIB = """
import polars as pl

LIMIT = 55


def scale(column: pl.Expr) -> pl.Expr:
    return column / 100
"""


@pytest.fixture
def two(project: Folder) -> Folder:
    project.write({"features/cardiac.py": TWO, "features/lib.py": LIB})
    return project


def planned(folder: Folder) -> dict[str, tuple[str, list[str]]]:
    return {item["name"]: (item["change"], item["reasons"]) for item in folder.json("plan")["features"]}


def test_list_knows_versions_before_and_after_the_first_run(two: Folder) -> None:
    before = {item["name"]: item for item in two.json("list")["features"]}
    assert before["age_share"]["active_sha256"] is None
    assert before["age_share"]["active_version"] is None
    two.run("ingest")
    after = {item["name"]: item for item in two.json("list")["features"]}
    feature = after["age_share"]
    assert feature["active_sha256"] == feature["sha256"] == before["age_share"]["sha256"]
    assert (feature["active_version"], feature["owner"], feature["tags"]) == (1, "ml", ["demo"])
    assert feature["last_run"] == two.json("runs")["runs"][0]["run_id"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["share"], ["age_share"]),
        (["--tag", "demo"], ["age_share"]),
        (["--status", "experimental"], ["is_old"]),
        (["--owner", "ml"], ["age_share"]),
        (["--source", "visits"], ["age_share", "is_old"]),
        (["nothing"], []),
    ],
)
def test_list_filters(two: Folder, arguments: list[str], names: list[str]) -> None:
    assert [item["name"] for item in two.json("list", *arguments)["features"]] == names


def test_list_refuses_what_there_is_none_of(two: Folder) -> None:
    assert two.json("list", "--entity-type", "patent", code=2)["error"]["hint"] == "did you mean 'patient'?"


def test_show_gives_everything_the_files_say(two: Folder) -> None:
    two.run("ingest")
    shown = two.json("show", "age_share")
    assert shown["columns"] == ["age"]
    assert shown["helpers"] == ["features.lib.scale"]
    assert shown["packages"] == ["polars"]
    assert [item["version"] for item in shown["versions"]] == [1]
    assert shown["statistics"]["count"] == 3
    assert shown["metadata"]["max_age"] == "365d"
    assert two.json("show", "age_shore", code=2)["error"]["hint"] == "did you mean 'age_share'?"


def test_plan_says_what_changed_and_why(two: Folder) -> None:
    assert planned(two) == {"age_share": ("new", ["declared"]), "is_old": ("new", ["declared"])}
    two.run("ingest")
    assert {change for change, _ in planned(two).values()} == {"none"}
    two.edit("features/lib.py", "LIMIT = 55", "LIMIT = 50")
    change, reasons = planned(two)["is_old"]
    assert change == "changed"
    assert "`LIMIT` 55 → 50" in reasons[0]
    assert planned(two)["age_share"][0] == "none"
    two.edit("features/lib.py", "column / 100", "column / 120")
    change, reasons = planned(two)["age_share"]
    assert change == "changed"
    assert "scale" in reasons[0]


def test_plan_distinguishes_metadata_from_code_and_reports_removed_features(two: Folder) -> None:
    two.run("ingest")
    two.edit("features/cardiac.py", 'owner="ml"', 'owner="us"')
    assert planned(two)["age_share"] == ("metadata", ["metadata only: owner"])
    two.run("lock")
    assert planned(two)["age_share"][0] == "none"
    two.write({"features/cardiac.py": TWO.split('@feature(entity_type="patient", data_type="bool"')[0]})
    assert planned(two)["is_old"][0] == "removed"
    assert two.json("plan", "is_old")["features"][0]["change"] == "removed"


def test_plan_with_exit_code_is_for_ci(two: Folder) -> None:
    two.run("plan", "--exit-code", code=1)
    two.run("ingest")
    two.run("plan", "--exit-code")


def test_lock_writes_version_files_and_nothing_else(two: Folder) -> None:
    assert {item["what"] for item in two.json("lock", "--dry-run")["written"]} == {"written"}
    assert not (two.root / "features" / ".versions").exists()
    assert len(two.json("lock")["written"]) == 2
    assert two.json("lock")["written"] == []
    assert not (two.root / ".featurestore" / "history.duckdb").exists()
    assert two.json("list")["features"][0]["active_version"] is None, "lock activates nothing"
    feature = two.features()["age_share"]
    assert (feature["version"], feature["new_version"]) == (1, False)


def test_diff_shows_the_code_and_how_the_values_moved(two: Folder) -> None:
    two.run("ingest")
    two.edit("features/lib.py", "column / 100", "column / 50")
    two.run("ingest")
    found = two.json("diff", "age_share", "1", "2")
    assert found["code_changed"] is True
    assert "-    return column / 100" in found["unified_diff"]
    assert "+    return column / 50" in found["unified_diff"]
    assert (found["old"]["version"], found["new"]["version"]) == (1, 2)
    assert "column / 100" in found["old"]["source"]
    assert found["statistics"]["shift"]["mean"] == pytest.approx(found["statistics"]["old"]["mean"])
    assert found["statistics"]["shift"]["p95"] > 0
    assert (found["entities"]["compared"], found["entities"]["changed"]) == (2, 2)
    assert found["entities"]["largest"][0]["entity_id"] == "002"
    assert found["entities"]["largest"][0]["change"] == pytest.approx(0.6)
    shown = two.run("diff", "age_share", "1", "2").out
    assert "column / 100" in shown
    assert "p95" in shown
    markdown = two.run("diff", "age_share", "1", "2", "--format", "markdown").out
    assert markdown.startswith("### `age_share`: version 1 → version 2")
    assert "```diff" in markdown


def test_diff_with_neither_compares_the_worktree_or_the_one_before(two: Folder) -> None:
    two.run("ingest")
    alone = two.json("diff", "age_share", "--exit-code")
    assert (alone["old"]["label"], alone["new"]["label"], alone["code_changed"]) == ("version 1", "worktree", False)
    assert "only one version" in alone["note"]
    assert "only one version" in two.run("diff", "age_share").out
    two.edit("features/lib.py", "column / 100", "column / 50")
    found = two.json("diff", "age_share", "--code")
    assert (found["old"]["label"], found["new"]["label"]) == ("version 1", "worktree")
    assert found["statistics"] is None
    two.run("ingest")
    found = two.json("diff", "age_share")
    assert (found["old"]["version"], found["new"]["version"]) == (1, 2)


def test_diff_takes_a_tolerance(two: Folder) -> None:
    two.run("ingest")
    two.edit("features/lib.py", "column / 100", "column / 100 + 1e-9")
    two.run("ingest")
    assert two.json("diff", "age_share", "1", "2")["entities"]["changed"] == 2
    assert two.json("diff", "age_share", "1", "2", "--tolerance", "1e-6")["entities"]["changed"] == 0


def test_diff_takes_hash_prefixes_and_has_an_exit_code(two: Folder) -> None:
    sha256 = two.features()["age_share"]["sha256"]
    assert two.json("diff", "age_share", sha256[:8], "worktree", "--exit-code", "--code")["code_changed"] is False
    two.edit("features/lib.py", "column / 100", "column / 50")
    two.run("diff", "age_share", "--exit-code", "--code", code=1)
    assert "no version 7" in two.run("diff", "age_share", "7", code=2).err


def test_narrow_terminals_get_the_diff_stacked(two: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    two.run("ingest")
    two.edit("features/lib.py", "column / 100", "column / 50")
    monkeypatch.setenv("COLUMNS", "80")
    shown = two.run("diff", "age_share", "--code").out
    assert "- " in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_commit_is_recorded_where_there_is_one(two: Folder) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        return subprocess.run(command, cwd=two.root, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    commit = git("rev-parse", "--short=12", "HEAD")
    two.run("ingest")
    assert two.json("runs")["runs"][0]["git_commit"].startswith(commit)


def test_after_going_back_show_and_diff_are_about_the_active_version(two: Folder) -> None:
    two.run("ingest")
    two.edit("features/lib.py", "column / 100", "column / 50")
    two.run("ingest")
    mean = two.json("show", "age_share")["statistics"]["mean"]
    two.edit("features/lib.py", "column / 50", "column / 100")
    two.run("ingest")
    shown = two.json("show", "age_share")
    assert (shown["active_version"], shown["statistics"]["mean"]) == (1, pytest.approx(mean / 2))
    found = two.json("diff", "age_share")
    assert (found["old"]["version"], found["new"]["version"]) == (2, 1)


@pytest.mark.parametrize("columns", ["60", "80", "100", "120"])
def test_names_and_numbers_are_whole_on_any_terminal(
    two: Folder, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    two.run("ingest")
    monkeypatch.setenv("COLUMNS", columns)
    assert "age_share" in two.run("list").out
    run_id = two.json("runs")["runs"][0]["run_id"]
    assert f"{run_id} " in two.run("runs").out
    for command in (["plan", "-v"], ["show", "age_share"], ["stats", "age_share"]):
        assert "age_share" in two.run(*command).out


BROKEN = {
    "text": lambda path: path.write_text("zzz", encoding="utf-8"),
    "a link": lambda path: path.symlink_to("/dev/zero"),
    "a link to a file": lambda path: path.symlink_to(path.parent / "metadata.toml"),
    "a link to a folder": lambda path: path.symlink_to(path.parent),
}


def break_active(project: Folder, name: str, how: Callable[[Path], object]) -> Path:
    path = project.root / "features/.versions" / name / "active"
    path.unlink(missing_ok=True)
    how(path)
    return path


@pytest.mark.parametrize("how", BROKEN)
def test_a_damaged_active_file_is_one_feature_s_problem_and_promote_replaces_it(two: Folder, how: str) -> None:
    two.run("ingest")
    two.run("sync")
    path = break_active(two, "is_old", BROKEN[how])
    kept = (path.parent / "metadata.toml").read_bytes()

    listed = two.json("list")
    assert {item["name"]: item["active_version"] for item in listed["features"]} == {"age_share": 1, "is_old": None}
    assert [(item["name"], item["where"]) for item in listed["problems"]] == [("is_old", str(path))]
    assert "run featurestore promote is_old VERSION" in two.run("list").err
    two.run("plan", "--exit-code", code=2)
    assert {item["change"] for item in two.json("plan")["features"]} == {"none"}
    assert "which version is active is not known" in two.run("show", "is_old").err
    two.run("show", "age_share")
    status = {item["name"]: item["problems"] for item in two.json("status", code=1)["features"]}
    assert (status["age_share"], len(status["is_old"])) == ([], 1)
    two.run("diff", "is_old", "--code", code=2)

    synced = two.json("sync", code=3)
    assert [item["name"] for item in synced["features"]] == ["age_share"]
    assert "is_old stays as it is online" in synced["warnings"][0]
    assert "is_old" in two.run("get", "patient", "001").out
    two.run("sync", "--feature", "age_share")
    two.run("sync", "--feature", "is_old", code=2)
    assert set(two.features("--full", code=3)) == {"age_share", "is_old"}

    two.run("promote", "is_old", "1")
    assert not path.is_symlink()
    assert path.read_text(encoding="utf-8").startswith("sha256 = ")
    assert (path.parent / "metadata.toml").read_bytes() == kept
    assert two.json("list")["problems"] == []
    two.run("sync")


def test_a_folder_in_the_place_of_the_active_file_is_to_be_removed(two: Folder) -> None:
    two.run("ingest")
    path = break_active(two, "is_old", Path.mkdir)
    assert two.json("list")["problems"][0]["name"] == "is_old"
    ran = two.run("promote", "is_old", "1", code=2)
    assert "is a folder, not a regular file" in ran.err
    assert "hint: remove the folder, then run featurestore promote is_old VERSION" in ran.err
    path.rmdir()
    two.run("promote", "is_old", "1")


def test_a_promoted_version_beside_newer_code_is_no_pending_change(two: Folder) -> None:
    two.run("ingest")
    two.edit("features/lib.py", "LIMIT = 55", "LIMIT = 50")
    two.run("ingest")
    two.run("plan", "--exit-code")
    two.run("promote", "is_old", "1")
    two.run("check")
    ran = two.run("plan", "--exit-code")
    what = "is_old@1 is promoted while the working tree's code is version 2"
    assert f"{what}; featurestore promote is_old 2 makes that the active one" in " ".join(ran.out.split())
    assert planned(two)["is_old"][0] == "changed"
    two.edit("features/lib.py", "LIMIT = 50", "LIMIT = 40")
    assert "is promoted while" not in two.run("plan", "--exit-code", code=1).out, "this code has no version file"
    two.edit("features/lib.py", "LIMIT = 40", "LIMIT = 50")
    two.run("promote", "is_old", "2")
    assert "is promoted while" not in two.run("plan", "--exit-code").out


def test_sentences_agree_with_their_numbers_and_their_cases(two: Folder) -> None:
    two.run("ingest")
    assert (
        "no feature 'is_odl' of patient is online"
        in (got := two.run("get", "patient", "1", "-f", "is_odl", code=2)).err
    )
    assert "did you mean 'is_old'?" in got.err
    assert "run featurestore sync" in two.run("get", "patient", "1", "-f", "is_old", code=2).err
    two.run("sync", "--feature", "age_share")
    assert "run featurestore sync" in two.run("get", "patient", "1", "-f", "is_old", code=2).err
    assert "nothing is stored of patient 999" in two.run("delete", "patient", "999", "--yes").out
    two.run("delete", "patient", "001", "--yes")
    assert "nothing to do: patient 001 is deleted already" in two.run("delete", "patient", "001", "--yes").out


def test_a_retired_feature_is_shown_as_such_and_not_offered(two: Folder) -> None:
    two.write({"visits.csv": "patient_id,visit_at,age,chol\n001,2024-01-01T00:00:00Z,60,1\n"})
    two.run("ingest")
    path = two.root / "one.csv"
    assert f"1 row written to {path}" in two.run("export", "is_old", "--output", str(path)).err
    two.write({"features/cardiac.py": TWO.split('@feature(entity_type="patient", data_type="bool"')[0]})
    assert "there is: is_old" in two.run("retire", "nope", code=2).err
    assert "1 row of history was erased" in two.run("retire", "is_old", "--erase", "--yes").out
    assert "is_old" not in two.run("retire", "nope", code=2).err
    assert "retired" in next(line for line in two.run("show", "is_old").out.split("\n") if line.startswith("status"))


def test_an_id_with_a_line_feed_is_one_line_of_the_table(two: Folder) -> None:
    two.write({"visits.csv": 'patient_id,visit_at,age,chol\n"a\nb",2024-01-01T00:00:00Z,60,1\n'})
    two.run("ingest")
    two.run("sync")
    assert "a\\nb" in two.run("get", "patient", '{"patient_id": "a\\nb"}').out


@pytest.fixture
def retyped(ingested: Folder) -> Folder:
    """A second version of another type, over another column; models and a data set of either."""
    ingested.edit("features/cardiac.py", 'data_type="float"', 'data_type="string"')
    ingested.edit("features/cardiac.py", 'pl.col("age") / 100', 'pl.col("chol").cast(pl.String)')
    ingested.run("ingest")
    settings = (ingested.root / "featurestore.toml").read_text()
    models = '[models.old]\nfeatures = ["age_share@1"]\n[models.new]\nfeatures = ["age_share"]\n'
    ingested.write({"featurestore.toml": settings + models, "labels.csv": "patient_id,at\n001,2024-02-02T00:00:00Z\n"})
    for number in "12":
        ingested.run(
            "join", str(ingested.root / "labels.csv"), "--timestamp-column", "at", "-f", f"age_share@{number}",
            "--dataset", f"of_{number}", "--output", str(ingested.root / "out.csv"),
        )  # fmt: skip
    return ingested


def test_show_takes_a_version(retyped: Folder) -> None:
    new = retyped.json("show", "age_share")
    hashes = {item["version"]: item["sha256"] for item in new["versions"]}
    assert (new["named"], new["data_type"], new["models"]) == (None, "string", ["old", "new"])
    for reference in ("age_share@1", f"age_share@{hashes[1][:6]}", f"age_share@{hashes[1].upper()}"):
        old = retyped.json("show", reference)
        assert old["named"] == {"version": 1, "sha256": hashes[1], "active": False}
        assert (old["name"], old["data_type"], old["columns"], old["models"]) == (
            "age_share",
            "float",
            ["age"],
            ["old"],
        )
        assert (old["statistics"]["max"], old["sha256"], old["active_version"]) == (0.6, hashes[2], 2)
    active = retyped.json("show", "age_share@2")
    assert active["named"] == {"version": 2, "sha256": hashes[2], "active": True}
    assert (active["columns"], active["models"], active["place"]) == (["chol"], ["new"], new["place"])
    page = retyped.run("show", "age_share@1").out
    assert f"version 1 ({hashes[1][:12]}), not the active one: that is age_share@2 ({hashes[2][:12]})" in page
    assert "active since" not in page
    assert f"version 2 ({hashes[2][:12]}), the active one" in retyped.run("show", "age_share@2").out
    assert FeatureStore(retyped.root).feature("age_share@1").data_type == "float"


def test_lineage_takes_a_version(retyped: Folder) -> None:
    old, new = retyped.json("lineage", "age_share@1"), retyped.json("lineage", "age_share@2")
    assert [(item["version"], item["datasets"]) for item in old["versions"]] == [(1, ["of_1"])]
    assert [(item["version"], item["datasets"]) for item in new["versions"]] == [(2, ["of_2"])]
    assert (old["columns"], [item["name"] for item in old["models"]]) == (["age"], ["old"])
    assert (new["columns"], [item["name"] for item in new["models"]]) == (["chol"], ["new"])
    tree = retyped.run("lineage", "age_share@1").out
    assert "of_1" in tree
    assert "of_2" not in tree


def test_show_gives_the_last_run_of_the_version_that_is_named(two_versions: Folder) -> None:
    second, first = two_versions.json("runs")["runs"]
    for reference, run in (("age_share@1", first), ("age_share@2", second), ("age_share", second)):
        shown = two_versions.json("show", reference)
        assert (shown["last_run"], shown["last_run_at"]) == (run["run_id"], run["started_at"])
        assert re.search(rf"last run +\S+ {run['run_id']}", two_versions.run("show", reference).out)
    two_versions.edit("features/cardiac.py", "/ 50", "/ 25")
    two_versions.run("lock")
    assert two_versions.json("show", "age_share@3")["last_run"] is None


@pytest.mark.parametrize("command", ["show", "lineage"])
def test_a_version_that_does_not_exist_is_told_from_a_feature_that_does_not(retyped: Folder, command: str) -> None:
    assert "hint: there is: 1, 2" in retyped.run(command, "age_share@7", code=2).err
    assert "did you mean 'age_share'" in retyped.run(command, "age_shar@1", code=2).err
    assert "neither a version number" in retyped.run(command, "age_share@zz", code=2).err


def test_a_version_of_a_retired_feature_can_be_shown(retyped: Folder) -> None:
    (retyped.root / "features/cardiac.py").unlink()
    retyped.run("retire", "age_share")
    shown = retyped.json("show", "age_share@1")
    assert (shown["retired"], shown["data_type"], shown["named"]["version"]) == (True, "float", 1)
