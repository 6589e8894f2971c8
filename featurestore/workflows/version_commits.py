"""Who committed a feature's version files, when, and in which commit: what git knows of them over time.

The one module that uses GitPython, which it imports when it is asked. Everything else asks git directly
(`registry.git`), and so do the rules by which nothing that a repository's configuration names is run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.registry.git import ALONE, SETTINGS, TIMEOUT, GitError, top_of
from featurestore.versioning.folder.names import VersionName

if TYPE_CHECKING:
    from git import Repo

# In a hook, git says in these which repository it works on, and it need not be the project's.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


@frozen
class VersionCommit:
    """The commit that added a version file. ``committed_at`` is in microseconds; ``commit`` the full hash."""

    commit: str
    author: str
    email: str
    committed_at: int
    subject: str


@frozen
class VersionCommits:
    """The first commit of each version file of a feature, by the file's name, and what to warn of."""

    by_file: Mapping[str, VersionCommit]
    warnings: tuple[str, ...] = ()


def known_commits(project: Project, feature: str) -> VersionCommits:
    """The commits as far as git says them: where it refuses, that is a warning."""
    try:
        return VersionCommits(version_commits(project, feature))
    except GitError as exc:
        return VersionCommits({}, (f"{exc}" + (f"; {exc.hint}" if exc.hint else ""),))


def version_commits(project: Project, feature: str) -> Mapping[str, VersionCommit]:
    """The first commit of each version file of a feature, by the file's name.

    Files that are not committed have none, and outside git none has. Raises GitError where git refuses to answer.
    """
    folder = project.versions / feature
    if not folder.is_dir() or any(name in os.environ for name in _ELSEWHERE):
        return {}
    top = top_of(project.root)
    if top is None:
        return {}
    from git import Repo
    from git.exc import GitError as RefusedError

    try:
        with Repo(top, expand_vars=False) as repository:
            return _commits(repository, folder)
    except (RefusedError, OSError, ValueError) as exc:
        raise GitError(f"git does not say who committed the versions of {feature}: {_first_line(exc)}") from exc


def _commits(repository: Repo, folder: Path) -> dict[str, VersionCommit]:
    repository.git.set_persistent_git_options(c=list(SETTINGS))
    repository.git.update_environment(**ALONE)
    if not repository.git.rev_list("--all", "--max-count=1", kill_after_timeout=TIMEOUT):
        return {}  # nothing was committed yet
    # The configuration may ask for signatures to be shown, by the program that it names.
    listed = repository.git.log(
        "--format=%x00%H", "--name-only", "--diff-filter=A", "--full-history", "--no-renames", "--no-ext-diff",
        "--no-textconv", "--no-show-signature", "HEAD", "--", str(folder), kill_after_timeout=TIMEOUT,
    )  # fmt: skip
    added: dict[str, str] = {}
    for block in listed.split("\0")[1:]:  # newest first, so that the first commit of a file stays
        commit, *paths = block.split()
        added.update({path.rpartition("/")[2]: commit for path in paths})
    return {name: _read(repository, commit) for name, commit in added.items() if VersionName.parse(Path(name))}


def _read(repository: Repo, commit: str) -> VersionCommit:
    found = repository.commit(commit)
    subject = found.summary if isinstance(found.summary, str) else found.summary.decode("utf-8", "replace")
    return VersionCommit(
        commit, found.author.name or "", found.author.email or "", found.committed_date * 1_000_000, subject
    )


def _first_line(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if "fatal:" in line]
    return (lines or [str(exc).partition("\n")[0]])[0]
