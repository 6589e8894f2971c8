"""promote and what follows it; previews of a change; git revisions; code that must be committed."""

import shutil
import subprocess

import pytest

from tests.conftest import Folder
from tests.services import Server


def values(project: Folder, reference: str, entity: str = "002") -> list[object]:
    return [item["value"] for item in project.json("history", reference, entity)["values"]]


def online(project: Folder, entity: str = "002") -> tuple[object, int]:
    item = project.json("get", "patient", entity)["entities"][0]["features"]["age_share"]
    return item["value"], item["version"]


def test_joins_reads_and_lists_follow_a_promotion_back_and_forth(two_versions: Folder) -> None:
    two_versions.run("sync")
    assert online(two_versions) == (1.2, 2)
    promoted = two_versions.json("promote", "age_share", "1")
    assert (promoted["before"]["version"], promoted["after"]["version"], promoted["changed"]) == (2, 1, True)
    assert online(two_versions) == (0.6, 1)
    assert values(two_versions, "age_share") == [0.6]
    shown = two_versions.json("show", "age_share")
    assert (shown["active_version"], shown["promoted_at"] is not None) == (1, True)
    two_versions.run("sync")
    assert online(two_versions) == (0.6, 1), "a sync keeps what was promoted"
    two_versions.run("promote", "age_share", "2")
    assert online(two_versions) == (1.2, 2)


def test_a_promotion_that_readers_can_t_follow_changes_nothing(two_versions: Folder, own_server: Server) -> None:
    two_versions.edit("featurestore.toml", "[entity_types", f'[online]\nurl = "{own_server.url}"\n[entity_types')
    two_versions.run("sync")
    own_server.stop()
    assert "can't be reached" in two_versions.run("promote", "age_share", "1", code=12).err
    assert two_versions.json("list")["features"][0]["active_version"] == 2
    own_server.start()
    two_versions.run("sync")
    assert online(two_versions) == (1.2, 2)


def test_sync_takes_a_feature_and_no_version_of_it(two_versions: Folder) -> None:
    for command in (["sync", "--feature", "age_share@1"], ["verify", "age_share@1"]):
        ran = two_versions.run(*command, code=2)
        assert "featurestore promote age_share 1" in ran.err


def test_two_checkouts_of_one_server_do_not_fight_over_what_is_served(
    two_versions: Folder, own_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One checkout steps back to version 1; the other, which has not pulled that, does not undo it by syncing."""
    two_versions.edit("featurestore.toml", "[entity_types", f'[online]\nurl = "{own_server.url}"\n[entity_types')
    two_versions.run("sync")
    other = Folder(tmp_path_factory.mktemp("other") / "checkout", two_versions._capture)
    shutil.copytree(two_versions.root, other.root)
    two_versions.run("promote", "age_share", "1")
    for _ in range(2):
        assert "promote age_share 2" in other.run("sync", code=3).err
        assert online(other) == online(two_versions) == (0.6, 1)
        two_versions.run("sync")
    other.run("promote", "age_share", "2")
    assert "promote age_share 1" in two_versions.run("sync", code=3).err
    assert online(two_versions) == (1.2, 2)


def test_a_promoted_version_goes_on_being_fed_from_its_file(two_versions: Folder) -> None:
    two_versions.run("promote", "age_share", "1")
    two_versions.write({"visits2.csv": "patient_id,visit_at,age,chol\n002,2024-03-01T00:00:00Z,70,\n"})
    found = two_versions.json("ingest")["features"]
    assert [(item["version"], item["rows_written"]) for item in found] == [(2, 1), (1, 1)]
    assert values(two_versions, "age_share@1") == pytest.approx([0.6, 0.7])
    assert values(two_versions, "age_share@2") == pytest.approx([1.2, 1.4])
    assert values(two_versions, "age_share") == pytest.approx([0.6, 0.7])


def test_promoting_again_changes_nothing_and_a_dry_run_neither(two_versions: Folder) -> None:
    assert two_versions.json("promote", "age_share", "1", "--dry-run")["changed"] is True
    assert two_versions.json("list")["features"][0]["active_version"] == 2
    two_versions.run("promote", "age_share", "1")
    assert "nothing changed" in two_versions.run("promote", "age_share", "1").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["age_share", "9"], "no version 9"), (["age_shore", "1"], "age_shore"), (["age_share@1", "1"], "apart")],
)
def test_what_can_t_be_promoted_is_exit_2(two_versions: Folder, arguments: list[str], said: str) -> None:
    assert said in two_versions.run("promote", *arguments, code=2).err


def test_a_version_without_history_is_not_promoted(project: Folder) -> None:
    project.run("lock")
    assert "has no history" in project.run("promote", "age_share", "1", code=2).err


def test_plan_with_stats_shows_what_would_move_and_writes_nothing(ingested: Folder) -> None:
    before = ingested.json("runs")["runs"]
    ingested.edit(
        "features/cardiac.py",
        'pl.col("age") / 100',
        'pl.when(pl.col("age") > 50).then(1.0).otherwise(pl.col("age") / 100)',
    )
    (item,) = ingested.json("plan", "--stats")["features"]
    assert (item["stats"]["rows"]["compared"], item["stats"]["rows"]["changed"]) == (3, 2)
    assert (item["stats"]["entities"]["compared"], item["stats"]["entities"]["changed"]) == (2, 2)
    assert item["stats"]["shift"]["max"] == pytest.approx(0.4)
    assert item["stats"]["entities"]["largest"][0]["keys"] == {"patient_id": "001"}
    markdown = ingested.run("plan", "--stats", "--markdown").out
    assert "| `age_share` | changed | 1 → 2 |" in markdown
    assert "2 of 3 values" in markdown
    assert ingested.json("runs")["runs"] == before
    assert len(list((ingested.root / "features" / ".versions" / "age_share").glob("0*.py"))) == 1


def test_plan_with_stats_tells_code_that_fails(ingested: Folder) -> None:
    ingested.edit("features/cardiac.py", "/ 100", "/ pl.col('agee')")
    (item,) = ingested.json("plan", "--stats")["features"]
    assert "agee" in item["stats"]["problem"]["message"]


def test_lineage_goes_from_the_source_to_the_versions_and_the_data_sets_made_of_them(two_versions: Folder) -> None:
    two_versions.write({"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"})
    labels = str(two_versions.root / "labels.csv")
    two_versions.run("join", labels, "-f", "age_share@1", "--timestamp-column", "at", "--dataset", "training")
    found = two_versions.json("lineage", "age_share")
    assert [item["datasets"] for item in found["versions"]] == [["training"], []]
    assert "data set training" in two_versions.run("lineage", "age_share").out
    assert (found["source"]["name"], found["columns"]) == ("visits", ["age"])
    assert [(item["version"], item["active"]) for item in found["versions"]] == [(1, False), (2, True)]
    assert "age_share" in two_versions.run("lineage", "age_share").out


def git(project: Folder, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=project.root, check=True, capture_output=True)


def test_the_code_at_a_revision_is_a_side_of_a_diff(project: Folder) -> None:
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-qm", "one")
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    found = project.json("diff", "age_share", "--rev", "main", "--code")
    assert (found["old"]["label"], found["new"]["label"]) == ("main", "worktree")
    assert '-    return pl.col("age") / 100' in found["unified_diff"]
    assert "no revision 'nowhere'" in project.run("diff", "age_share", "--rev", "nowhere", "--code", code=2).err


def test_code_that_must_be_committed_is_refused_until_it_is(project: Folder) -> None:
    project.write(
        {
            "featurestore.toml": (project.root / "featurestore.toml").read_text()
            + "\n[versions]\nrequire_committed = true\n"
        }
    )
    git(project, "init", "-q")
    (item,) = project.json("ingest", code=4)["features"]
    assert "not committed" in item["error"]["message"]
    project.run("lock")
    project.run("ingest", code=4)
    git(project, "add", ".")
    git(project, "commit", "-qm", "one")
    assert project.features()["age_share"]["rows_written"] == 3
    project.edit("features/cardiac.py", "/ 100", "/ 50")
    project.run("ingest", code=4)
