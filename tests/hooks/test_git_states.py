"""Every state a repository can be in: versions work in all of them, and the commit is told where there is one."""

import os
import subprocess
from pathlib import Path

import pytest

from featurestore.registry.git import commit_of, is_committed
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


def test_without_a_repository_no_commit_is_told(project: Folder) -> None:
    assert recorded(project) is None


def test_a_repository_without_commits_has_none_to_tell(repository: Folder) -> None:
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
    assert "needs a git repository" in repository.run("check", "--staged", code=2).err


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


def test_committed_means_in_head_as_it_lies_there(repository: Folder) -> None:
    path: Path = repository.root / "features" / "cardiac.py"
    assert not is_committed(repository.root, path)
    git(repository.root, "add", ".")
    assert not is_committed(repository.root, path)
    git(repository.root, "commit", "-qm", "one")
    assert is_committed(repository.root, path)
    repository.edit("features/cardiac.py", "/ 100", "/ 50")
    assert not is_committed(repository.root, path)


def test_a_submodule_has_a_commit_of_its_own(repository: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    repository.run("lock")
    head = commit(repository)
    outer = tmp_path_factory.mktemp("outer")
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{repository.root}", "ml")
    git(outer, "commit", "-qm", "outer")
    assert commit_of(outer / "ml") == head
    assert is_committed(outer / "ml", outer / "ml" / "features" / "cardiac.py")
