"""What a statement may change when it runs, by names: no values are followed, and what is not known counts.

An `Effect` lists the names whose objects a statement or a function's body may change (``touched``) or whose code it
may run (``opened``), the functions of the project that it calls, and whether it may change anything outside the
project (``outside``). A statement without any of these is inert: a definition, an import, a binding of literals,
or one whose calls are all in the table of `inert`. Operators, attributes, items, iteration and ``with`` run code of
the objects that they are used on, and are effects on all names but those bound to plain values.
"""

from __future__ import annotations

import ast

from featurestore.versioning.analysis.effect import ARGUMENTS, OUTSIDE, SELF, Effect
from featurestore.versioning.analysis.names import Key
from featurestore.versioning.analysis.project import ProjectNames
from featurestore.versioning.analysis.running import Running
from featurestore.versioning.analysis.scopes import Function
from featurestore.versioning.analysis.symbols import SymbolTable
from featurestore.versioning.analysis.tree import refusing_depth
from featurestore.versioning.analysis.values import CONSTANT, OBJECT, PLAIN, Value


class Effects:
    """The effects of one tree's statements and functions; each is worked out once."""

    def __init__(self, project: ProjectNames) -> None:
        self.project = project
        self._statements: dict[tuple[str, int], Effect] = {}
        self._bodies: dict[Key, Effect] = {}
        self._returned: dict[Key, Value] = {}
        self._values: dict[Key, Value] = {}

    def of_statement(self, table: SymbolTable, position: int) -> Effect:
        """What a top-level statement does when its module is imported, apart from the functions that it calls."""
        at = (table.module.name, position)
        effect = self._statements.get(at)
        if effect is None:
            effect = self._statements[at] = Effect()
            judge = Running(self, table.module.name, effect)
            with refusing_depth(table.module.path.as_posix(), table.body[position].lineno):
                judge.statement(table.body[position])
        return effect

    def settled(self, effect: Effect) -> Effect:
        """The same with what the functions do that it calls."""
        if not effect.calls:
            return effect
        whole = Effect()
        whole.used, whole.runs = effect.used, effect.runs
        whole.touched |= effect.touched
        whole.opened |= effect.opened
        whole.rebound |= effect.rebound
        whole.outside = effect.outside
        seen: set[Key] = set()
        given: set[Key] = set()
        objects: set[Key] = set()
        pending = list(effect.calls)
        while pending:
            function, self_, arguments = pending.pop()
            objects |= self_
            given |= arguments
            if function in seen:
                continue
            seen.add(function)
            body = self.of_body(function)
            whole.touched |= body.touched
            whole.opened |= body.opened
            whole.rebound |= body.rebound
            whole.outside |= body.outside
            pending += body.calls
        whole.calls = [(function, frozenset(), frozenset()) for function in seen]
        for mark, names in ((ARGUMENTS, given | objects), (SELF, objects)):
            if mark in whole.touched:
                whole.touched |= names
            if mark in whole.opened:
                whole.opened |= names
        whole.outside |= OUTSIDE in whole.touched
        whole.touched -= {ARGUMENTS, SELF, OUTSIDE}
        whole.opened -= {ARGUMENTS, SELF, OUTSIDE}
        return whole

    def of_body(self, function: Key) -> Effect:
        """What a function or method (``("module", "Class.method")``) does when it is called."""
        effect = self._bodies.get(function)
        if effect is None:
            effect = self._bodies[function] = Effect()
            found = self._code(function)
            if found is not None:
                node, method = found
                Running(self, function[0], effect, own=function).body(node, method=method)
        return effect

    def returned(self, function: Key) -> Value:
        """What is known of what a function returns, if it calls no other of the project for it.

        To follow these too would give one answer or another, depending on where a cycle of calls is entered.
        """
        value = self._returned.get(function)
        if value is None:
            value = self._returned[function] = self._returned_by(function)
        return value

    def _returned_by(self, function: Key) -> Value:
        found = self._code(function)
        if found is None or isinstance(found[0], ast.AsyncFunctionDef):
            return OBJECT
        effect = Effect()
        Running(self, function[0], effect, own=function, shallow=True).body(found[0], method=found[1])
        if not effect.returned <= {"constant", "plain"}:
            return OBJECT
        return PLAIN if "plain" in effect.returned else CONSTANT

    def bodies(self, table: SymbolTable, position: int) -> list[Key]:
        """The functions that a top-level statement defines: itself, or the methods of a class."""
        node = table.body[position]
        module = table.module.name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return [(module, node.name)]
        if isinstance(node, ast.ClassDef):
            return [
                (module, f"{node.name}.{item.name}")
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            return [(module, target.id) for target in node.targets if isinstance(target, ast.Name)]
        return []

    def value_of(self, key: Key) -> Value:
        """What is known of a name at module level."""
        value = self._values.get(key)
        if value is None:
            self._values[key] = OBJECT  # while it is worked out, for names that lead back to themselves
            value = self._values[key] = self._value_of(key)
        return value

    def class_of(self, key: Key) -> ast.ClassDef | None:
        """The definition of a class that is bound once."""
        node = self._single(key)
        return node if isinstance(node, ast.ClassDef) else None

    def method_of(self, key: Key, name: str) -> tuple[Key, Function] | None:
        """A method of a class or of its bases in the project."""
        pending, seen = [key], set()
        while pending:
            current = pending.pop(0)
            node = self.class_of(current)
            if node is None or current in seen:
                continue
            seen.add(current)
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == name:
                    return (current[0], f"{current[1]}.{name}"), item
            pending += [base for base in self._bases(current[0], node) if base is not None]
        return None

    def is_simple(self, key: Key) -> bool:
        """Whether a class runs nothing but the methods that it shows: no metaclass, no foreign base."""
        pending, seen = [key], set()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            node = self.class_of(current)
            if node is None or node.keywords:
                return False
            judge = Running(self, current[0], Effect())
            if not all(judge.is_keeping(item, classes=True) for item in node.decorator_list):
                return False
            bases = self._bases(current[0], node)
            if any(base is None for base in bases):
                return False
            if self.method_of(current, "__init_subclass__") and current != key:
                return False
            pending += [base for base in bases if base is not None and base != OUTSIDE]
        return True

    def is_enum(self, key: Key) -> bool:
        """Whether a class is an enumeration, whose members are made when it is defined."""
        node = self.class_of(key)
        if node is None:
            return False
        running = Running(self, key[0], Effect())
        if any(running.is_enum(item) for item in node.bases):
            return True
        return any(base is not None and base != OUTSIDE and self.is_enum(base) for base in self._bases(key[0], node))

    def remembers(self, function: Key) -> bool:
        """Whether a function keeps what it gave, and that may differ from one call to the next."""
        node = self._single(function)
        if not isinstance(node, ast.FunctionDef) or not node.decorator_list:
            return False
        running = Running(self, function[0], Effect())
        if not any(running.is_caching(item) for item in node.decorator_list):
            return False
        return any(self.value_of(key).kind not in ("constant", "function") for key in self.of_body(function).used)

    def postpones(self, module: str) -> bool:
        """Whether a module has ``from __future__ import annotations``."""
        table = self.project.table(module)
        return table is not None and any(
            isinstance(item, ast.ImportFrom)
            and item.module == "__future__"
            and any(alias.name == "annotations" for alias in item.names)
            for item in table.body[:9]
        )

    def _bases(self, module: str, node: ast.ClassDef) -> list[Key | None]:
        """The bases of a class: a class of the project, OUTSIDE for a harmless one, None for any other."""
        judge = Running(self, module, Effect())
        return [judge.base(item) for item in node.bases]

    def _single(self, key: Key) -> ast.stmt | None:
        module, name = key
        table = self.project.table(module)
        if table is None or name in table.imports or name in table.assigned_by_functions:
            return None
        positions = table.bindings.get(name, ())
        return table.body[positions[0]] if len(positions) == 1 else None

    def _code(self, function: Key) -> tuple[Function | ast.Lambda, bool] | None:
        module, name = function
        owner, _, method = name.partition(".")
        node = self._single((module, owner))
        if method and isinstance(node, ast.ClassDef):
            for item in reversed(node.body):
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == method:
                    return item, True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return node, False
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            return node.value, False
        return None

    def _value_of(self, key: Key) -> Value:
        module, name = key
        table = self.project.table(module)
        if table is None or name in table.imports or name in table.assigned_by_functions:
            return OBJECT
        if self.project.imports_of(module, name):
            return OBJECT
        values = [self._bound(table, position, name, key) for position in table.bindings.get(name, ())]
        if len(values) == 1 and values[0].kind == "plain" and _has_handlers(table, name):
            return OBJECT
        if len(values) == 1:
            return values[0]
        return CONSTANT if values and all(value.kind == "constant" for value in values) else OBJECT

    def _bound(self, table: SymbolTable, position: int, name: str, key: Key) -> Value:
        node = table.body[position]
        judge = Running(self, table.module.name, Effect())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            keeps = all(judge.is_keeping(item) for item in node.decorator_list)
            return Value("function", key=key) if keeps else OBJECT
        if isinstance(node, ast.ClassDef):
            return Value("class", key=key) if node.name == name else OBJECT
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    if isinstance(node.value, ast.Lambda):
                        return Value("function", key=key)
                    return judge.value(node.value)
                value = _unpacked(target, node.value, name)
                if value is not None:
                    return judge.value(value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            return judge.value(node.value)
        return OBJECT


def _has_handlers(table: SymbolTable, name: str) -> bool:
    """Whether a logger gets handlers or filters of its own, which run at each message."""
    text = table.module.text
    return f"{name}.addFilter" in text or f"{name}.addHandler" in text


def _unpacked(target: ast.expr, value: ast.expr, name: str) -> ast.expr | None:
    """The item of ``A, B = 1, 2`` that a name gets."""
    many = (ast.Tuple, ast.List)
    if not isinstance(target, many) or not isinstance(value, many) or len(target.elts) != len(value.elts):
        return None
    for one, other in zip(target.elts, value.elts, strict=True):
        if isinstance(one, ast.Name) and one.id == name and not isinstance(other, ast.Starred):
            return other
    return None
