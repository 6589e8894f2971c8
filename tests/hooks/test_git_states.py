"""Every state a repository can be in: versions work in all of them, and the commit is told where there is one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from featurestore.registry.git import GitState, commit_of, committed, git_state
from tests.conftest import Folder
from tests.hooks.test_hooks import git


def recorded(project: Folder) -> str | None:
    project.run("ingest", "--full")
    found: str | None = project.json("runs")["runs"][0]["git_commit"]
    return found


def commit(project: Folder, message: str = "one") -> str:
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", message)
    return git(project.root, "rev-parse", "--short=12", "HEAD")


@pytest.fixture
def repository(project: Folder) -> Folder:
    project.write({".gitignore": ".featurestore/\n__pycache__/\n"})
    git(project.root, "init", "-q", "-b", "main")
    return project


def test_without_a_repository_there_is_no_commit(project: Folder) -> None:
    assert recorded(project) is None


def test_a_repository_without_commits_has_no_commit(repository: Folder) -> None:
    assert recorded(repository) is None


def test_a_clean_tree_is_its_commit_and_a_changed_one_says_so(repository: Folder) -> None:
    repository.run("lock")
    head = commit(repository)
    assert recorded(repository) == head
    repository.edit("features/cardiac.py", "/ 100", "/ 50")
    assert recorded(repository) == f"{head}+dirty"


def test_a_detached_head_a_worktree_and_a_shallow_clone_have_their_commits(
    repository: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository.run("lock")
    first = commit(repository)
    repository.edit("features/cardiac.py", "/ 100", "/ 50")
    second = commit(repository, "two")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    git(repository.root, "worktree", "add", "-q", "--detach", str(elsewhere / "worktree"), first)
    git(elsewhere, "clone", "-q", "--depth", "1", f"file://{repository.root}", "shallow")
    git(repository.root, "checkout", "-q", "--detach", first)
    assert commit_of(repository.root) == first
    assert commit_of(elsewhere / "worktree") == first
    assert commit_of(elsewhere / "shallow") == second


def test_a_rebase_in_the_middle_disturbs_nothing(repository: Folder) -> None:
    commit(repository)
    git(repository.root, "checkout", "-qb", "side")
    repository.edit("features/cardiac.py", "/ 100", "/ 50")
    commit(repository, "side")
    git(repository.root, "checkout", "-q", "main")
    repository.edit("features/cardiac.py", "/ 100", "/ 90")
    head = commit(repository, "main")
    git(repository.root, "rebase", "side", check=False)
    repository.write({"features/cardiac.py": "import polars as pl\n"})
    assert str(commit_of(repository.root)).endswith("+dirty")
    assert not str(commit_of(repository.root)).startswith(head)
    repository.run("list")


def test_without_git_on_the_path_everything_but_the_hook_works(
    repository: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    commit(repository)
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    assert recorded(repository) is None
    repository.run("check")
    assert "needs git, and it is not installed" in repository.run("check", "--staged", code=2).err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_owner_is_left_alone(repository: Folder) -> None:
    """What cron as root meets: git refuses, and the run goes on without a commit."""
    commit(repository)
    for path in [repository.root, *repository.root.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    home = repository.root / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    refused = subprocess.run(["git", "status"], cwd=repository.root, env=environment, capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        assert recorded(repository) is None
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_committed_means_identical_to_the_file_in_head(repository: Folder) -> None:
    assert committed(repository.root, "features") == set()
    git(repository.root, "add", ".")
    assert committed(repository.root, "features") == set()
    git(repository.root, "commit", "-qm", "one")
    assert committed(repository.root, "features") == {"features/cardiac.py"}
    repository.edit("features/cardiac.py", "/ 100", "/ 50")
    assert committed(repository.root, "features") == set()


def test_a_submodule_has_a_commit_of_its_own(repository: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    repository.run("lock")
    head = commit(repository)
    outer = tmp_path_factory.mktemp("outer")
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{repository.root}", "ml")
    git(outer, "commit", "-qm", "outer")
    assert commit_of(outer / "ml") == head
    assert "features/cardiac.py" in committed(outer / "ml", "features")


def test_version_files_that_a_run_writes_do_not_make_a_clean_tree_dirty(repository: Folder) -> None:
    repository.write({".gitignore": ".featurestore/\n__pycache__/\n"})
    head = commit(repository)
    assert recorded(repository) == head, "the run wrote the version file, and the pins of the columns"
    assert "features/.versions" in git(repository.root, "status", "--porcelain")
    assert recorded(repository) == head


def test_a_data_set_names_the_commit_as_it_was_before_its_output(repository: Folder) -> None:
    repository.write({"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"})
    repository.run("ingest")
    head = commit(repository)
    arguments = ("labels.csv", "-f", "age_share", "--timestamp-column", "at", "--dataset", "one")
    repository.run(
        "join", str(repository.root / arguments[0]), *arguments[1:], "--output", str(repository.root / "out.csv")
    )
    assert git(repository.root, "status", "--porcelain") == "?? out.csv"
    assert repository.json("dataset", "one")["git_commit"] == head


def test_a_hook_of_another_repository_does_not_name_the_commit(
    repository: Folder, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = commit(repository)
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert git_state(repository.root) == GitState(head)
    repository.run("check", "--staged", code=1)


def test_the_index_of_the_commit_that_is_being_made_is_judged(
    repository: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.run("lock")
    commit(repository)
    repository.edit("features/cardiac.py", "/ 100", "/ 50")
    repository.run("check", "--staged")
    index = repository.root / ".git" / "next-index-1.lock"
    index.write_bytes((repository.root / ".git" / "index").read_bytes())
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/next-index-1.lock")
    environment = {**os.environ, "GIT_INDEX_FILE": str(index)}
    subprocess.run(["git", "add", "features/cardiac.py"], cwd=repository.root, env=environment, check=True)
    assert "has no version file" in repository.run("check", "--staged", code=1).out


def test_a_linked_worktree_with_the_project_in_a_subfolder(
    repository: Folder, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path_factory.mktemp("mono")
    git(top, "init", "-q", "-b", "main")
    shutil.copytree(repository.root, top / "ml" / "shop", ignore=shutil.ignore_patterns(".git"))
    inside = Folder(top / "ml" / "shop", lambda: ("", ""))
    inside.run("lock")
    git(top, "add", ".")
    git(top, "commit", "-qm", "one")
    linked = tmp_path_factory.mktemp("linked") / "tree"
    git(top, "worktree", "add", "-q", "-b", "side", str(linked))
    there = Folder(linked / "ml" / "shop", lambda: ("", ""))
    # As git sets them for a hook that runs in the linked tree.
    monkeypatch.setenv("GIT_DIR", str(top / ".git" / "worktrees" / "tree"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(top / ".git" / "worktrees" / "tree" / "index"))
    there.run("check", "--staged")
    there.edit("features/cardiac.py", "/ 100", "/ 50")
    git(linked, "add", ".")
    there.run("check", "--staged", code=1)


def test_a_sparse_checkout_is_judged_as_a_whole(repository: Folder) -> None:
    repository.write({"lib/other.txt": "x\n"})
    repository.run("lock")
    commit(repository)
    git(repository.root, "sparse-checkout", "set", "--no-cone", "/*", "!/features/.versions/")
    assert not (repository.root / "features" / ".versions" / "age_share").exists()
    repository.run("check", "--staged")


def test_a_bare_repository_inside_a_clone_runs_nothing(repository: Folder) -> None:
    """Git would take the project's folder for a repository, and run the program that its configuration names."""
    trap = repository.root / "trap.sh"
    sprung = repository.root / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o755)
    git(repository.root, "clone", "-q", "--bare", str(repository.root), str(repository.root / "project"))
    inside = repository.root / "project"
    for name in ("featurestore.toml", "features", "visits.csv"):
        (repository.root / name).rename(inside / name)
    git(inside, "config", "core.fsmonitor", str(trap))
    git(inside, "config", "core.bare", "false")
    git(inside, "config", "core.worktree", str(inside))
    project = Folder(inside, lambda: ("", ""))
    project.run("lock")
    project.run("ingest")
    project.run("doctor")
    assert git_state(inside).commit is None
    assert not sprung.exists()
    subprocess.run(["git", "status"], cwd=inside, capture_output=True, check=True)
    assert sprung.exists(), "the trap works"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_refusal_of_git_is_reported(repository: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository)
    os.chown(repository.root / ".git", 65534, 65534)
    os.chown(repository.root, 65534, 65534)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    refused = "git refuses to read the repository, because it belongs to another user"
    assert f"the run records no commit: {repository.root}: {refused}" in repository.run("ingest").err
    found = [check for check in repository.json("doctor")["checks"] if check["area"] == "git"]
    assert [(check["state"], check["hint"]) for check in found] == [
        ("warn", f"git config --global --add safe.directory {repository.root}")
    ]
    assert refused in repository.run("check", "--staged", code=4).err
    assert refused in repository.run("diff", "age_share", "--rev", "HEAD", "--code", code=4).err


def test_a_revision_that_git_does_not_have_is_refused_with_the_reason(project: Folder, tmp_path: Path) -> None:
    project.run("lock")
    asked = ("diff", "age_share", "--code", "--rev")
    assert "is in no git repository" in project.run(*asked, "HEAD", code=2).err
    git(project.root, "init", "-q", "-b", "main")
    assert "nothing is committed yet" in project.run(*asked, "HEAD", code=2).err
    commit(project)
    assert "git log and git branch list them" in project.run(*asked, "nowhere", code=2).err
    git(project.root, "commit", "-q", "--allow-empty", "-m", "second")
    clone = Folder(tmp_path / "shallow", project._capture)
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{project.root}", str(clone.root))
    assert "git fetch --unshallow" in clone.run(*asked, "HEAD~1", code=2).err
