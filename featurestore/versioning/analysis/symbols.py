"""One module's top level: which statements bind each name, and which change it afterwards.

A name bound by a single plain import is an alias, and the import is not part of the code. Any other name is a
definition: all the statements that bind or change it.
"""

from __future__ import annotations

import ast
from functools import cached_property

from featurestore.versioning.analysis import aliases, mutations
from featurestore.versioning.analysis.aliases import EVERYTHING, Change
from featurestore.versioning.analysis.scopes import bound_by, import_name, nested, root_name, running
from featurestore.versioning.analysis.tree import Module


class Imported:
    """One name bound by a plain import at the top level."""

    __slots__ = ("alias", "name", "position", "statement")

    def __init__(self, name: str, position: int, statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> None:
        self.name, self.position, self.statement, self.alias = name, position, statement, alias


class SymbolTable:
    """The symbol table of a module. Positions are indexes of its top-level statements."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.body = module.tree.body
        self.lines = module.text.split("\n")
        # To look for `:=` in every expression is slow, and most modules have none.
        self.walrus = ":=" in module.text
        self.bindings: dict[str, list[int]] = {}
        self.imports: dict[str, list[Imported]] = {}
        self.stars: list[Imported] = []
        for position, statement in enumerate(self.body):
            self._read(position, statement)

    def _read(self, position: int, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__" and not statement.level:
                return
            for alias in statement.names:
                if alias.name == "*":
                    self.stars.append(Imported("*", position, statement, alias))
                else:
                    name = import_name(statement, alias)
                    self.imports.setdefault(name, []).append(Imported(name, position, statement, alias))
            return
        # It does not run when the module is imported.
        if _is_main_guard(statement):
            return
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and not self.walrus:
            names = {statement.name}
        else:
            names = bound_by([statement], walrus=self.walrus, annotated=False).everything()
        for name in names:
            self.bindings.setdefault(name, []).append(position)

    def names(self) -> list[str]:
        """Every name bound at the top level, without those of star imports."""
        return sorted({*self.bindings, *self.imports, *self.assigned_by_functions})

    def statements_of(self, name: str) -> list[int]:
        """The positions of all statements that bind or change the name, including imports of it."""
        positions = {*self.bindings.get(name, ()), *self.changes.get(name, ())}
        if name in self.imports:
            positions.update(found.position for found in self.imports[name])
        if not positions:  # only functions bind it
            positions.update(position for position, _ in self.assigned_by_functions.get(name, ()))
        return sorted(positions)

    def is_definition(self, name: str) -> bool:
        """Whether anything but plain imports binds the name."""
        return name in self.bindings or (name in self.assigned_by_functions and name not in self.imports)

    def is_fixed(self, name: str) -> bool:
        """Whether the name is always the same immutable object: bound once, by ``def`` or to an immutable literal."""
        positions = self.bindings.get(name, [])
        if len(positions) != 1 or name in self.imports:
            return False
        statement = self.body[positions[0]]
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            return True
        return (
            isinstance(statement, ast.Assign | ast.AnnAssign)
            and statement.value is not None
            and _is_immutable(statement.value)
        )

    @cached_property
    def exported(self) -> frozenset[str] | None:
        """The names of a literal ``__all__``; None where there is none, or it is computed."""
        positions = self.bindings.get("__all__", [])
        if len(positions) != 1:
            return None
        statement = self.body[positions[0]]
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if not isinstance(value, ast.List | ast.Tuple) or "__all__" in self.changes:
            return None
        items = [item.value for item in value.elts if isinstance(item, ast.Constant)]
        return frozenset(str(item) for item in items) if len(items) == len(value.elts) else None

    @cached_property
    def assigned_by_functions(self) -> dict[str, list[tuple[int, int]]]:
        """Names that functions assign with ``global``, each with the (statement position, line) of every place."""
        if "global" not in self.module.text:
            return {}
        found: dict[str, list[tuple[int, int]]] = {}
        for position, statement in enumerate(self.body):
            for node in ast.walk(statement):
                if isinstance(node, ast.Global):
                    for name in node.names:
                        found.setdefault(name, []).append((position, node.lineno))
        return found

    @cached_property
    def changes(self) -> dict[str, list[int]]:
        """Names changed by a statement that does not bind them: ``TABLE["a"] = 1``, ``NAMES.append("b")``."""
        found: dict[str, list[int]] = {}
        for position, statement in enumerate(self.body):
            if isinstance(statement, ast.Import | ast.ImportFrom) or _is_main_guard(statement):
                continue
            for name in self._changed(statement):
                if name in self.bindings and position not in self.bindings[name]:
                    found.setdefault(name, []).append(position)
        return found

    def _changed(self, statement: ast.stmt) -> set[str]:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return self._changed_by_decorators(statement)
        found: set[Change] = set()
        for node in running(statement):
            found.update(mutations.of_node(node))
            found.update(change for change in mutations.of_effects(node) if not self.is_fixed(change[0]))
            if isinstance(node, ast.Call):
                found.update((name, EVERYTHING) for name in self._changed_by_call(node))
        if {name for name, _ in found} & mutations.own_names(statement):
            mentioned = mutations.mentioned(statement)
            found.update((name, EVERYTHING) for name in mentioned if not self.is_fixed(name))
        return {name for name, _ in found} | {origin for change in found for origin in self._aliased_of(*change)}

    def _changed_by_call(self, call: ast.Call) -> set[str]:
        """What functions of this module change when they are called here, or passed to be called: ``map(g, a)``."""
        given = {
            item.id for item in (*call.args, *(word.value for word in call.keywords)) if isinstance(item, ast.Name)
        }
        root = root_name(call.func)
        called = (given if root is None else {*given, root}) & self._functions.keys()
        names = {name for function in called for name in self.changed_by_functions.get(function, ())}
        if called & self._changing_arguments:
            names |= given - called
            names |= {root} - called if root is not None else set()
        return names

    def _changed_by_decorators(self, statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
        """A decorator may register what it decorates in a table of the module, or with another function."""
        names: set[str] = set()
        for decorator in statement.decorator_list:
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            root = root_name(function)
            if root is None or root not in self.bindings:
                continue
            if isinstance(function, ast.Attribute) and function.attr in mutations.MUTATORS:
                names.add(root)
            names.update(self.changed_by_functions.get(root, ()))
        return names | {origin for name in names for origin in self._aliased_of(name, EVERYTHING)}

    @cached_property
    def _aliased(self) -> dict[str, list[Change]]:
        found: dict[str, list[Change]] = {}
        for statement in self.body:
            for inner in [statement, *nested(statement)]:
                for name, origin, depth in aliases.of_statement(inner):
                    found.setdefault(name, []).append((origin, depth))
        return found

    def _aliased_of(self, name: str, depth: int) -> set[str]:
        """Other names of the same object, or of an object inside it that a change this deep reaches."""
        found: set[str] = set()
        pending = [(name, depth)]
        while pending:
            current, deep = pending.pop()
            steps = [*self._aliased.get(current, ()), *((name, 0) for name in self._given_by(current))]
            for origin, below in steps:
                if deep > below and origin not in found:
                    found.add(origin)
                    pending.append((origin, deep - below))
        return {origin for origin in found if not self.is_fixed(origin)}

    def _given_by(self, name: str) -> set[str]:
        """What a function or class of the module may return or expose: everything that it mentions."""
        statements = [self.body[position] for position in self.bindings.get(name, ())]
        definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        return {
            mentioned
            for statement in statements
            if isinstance(statement, definitions)
            for mentioned in aliases.mentioned_anywhere(statement)
            if mentioned in self.bindings and mentioned != name
        }

    @cached_property
    def _functions(self) -> dict[str, tuple[dict[str, int], bool]]:
        found: dict[str, tuple[dict[str, int], bool]] = {}
        for statement in self.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                text = "\n".join(self.lines[statement.lineno - 1 : statement.end_lineno])
                changed, arguments = mutations.of_function(statement, text, walrus=self.walrus)
                before = found.get(statement.name, ({}, False))
                found[statement.name] = ({**changed, **before[0]}, arguments or before[1])
        return found

    @cached_property
    def _changing_arguments(self) -> set[str]:
        return {function for function, (_, arguments) in self._functions.items() if arguments}

    @cached_property
    def changed_by_functions(self) -> dict[str, dict[str, int]]:
        """For each top-level function, the names of the module that it changes when called, with the line."""
        return {function: changed for function, (changed, _) in self._functions.items() if changed}

    @cached_property
    def patches(self) -> list[tuple[ast.expr, int]]:
        """Attributes of imported names that this module assigns, or passes to ``setattr``, with the line."""
        found: list[tuple[ast.expr, int]] = []
        for statement in self.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
                continue
            for node in running(statement):
                patched: ast.expr | None = None
                if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                    patched = node
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
                    patched = _set_attribute(node)
                if patched is not None and root_name(patched) in self.imports:
                    found.append((patched, patched.lineno))
        return found


def _set_attribute(call: ast.Call) -> ast.expr | None:
    """``setattr(a, "b", …)`` as ``a.b``; ``a`` where the name is not a constant."""
    if len(call.args) < 2:
        return None
    name = call.args[1]
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        return call.args[0]
    return ast.copy_location(ast.Attribute(call.args[0], name.value, ast.Store()), call)


def _is_main_guard(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.If) or statement.orelse or not isinstance(statement.test, ast.Compare):
        return False
    test = statement.test
    sides = [test.left, *test.comparators]
    return (
        len(sides) == 2
        and isinstance(test.ops[0], ast.Eq)
        and any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
        and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)
    )


def _is_immutable(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Tuple(elts=items):
            return all(map(_is_immutable, items))
        case ast.UnaryOp(operand=operand):
            return _is_immutable(operand)
        case ast.BinOp(left=left, right=right):
            return _is_immutable(left) and _is_immutable(right)
    return False
