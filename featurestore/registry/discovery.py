"""Finds the features of a project by reading its files, never by running them.

Every ``.py`` file below ``features/`` that mentions featurestore is parsed; functions decorated with
``@feature(...)`` become `Feature` values. Each declaration that can't be used becomes a `BrokenDeclaration`, so that
one bad file never hides the others.
"""

from __future__ import annotations

import ast
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from featurestore.config import Project
from featurestore.errors import DeclarationError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import Feature, Problem
from featurestore.registry.declaration import declared_names, read_declaration
from featurestore.versioning.analysis.tree import Module, SourceTree


@frozen
class BrokenDeclaration:
    """A declaration that can't be used, by the name of its function or feature, or a file that can't be parsed."""

    name: str
    problem: Problem


@frozen
class Registry:
    """The features of the working tree, by name, and the declarations that can't be used."""

    features: tuple[Feature, ...]
    broken: tuple[BrokenDeclaration, ...]

    def names(self) -> list[str]:
        return [feature.name for feature in self.features]


def discover(project: Project, tree: SourceTree) -> Registry:
    """Reads all feature modules. Runs no user code and imports nothing of the user's."""
    features: list[Feature] = []
    broken: list[BrokenDeclaration] = []
    for name, path in _modules(project):
        try:
            module = tree.module(name)
        except DeclarationError as exc:
            broken.append(BrokenDeclaration(path.as_posix(), _problem(exc)))
            continue
        if module is not None:
            _read_module(project, tree, module, features, broken)
    duplicates = {name for name, count in Counter(item.name for item in features).items() if count > 1}
    for name in sorted(duplicates):
        places = [item.place for item in features if item.name == name]
        message = f"two features are named {name!r}: {' and '.join(places)}"
        broken.append(
            BrokenDeclaration(name, Problem("declaration", message, places[-1], "give one of them another name="))
        )
    unique = sorted((item for item in features if item.name not in duplicates), key=lambda item: item.name)
    return Registry(tuple(unique), tuple(broken))


def select(registry: Registry, names: tuple[str, ...] | list[str]) -> list[Feature]:
    """The named features in the order named; all of them when none is named. Raises DeclarationError."""
    if not names:
        return list(registry.features)
    by_name = {feature.name: feature for feature in registry.features}
    for name in names:
        if name not in by_name:
            raise unknown_feature(registry, name)
    return [by_name[name] for name in dict.fromkeys(names)]


def unknown_feature(registry: Registry, name: str) -> DeclarationError:
    """The error for a name that is not declared: what is wrong with its declaration, or the nearest name."""
    for item in registry.broken:
        if item.name == name:
            return DeclarationError(item.problem.message, where=item.problem.where, hint=item.problem.hint)
    return DeclarationError(f"there is no feature {name!r}", hint=did_you_mean(name, registry.names()))


def _modules(project: Project) -> Iterator[tuple[str, Path]]:
    """Dotted names and paths (below the root) of the files that may declare features, in order."""
    paths: list[tuple[str, ...]] = []
    # os.walk, because it can leave out .versions, a folder for every feature; and names, because paths are slow.
    for folder, folders, files in os.walk(project.features):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        inside = Path(folder).relative_to(project.root).parts
        paths += [(*inside, name) for name in files if name.endswith(".py") and not name.startswith(".")]
    for parts in sorted(paths):
        path = Path(*parts)
        try:
            data = (project.root / path).read_bytes()
        except OSError:  # a broken link, or a folder that is named like a module
            continue
        # Parsing takes longest, and a module that does not have the word can't declare anything.
        if b"featurestore" in data:
            names = [*parts[:-1], parts[-1].removesuffix(".py")]
            yield ".".join(names[:-1] if names[-1] == "__init__" else names), path


def _read_module(
    project: Project, tree: SourceTree, module: Module, features: list[Feature], broken: list[BrokenDeclaration]
) -> None:
    decorators = declared_names(module)
    for function, call in _decorated(module, decorators):
        try:
            features.extend(read_declaration(project, tree, module, function, call))
        except DeclarationError as exc:
            broken.append(BrokenDeclaration(function.name, _problem(exc)))


def _decorated(
    module: Module, names: set[str]
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, ast.expr]]:
    """Decorated functions and classes, including those below the top level of the module, which are an error.

    Walking the whole tree is slow, so that it is only walked where the text has more decorators than the top level.
    """
    top_level = [*_decorated_among(module.tree.body, names)] if names else []
    written = sum(module.text.count(f"@{name}") for name in names)
    return iter(top_level if written <= len(top_level) else [*_decorated_among(ast.walk(module.tree), names)])


def _decorated_among(
    nodes: Iterable[ast.AST], names: set[str]
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                target = decorator.func if isinstance(decorator, ast.Call) else decorator
                if _dotted(target) in names:
                    yield node, decorator
                    break


def _dotted(node: ast.expr) -> str:
    """``fs.feature`` for the nodes that spell it; empty for anything but names and attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _problem(exc: DeclarationError) -> Problem:
    return Problem(exc.code, exc.message, exc.where, exc.hint)
