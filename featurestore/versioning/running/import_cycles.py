"""Runs captured modules whose imports form a cycle, whichever module of the cycle is imported first.

Python runs a module from top to bottom at its first import. Whether ``from lib import B`` finds ``B`` inside a
cycle depends on which module was imported first, and a version file starts elsewhere than its project does:
code that the feature doesn't reach is left out, with the imports that determined the order.

So a captured module may wait. Its statements run one by one, in Python's order. When one fails because another
module doesn't have a name yet, everything that was loaded is dropped and run again. This time the module stops
before that statement, its importers get it unfinished, and it continues once the other module has the name.
No statement runs twice in the modules that result, each module runs in its own order, and modules that load
in Python's order are not affected. If the project loads at all, no two statements need each other, so the
waiting ends.
"""

from __future__ import annotations
import __future__

import ast
from dataclasses import dataclass
from types import CodeType, ModuleType

from featurestore.versioning.analysis.names import Key
from featurestore.versioning.running.isolation import Isolation, ModuleText, Provider

Place = tuple[str, int]
"""A statement: its module, and its position among the module's statements."""


class _NotYetError(ImportError):
    """A name that an unfinished module doesn't have, or not yet."""

    def __init__(self, module: str, wanted: str) -> None:
        super().__init__(f"cannot import name {wanted!r} from {module!r} (an import cycle)", name=module)
        self.key = (module, wanted)


class _Package(ModuleType):
    """A package that imports its submodules on first use, as the analysis assumes.

    In Python a submodule is an attribute of its package only after something has imported it; that import may
    be missing from the version file, or may not have run yet.
    """

    def __getattr__(self, name: str) -> ModuleType:
        isolation = vars(self)["__loader__"].isolation
        submodule = f"{self.__name__}.{name}"
        if isolation.provider.find(submodule) is None and not isolation.provider.is_package(submodule):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        loaded: ModuleType = isolation.load(submodule)
        return loaded


@dataclass(slots=True)
class _UnfinishedModule:
    """A module that has not finished: ``at`` is the index of the statement that runs next, or waits."""

    name: str
    module: ModuleType
    statements: list[CodeType]
    at: int = 0
    running: bool = False

    @property
    def place(self) -> Place:
        return (self.name, self.at)


class WaitingIsolation(Isolation):
    """An isolation whose modules wait for each other where Python would fail because of an import cycle."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._unfinished: dict[str, _UnfinishedModule] = {}  # in the order in which they were started
        self._needs: dict[Place, dict[Key, Exception]] = {}  # the names that statements failed for
        self._last_error: Exception | None = None
        self._loading = False

    def load(self, name: str) -> ModuleType:
        """The module of that name, run if it has not run yet. Raises ModuleNotFoundError, or what the module raises."""
        if name in self._ready and not self._loading:  # in this order: its cycle may still be waiting
            return self.modules[name]
        with self._lock:
            if self._loading:
                return self._started(name)
            self._loading = True
            try:
                return self._load_with_all(name)
            finally:
                self._loading = False
                self._needs.clear()
                self._last_error = None

    def _load_with_all(self, name: str) -> ModuleType:
        """Loads a module with everything it imports; tries again as long as a failure shows a new reason to wait."""
        while True:
            needs, before = self._count_needs(), set(self.modules)
            try:
                return self._load_once(name)
            except BaseException as error:
                self._drop(self.modules.keys() - before)
                if self._count_needs() == needs or not isinstance(error, Exception):
                    raise

    def _load_once(self, name: str) -> ModuleType:
        with self.visible():
            module = self._started(name)
            self._finish()
        return module

    def _started(self, name: str) -> ModuleType:
        """The module as it is now: started if it has not been, resumed if it has nothing left to wait for."""
        module = self.modules.get(name)
        if module is None:
            return self._load(name)
        run = self._unfinished.get(name)
        if run is not None and not run.running and self._has_finished(run.place):
            self._resume(run)
        return module

    def _finish(self) -> None:
        """Resumes waiting modules: those with nothing left to wait for, else those whose missing names exist by now."""
        while self._unfinished:
            waiting = list(self._unfinished.values())
            able = [run for run in waiting if self._has_finished(run.place)] or [
                run for run in waiting if self._has_names(run.place)
            ]
            if not able:  # they need each other: the first one's error is the one that Python would raise
                places = {run.place for run in waiting}
                raise next(error for place in self._needs if place in places for error in self._needs[place].values())
            self._resume(able[0])

    def _drop(self, names: set[str]) -> None:
        for name in names:
            module = self.modules.pop(name)
            self._ready.discard(name)
            parent, _, last = name.rpartition(".")
            if parent in self.modules and vars(self.modules[parent]).get(last) is module:
                delattr(self.modules[parent], last)
        self._unfinished.clear()

    # Statements

    def _run(self, module: ModuleType, text: ModuleText) -> bool:
        name = module.__name__
        run = self._unfinished[name] = _UnfinishedModule(name, module, _statements_of(text))
        try:
            return self._resume(run)
        except BaseException:
            self._unfinished.pop(name, None)
            raise

    def _resume(self, run: _UnfinishedModule) -> bool:
        """Runs a module's statements from where it stopped. False where it stopped again, because one must wait."""
        run.running = True
        try:
            while run.at < len(run.statements):
                for module, _ in self._needs.get(run.place, ()):
                    self._started(module)
                if not self._has_names(run.place):
                    return False
                self._step(run)
                run.at += 1
        finally:
            run.running = False
        del self._unfinished[run.name]
        self._ready.add(run.name)
        return True

    def _step(self, run: _UnfinishedModule) -> None:
        try:
            exec(run.statements[run.at], vars(run.module))  # noqa: S102  # running the user's code is the purpose
        except (ImportError, AttributeError, NameError) as error:
            # Else a module that this one imports has raised it, and only that one waits.
            if error is not self._last_error:
                self._last_error = error
                need = self._need_of(error)
                if need is not None and need[0] != run.name:
                    self._needs.setdefault(run.place, {}).setdefault(need, error)
            raise

    def _count_needs(self) -> int:
        return sum(map(len, self._needs.values()))

    def _has_finished(self, place: Place) -> bool:
        """Whether the modules that a statement failed for have finished."""
        return not any(module in self._unfinished for module, _ in self._needs.get(place, ()))

    def _has_names(self, place: Place) -> bool:
        """Whether the names that a statement failed for exist, which is all that Python needs."""
        needs = self._needs.get(place, ())
        return all(
            module not in self._unfinished or name in vars(self._unfinished[module].module) for module, name in needs
        )

    # Names

    def _empty(self, name: str, text: ModuleText | None) -> ModuleType:
        module = super()._empty(name, text)
        if "__path__" in vars(module):
            module.__class__ = _Package
        return module

    def _member(self, module: ModuleType, wanted: str) -> None:
        super()._member(module, wanted)
        if wanted != "*" and module.__name__ in self._unfinished and not hasattr(module, wanted):
            raise _NotYetError(module.__name__, wanted)

    def _need_of(self, error: Exception) -> Key | None:
        """The name that a statement failed for, if an unfinished module is missing it."""
        if isinstance(error, _NotYetError):
            return error.key
        if not isinstance(error, AttributeError | NameError) or error.name is None:
            return None
        namespace = _searched(error)
        return next(
            ((name, error.name) for name, run in self._unfinished.items() if vars(run.module) is namespace), None
        )


def _searched(error: AttributeError | NameError) -> object:
    """The namespace of the module in which the name was looked up."""
    if isinstance(error, AttributeError):
        return vars(error.obj) if isinstance(error.obj, ModuleType) else None
    namespace = None
    trace = error.__traceback__
    while trace is not None:
        namespace = trace.tb_frame.f_globals
        trace = trace.tb_next
    return namespace


def _statements_of(text: ModuleText) -> list[CodeType]:
    """A module's statements, compiled one by one; its ``__future__`` imports apply to all of them."""
    flags = 0
    for statement in text.tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__" and not statement.level:
            for alias in statement.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return [text.compiled(statement, flags) for statement in text.tree.body]
