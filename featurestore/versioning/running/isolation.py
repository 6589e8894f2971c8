"""Runs Python modules from given text, isolated from all other modules of the process.

An `Isolation` holds the modules of one project, or of one version file. Import statements inside them,
including those that run later inside functions, find the modules of the same isolation first; two isolations
with the same module names never see each other. ``.pyc`` files are neither read nor written: an edit within
one second may leave a file's size and time unchanged, and Python would then run the old byte code.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol

from featurestore.frozen import frozen
from featurestore.versioning.analysis.tree import refusing_depth

_SYS_MODULES = threading.RLock()


@frozen
class ModuleText:
    """One module's code: the tree to run, its text, the file name for tracebacks, and ``__file__`` where it differs.

    ``first_line`` is the line of the file at which the text begins: more than 1 in a version file.
    """

    tree: ast.Module
    text: str
    filename: str
    package: bool
    file: str | None = None
    first_line: int = 1

    def compiled(self, statement: ast.stmt | None = None, flags: int = 0) -> CodeType:
        """The module's code, or that of one of its statements. Raises DeclarationError for code nested too deeply."""
        body = self.tree if statement is None else ast.Module([statement], [])
        code: CodeType
        try:
            # Else the ``__future__`` imports of this module would hold for the user's code.
            code = compile(body, self.filename, "exec", flags, dont_inherit=True)
        except RecursionError:
            code = self._compiled_text(statement, flags)
        return code

    def _compiled_text(self, statement: ast.stmt | None, flags: int) -> CodeType:
        """Python goes three times deeper into a text than into a tree."""
        lines = self.text.split("\n")
        first, last = 1, len(lines)
        if statement is not None:
            decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
            first = min([statement.lineno, *(item.lineno for item in decorators)]) - self.first_line + 1
            last = (statement.end_lineno or statement.lineno) - self.first_line + 1
        text = "\n" * (first + self.first_line - 2) + "\n".join(lines[first - 1 : last]) + "\n"
        if self.first_line > 1:
            flags |= __future__.annotations.compiler_flag
        code: CodeType
        with refusing_depth(self.filename, first + self.first_line - 1):
            code = compile(text, self.filename, "exec", flags, dont_inherit=True)
        return code


class Provider(Protocol):
    """Where an isolation finds its modules."""

    def find(self, name: str) -> ModuleText | None:
        """The module of that dotted name, if there is one."""
        ...

    def holds(self, name: str) -> bool:
        """Whether the name's first part belongs here, so that no other package is asked for it."""
        ...

    def is_package(self, name: str) -> bool:
        """Whether modules lie below that name."""
        ...

    def folder(self, name: str) -> str | None:
        """The folder of a package, where there is one on disk."""
        ...


class TextLoader:
    """The ``__loader__`` of an isolated module: marks it as ours, and has its text."""

    def __init__(self, isolation: Isolation) -> None:
        self.isolation = isolation

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The isolation's own module, for ``importlib``."""
        return self.isolation.load(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing: the module ran when it was loaded."""

    def get_source(self, name: str) -> str | None:
        """The text that runs, for tracebacks."""
        found = self.isolation.provider.find(name)
        return None if found is None else found.text

    def is_package(self, name: str) -> bool:
        """Whether modules lie below that name."""
        return self.isolation.provider.is_package(name)

    def get_data(self, path: str) -> bytes:
        """A file that lies beside the modules, for `pkgutil`. Raises OSError."""
        return Path(path).read_bytes()

    def get_resource_reader(self, name: str) -> PackageFiles | None:
        """The files of a package, for `importlib.resources`."""
        folder = self.isolation.provider.folder(name)
        return None if folder is None else PackageFiles(Path(folder))


class PackageFiles:
    """What `importlib.resources` asks for the files of a package."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self) -> Path:
        """The package's folder."""
        return self._folder


class Isolation:
    """The modules of one provider, loaded on first import."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.modules: dict[str, ModuleType] = {}
        self.imports: dict[str, set[str]] = {}
        self._ready: set[str] = set()
        self._loader: Any = TextLoader(self)  # the part of ModuleSpec's Loader that Python calls
        self._lock = threading.RLock()
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self, name: str) -> ModuleType:
        """The module of that name, run if it has not run yet. Raises ModuleNotFoundError, or what the module raises."""
        if name in self._ready:
            return self.modules[name]
        with self._lock:  # its own imports get an unfinished module, other threads wait for it
            return self.modules.get(name) or self._load(name)

    def _load(self, name: str) -> ModuleType:
        parent, _, last = name.rpartition(".")
        if parent:
            self.load(parent)
            if name in self.modules:  # the parent imported it
                return self.modules[name]
        text = self.provider.find(name)
        if text is None and not self.provider.is_package(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = self._empty(name, text)
        self.modules[name] = module
        with self.visible():
            try:
                ready = text is None or self._run(module, text)
            except BaseException:
                del self.modules[name]
                raise
        if parent:
            setattr(self.modules[parent], last, module)
        if ready:
            self._ready.add(name)
        return module

    def _run(self, module: ModuleType, text: ModuleText) -> bool:
        """Runs a module's code. False where it has not finished."""
        code = text.compiled()
        exec(code, vars(module))  # noqa: S102  # running the user's code is the purpose
        return True

    def _empty(self, name: str, text: ModuleText | None) -> ModuleType:
        module = ModuleType(name)
        package = text is None or text.package
        spec = ModuleSpec(name, self._loader, origin=text.filename if text else None, is_package=package)
        namespace: dict[str, Any] = vars(module)
        namespace["__builtins__"] = self._builtins
        namespace["__loader__"] = self._loader
        namespace["__spec__"] = spec
        namespace["__package__"] = name if package else name.rpartition(".")[0]
        if text is not None:
            namespace["__file__"] = text.file or text.filename
        if package:
            folder = self.provider.folder(name)
            namespace["__path__"] = spec.submodule_search_locations = [folder] if folder else []
        return module

    def imported_by(self, name: str) -> set[str]:
        """The modules that importing a module has imported, itself included."""
        found: set[str] = set()
        pending = [name]
        while pending:
            module = pending.pop()
            if module in self.modules and module not in found:
                found.add(module)
                pending += [module.rpartition(".")[0], *self.imports.get(module, ())]
        return found

    # The import statement

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002  # the signature of __import__
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        absolute = _absolute(name, globals, level) if level else name
        if not self.provider.holds(absolute):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self.load(absolute)
        importer = str((globals or {}).get("__name__"))
        submodules = (f"{absolute}.{wanted}" for wanted in fromlist or ())
        self.imports.setdefault(importer, set()).update((absolute, *submodules))
        if not fromlist:
            return self.load(absolute.partition(".")[0])
        for wanted in fromlist:
            self._member(module, wanted)
        return module

    def _member(self, module: ModuleType, wanted: str) -> None:
        """Imports the submodule that ``from package import name`` may mean."""
        if wanted == "*":
            for name in getattr(module, "__all__", ()):
                self._member(module, name)
        elif not hasattr(module, wanted) and hasattr(module, "__path__"):
            submodule = f"{module.__name__}.{wanted}"
            if self.provider.find(submodule) is not None or self.provider.is_package(submodule):
                self.load(submodule)

    # What the rest of the process sees

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """For ``importlib.import_module``, while this isolation is visible."""
        if not self.provider.holds(name):
            return None
        if self.provider.find(name) is None and not self.provider.is_package(name):
            return None
        return ModuleSpec(name, self._loader, is_package=self.provider.is_package(name))

    @contextmanager
    def visible(self) -> Iterator[None]:
        """Puts the modules into ``sys.modules`` for a while, in place of others with the same names.

        Dataclasses, pickles and ``importlib`` look there; the import statements of isolated modules never do.
        """
        with _SYS_MODULES:
            tops = {name.partition(".")[0] for name in self.modules}
            hidden = {name: sys.modules.pop(name) for name in _modules_below(tops)}
            sys.modules.update(self.modules)
            sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            with _SYS_MODULES:
                if self in sys.meta_path:  # else what ran has emptied it
                    sys.meta_path.remove(self)
                tops |= {name.partition(".")[0] for name in self.modules}
                for name in _modules_below(tops):
                    del sys.modules[name]
                sys.modules.update(hidden)


def _modules_below(tops: Set[str]) -> list[str]:
    """The names in ``sys.modules`` of these packages and modules and of all that is inside them."""
    inside = tuple(f"{top}." for top in tops)
    return [name for name in sys.modules if name in tops or name.startswith(inside)]


def _absolute(name: str, globals_: Mapping[str, object] | None, level: int) -> str:
    package = str((globals_ or {}).get("__package__") or "")
    parts = package.split(".") if package else []
    if level > len(parts):
        raise ImportError("attempted relative import beyond top-level package")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base
