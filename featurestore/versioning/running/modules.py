"""The project's own modules, run from the same text that was hashed."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from featurestore.errors import FeatureError
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.running.isolation import Isolation, ModuleText, TextLoader

_FOLDER = threading.RLock()


def load_function(tree: SourceTree, module: str, function: str, folder: Path | None = None) -> Callable[..., Any]:
    """Imports a module of the project as Python would, and returns its function.

    The function finds the modules of its own tree whenever it is called, from other threads too. With ``folder`` that
    is the current folder meanwhile. Raises what the module raises on import, and FeatureError if it has no such
    function afterwards.
    """
    isolation = isolation_of(tree, module)
    with working_in(folder):
        loaded = isolation.load(module)
    loaded_function = getattr(loaded, function, None)
    if not callable(loaded_function):
        where = str(getattr(loaded, "__file__", module))
        raise FeatureError(f"{module} has no function {function!r} once it is imported", where=where)
    return with_its_modules(isolation, loaded_function, folder)


def isolation_of(tree: SourceTree, module: str) -> Isolation:
    """The isolation in which a module of features runs: it has its own copy of every module that it imports.

    So what another module of features does when it is imported, such as an assignment into a helper, reaches no feature
    whose hash does not hold it, whichever features a run computes together.
    """
    isolations = tree.attached(_isolations)
    if module not in isolations:
        isolations[module] = Isolation(_TreeProvider(tree))
    return isolations[module]


def user_frame(error: BaseException, root: Path) -> str | None:
    """``features/cardiac.py:12``: the deepest line of the user's own code in an exception's traceback.

    None where no code of a project or version file was involved. Files outside ``root`` keep their full path.
    """
    place: tuple[str, int] | None = None
    trace = error.__traceback__
    while trace is not None:
        if isinstance(trace.tb_frame.f_globals.get("__loader__"), TextLoader):
            place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    if place is None:
        return None
    path = Path(place[0])
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"{shown.as_posix()}:{place[1]}"


def with_its_modules(
    isolation: Isolation, function: Callable[..., Any], folder: Path | None = None
) -> Callable[..., Any]:
    """The function, called while ``sys.modules`` and ``importlib`` know its modules, in its folder where it has one."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with isolation.visible(), working_in(folder):
            return function(*args, **kwargs)

    return call


@contextmanager
def working_in(folder: Path | None) -> Iterator[None]:
    """Makes a folder the current one for a while; nothing where there is none.

    The current folder belongs to the process: others that want one wait.
    """
    if folder is None:
        yield
        return
    with _FOLDER:
        try:
            before: Path | None = Path.cwd()
        except FileNotFoundError:  # somebody has deleted it
            before = None
        os.chdir(folder)
        try:
            yield
        finally:
            if before is not None:
                with suppress(FileNotFoundError):
                    os.chdir(before)


class _TreeProvider:
    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree

    def find(self, name: str) -> ModuleText | None:
        module = self._tree.module(name)
        if module is None:
            return None
        return ModuleText(module.tree, module.text, str(self._tree.root / module.path), module.package)

    def holds(self, name: str) -> bool:
        return self._tree.holds(name)

    def is_package(self, name: str) -> bool:
        found = self._tree.module(name)
        return found.package if found is not None else self._tree.is_package(name)

    def folder(self, name: str) -> str | None:
        return str(self._tree.root.joinpath(*name.split(".")))


def _isolations(_tree: SourceTree) -> dict[str, Isolation]:
    return {}
