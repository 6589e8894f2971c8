"""The project's Python files, each read and parsed once.

So the code that is hashed is the code that runs, even if an editor saves a file in between.
"""

from __future__ import annotations

import ast
import gc
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from featurestore.errors import DeclarationError
from featurestore.frozen import frozen
from featurestore.regular import CODE, Fence, reason
from featurestore.toml import decode

Attached = TypeVar("Attached")
OURSELVES = "featurestore"
TOO_DEEP = "is nested too deeply"
SPLIT = "split the expression, or put the values into a list"


@frozen
class Module:
    """One project file: its dotted name, its path below the root, its text (``\\n`` line ends), its syntax tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module
    package: bool
    sha256: str = ""
    """Of the file's bytes; nothing where it is part of another file."""


class Answers(TypedDict):
    """What a tree was asked, and what it said: of modules the SHA-256 of their bytes, after ``/`` those of packages."""

    modules: dict[str, str | None]
    packages: dict[str, bool]
    holds: dict[str, bool]


class SourceTree:
    """Finds project modules by dotted name. The project folder is the import root.

    What follows code through a project asks its tree, and nothing else: `answers` are all that it may depend on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fence = Fence(root)
        self._modules: dict[str, Module | None] = {}
        self._holds: dict[str, bool] = {}
        self._folders: dict[str, bool] = {}
        self._attached: dict[Any, Any] = {}

    def module(self, name: str) -> Module | None:
        """The project module of that dotted name; None where the project has no such module.

        A package's name gives its ``__init__.py``; a folder without one (a namespace package) gives None.
        Raises DeclarationError naming file and line where the text can't be read or parsed.
        """
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def is_package(self, name: str) -> bool:
        """Whether a folder of that dotted name exists in the project (with or without ``__init__.py``)."""
        if name not in self._folders:
            self._folders[name] = self.root.joinpath(*name.split(".")).is_dir()
        return self._folders[name]

    def holds(self, name: str) -> bool:
        """Whether a dotted name belongs to the project, decided by its first part as on Python's import path.

        A folder counts only if it contains Python files: a folder ``redis/`` with data must not hide the package.
        ``featurestore`` itself is never part of a project, not even in its own repository.
        """
        top = name.partition(".")[0]
        if top not in self._holds:
            self._holds[top] = bool(top) and top != OURSELVES and self._has_python(top)
        return self._holds[top]

    def answers(self) -> Answers:
        """Everything that was asked so far, and answered."""
        modules = {
            name: None if module is None else _answer(module.sha256, package=module.package)
            for name, module in self._modules.items()
        }
        return {"modules": modules, "packages": dict(self._folders), "holds": dict(self._holds)}

    def answers_again(self, before: Answers) -> bool:
        """Whether the answers to the same questions are the same now. Reads modules, and parses none.

        Raises OSError for a file that can't be read.
        """
        return (
            all(self.holds(name) == answer for name, answer in before["holds"].items())
            and all(self.is_package(name) == answer for name, answer in before["packages"].items())
            and all(self._bytes_of(name) == answer for name, answer in before["modules"].items())
        )

    def attached(self, make: Callable[[SourceTree], Attached]) -> Attached:
        """The one object that ``make`` builds for this tree, such as its symbol tables; lives as long as the tree."""
        if make not in self._attached:
            self._attached[make] = make(self)
        attached: Attached = self._attached[make]
        return attached

    def forget(self) -> None:
        """Lets go of all that was read; who asks again has it read again.

        Module by module: to free the syntax trees of a large project at once would keep other threads waiting.
        """
        self._attached.clear()
        while self._modules:
            self._modules.popitem()

    def _has_python(self, top: str) -> bool:
        if os.path.lexists(self.root / f"{top}.py"):  # a pipe of that name hides a package too, and is an error
            return True
        return any(name.endswith(".py") for _, _, files in os.walk(self.root / top) for name in files)

    def _read(self, name: str) -> Module | None:
        found = self._find(name)
        return None if found is None else parse(name, Path(found[0]), self.fence, found[1])

    def _find(self, name: str) -> tuple[str, bool] | None:
        """Where a module is, below the root, and whether it is a package."""
        stem = name.replace(".", os.sep)
        for relative, package in ((os.path.join(stem, "__init__.py"), True), (f"{stem}.py", False)):  # noqa: PTH118
            path = os.path.join(self.root, relative)  # noqa: PTH118
            # Whatever has the name of a module is one, or an error: a pipe or a broken link is never nothing.
            if os.path.lexists(path) and not os.path.isdir(path):  # noqa: PTH112
                return relative, package
        return None

    def _bytes_of(self, name: str) -> str | None:
        found = self._find(name)
        if found is None:
            return None
        return _answer(sha256(self.fence.read(self.root / found[0], CODE)).hexdigest(), package=found[1])


def _answer(digest: str, *, package: bool) -> str:
    return f"{'/' * package}{digest}"


def parse(name: str, relative: Path, fence: Fence, package: bool) -> Module:
    """Reads one file, by its path below the root, as a module of the project. Raises DeclarationError."""
    try:
        # One text, and so one hash, whatever line ends and byte order mark an editor or a checkout gives the file.
        data = fence.read(fence.root / relative, CODE)
        text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # Python warns when the module runs
            with without_collecting():
                tree = ast.parse(text, filename=str(relative))
    except SyntaxError as exc:
        raise DeclarationError(
            f"can't be parsed: {exc.msg}", where=f"{relative.as_posix()}:{exc.lineno}", hint="fix the syntax"
        ) from exc
    except (RecursionError, MemoryError) as exc:
        longest = max(enumerate(text.split("\n"), 1), key=lambda line: len(line[1]))[0]
        raise DeclarationError(TOO_DEEP, where=f"{relative.as_posix()}:{longest}", hint=SPLIT) from exc
    except OSError as exc:
        raise DeclarationError(reason(exc), where=relative.as_posix()) from exc
    except ValueError as exc:
        raise DeclarationError(str(exc), where=relative.as_posix()) from exc
    return Module(name, relative, text, tree, package, sha256(data).hexdigest())


@contextmanager
def without_collecting() -> Iterator[None]:
    """Pauses Python's garbage collector, which would walk trees that only grow: half of the time of reading them."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def refusing_depth(path: str | Path, line: int) -> Iterator[None]:
    """Names the code that is nested too deeply for Python to walk or compile it. Raises DeclarationError."""
    try:
        yield
    except (RecursionError, MemoryError) as exc:
        raise too_deep(path, line) from exc


def too_deep(path: str | Path, line: int) -> DeclarationError:
    """What is said of code that is nested too deeply for Python to walk or compile it."""
    return DeclarationError(TOO_DEEP, where=f"{Path(path).as_posix()}:{line}", hint=SPLIT)
