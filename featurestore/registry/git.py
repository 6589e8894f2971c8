"""What git says of the project: the commit of a run, the files it would commit, the files of a revision.

The program is asked, in one way: starting it costs 3 ms, importing a library for it 85 ms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from featurestore.declared_files import LARGEST, fits
from featurestore.errors import FeatureStoreError
from featurestore.frozen import frozen

TIMEOUT = 30.0  # seconds
_LINK, _SUBMODULE = "120000", "160000"
_MOST_LINKS = 40
VERSIONS = "features/.versions"

# A repository may come from anybody: nothing that its configuration names is run, and a bare repository that lies
# among the files of another one is not taken for ours.
SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "safe.bareRepository=explicit")
# A partial clone would fetch what it lacks, by the program that its configuration names. In English, and never taking
# a lock that a command of the user may want.
ALONE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
         "GIT_OPTIONAL_LOCKS": "0"}  # fmt: skip
# What reads files of the working tree, by filters where attributes and the configuration say so.
_READERS = ("status", "diff")
_DRIVERS = r"^(filter\..*\.(clean|smudge|process)|diff\..*\.(textconv|command))$"
_TRUSTED = ("global", "system", "command")
_NOTHING_SAID = "git: it failed"
# In a hook git names the repository and the index of the commit in its variables. They may belong to another
# repository than the project's, so only those pass that say where the user's own settings are.
_PASSED = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES",
           "GIT_DISCOVERY_ACROSS_FILESYSTEM")  # fmt: skip


class GitError(FeatureStoreError):
    """Git is installed and does not answer: the message is its own."""

    code = "git"


class _NoRepositoryError(Exception):
    """No git, or no repository here."""


@frozen
class GitState:
    """What a command records of the project's repository, asked once and before it writes anything.

    ``commit`` is ``1f2e3d4c5b6a``, with ``+dirty`` where the project's files differ from it, and None without git or
    commits. The version files don't count: they are written by the very commands that record a commit.
    ``problem`` is why git refused to answer.
    """

    commit: str | None = None
    problem: GitError | None = None


def git_state(root: Path) -> GitState:
    """The state of the repository that the project is in. Raises nothing."""
    try:
        answer = _git(
            root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--no-renames",
            "--", ".", f":(exclude){VERSIONS}",
        )  # fmt: skip
    except _NoRepositoryError:
        return GitState()
    except GitError as exc:
        return GitState(problem=exc)
    lines = answer.split("\0")
    head = next((line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")), "(")
    if head.startswith("("):  # (initial): no commit yet
        return GitState()
    dirty = any(line and not line.startswith("# ") for line in lines)
    return GitState(f"{head[:12]}+dirty" if dirty else head[:12])


def commit_of(root: Path) -> str | None:
    """The commit of `git_state`."""
    return git_state(root).commit


def top_of(root: Path) -> Path | None:
    """The top of the working tree that the project is in; None without git, or outside of one. Raises GitError."""
    try:
        return Path(_git(root, "rev-parse", "--show-toplevel").rstrip("\n"))
    except _NoRepositoryError:
        return None


def has_git() -> bool:
    """Whether git is installed."""
    import shutil

    return shutil.which("git") is not None


def uncommitted(root: Path, folder: str = VERSIONS) -> list[str]:
    """The files of a folder of the project that differ from HEAD or are not in it. Raises GitError."""
    try:
        status = _git(root, "status", "--porcelain", "--no-renames", "--untracked-files=all", "-z", "--", folder)
    except _NoRepositoryError:
        return []
    return [item[3:] for item in status.split("\0") if item]


def committed(root: Path, folder: str = VERSIONS) -> frozenset[str]:
    """The files of a folder that are in HEAD as they are on disk, as paths below the project. Raises GitError."""
    state = git_state(root)
    if state.problem is not None:
        raise state.problem
    if state.commit is None:
        return frozenset()
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", folder)
    differing = _git(
        root,
        "diff",
        "--name-only",
        "--relative",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "-z",
        "HEAD",
        "--",
        folder,
    )
    return frozenset(listed.split("\0")) - frozenset(differing.split("\0"))


def removed(root: Path, folder: str = VERSIONS, *, staged: bool = False) -> list[str]:
    """The files of a folder that are in HEAD, and not in the working tree, or with ``staged`` not in the index.

    Raises GitError.
    """
    try:
        index = _index_of_hook(root) if staged else None
        words = ("--cached",) if staged else ()
        found = _git(
            root, "diff", *words, "--name-only", "--relative", "--no-renames", "--no-ext-diff", "--diff-filter=D", "-z",
            "HEAD", "--", folder, index=index,
        )  # fmt: skip
    except _NoRepositoryError:
        return []
    except GitError:
        if not _has_commit(root):
            return []
        raise
    return [name for name in found.split("\0") if name]


def knows(root: Path, path: Path) -> bool:
    """Whether a file is, or was, in the index or in a commit before HEAD of the project's repository. Raises GitError.

    ``path`` is absolute; the file need not be there.
    """
    top = top_of(root)
    resolved = path.parent.resolve() / path.name
    if top is None or not resolved.is_relative_to(top):
        return False
    named = f":(top,literal){resolved.relative_to(top).as_posix()}"
    if _git(root, "ls-files", "-z", "--", named, index=_index_of_hook(root)):
        return True
    return _has_commit(root) and bool(_git(root, "log", "-1", "--format=%H", "--full-history", "HEAD", "--", named))


def ever_added(root: Path, folder: str = VERSIONS) -> frozenset[str]:
    """Every file that a commit before HEAD has added to a folder, whether or not it is still there. Raises GitError."""
    try:
        found = _git(
            root, "log", "--format=", "--name-only", "--relative", "--no-renames", "--no-ext-diff", "--diff-filter=A",
            "--full-history", "-z", "HEAD", "--", folder,
        )  # fmt: skip
    except _NoRepositoryError:
        return frozenset()
    except GitError:
        if not _has_commit(root):
            return frozenset()
        raise
    return frozenset(name for name in found.split("\0") if name)


def _has_commit(root: Path) -> bool:
    """Whether there is a repository, and it has a HEAD yet. Raises GitError."""
    try:
        _git(root, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
    except _NoRepositoryError:
        return False
    except GitError as exc:
        if exc.message == _NOTHING_SAID:
            return False
        raise
    return True


def export_declared(root: Path, folder: Path, patterns: Sequence[str], revision: str | None = None) -> None:
    """Writes the files that features declare into a folder, as git would commit them or as they are at a revision.

    A link is written with what it leads to. Of a file that is too large only its size is there. Raises GitError.
    """
    try:
        if revision is None:
            listed = _git(root, "ls-files", "--stage", "-z", index=_index_of_hook(root))
            entries = [_Entry.of_index(line) for line in listed.split("\0") if line]
        else:
            listed = _git(root, "ls-tree", "-r", "-z", revision)
            entries = [_Entry.of_tree(line) for line in listed.split("\0") if line]
        wanted = set(patterns)
        written: set[str] = set()
        while True:
            chosen = [
                entry
                for entry in entries
                if entry.merged and entry.mode != _SUBMODULE and entry.path not in written and fits(entry.path, wanted)
            ]
            if not chosen:
                return
            _write(root, _small(root, chosen, folder), folder)
            written.update(entry.path for entry in chosen)
            links = [folder / entry.path for entry in chosen if entry.mode == _LINK]
            wanted = {os.path.relpath(link.parent / link.readlink(), folder) for link in links}
    except _NoRepositoryError:
        return


def _small(root: Path, entries: list[_Entry], folder: Path) -> list[_Entry]:
    """The entries that are not too large to be declared; the others are written as holes of a size that is refused."""
    names = "".join(f"{entry.blob}\n" for entry in entries)
    answers = _git_bytes(root, "cat-file", "--batch-check=%(objectsize)", sent=names.encode()).splitlines()
    small = []
    for entry, size in zip(entries, answers, strict=True):
        if size.isdigit() and int(size) > LARGEST:
            path = folder / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(LARGEST + 1)
        else:
            small.append(entry)
    return small


def export_index(root: Path, folder: Path) -> bool:
    """Writes what git would commit of the project's Python files, its toml and its versions into a folder.

    False outside git. Raises GitError.
    """
    try:
        index = _index_of_hook(root)
        listed = _git(root, "ls-files", "--stage", "-z", index=index)
        entries = [_Entry.of_index(line) for line in listed.split("\0") if line]

        def below(path: str) -> list[_Entry]:
            found = _git(root, "ls-files", "--full-name", "--stage", "-z", "--", f":(top,literal){path}", index=index)
            return [_Entry.of_index(line) for line in found.split("\0") if line]

        _Export(root, folder, below).write([entry for entry in entries if entry.merged])
    except _NoRepositoryError:
        return False
    return True


def way_to_revisions(root: Path) -> str:
    """What to do where git has no such revision. Raises GitError."""
    if not has_git():
        return "install git"
    if top_of(root) is None:
        return "the project is in no git repository"
    if not _has_commit(root):
        return "nothing is committed yet: without --rev, versions are compared"
    if _git(root, "rev-parse", "--is-shallow-repository").strip() == "true":
        return "the clone is shallow, and may lack it: git fetch --unshallow, or fetch-depth: 0 in CI"
    return "git log and git branch list them"


def export_revision(root: Path, revision: str, folder: Path) -> bool:
    """Writes the same files as they were at a revision. False where git has no such revision. Raises GitError."""
    if revision.startswith("-"):
        return False
    try:
        _git(root, "rev-parse", "--git-dir")  # raises where git refuses the repository, whatever the revision
    except _NoRepositoryError:
        return False
    try:
        _git(root, "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
    except GitError:
        return False
    listed = _git(root, "ls-tree", "-r", "-z", revision)

    def below(path: str) -> list[_Entry]:
        found = _git(root, "ls-tree", "-r", "-z", "--full-tree", revision, "--", path)
        return [_Entry.of_tree(line) for line in found.split("\0") if line]

    _Export(root, folder, below).write([_Entry.of_tree(line) for line in listed.split("\0") if line])
    return True


@frozen
class _Entry:
    """A file that git has: its mode, the hash of its content, and its path below the project."""

    mode: str
    blob: str
    path: str
    merged: bool = True

    @classmethod
    def of_index(cls, line: str) -> _Entry:
        facts, _, path = line.partition("\t")
        mode, blob, stage = facts.split(" ")
        return cls(mode, blob, path, merged=stage == "0")

    @classmethod
    def of_tree(cls, line: str) -> _Entry:
        facts, _, path = line.partition("\t")
        mode, _, blob = facts.split(" ")
        return cls(mode, blob, path)

    @property
    def wanted(self) -> bool:
        is_ours = self.path.endswith(".py") or self.path == "featurestore.toml"
        return (is_ours and self.mode not in (_LINK, _SUBMODULE)) or self.path.startswith(f"{VERSIONS}/")


class _Export:
    """Writes a project as git has it into a folder: its Python files, its toml and its versions.

    From their blobs: a sparse checkout has no other copy, and no filter is run. A link is written as what it leads to,
    which may be anywhere in the repository; a submodule with the files of its commit. ``below`` lists what git has at
    a path of the repository, or below it.
    """

    def __init__(self, root: Path, folder: Path, below: Callable[[str], list[_Entry]]) -> None:
        self._root, self._folder, self._below = root, folder, below

    def write(self, entries: Sequence[_Entry]) -> None:
        """Writes what is wanted of the project's entries."""
        written = [entry for entry in entries if entry.wanted]
        links = [entry for entry in entries if entry.mode == _LINK and not entry.wanted]
        _write(self._root, [*written, *(self._followed(links) if links else ())], self._folder)
        for entry in entries:
            if entry.mode == _SUBMODULE:
                self._submodule(entry)

    def _followed(self, links: Sequence[_Entry]) -> list[_Entry]:
        """The files that links lead to, under the names that they have through the links."""
        prefix = _git(self._root, "rev-parse", "--show-prefix").rstrip("\n")
        found: list[_Entry] = []
        # Each with where it is in the repository, which its own target is relative to, and how many links led there.
        pending = [(entry, f"{prefix}{entry.path}", 0) for entry in links]
        while pending:
            entry, place, hops = pending.pop()
            target = os.fsdecode(_git_bytes(self._root, "cat-file", "blob", entry.blob))
            led = os.path.normpath(os.path.join(os.path.dirname(place), target))  # noqa: PTH118, PTH120
            inside = not os.path.isabs(target) and led.split("/")[0] != ".." and hops < _MOST_LINKS  # noqa: PTH117
            if inside and (led == "." or f"{place}/".startswith(f"{led}/")):
                continue  # a folder that it is in, whose files are there anyway
            held = self._below(led) if inside else []
            for item in held:
                named = _Entry(item.mode, item.blob, f"{entry.path}{item.path[len(led) :]}")
                if item.mode == _LINK:
                    pending.append((named, item.path, hops + 1))
                elif named.wanted:
                    found.append(named)
            if not held and entry.path.endswith(".py"):
                # Whoever reads it says where it leads, so that this has to be its place and not one beside the copy.
                path = self._folder / entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(os.path.normpath(self._root / Path(entry.path).parent / target))
        return found

    def _submodule(self, entry: _Entry) -> None:
        """Writes the files of a submodule's commit. Raises GitError where a part of ``features/`` is not there."""
        inside = self._root / entry.path
        try:
            listed = _git(inside, "ls-tree", "-r", "-z", "--full-tree", entry.blob)
        except (GitError, _NoRepositoryError) as exc:
            if not entry.path.startswith("features/"):
                return
            raise GitError(
                "is a submodule, and its commit is not here", where=entry.path,
                hint=f"git submodule update --init {entry.path}",
            ) from exc  # fmt: skip
        items = [_Entry.of_tree(line) for line in listed.split("\0") if line]
        wanted = [item for item in items if item.path.endswith(".py") and item.mode not in (_LINK, _SUBMODULE)]
        _write(inside, wanted, self._folder / entry.path)


def _write(root: Path, wanted: Sequence[_Entry], folder: Path) -> None:
    names = "".join(f"{entry.blob}\n" for entry in wanted)
    answer = memoryview(_git_bytes(root, "cat-file", "--batch", sent=names.encode()))
    at = 0
    links: list[tuple[Path, str]] = []
    made: set[Path] = set()
    for entry in wanted:
        end = at + bytes(answer[at : at + 200]).index(b"\n")
        header = bytes(answer[at:end]).split(b" ")
        if len(header) != 3:  # "<hash> missing", of a partial clone that can't be completed
            raise GitError("git lacks the content of a file", where=entry.path)
        size = int(header[2])
        content, at = answer[end + 1 : end + 1 + size], end + 2 + size
        path = folder / entry.path
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        if entry.mode == _LINK:
            links.append((path, os.fsdecode(bytes(content))))
        else:
            path.write_bytes(content)
    for path, target in links:  # last, so that nothing is written through one
        path.symlink_to(target)


def _index_of_hook(root: Path) -> str | None:
    """The index of the commit that is being made (``git commit -a`` and ``git commit PATH`` have one of their own).

    None where it is another repository's.
    """
    named = os.environ.get("GIT_INDEX_FILE")
    if not named:
        return None
    top, _, folder = _git(root, "rev-parse", "--show-toplevel", "--absolute-git-dir").rstrip("\n").rpartition("\n")
    index = Path(top, named)  # a relative one is below the top of the working tree
    return str(index) if index.parent.resolve() == Path(folder).resolve() else None


def _git(root: Path, *arguments: str, index: str | None = None) -> str:
    return _git_bytes(root, *arguments, index=index).decode("utf-8", "surrogateescape")


def _git_bytes(root: Path, *arguments: str, sent: bytes = b"", index: str | None = None) -> bytes:
    """What git answers. Raises _NoRepositoryError or GitError."""
    import subprocess  # 10 ms that most commands don't need

    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    command = ["git", "--no-pager", *settings, "-C", str(root), *arguments]
    environment = _environment(index)
    if arguments[0] in _READERS:
        environment |= _without_drivers(root)
    try:
        done = subprocess.run(command, input=sent, capture_output=True, timeout=TIMEOUT, check=False, env=environment)
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} did not answer within {TIMEOUT:g} s") from None
    except OSError as exc:
        raise _NoRepositoryError from exc
    if done.returncode == 0:
        return done.stdout
    raise _error(done.stderr.decode("utf-8", "replace"))


def _environment(index: str | None) -> dict[str, str]:
    """Ours, without git's variables."""
    passed = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _PASSED}
    named = {} if index is None else {"GIT_INDEX_FILE": index}
    return {**passed, **named, **ALONE}


def _without_drivers(root: Path) -> dict[str, str]:
    """Variables that switch off the programs which the repository, and not the user, has set up to read its files."""
    try:
        found = _git(root, "config", "-z", "--show-scope", "--name-only", "--get-regexp", _DRIVERS)
    except GitError as exc:
        if exc.message == _NOTHING_SAID:  # there are none
            return {}
        raise
    words = found.split("\0")
    names = dict.fromkeys(name for scope, name in zip(words[::2], words[1::2], strict=False) if scope not in _TRUSTED)
    settings = [(name, "") for name in names]
    settings += [(f"{name.rpartition('.')[0]}.required", "false") for name in names if name.startswith("filter.")]
    pairs = {f"GIT_CONFIG_KEY_{at}": name for at, (name, _) in enumerate(settings)}
    pairs |= {f"GIT_CONFIG_VALUE_{at}": value for at, (_, value) in enumerate(settings)}
    return {**pairs, "GIT_CONFIG_COUNT": str(len(settings))}


def _error(said: str) -> Exception:
    message = next((line for line in said.splitlines() if line.startswith("fatal: ")), said.strip() or "it failed")
    message = message.removeprefix("fatal: ")
    if message.startswith("not a git repository"):
        return _NoRepositoryError(message)
    # Git has one exit code, 128, for all that it refuses; it is asked in English (see `_environment`).
    if "dubious ownership" in message:
        folder = message.partition("'")[2].rstrip("'")
        return GitError(
            "git refuses to read the repository, because it belongs to another user",
            where=folder, hint=f"git config --global --add safe.directory {folder}",
        )  # fmt: skip
    return GitError(f"git: {message}")
