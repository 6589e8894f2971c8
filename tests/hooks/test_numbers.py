"""A version's number means one version for good: what the store or git knows is never given again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from featurestore.versioning.folder.files import Active, write_active
from tests.conftest import AGE, Folder
from tests.hooks.test_hooks import git


@pytest.fixture
def repository(project: Folder) -> Folder:
    project.write({".gitignore": ".featurestore/\n"})
    git(project.root, "init", "-qb", "main")
    project.run("lock")
    commit(project)
    return project


def commit(project: Folder) -> None:
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "work")


def change(project: Folder, factor: int) -> None:
    project.write({"features/cardiac.py": AGE.replace("/ 100", f"/ {factor}")})


def file_of(project: Folder, number: int) -> Path:
    (path,) = (project.root / "features/.versions/age_share").glob(f"{number:04d}-*.py")
    return path


def numbers(project: Folder) -> list[int]:
    return sorted(int(path.name[:4]) for path in (project.root / "features/.versions/age_share").glob("*.py"))


def findings(project: Folder, *options: str, code: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.json("check", *options, code=code)["findings"]
    return found


def test_a_number_that_the_store_knows_is_not_given_again(project: Folder) -> None:
    project.run("ingest")
    change(project, 90)
    project.run("ingest")
    file_of(project, 2).unlink()
    change(project, 80)
    assert project.json("plan")["features"][0]["new_version"] == 3
    lost, missing = findings(project)
    assert {lost["kind"], missing["kind"]} == {"lost", "missing"}
    project.run("ingest")
    assert numbers(project) == [1, 3]
    (lost,) = findings(project)
    assert lost["kind"] == "lost"
    assert "version 2 of age_share" in lost["message"]
    assert "the store has values of it" in lost["message"]
    assert "version 2 of age_share" in project.run("doctor", code=1).out


def test_lock_numbers_as_ingest_does(project: Folder) -> None:
    project.run("ingest")
    change(project, 90)
    project.run("ingest")
    file_of(project, 2).unlink()
    change(project, 80)
    project.run("lock")
    assert numbers(project) == [1, 3]


@pytest.mark.parametrize("command", ["lock", "ingest"])
def test_a_damaged_version_file_is_written_again_under_its_number(project: Folder, command: str) -> None:
    project.run("ingest")
    change(project, 90)
    project.run("ingest")
    change(project, 100)
    file = file_of(project, 1)
    intact = file.read_bytes()
    file.write_bytes(intact + b"# x\n")
    (damaged,) = findings(project)
    assert "or a backup; where the working tree has this version's code, delete the file" in damaged["hint"]
    file.unlink()
    assert "which writes it again by itself" in next(
        item["hint"] for item in findings(project) if item["kind"] == "lost"
    )
    assert project.json("plan")["features"][0]["new_version"] == 1
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\n003,2024-03-01T00:00:00Z,70,1\n"})
    project.run(command)
    assert numbers(project) == [1, 2]
    assert file_of(project, 1).name == file.name
    findings(project, code=0)


def test_a_version_that_git_alone_knows_gets_its_number_again(repository: Folder) -> None:
    file = file_of(repository, 1)
    change(repository, 90)
    repository.run("lock")
    commit(repository)
    change(repository, 100)
    git(repository.root, "rm", "-q", str(file))
    repository.run("lock")
    assert file_of(repository, 1).name == file.name


def test_a_dry_run_of_check_says_what_would_be_written(project: Folder) -> None:
    dry = project.run("check", "--fix", "--dry-run", code=1)
    assert "would write age_share version 1" in dry.out
    found = project.json("check", "--fix", "--dry-run", code=1)
    assert (found["dry_run"], found["fixed"]) == (True, [{"name": "age_share", "version": 1, "what": "written"}])
    assert numbers(project) == []
    assert "wrote age_share version 1" in project.run("check", "--fix").out
    assert numbers(project) == [1]


def test_a_number_that_git_knows_is_not_given_again(repository: Folder) -> None:
    change(repository, 90)
    repository.run("lock")
    commit(repository)
    git(repository.root, "rm", "-q", str(file_of(repository, 2)))
    git(repository.root, "commit", "-qm", "gone")
    change(repository, 80)
    assert repository.json("plan")["features"][0]["new_version"] == 3
    repository.run("lock")
    assert numbers(repository) == [1, 3]


def test_a_number_that_another_version_took_is_a_finding(repository: Folder) -> None:
    change(repository, 90)
    repository.run("lock")
    commit(repository)
    old = file_of(repository, 2)
    kept = old.read_bytes()
    git(repository.root, "rm", "-q", str(old))
    git(repository.root, "commit", "-qm", "gone")
    change(repository, 80)
    repository.run("lock")
    file_of(repository, 3).rename(file_of(repository, 3).with_name(file_of(repository, 3).name.replace("0003", "0002")))
    (lost,) = findings(repository)
    assert "age_share@2 is another version now" in lost["message"]
    old.write_bytes(kept)
    assert [item["kind"] for item in findings(repository)] == ["clash"]
    repository.run("lock")
    findings(repository, code=0)
    assert numbers(repository) == [1, 2, 3]


def test_a_version_file_that_git_is_to_forget_is_seen_by_the_hook(repository: Folder) -> None:
    change(repository, 90)
    repository.run("lock")
    commit(repository)
    path = file_of(repository, 1)
    git(repository.root, "rm", "-q", str(path))
    (lost,) = findings(repository, "--staged")
    assert (lost["kind"], lost["where"]) == ("lost", path.relative_to(repository.root).as_posix())
    assert "git knows it" in lost["message"]
    assert [item["kind"] for item in findings(repository)] == ["lost"]
    git(repository.root, "checkout", "-q", "HEAD", "--", str(path))
    findings(repository, "--staged", code=0)


def test_a_feature_that_is_removed_with_its_versions_is_no_finding(repository: Folder) -> None:
    repository.write({"features/other.py": AGE.replace("age_share", "other")})
    repository.run("lock")
    commit(repository)
    git(repository.root, "rm", "-qr", "features/other.py", "features/.versions/other")
    findings(repository, "--staged", code=0)
    findings(repository, code=0)


def test_a_renumbered_file_is_not_lost(repository: Folder) -> None:
    change(repository, 90)
    repository.run("lock")
    commit(repository)
    path = file_of(repository, 2)
    git(repository.root, "mv", str(path), str(path.with_name(path.name.replace("0002", "0003"))))
    findings(repository, "--staged", code=0)


@pytest.fixture
def merged(repository: Folder) -> Folder:
    """Two branches, numbered in two checkouts, merged; the store has values of the later one only."""
    for name, factor in (("one", 90), ("other", 80)):
        git(repository.root, "checkout", "-qfb", name, "main")
        change(repository, factor)
        repository.run("lock")
        commit(repository)
    repository.run("ingest")
    git(repository.root, "merge", "-q", "one", check=False)
    git(repository.root, "checkout", "-q", "--ours", "features/cardiac.py")
    return repository


def test_the_version_that_the_store_has_runs_of_keeps_its_number(merged: Folder) -> None:
    assert [item["kind"] for item in findings(merged)] == ["clash"]
    merged.run("lock", "--dry-run")
    assert numbers(merged) == [1, 2, 2]
    merged.run("lock")
    assert merged.json("show", "age_share")["versions"][1]["sha256"] == merged.json("list")["features"][0]["sha256"]
    findings(merged, code=0)


def test_without_a_store_the_earlier_version_keeps_its_number(merged: Folder) -> None:
    shutil.rmtree(merged.root / ".featurestore")
    merged.run("lock")
    assert merged.json("show", "age_share")["versions"][2]["sha256"] == merged.json("list")["features"][0]["sha256"]


@pytest.mark.parametrize("reference", ["age_share@2", "age=age_share@2", "boss.age_share@2"])
def test_a_feature_set_that_says_the_number_has_to_be_settled_first(merged: Folder, reference: str) -> None:
    toml = merged.root / "featurestore.toml"
    text = toml.read_text()
    merged.write({"featurestore.toml": f'{text}[feature_sets.model]\nfeatures = ["{reference}"]\n'})
    said = merged.run("lock", code=2).err
    assert f"feature_sets.model says {reference}" in said
    shorts = sorted(path.name[5:17] for path in (merged.root / "features/.versions/age_share").glob("0002-*.py"))
    before = reference.partition("@")[0]
    line = len(text.splitlines()) + 2
    assert all(f'"{before}@{short}"' in said for short in shorts)
    assert f"in place of {reference} (line {line})" in " ".join(said.split())
    assert numbers(merged) == [1, 2, 2], "nothing was changed"
    assert [item["kind"] for item in findings(merged)] == ["clash"]
    merged.write({"featurestore.toml": f'{text}[feature_sets.model]\nfeatures = ["age_share@{shorts[0]}"]\n'})
    merged.run("lock")
    findings(merged, code=0)


def test_all_lines_that_say_a_number_in_doubt_are_named_at_once(merged: Folder) -> None:
    toml = merged.root / "featurestore.toml"
    lines = toml.read_text().splitlines()
    sets = [
        "[feature_sets.model]",
        'features = ["age_share@2", "age_share@1"] # "age_share@2"',
        "[feature_sets.other]",
        "# 'x=age_share@2' was better",
        "features = ['age_share@2', 'x=age_share@2']",
    ]
    merged.write({"featurestore.toml": "\n".join([*lines, *sets, ""])})
    said = " ".join(merged.run("lock", code=2).err.split())
    assert "feature_sets.model says age_share@2, but several versions have that number" in said
    assert "the same goes for 1 other reference" in said
    assert f"in place of age_share@2 (lines {len(lines) + 2}, {len(lines) + 5})" in said
    assert f"in place of x=age_share@2 (line {len(lines) + 5})" in said


def conflict(ours: str, theirs: str) -> str:
    return f"<<<<<<< HEAD\n{ours}||||||| base\nold\n=======\n{theirs}>>>>>>> one\n"


def test_conflict_markers_are_named_and_settled(merged: Folder) -> None:
    folder = merged.root / "features/.versions"
    merged.run("lock")
    sha256 = merged.json("list")["features"][0]["sha256"]
    texts = []
    for since in (10**15, 2 * 10**15):
        write_active(folder, "age_share", Active(sha256, since))
        texts.append((folder / "age_share/active").read_text())
    older, newer = texts
    metadata = (folder / "age_share/metadata.toml").read_text()
    version = file_of(merged, 1).read_text()
    head, _, tail = version.partition("# created")
    files = {
        "visits.columns.toml": '# x\n\n[columns]\nz = "int"\n' + conflict('b = "float"\n', 'a = "int"\n'),
        "age_share/active": conflict(older, newer),
        "age_share/metadata.toml": conflict(metadata, 'owner = "bob"\n'),
        f"age_share/{file_of(merged, 1).name}": conflict(version, head + "# created" + tail.replace("20", "19", 1)),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    found = findings(merged)
    assert {item["where"].removeprefix("features/.versions/") for item in found if item["kind"] == "conflict"} == {
        *files
    }
    assert "contains merge conflict markers" in merged.run("list").err
    would = merged.json("lock", "--dry-run")["settled"]
    assert merged.json("lock")["settled"] == would == sorted(f"features/.versions/{name}" for name in files)
    findings(merged, code=0)
    assert (folder / "age_share/active").read_text() == newer
    assert (folder / "age_share/metadata.toml").read_text() == metadata
    assert file_of(merged, 1).read_text() == version
    assert (folder / "visits.columns.toml").read_text() == '# x\n\n[columns]\na = "int"\nb = "float"\nz = "int"\n'
    merged.run("plan")


@pytest.mark.parametrize(
    "text",
    [
        "[columns]\n" + conflict('a = "float"\n', 'a = "int"\n'),
        "[columns]\n" + conflict("a = \n", 'a = "int"\n'),
        "<<<<<<< HEAD\n[columns]\n",
    ],
    ids=["two types", "no table", "half of it"],
)
def test_what_only_a_person_can_settle_is_refused(merged: Folder, text: str) -> None:
    merged.run("lock")
    path = merged.root / "features/.versions/visits.columns.toml"
    path.write_text(text)
    assert [item["kind"] for item in findings(merged)] == ["conflict"]
    said = merged.run("lock", code=2).err
    assert "visits.columns.toml: contains merge conflict markers" in said
    assert path.read_text() == text
