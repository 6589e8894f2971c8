"""Runs captured modules so that circles of imports come out, whichever module of a circle is asked for first.

Python runs a module from top to bottom at its first import. Whether ``from lib import B`` finds ``B`` within a
circle depends on where the circle was entered, and a version file is entered elsewhere than its project:
what the feature does not reach is left out, imports too, and with them the order that they brought about.

So a captured module may wait. Its statements run one by one, in Python's order. Where one fails for a name
that another module does not have yet, all that was loaded is dropped and run anew, and this time the module
stops before that statement, is given to its importers as it is, and goes on when the other has. Nothing runs
twice in the modules that are kept, each module runs in its own order, and what loads in Python's order is not
touched. Where the project loads at all, no two statements need each other, so the waiting ends.
"""

from __future__ import annotations
import __future__

import ast
from dataclasses import dataclass
from types import CodeType, ModuleType

from featurestore.versioning.analysis.names import Key
from featurestore.versioning.analysis.tree import deep_recursion
from featurestore.versioning.running.isolation import Isolation, Provider, Text

Place = tuple[str, int]
"""A statement: its module, and its position among the module's statements."""


class _NotYetError(ImportError):
    """A name that a module under way does not have, or not yet."""

    def __init__(self, module: str, wanted: str) -> None:
        super().__init__(f"cannot import name {wanted!r} from {module!r} (a circle of imports)", name=module)
        self.key = (module, wanted)


class _Package(ModuleType):
    """A package whose modules are there for all who name them, as the analysis takes it.

    In Python they are once anything has imported them, which may have been left out, or not be done yet.
    """

    def __getattr__(self, name: str) -> ModuleType:
        isolation = vars(self)["__loader__"].isolation
        submodule = f"{self.__name__}.{name}"
        if isolation.provider.find(submodule) is None and not isolation.provider.is_package(submodule):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        loaded: ModuleType = isolation.load(submodule)
        return loaded


@dataclass(slots=True)
class _Run:
    """A module that has not run to its end: ``at`` is the statement that is running, or waiting."""

    name: str
    module: ModuleType
    statements: list[CodeType]
    at: int = 0
    running: bool = False

    @property
    def place(self) -> Place:
        return (self.name, self.at)


class WaitingIsolation(Isolation):
    """An isolation whose modules wait for each other where Python gives up on a circle."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._runs: dict[str, _Run] = {}  # in the order in which they were begun
        self._needs: dict[Place, dict[Key, Exception]] = {}  # what statements failed for
        self._seen: Exception | None = None
        self._loading = False

    def load(self, name: str) -> ModuleType:
        """The module of that name, run if it has not run yet. Raises ModuleNotFoundError, or what the module raises."""
        if name in self._ready and not self._loading:  # in this order: what it needs of a circle may still be waiting
            return self.modules[name]
        with self._lock:
            if self._loading:
                return self._begun(name)
            self._loading = True
            try:
                return self._load_with_all(name)
            finally:
                self._loading = False
                self._needs.clear()
                self._seen = None

    def _load_with_all(self, name: str) -> ModuleType:
        """Loads a module, with all that it imports: again as long as a failure teaches who has to wait for what."""
        while True:
            known, before = self._count_needs(), set(self.modules)
            try:
                return self._load_once(name)
            except BaseException as error:
                self._drop(self.modules.keys() - before)
                if self._count_needs() == known or not isinstance(error, Exception):
                    raise

    def _load_once(self, name: str) -> ModuleType:
        with self.visible():
            module = self._begun(name)
            self._finish()
        return module

    def _begun(self, name: str) -> ModuleType:
        """The module as it is: one not begun is, and one that waits goes on if what it waits for has run."""
        module = self.modules.get(name)
        if module is None:
            return self._load(name)
        run = self._runs.get(name)
        if run is not None and not run.running and self._has_run(run.place):
            self._go_on(run)
        return module

    def _finish(self) -> None:
        """Runs what still waits: first what waits for nothing more, else what finds the names that it needs."""
        while self._runs:
            waiting = list(self._runs.values())
            able = [run for run in waiting if self._has_run(run.place)] or [
                run for run in waiting if self._is_there(run.place)
            ]
            if not able:  # they need each other: the first to fail says what Python would have said
                places = {run.place for run in waiting}
                raise next(error for place in self._needs if place in places for error in self._needs[place].values())
            self._go_on(able[0])

    def _drop(self, names: set[str]) -> None:
        for name in names:
            module = self.modules.pop(name)
            self._ready.discard(name)
            parent, _, last = name.rpartition(".")
            if parent in self.modules and vars(self.modules[parent]).get(last) is module:
                delattr(self.modules[parent], last)
        self._runs.clear()

    # Statements

    def _run(self, module: ModuleType, found: Text) -> bool:
        name = module.__name__
        run = self._runs[name] = _Run(name, module, _statements_of(found))
        try:
            return self._go_on(run)
        except BaseException:
            self._runs.pop(name, None)
            raise

    def _go_on(self, run: _Run) -> bool:
        """Runs a module's statements, and tells whether it came to the end: else the next one waits."""
        run.running = True
        try:
            while run.at < len(run.statements):
                for module, _ in self._needs.get(run.place, ()):
                    self._begun(module)
                if not self._is_there(run.place):
                    return False
                self._step(run)
                run.at += 1
        finally:
            run.running = False
        del self._runs[run.name]
        self._ready.add(run.name)
        return True

    def _step(self, run: _Run) -> None:
        try:
            exec(run.statements[run.at], vars(run.module))  # noqa: S102  # running the user's code is the purpose
        except (ImportError, AttributeError, NameError) as error:
            if error is not self._seen:  # else it comes from a module that this one imports, and only that has to wait
                self._seen = error
                need = self._need_of(error)
                if need is not None and need[0] != run.name:
                    self._needs.setdefault(run.place, {}).setdefault(need, error)
            raise

    def _count_needs(self) -> int:
        return sum(map(len, self._needs.values()))

    def _has_run(self, place: Place) -> bool:
        """Whether the modules that a statement failed for have run to their ends."""
        return not any(module in self._runs for module, _ in self._needs.get(place, ()))

    def _is_there(self, place: Place) -> bool:
        """Whether the names are there at least, which is all that Python asks."""
        needs = self._needs.get(place, ())
        return all(module not in self._runs or name in vars(self._runs[module].module) for module, name in needs)

    # Names

    def _empty(self, name: str, found: Text | None) -> ModuleType:
        module = super()._empty(name, found)
        if "__path__" in vars(module):
            module.__class__ = _Package
        return module

    def _member(self, module: ModuleType, wanted: str) -> None:
        super()._member(module, wanted)
        if wanted != "*" and module.__name__ in self._runs and not hasattr(module, wanted):
            raise _NotYetError(module.__name__, wanted)

    def _need_of(self, error: Exception) -> Key | None:
        """The name that a statement failed for, where a module is to blame that has not run to its end."""
        if isinstance(error, _NotYetError):
            return error.key
        if not isinstance(error, AttributeError | NameError) or error.name is None:
            return None
        namespace = _searched(error)
        return next(((name, error.name) for name, run in self._runs.items() if vars(run.module) is namespace), None)


def _searched(error: AttributeError | NameError) -> object:
    """The namespace of the module in which a name was not found."""
    if isinstance(error, AttributeError):
        return vars(error.obj) if isinstance(error.obj, ModuleType) else None
    namespace = None
    trace = error.__traceback__
    while trace is not None:
        namespace = trace.tb_frame.f_globals
        trace = trace.tb_next
    return namespace


def _statements_of(found: Text) -> list[CodeType]:
    """A module's statements, each by itself: what it imports of ``__future__`` holds for all of them."""
    flags = 0
    for statement in found.tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__" and not statement.level:
            for alias in statement.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    with deep_recursion():
        return [
            compile(ast.Module([statement], []), found.filename, "exec", flags, dont_inherit=True)
            for statement in found.tree.body
        ]
