"""Assignments to other modules' names when a module is imported: reported as limits, but not followed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Set

from featurestore.errors import DeclarationError
from featurestore.versioning.analysis.names import Definition, Dotted, Global, Key, ProjectModule
from featurestore.versioning.analysis.project import LimitAt, ProjectNames
from featurestore.versioning.analysis.reach import chain
from featurestore.versioning.analysis.scopes import bound_by


class Patches:
    """The assignments of one tree; each module is read once."""

    def __init__(self, project: ProjectNames) -> None:
        self._project = project
        self._imported: dict[str, list[str]] = {}
        self._patched: dict[str, list[tuple[Global, str, LimitAt]]] = {}

    def reached(self, modules: Iterable[str], keys: Set[Key], dotted: Set[str]) -> list[LimitAt]:
        """What these modules and their imports assign of what a closure reaches: ``keys`` and ``dotted``."""
        return [
            limit
            for module in self._imported_by(modules)
            for target, shown, limit in self._of(module)
            if _is_reached(target, shown, keys, dotted)
        ]

    def _of(self, module: str) -> list[tuple[Global, str, LimitAt]]:
        if module not in self._patched:
            found = []
            table = self._project.table(module)
            for patched, line in table.patches if table is not None else ():
                target, names = _follow(self._project, module, patched)
                first = ".".join(target.key) if isinstance(target, Definition) else target.name
                shown = ".".join((first, *reversed(names)))
                message = f"{shown} is assigned when {module} is imported; the assignment is not followed"
                found.append((target, shown, (table.module.path.as_posix() if table else module, line, message)))
            self._patched[module] = found
        return self._patched[module]

    def _imported_by(self, modules: Iterable[str]) -> list[str]:
        """These modules, the packages around them, and all project modules that they import at their top level."""
        seen: dict[str, None] = {}
        pending = list(modules)
        while pending:
            module = pending.pop()
            while module and module not in seen:
                seen[module] = None
                if module not in self._imported:
                    self._imported[module] = _imports(self._project, module)
                pending += self._imported[module]
                module = module.rpartition(".")[0]
        return sorted(module for module in seen if self._imported[module] is not _UNREADABLE)


_UNREADABLE: list[str] = []
"""In place of the imports of a module that can't be parsed, and so can't be imported either."""


def _is_reached(target: Global, shown: str, keys: Set[Key], dotted: Set[str]) -> bool:
    if isinstance(target, Definition):
        return target.key in keys
    if isinstance(target, ProjectModule):
        module, _, name = shown.rpartition(".")
        return shown == target.name or (module, name) in keys
    return isinstance(target, Dotted) and any(f"{name}.".startswith(f"{shown}.") for name in dotted)


def _follow(project: ProjectNames, module: str, node: ast.expr) -> tuple[Global, list[str]]:
    """What a chain of attributes leads to, and the rest of the chain, the last name first."""
    while isinstance(node, ast.Subscript):
        node = node.value
    names, base = chain(node)
    if not isinstance(base, ast.Name):
        return (_follow(project, module, base)[0] if isinstance(base, ast.Subscript) else Dotted("")), []
    target = project.world(module).lookup(base.id)
    while names and isinstance(target, ProjectModule):
        member = project.member(target.name, names[-1])
        if member is None:
            break
        target = member
        names.pop()
    return target, names


def _imports(project: ProjectNames, module: str) -> list[str]:
    try:
        table = project.table(module)
    except DeclarationError:
        return _UNREADABLE
    if table is None:
        return []
    world = project.world(module)
    found: list[str] = []
    for statement in table.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        nodes = [node for many in bound_by([statement], walrus=False).imports.values() for node, _ in many]
        nodes += [star.statement for star in table.stars if star.statement is statement]
        for node in nodes:
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            else:
                origin = world.absolute(node.level, node.module or "") or ""
                found += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return [name for name in found if project.tree.holds(name)]
