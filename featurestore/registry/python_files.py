"""The Python files below ``features/``, in order, and those that can't be modules, each with the reason.

A ``.py`` file there is never nothing. Links are followed inside the project and its repository (`regular`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from featurestore import regular
from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.model import Problem
from featurestore.regular import CODE, Fence

_DANGLING = ("is a link to nothing", "remove it, or make what it points to")
_LOOKED_AT = 10_000  # files of a linked folder, when looking for Python in it


@frozen
class PythonFile:
    """A module that may declare features: its dotted name, its path below the root, and its bytes."""

    name: str
    path: Path
    data: bytes


@frozen
class OddFile:
    """A file or folder that is left out: what to call it, and why; with ``unread`` it may hold features anyway."""

    name: str
    problem: Problem
    unread: bool


def python_files(project: Project, fence: Fence) -> Iterator[PythonFile | OddFile]:
    """Reads the files. Hidden ones and ``__pycache__`` are nobody's modules."""
    found: list[tuple[str, ...]] = []
    odd: list[OddFile] = []
    inside = project.features.relative_to(project.root).parts
    _list(project, fence, inside, (), found, odd)
    for parts in sorted(found):
        reason, hint = _unusable(parts)
        path = Path(*parts)
        try:
            data = b"" if reason else fence.read(project.root / path, CODE)
        except FileNotFoundError:
            reason, hint = _DANGLING
        except OSError as exc:
            reason, hint = (
                regular.reason(exc),
                "make it a readable file of the project, or remove it",
            )
        if reason:
            odd.append(_odd(path, reason, hint, unread=not _unusable(parts)[0]))
        else:
            names = [*parts[:-1], parts[-1].removesuffix(".py")]
            yield PythonFile(".".join(names[:-1] if names[-1] == "__init__" else names), path, data)
    yield from odd


def shown(path: Path) -> str:
    """A path for people, whatever bytes its name has."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _list(
    project: Project,
    fence: Fence,
    folder: tuple[str, ...],
    above: tuple[str, ...],
    found: list[tuple[str, ...]],
    odd: list[OddFile],
) -> None:
    """Adds the names of the files of a folder and of those below it. ``above`` are the folders that it is in."""
    path = project.root.joinpath(*folder)
    real = os.path.realpath(path)
    if real in above:  # a link to a folder that it is in: everything there has been found
        return
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except FileNotFoundError:
        if path.is_symlink():
            odd.append(_odd(Path(*folder), *_DANGLING, unread=True))
        return
    except OSError as exc:
        odd.append(_odd(Path(*folder), regular.reason(exc), "check who may read it", unread=True))
        return
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name == "__pycache__":
            continue
        if not _is_folder(entry):
            if name.endswith(".py"):
                found.append((*folder, name))
            elif "." not in name and entry.is_symlink() and (lost := _lost(entry)) is not None:
                odd.append(_odd(Path(*folder, name), *lost, unread=True))  # it may be meant to be a folder
        elif not entry.is_symlink() or fence.holds(Path(entry.path)):
            _list(project, fence, (*folder, name), (*above, real), found, odd)
        elif _holds_python(entry.path):
            reason = f"is a link that leads out of the project, to {os.path.realpath(entry.path)}"
            hint = "copy the folder into the project or its repository"
            odd.append(_odd(Path(*folder, name), reason, hint, unread=True))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _lost(entry: os.DirEntry[str]) -> tuple[str, str] | None:
    """Why what a link leads to can't be seen, and the way out; None where it can."""
    try:
        os.stat(entry.path)  # noqa: PTH116
    except FileNotFoundError:
        return _DANGLING
    except OSError as exc:
        return regular.reason(exc), "check who may read what it points to, or remove it"
    return None


def _holds_python(folder: str) -> bool:
    looked_at = 0
    for _, _, files in os.walk(folder):
        if any(name.endswith(".py") for name in files):
            return True
        looked_at += 1 + len(files)
        if looked_at > _LOOKED_AT:
            break
    return False


def _unusable(parts: tuple[str, ...]) -> tuple[str, str]:
    """Why a file of that name can't be a module, and the way out; empty where it can."""
    for part in (*parts[:-1], parts[-1].removesuffix(".py")):
        if "." in part:
            return f"can't be a module: there is a dot in {_text(part)!r}", "rename it, for example with _ in its place"
        if _text(part) != part:
            return "can't be a module: its name is not UTF-8", "rename it"
    return "", ""


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _odd(path: Path, reason: str, hint: str, *, unread: bool) -> OddFile:
    return OddFile(shown(path), Problem("declaration", reason, shown(path), hint), unread)
