"""Finds what the names in one statement stand for, and records everything that the closure needs to know of them.

A `Reach` has the open scopes of a walk, looks names up in them or asks the `World` outside, and notes imports,
strings, names of other packages and limits. The canonical form is written by its subclass `canonical.Walk`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Literal

from featurestore.versioning.analysis import limits
from featurestore.versioning.analysis.names import (
    Definition,
    Dotted,
    Global,
    Key,
    Local,
    Plain,
    ProjectModule,
    Referent,
    World,
)
from featurestore.versioning.analysis.scopes import BoundNames, import_name

DECORATORS = ("featurestore.feature", "featurestore.authoring.feature")
MODULE_NAMES = {"__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__path__", "__builtins__"}
# What reads the texts of code: docstrings and annotations, the function's own name, or the module's.
READING = {
    "__doc__": "text", "__annotations__": "text", "__annotate__": "text", "__signature__": "text", "__code__": "text",
    "__text_signature__": "text", "__type_params__": "text", "__wrapped__": "text",
    "__name__": "name", "__qualname__": "name", "__module__": "module",
}  # fmt: skip
READERS = (
    "typing.get_type_hints",
    "typing.get_annotations",
    "typing_extensions.get_",
    "inspect.",
    "annotationlib.",
    "pydoc.",
    "dataclasses.fields",
    "pydantic.",
)
PLACE_NAMES = {"__file__", "__path__", "__spec__", "__loader__"}

Import = ast.Import | ast.ImportFrom
Kind = Literal["function", "class", "comprehension", "loop"]


class Scope:
    """One open scope.

    ``aliases`` are names that a single import binds, ``maybe`` the project modules that other names may be. In a class
    body ``names`` are those bound so far, ``sometimes`` those bound on some paths only, and ``bound`` all that it will
    bind. A loop at the top level is a scope for the code in its body that runs immediately.
    """

    __slots__ = ("aliases", "bound", "globals", "kind", "maybe", "names", "sometimes")

    def __init__(self, names: set[str], kind: Kind = "function") -> None:
        self.names = names
        self.kind = kind
        self.globals: set[str] = set()
        self.aliases: dict[str, Global] = {}
        self.maybe: dict[str, tuple[str, ...]] = {}
        self.sometimes: set[str] = set()
        self.bound: set[str] = set()


class Reach:
    """What one top-level statement reaches."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.strings: set[str] = set()
        self.reads: set[str] = set()
        self.dotted: set[str] = set()
        self.hops: dict[Key, None] = {}
        self.modules: dict[str, None] = {}
        self.required: dict[Key, None] = {}
        self.limits: dict[tuple[int, str], None] = {}
        self.scopes: list[Scope] = []
        self.classes: list[str] = []

    def limit(self, node: ast.expr | ast.stmt, message: str) -> None:
        """Notes something that can't be followed, with its line."""
        self.limits[(node.lineno, message)] = None

    def find(self, name: str) -> Referent:
        """What a name stands for at this point of the walk, by Python's scoping rules."""
        innermost = True
        later = False
        for scope in reversed(self.scopes):
            kind = scope.kind
            if (kind == "class" and not innermost) or (kind == "loop" and later):
                continue
            if name in scope.globals:
                break
            if name in scope.names:
                return scope.aliases.get(name) or Local(name, scope.maybe.get(name, ()))
            if name in scope.bound:  # a name that a class body binds later is looked up at module level
                break
            innermost = False
            later = later or kind == "function"
        return self.find_global(name)

    def find_global(self, name: str) -> Referent:
        """What a name stands for at module level."""
        if self.classes and name.startswith("__"):
            if name == "__class__":
                return Local(name)
            if not name.endswith("__"):  # a private name, which Python prefixes with the class
                name = f"_{self.classes[-1].lstrip('_')}{name}"
        return self.world.lookup(name)

    def passed(self, target: Referent) -> None:
        """Notes the imports that led to a target."""
        for hop in target.hops:
            self.hops[hop] = None

    def follow(self, target: Referent, names: list[str], node: ast.expr) -> Referent:
        """Removes attributes from ``names`` (the last one first) as long as they lead through project modules."""
        while names and isinstance(target, ProjectModule):
            self.passed(target)
            self.modules[target.name] = None
            member = self.world.member(target.name, names[-1])
            if member is not None:
                target = member
            elif names[-1] in MODULE_NAMES:
                target = Plain(names[-1], known=True)
            elif names[-1] == "__dict__" or self.world.member(target.name, "__getattr__") is not None:
                return target
            else:
                self.limit(node, f"name {names[-1]!r} is not defined in module {target.name}")
                target = Dotted(f"{target.name}.{names[-1]}")
            names.pop()
        return target

    def module_of(self, node: ast.expr) -> ProjectModule | None:
        """The project module that an expression names, if it names one."""
        names, base = chain(node)
        if not isinstance(base, ast.Name):
            return None
        target = self.follow(self.find(base.id), names, base)
        return target if isinstance(target, ProjectModule) and not names else None

    def is_feature(self, decorator: ast.expr) -> bool:
        """Whether a decorator is ``@feature``, under whatever name it was imported."""
        names, base = chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        target = self.find(base.id) if isinstance(base, ast.Name) else None
        return isinstance(target, Dotted) and ".".join((target.name, *reversed(names))) in DECORATORS

    def met_dotted(self, name: str, node: ast.expr | ast.stmt, *, missing: bool = False) -> None:
        """Notes something of another package."""
        self.dotted.add(name)
        if missing:
            self.limit(node, f"{name} is not in the project")
        if name.startswith(READERS):
            self.reads.update(("text", "name") if name.startswith("inspect.") else ("text",))
        if name.startswith("polars.col."):
            self.strings.add(name.split(".")[2])
        message = limits.of_dotted(name)
        if message is not None:
            self.limit(node, message)

    def met_plain(self, target: Plain, node: ast.expr | ast.stmt) -> None:
        """Notes a builtin or undefined name."""
        name = target.name
        if name in MODULE_NAMES:
            if name in READING:
                self.reads.add("module" if name == "__name__" else READING[name])
            if name in PLACE_NAMES:
                self.limit(node, f"{name} depends on where the project is")
        elif target.limit:
            self.limit(node, target.limit)
        elif not target.known:
            self.limit(node, f"name {name!r} is not defined in the project")
        elif name in limits.BUILTIN:
            self.limit(node, limits.BUILTIN[name])

    def met_import(self, node: Import, alias: ast.alias, target: Global) -> None:
        """Notes what an import inside a statement needs to run: the module, and the name it takes from it."""
        self.passed(target)
        if isinstance(target, Definition):
            self.required[target.key] = None
        elif isinstance(target, ProjectModule):
            self.modules[target.name] = None
        elif isinstance(target, Dotted):
            self.met_dotted(target.name, node, missing=target.missing)
        if isinstance(node, ast.Import):
            whole = self.world.imported(0, alias.name, None)
            if isinstance(whole, ProjectModule):
                self.modules[whole.name] = None

    def scope_of(self, bound: BoundNames, parameters: Iterable[str] = ()) -> Scope:
        """The scope of a function or class. A name bound only by imports of one thing stands for that thing."""
        scope = Scope(bound.everything())
        scope.globals = bound.global_names
        given = set(parameters)
        scope.names |= given
        for name, found in bound.imports.items():
            if name in scope.globals or name in bound.nonlocal_names:
                continue
            targets = [imported(self.world, node, alias) for node, alias in found]
            if name not in bound.names and name not in given and same(targets):
                scope.aliases[name] = targets[0]
            else:
                scope.maybe[name] = tuple(target.name for target in targets if isinstance(target, ProjectModule))
        return scope


def chain(node: ast.expr) -> tuple[list[str], ast.expr]:
    """``a.b.c`` as its attributes, the last one first, and the expression they belong to."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return names, node


def imported(world: World, node: Import, alias: ast.alias) -> Global:
    """What the name bound by an import stands for."""
    if isinstance(node, ast.ImportFrom):
        return world.imported(node.level, node.module or "", alias.name)
    return world.imported(0, alias.name if alias.asname else import_name(node, alias), None)


def same(targets: Iterable[Global]) -> bool:
    """Whether several imports of one name lead to the same thing, as ``import a.b`` and ``import a.c`` do."""
    return len({(target.__class__, getattr(target, "module", None), target.name) for target in targets}) == 1
