"""What git knows of the project: the commit of a run, the files it would commit, the files of a revision.

Git itself is asked: starting it costs 3 ms, importing a library for it 85 ms.
"""

from __future__ import annotations

from pathlib import Path


def commit_of(root: Path) -> str | None:
    """``1f2e3d4``, or ``1f2e3d4+dirty`` where the project differs from it; None without git or commits."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    if head is None:
        return None
    head = head.strip()
    changed = _git(root, "status", "--porcelain", "--", ".")
    return f"{head}+dirty" if changed else head


def has_git() -> bool:
    """Whether there is a git to ask."""
    import shutil

    return shutil.which("git") is not None


def uncommitted(root: Path, folder: Path) -> list[str]:
    """The files of a folder of the project that differ from HEAD or are not in it."""
    status = _git(root, "status", "--porcelain", "--untracked-files=all", "-z", "--", folder.as_posix())
    return [item[3:] for item in (status or "").split("\0") if item]


def export_index(root: Path, folder: Path) -> Path | None:
    """Lays down what git would commit of the project's Python files, its toml and its versions.

    Gives the project's folder there; None outside git.
    """
    listed = _git(root, "ls-files", "-z", "--", "*.py", "featurestore.toml", "features/.versions")
    if listed is None:
        return None
    done = _git(root, "checkout-index", "-z", "--stdin", f"--prefix={folder.absolute()}/", text=listed)
    # Files come out under their paths in the repository, of which the project may be a part.
    return None if done is None else folder / (_git(root, "rev-parse", "--show-prefix") or "").strip()


def export_revision(root: Path, revision: str, folder: Path) -> bool:
    """Lays down the same files as they were at a revision. False where git has no such revision."""
    import tarfile
    from io import BytesIO

    top = _git(root, "rev-parse", "--show-prefix")
    tree = f"{revision}:{top.strip()}" if top and top.strip() else revision
    archive = _git_bytes(root, "archive", "--format=tar", tree)
    if archive is None:
        return False
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        wanted = [item for item in tar.getmembers() if item.name.endswith((".py", ".toml")) and item.isfile()]
        tar.extractall(folder, members=wanted, filter="data")
    return True


def is_committed(root: Path, path: Path) -> bool:
    """Whether a file is in HEAD exactly as it lies there."""
    relative = path.relative_to(root).as_posix()
    tracked = _git(root, "ls-tree", "--name-only", "HEAD", "--", relative)
    return bool(tracked and tracked.strip()) and _git(root, "diff", "--quiet", "HEAD", "--", relative) is not None


def _git(root: Path, *arguments: str, text: str | None = None) -> str | None:
    done = _git_bytes(root, *arguments, text=text)
    return None if done is None else done.decode("utf-8", "surrogateescape")


def _git_bytes(root: Path, *arguments: str, text: str | None = None) -> bytes | None:
    import subprocess  # 10 ms that most commands don't need

    sent = None if text is None else text.encode("utf-8", "surrogateescape")
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, input=sent, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
