"""Old versions, run or hashed again from their files alone. No checkout of the project is needed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from featurestore.errors import FeatureStoreError, VersionFileError
from featurestore.versioning.analysis.scopes import runs_code
from featurestore.versioning.analysis.tree import Module, SourceTree
from featurestore.versioning.folder.copies import verify_copies, working_folder
from featurestore.versioning.folder.versionfile import RESTORE, VersionFile, read_version
from featurestore.versioning.recipe.closure import Closure, capture
from featurestore.versioning.recipe.hashing import RECIPES, version_hash
from featurestore.versioning.recipe.sections import Section
from featurestore.versioning.recipe.version_hash import VersionHash
from featurestore.versioning.running.import_cycles import WaitingIsolation
from featurestore.versioning.running.isolation import Isolation, ModuleText, Provider
from featurestore.versioning.running.modules import with_its_modules, working_in

_CODE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def load(version: VersionFile, isolate: Callable[[Provider], Isolation] = WaitingIsolation) -> Callable[..., Any]:
    """Runs a version's captured code and returns its function.

    The function finds its own captured modules whenever it is called, whatever other versions are loaded.
    Tracebacks name the version file and its lines. Raises what the code raises.
    """
    folder = folder_of(version)
    isolation = isolate(_SectionProvider(version, folder))
    with working_in(folder):
        function = getattr(isolation.load(version.feature.module), version.feature.function)
    if version.lazy:
        first = next(iter(function.__annotations__), None)
        if first not in (None, "return"):
            # Its text may be an alias that the code has imported; `call_long` goes by this name.
            function.__annotations__[first] = "polars.LazyFrame"
    return with_its_modules(isolation, function, folder)


def folder_of(version: VersionFile) -> Path | None:
    """The folder in which a version that declares files runs, laid out like its project; None for any other.

    Raises VersionFileError where a file is no longer to be had.
    """
    return working_folder(version.name.path, version.sha256, version.feature)


def closure_of(version: VersionFile) -> Closure:
    """The captured code. Raises DeclarationError where this Python can't parse it."""
    return capture(SectionTree(version), version.feature.module, version.feature.function)


def rehash(version: VersionFile, recipe: int | None = None) -> VersionHash:
    """Computes the hash of the captured code again, by the file's own recipe unless another is named.

    An older recipe's hash can't be computed any more: there the newest one's is given. Raises DeclarationError where
    this Python can't parse the code.
    """
    closure = closure_of(version)
    recipe = version.recipe if recipe is None else recipe
    return version_hash(version.feature, closure, recipe if recipe >= min(RECIPES) else None)


def verify(path: Path) -> VersionFile:
    """Reads a version file and checks that its code has the hash that the header gives.

    Raises VersionFileError for a file that was changed in any way, even if the checksum was updated to match; a file of
    an older recipe, whose hash can't be computed any more, rests on its checksum.
    """
    version = read_version(path)
    if version.recipe < min(RECIPES):
        return version
    try:
        again = rehash(version)
    except FeatureStoreError as exc:
        raise VersionFileError(f"can't be hashed again: {exc.message}", where=str(path), hint=RESTORE) from exc
    if again.sha256 != version.sha256:
        message = f"contains code whose hash is {again.short}, not {version.sha256[:12]}"
        raise VersionFileError(message, where=str(path), hint=RESTORE)
    if _held(again.closure.sections) != _held(version.sections):
        raise VersionFileError("contains more than the code that was hashed", where=str(path), hint=RESTORE)
    verify_copies(path, version.feature)
    return version


def _held(sections: Iterable[Section]) -> list[Section]:
    """The sections that hold code: what else runs and holds nothing of the closure, the file alone does not tell."""
    return [section for section in sections if section.text]


class SectionTree(SourceTree):
    """The modules of a version file as a source tree."""

    def __init__(self, version: VersionFile) -> None:
        super().__init__(version.name.path.parent)
        self._path = Path(version.name.path.name)
        self._sections = {section.module: section for section in version.sections}
        self._lines = dict(zip(self._sections, version.first_lines, strict=True))

    def is_package(self, name: str) -> bool:
        """Whether the name is a captured package, or has captured modules below it."""
        section = self._sections.get(name)
        return (section is not None and section.package) or any(
            other.startswith(f"{name}.") for other in self._sections
        )

    def first_line(self, name: str) -> int:
        """The line of the version file at which a module's code begins."""
        return self._lines[name]

    def _read(self, name: str) -> Module | None:
        section = self._sections.get(name)
        if section is None:
            return None
        return Module(name, self._path, section.text, ast.parse(section.text), section.package)

    def _has_python(self, top: str) -> bool:
        return any(name == top or name.startswith(f"{top}.") for name in self._sections)


class _SectionProvider:
    """A version file's modules to run: line numbers are those of the file, annotations of signatures are strings."""

    def __init__(self, version: VersionFile, folder: Path | None) -> None:
        self._tree = SectionTree(version)
        self._full = capture(self._tree, version.feature.module, version.feature.function).full
        self._filename = str(version.name.path)
        self._folder = folder

    def find(self, name: str) -> ModuleText | None:
        module = self._tree.module(name)
        if module is None:
            return None
        tree = ast.parse(module.text)
        if not self._full:
            _unannotate(tree)
        first = self._tree.first_line(name)
        ast.increment_lineno(tree, first - 1)
        return ModuleText(
            tree, module.text, self._filename, module.package, self._place(name, package=module.package), first
        )

    def _place(self, name: str, *, package: bool) -> str | None:
        """Where the module lay in its project, in the folder that is laid out like it."""
        if self._folder is None:
            return None
        stem = self._folder.joinpath(*name.split("."))
        return str(stem / "__init__.py" if package else stem.with_suffix(".py"))

    def holds(self, name: str) -> bool:
        return self._tree.holds(name)

    def is_package(self, name: str) -> bool:
        return self._tree.is_package(name)

    def folder(self, name: str) -> str | None:  # captured packages have none, but for declared files
        return None if self._folder is None else str(self._folder.joinpath(*name.split(".")))


def _unannotate(tree: ast.Module) -> None:
    """Turns annotations into strings where the names in them were not captured: see `recipe.canonical`."""
    pending: list[tuple[ast.AST, str]] = [(tree, "module")]
    while pending:
        node, kind = pending.pop()
        kind = "class" if isinstance(node, ast.ClassDef) else "function" if isinstance(node, _CODE) else kind
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            kept = isinstance(node, ast.AnnAssign) and (
                kind == "class" or (kind == "module" and runs_code(node.annotation))
            )
            if annotation is not None and not kept:
                setattr(node, field, ast.copy_location(ast.Constant(ast.unparse(annotation)), annotation))
        pending += ((child, kind) for child in ast.iter_child_nodes(node))
