"""A clone may bring a repository of somebody's making: nothing that its configuration names is run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.conftest import Folder
from tests.hooks.test_hooks import git

COMMANDS = (
    ["lock"], ["check", "--staged"], ["check"], ["doctor"], ["plan"], ["show", "age_share"], ["list"],
    ["ingest", "--full"], ["runs"], ["diff", "age_share", "--rev", "HEAD", "--code"], ["lineage"], ["sync"],
)  # fmt: skip


def canary(folder: Path, name: str) -> str:
    """A program that leaves a file, and goes on as `cat` would."""
    program = folder / f"run-{name}"
    program.write_text(f"#!/bin/sh\ntouch '{folder}/canary-{name}'\ncat 2>/dev/null\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def hostile_config(folder: Path) -> str:
    """Every setting of git that names a program, as the text of a config file."""

    def run(name: str) -> str:
        return canary(folder, name)

    hooks = folder / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction", "fsmonitor-watchman"):
        Path(run(f"hook-{hook}")).rename(hooks / hook)
    return f"""
[core]
    repositoryformatversion = 1
    fsmonitor = {run("fsmonitor")}
    hooksPath = {hooks}
    pager = {run("pager")}
    editor = {run("editor")}
    askPass = {run("askpass")}
    sshCommand = {run("ssh")}
    alternateRefsCommand = {run("alternates")}
[diff]
    external = {run("external-diff")}
[diff "x"]
    command = {run("diff-command")}
    textconv = {run("textconv")}
[filter "x"]
    clean = {run("clean")}
    smudge = {run("smudge")}
    process = {run("process")}
    required = true
[filter "Y.z"]
    clean = {run("clean2")}
[alias]
    status = "!{run("alias")}"
[gpg]
    program = {run("gpg")}
[log]
    showSignature = true
[credential]
    helper = "!{run("credential")}"
[protocol "ext"]
    allow = always
[extensions]
    partialClone = origin
[remote "origin"]
    url = ext::{run("remote")}
    promisor = true
    uploadpack = {run("uploadpack")}
[status]
    submoduleSummary = true
[submodule]
    recurse = true
"""


def try_everything(project: Folder, canaries: Path) -> None:
    for command in COMMANDS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(canaries))  # where git's own settings would be
            project._capture()
            from featurestore.cli.app import run

            run(["-C", str(project.root), *command])
        left = sorted(path.name for path in canaries.glob("canary-*"))
        assert not left, (command, left)


@pytest.fixture
def clone(project: Folder) -> Folder:
    project.write({".gitattributes": "*.py filter=x diff=x\n*.toml filter=Y.z\n*.csv filter=x\n",
                   ".gitignore": ".featurestore/\n"})  # fmt: skip
    git(project.root, "init", "-q", "-b", "main")
    project.run("lock")
    git(project.root, "add", ".")
    git(project.root, "commit", "-qm", "one")
    for path in project.root.rglob("*.py"):  # so that git has to look at what is in them
        os.utime(path, (1, 1))
    project.edit("visits.csv", "001", "003")
    return project


def test_the_configuration_of_the_repository_runs_nothing(
    clone: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    canaries = tmp_path_factory.mktemp("canaries")
    with (clone.root / ".git" / "config").open("a") as config:
        config.write(hostile_config(canaries))
    try_everything(clone, canaries)


def test_a_blob_that_is_missing_is_not_fetched(clone: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    canaries = tmp_path_factory.mktemp("canaries")
    blob = git(clone.root, "rev-parse", "HEAD:features/cardiac.py")
    (clone.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with (clone.root / ".git" / "config").open("a") as config:
        config.write(hostile_config(canaries))
    try_everything(clone, canaries)


@pytest.mark.parametrize("place", ["", "features", "features/.versions"])
def test_a_bare_repository_among_the_files_of_a_clone_runs_nothing(
    clone: Folder, tmp_path_factory: pytest.TempPathFactory, place: str
) -> None:
    """Files that git can carry: a folder with HEAD, objects, refs and config is a repository to it."""
    canaries = tmp_path_factory.mktemp("canaries")
    bare = tmp_path_factory.mktemp("bare")
    git(bare, "init", "-q", "--bare", ".")
    (bare / "config").write_text(hostile_config(canaries) + "[core]\n    bare = false\n    worktree = .\n")
    for path in bare.iterdir():
        path.rename(clone.root / place / path.name)
    try_everything(clone, canaries)


def test_settings_of_the_user_are_obeyed(clone: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A filter that the user has set up, as for large files, is not the repository's."""
    home = tmp_path_factory.mktemp("home")
    program = canary(home, "clean")
    (home / ".gitconfig").write_text(f'[filter "x"]\n    clean = {program}\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        clone.run("doctor")
    assert (home / "canary-clean").exists()
