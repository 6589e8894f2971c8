"""Finds what the names in one statement stand for, and records everything that the closure needs to know of them.

A `Reach` has the open scopes of a walk, looks names up in them or asks the `World` outside, and notes imports,
strings, names of other packages and limits. The canonical form is written by its subclass `canonical.Walk`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Literal

from featurestore.versioning.analysis import limits, paths
from featurestore.versioning.analysis.limits import Kind as LimitKind
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
    "__doc__": "text", "__annotations__": "text", "__annotate__": "text", "__signature__": "text",
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
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:\w+)?")
_IMPORTING = "importlib.import_module"
_ASKING = {"getattr", "methodcaller", "attrgetter"}  # for attributes by their names
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

    def is_only_local(self, name: str) -> bool:
        """Whether a name is bound here, and by no import."""
        return name in self.names and name not in self.aliases and name not in self.maybe and name not in self.globals


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
        self.limits: dict[tuple[int, str, LimitKind, tuple[str | None, ...]], None] = {}
        self.calls: dict[int, ast.Call] = {}
        self.scopes: list[Scope] = []
        self.classes: list[str] = []

    def limit(
        self,
        node: ast.expr | ast.stmt,
        message: str,
        kind: LimitKind = "code",
        files: tuple[str | None, ...] = (),
    ) -> None:
        """Notes something that can't be followed, with its line and, of a file, which one that is."""
        self.limits[(node.lineno, message, kind, files)] = None

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
                self.limit(node, f"name {names[-1]!r} is not defined in module {target.name}", "project")
                target = Dotted(f"{target.name}.{names[-1]}")
            names.pop()
        return target

    def look(self, target: Referent, names: list[str]) -> Referent:
        """The same for who only looks: nothing is noted."""
        while names and isinstance(target, ProjectModule):
            member = self.world.member(target.name, names[-1])
            if member is None:
                return target
            target = member
            names.pop()
        return target

    def elsewhere(self, world: World) -> Reach:
        """A reach of another module, for who only looks."""
        return Reach(world)

    def module_of(self, node: ast.expr) -> ProjectModule | None:
        """The project module that an expression names, if it names one."""
        names, base = chain(node)
        if not isinstance(base, ast.Name):
            return None
        target = self.follow(self.find(base.id), names, base)
        return target if isinstance(target, ProjectModule) and not names else None

    def imported_by(self, node: ast.expr) -> ProjectModule | Dotted | None:
        """The module that ``importlib.import_module("a.b")`` imports; None where it is computed, or no such call."""
        if not isinstance(node, ast.Call) or not node.args or len(node.args) + len(node.keywords) > 2:
            return None
        if node.args[0].__class__ is not ast.Constant:
            return None
        names, base = chain(node.func)
        if not isinstance(base, ast.Name) or (names and names[0] != "import_module"):
            return None
        function = self.find(base.id)
        if not isinstance(function, Dotted) or ".".join((function.name, *reversed(names))) != _IMPORTING:
            return None
        target = self._named_module(node.args[0], [*node.args[1:], *(item.value for item in node.keywords)])
        if target is not None:
            self.passed(function)
        return target

    def _named_module(self, name: ast.expr, package: list[ast.expr]) -> ProjectModule | Dotted | None:
        text = name.value if isinstance(name, ast.Constant) else None
        if not isinstance(text, str) or not _MODULE.fullmatch(text.lstrip(".")) or ":" in text:
            return None
        level = len(text) - len(text.lstrip("."))
        if level:
            match package:
                case [ast.Name("__package__")]:
                    pass
                case [ast.Constant(str(given))] if level <= given.count(".") + 1:
                    text, level = ".".join([*given.split(".")[: given.count(".") + 2 - level], text[level:]]), 0
                case _:
                    return None
        target = self.world.imported(level, text.lstrip("."), None)
        return target if isinstance(target, ProjectModule | Dotted) else None

    def is_feature(self, decorator: ast.expr) -> bool:
        """Whether a decorator is ``@feature``, under whatever name it was imported."""
        names, base = chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        target = self.find(base.id) if isinstance(base, ast.Name) else None
        return isinstance(target, Dotted) and ".".join((target.name, *reversed(names))) in DECORATORS

    def met_dotted(self, name: str, node: ast.expr | ast.stmt, *, missing: bool = False) -> None:
        """Notes something of another package."""
        self.dotted.add(name)
        if missing:
            self.limit(node, f"{name} is not in the project", "project")
        if name.startswith(READERS):
            self.reads.update(("text", "name") if name.startswith("inspect.") else ("text",))
        if name.startswith("polars.col."):
            self.strings.add(name.split(".")[2])
        if isinstance(node, ast.stmt):
            return  # what it binds may have a limit where it is used
        call = self.calls.get(id(node))
        found = limits.of_dotted(name)
        last = name.rpartition(".")[2]
        if found is None and call is not None and not name.startswith("polars."):
            found = limits.of_method(last, called=True)
        if found is not None and not (name in limits.SEEDED and call is not None and _has_seed(call)):
            self._outside(node, *found, None if call is None else paths.file_of(self, call), call)
        if call is not None:
            self._met_call(call, last)

    def met_attributes(self, names: list[str], base: ast.expr, node: ast.expr) -> None:
        """Notes attributes of an unknown object, the last one first: the name of a method says what it does."""
        call = self.calls.get(id(node))
        for at, name in enumerate(names):
            given = call if at == 0 else None
            found = limits.of_method(name, called=given is not None)
            if found is None or (name == "read" and given is not None and not (given.args or given.keywords)):
                continue
            file = None
            if given is not None:
                inner = node.value if isinstance(node, ast.Attribute) else base
                file = paths.path_of(self, inner)
                argument = paths.file_of(self, given)
                if name in ("glob", "rglob") and file and argument:
                    file = f"{file}/{argument}"
                elif file is None:
                    file = argument
            self._outside(node, *found, file, given)
        if call is not None:
            self._met_call(call, names[0])

    def is_plain_call(self, call: ast.Call) -> bool:
        """Whether a name is called that asks for no attribute or module by name, and makes no logger of this module."""
        if call.func.__class__ is not ast.Name or call.func.id in _ASKING:
            return False
        first = call.args[0] if call.args else None
        return first.__class__ is not ast.Constant and getattr(first, "id", "") != "__name__"

    def met_call(self, call: ast.Call) -> None:
        """Notes a call, before what it calls is walked."""
        self.calls[id(call.func)] = call

    def met_names(self, call: ast.Call) -> None:
        """Notes attributes and methods that are asked for by name, as ``getattr`` and ``methodcaller`` do."""
        names, base = chain(call.func)
        asks = names[0] if names else base.id if isinstance(base, ast.Name) else ""
        if asks not in _ASKING:
            return
        texts = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        found: tuple[LimitKind, str] | None = None
        if asks == "getattr" and len(call.args) > 1:
            names, base = chain(call.args[0])
            target = self.find(base.id) if isinstance(base, ast.Name) else None
            if isinstance(target, Dotted) and isinstance(call.args[1], ast.BinOp | ast.JoinedStr | ast.Call):
                found = ("code", f"a name of {target.name} that is computed is not followed; write it out")
            elif isinstance(target, Dotted) and texts:
                found = limits.of_dotted(".".join((target.name, *reversed(names), texts[0])))
            elif texts:
                found = limits.of_method(texts[0], called=True)
        elif asks != "getattr" and texts:
            found = limits.of_method(texts[0].rpartition(".")[2], called=True)
        if found is not None:
            self._outside(call, *found, None)

    def _met_call(self, call: ast.Call, name: str) -> None:
        if name in limits.UNSEEDED and not _has_seed(call):
            self.limit(call.func, limits.MESSAGES["random"], "random")
        if name in limits.SQL and call.args:
            text = paths.text_of(self, call.args[0])
            kind = None if text is None else limits.of_sql(text)
            if text is None and isinstance(call.args[0], ast.Name | ast.Attribute | ast.Call):
                kind = "native"
            if kind is not None:
                files = limits.files_of_sql(text or "") or (None,)
                self.limit(call.func, limits.MESSAGES[kind], kind, files if kind == "native" else ())

    def _outside(
        self, node: ast.expr | ast.stmt, kind: LimitKind, message: str, file: str | None, call: ast.Call | None = None
    ) -> None:
        given = call.args[0] if call is not None and call.args else None
        if kind in limits.OF_FILES:
            in_memory = kind == "native" and isinstance(given, ast.Constant) and isinstance(given.value, bytes)
            if file != paths.IN_MEMORY and not in_memory:
                self.limit(node, message, kind, (file,))
            return
        if message == limits.MESSAGES["project"] and isinstance(given, ast.Constant) and self._elsewhere(given.value):
            kind, message = "code", limits.HELD.format(given.value)
        self.limit(node, message, kind)

    def _elsewhere(self, name: object) -> bool:
        """Whether a dotted name is that of another package's module."""
        if not isinstance(name, str) or not _MODULE.fullmatch(name):
            return False
        target = self.world.imported(0, name.partition(":")[0], None)
        return isinstance(target, Dotted) and not target.missing

    def met_plain(self, target: Plain, node: ast.expr | ast.stmt) -> None:
        """Notes a builtin or undefined name."""
        name = target.name
        if name in MODULE_NAMES:
            if name in READING:
                self.reads.add("module" if name == "__name__" else READING[name])
            if name in PLACE_NAMES:
                self.limit(node, f"{name} depends on where the project is", "file", (None,))
        elif target.limit:
            self.limit(node, target.limit, "project" if target.ours else "code")
        elif not target.known:
            self.limit(node, f"name {name!r} is not defined in the project", "project")
        elif name in limits.BUILTIN:
            call = self.calls.get(id(node))
            self._outside(node, *limits.BUILTIN[name], None if call is None else paths.file_of(self, call), call)

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


def _has_seed(call: ast.Call) -> bool:
    """Whether a generator or a method is given something that fixes its numbers."""
    named = {keyword.arg for keyword in call.keywords if not _is_none(keyword.value)}
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr == "sample":
        return bool(named & {"seed", "random_state"})
    return any(not _is_none(argument) for argument in call.args) or bool(named)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


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
