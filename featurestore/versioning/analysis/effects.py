"""Whether a statement may change anything when its module is imported. What is not shown to be harmless counts.

No values are followed. A statement *acts* when it may change the objects that its names stand for, or run code of the
project that may; it has an effect *outside* when it may change something of another package. It does neither when it
is a definition, an import or a binding of literals, or when all its calls are in the table of `inert` and it uses
nothing but names bound to such values.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from featurestore.versioning.analysis import inert
from featurestore.versioning.analysis.names import WHOLE, Definition, Dotted, Global, Key, Plain, ProjectModule
from featurestore.versioning.analysis.project import ProjectNames
from featurestore.versioning.analysis.reach import DECORATORS, chain, imported
from featurestore.versioning.analysis.scopes import (
    Function,
    argument_names,
    bound_by,
    import_name,
    is_guard,
    runs_code,
    target_names,
)
from featurestore.versioning.analysis.symbols import SymbolTable
from featurestore.versioning.analysis.tree import refusing_depth
from featurestore.versioning.analysis.walking import children, nodes_of

Kind = Literal["constant", "data", "code", "foreign", "object"]
"""What is known of a value: it can't be changed; a list, dict, set or tuple of such; a function, class or module of the
project; something of another package; anything else, which may run any code when it is used."""

_KINDS: dict[str, Kind] = {"constant": "constant", "plain": "constant", "class": "code", "data": "data"}
_CODE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEEPEST_ALIAS = 10
_SETTING_ATTRIBUTES = {"setattr", "getattr", "hasattr", "isinstance", "callable"}
_LITERALS = (ast.Constant, ast.Load)
_BEHIND = {"__class__", "__dict__", "__mro__", "__bases__"}
_MAKING = {"__new__", "__init__", "__init_subclass__", "__set_name__", "_generate_next_value_", "_missing_"}


class Effect:
    """What running a statement, or a function's body, may do.

    ``changes`` are names that it assigns into, or deletes from, and functions and classes that it hands over, so that
    others may; with `WHOLE` any name of a module. Where it ``reaches``, it may change whatever is behind what it uses,
    such as the class of an object. ``calls`` says whether it may run the code of what it mentions, ``runs`` whether it
    calls anything at all. ``deletes`` are names that have to be there, because it deletes them.
    """

    __slots__ = ("acts", "calls", "changes", "deletes", "outside", "reaches", "runs")

    def __init__(self) -> None:
        self.acts = self.outside = self.calls = self.runs = self.reaches = False
        self.changes: set[Key] = set()
        self.deletes: set[Key] = set()

    @property
    def is_inert(self) -> bool:
        return not (self.acts or self.outside)


class Effects:
    """The effects of one tree's statements; each is worked out once."""

    def __init__(self, project: ProjectNames) -> None:
        self.project = project
        self._statements: dict[tuple[str, int], Effect] = {}
        self._bodies: dict[tuple[str, int], Effect] = {}
        self._kinds: dict[Key, Kind] = {}
        self._states: dict[Key, bool] = {}
        self._stored: dict[str, frozenset[str]] = {}

    def of_statement(self, table: SymbolTable, position: int) -> Effect:
        """What a top-level statement may do when its module is imported, apart from the code that it calls."""
        at = (table.module.name, position)
        effect = self._statements.get(at)
        if effect is None and self._is_plain(table, position):
            effect = self._statements[at] = Effect()
        if effect is None:
            judge = _Judge(self, table.module.name)
            with refusing_depth(table.module.path, table.body[position].lineno):
                judge.look(_running(table.body[position]))
            effect = self._statements[at] = judge.effect
        return effect

    def _is_plain(self, table: SymbolTable, position: int) -> bool:
        """Whether it is an import, or a function with literal defaults and no decorator but ``@feature``: most are."""
        node = table.body[position]
        if isinstance(node, ast.Import | ast.ImportFrom):
            return True
        if not isinstance(node, ast.FunctionDef):
            return False
        given = _defaults(node)
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call) or not _Judge(self, table.module.name).is_feature(decorator):
                return False
            given += [*decorator.args, *(keyword.value for keyword in decorator.keywords)]
        return all(
            isinstance(item, ast.Constant)
            or (
                isinstance(item, ast.List | ast.Tuple | ast.Dict)
                and all(isinstance(each, _LITERALS) for each in ast.iter_child_nodes(item))
            )
            for item in given
        )

    def of_bodies(self, table: SymbolTable, position: int) -> Effect:
        """What the functions in a top-level statement may do when they are called, apart from what those do in turn."""
        at = (table.module.name, position)
        effect = self._bodies.get(at)
        if effect is None:
            judge = _Judge(self, table.module.name)
            judge.locals |= dict.fromkeys(_locals(table.body[position]), "object")
            judge.look(node for node in ast.walk(table.body[position]) if not isinstance(node, ast.Raise))
            effect = self._bodies[at] = judge.effect
        return effect

    def is_deferred(self, table: SymbolTable, position: int) -> bool:
        """Whether a statement only defines a function, so that it does not matter when it runs."""
        node = table.body[position]
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        judge = _Judge(self, table.module.name)
        return all(map(judge.is_feature, node.decorator_list)) and all(
            judge.kind(item) == "constant" for item in _defaults(node)
        )

    def keys_of_decorators(self, table: SymbolTable, position: int) -> set[Key] | None:
        """What the decorators and defaults of a function name, where they don't run the function; else None."""
        node = table.body[position]
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        judge = _Judge(self, table.module.name)
        found: set[Key] = set()
        for decorator in node.decorator_list:
            called = isinstance(decorator, ast.Call)
            target = judge.target(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if isinstance(target, Definition):
                function = self.single(target.key)
                if not isinstance(function, ast.FunctionDef) or _calls_given(function.body, nested=called):
                    return None
            elif not judge.is_feature(decorator) and judge.callee_of(decorator) != "inert":
                return None
        for item in (item for each in (*node.decorator_list, *_defaults(node)) for item in ast.walk(each)):
            named = judge.target(item) if isinstance(item, ast.Name | ast.Attribute) else None
            found.update([named.key] if isinstance(named, Definition) else ())
        return found

    def kind_of(self, key: Key) -> Kind:
        """What is known of a module's name."""
        kind = self._kinds.get(key)
        if kind is None:
            self._kinds[key] = "object"  # while it is worked out, for names that lead back to themselves
            kind = self._kinds[key] = self._kind_of(key)
        return kind

    def has_state(self, key: Key) -> bool:
        """Whether what a name stands for can be changed, so that other code can tell."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = self._has_state(key)
        return state

    def single(self, key: Key) -> ast.stmt | None:
        """The only statement that binds a name; None where there are others, or imports, or functions that bind it."""
        module, name = key
        table = self.project.table(module)
        if table is None or name in table.assigned_by_functions or self.project.imports_of(module, name):
            return None
        positions = table.bindings.get(name, ())
        return table.body[positions[0]] if len(positions) == 1 else None

    def _kind_of(self, key: Key) -> Kind:
        module, name = key
        table = self.project.table(module)
        if name == WHOLE:
            return "code"
        if table is None or name in table.assigned_by_functions or self.project.imports_of(module, name):
            return "object"
        judge = _Judge(self, module)
        kinds = {judge.kind_bound(table.body[position], name) for position in table.bindings.get(name, ())}
        return kinds.pop() if len(kinds) == 1 and (self.single(key) or kinds == {"constant"}) else "object"

    def _has_state(self, key: Key) -> bool:
        if self.kind_of(key) == "constant":
            return False
        node = self.single(key)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or key[1] in self._stored_in(
            key[0]
        ):
            return True
        if isinstance(node, ast.ClassDef):
            return not _Judge(self, key[0]).is_plain_class(node)
        table = self.project.table(key[0])
        assert table is not None
        return not self.is_deferred(table, table.bindings[key[1]][0])

    def _stored_in(self, module: str) -> frozenset[str]:
        """The names whose attributes some code of a module assigns, and those that ``self``-like code may mean."""
        if module not in self._stored:
            table = self.project.table(module)
            found: set[str] = set()
            for node in nodes_of(table.module.tree) if table is not None else ():
                if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                    _, base = chain(node)
                    found.update({base.id} if isinstance(base, ast.Name) else ())
            self._stored[module] = frozenset(found)
        return self._stored[module]


def changed_by_functions(table: SymbolTable) -> dict[str, list[tuple[str, int]]]:
    """The names that the functions of a module change when they are called: by which function, and in which line."""
    found: dict[str, list[tuple[str, int]]] = {}
    for function in table.body:
        if not isinstance(function, Function):
            continue
        changed = list(_changed_in(function))
        own = _locals(function) if changed else ()
        for name, line in changed:
            if name not in own:
                found.setdefault(name, []).append((function.name, line))
    return found


def _changed_in(function: Function) -> Iterator[tuple[str, int]]:
    """The names whose attributes, items or contents a function changes, its own ones among them, with the lines."""
    for node in nodes_of(function):
        changed = isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load)
        place = node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            changed, place = node.func.attr in inert.CHANGING, node.func
        if changed and isinstance(place, ast.Attribute | ast.Subscript):
            _, base = _path(place)
            if isinstance(base, ast.Name):
                yield base.id, place.lineno


def _running(statement: ast.stmt) -> Iterator[ast.AST]:
    """All nodes that run when a statement does: without the bodies of functions, and annotations that call nothing."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and is_guard(node):
            pending += node.orelse
        elif isinstance(node, _CODE):
            pending += getattr(node, "decorator_list", [])
            pending += _defaults(node)
        elif isinstance(node, ast.AnnAssign):
            pending += [node.target, *([node.value] if node.value else [])]
            pending += [node.annotation] if runs_code(node.annotation) else []
        else:
            pending += children(node)


def _defaults(node: Function | ast.Lambda) -> list[ast.expr]:
    return [*node.args.defaults, *(item for item in node.args.kw_defaults if item)]


def _locals(statement: ast.stmt) -> set[str]:
    """The names that functions and classes in a statement bind for themselves."""
    found: set[str] = set()
    for node in nodes_of(statement):
        if isinstance(node, _CODE):
            found.update(argument_names(node.args))
        if isinstance(node, Function | ast.ClassDef):
            bound = bound_by(node.body, walrus=True)
            found |= bound.everything() - bound.imports.keys()
        elif isinstance(node, ast.comprehension):
            found.update(target_names(node.target))
    return found


class _Judge:
    """Judges nodes one by one, in any order: each shows by itself what it may do."""

    def __init__(self, effects: Effects, module: str) -> None:
        self._all = effects
        self._project = effects.project
        self._world = effects.project.world(module)
        self.locals: dict[str, Kind] = {}
        self.imports: dict[str, Global] = {}
        self.effect = Effect()

    def look(self, nodes: Iterable[ast.AST]) -> None:
        """Notes what running these nodes may do."""
        found = list(nodes)
        for node in found:
            if isinstance(node, ast.comprehension):
                self.locals |= dict.fromkeys(target_names(node.target), self.kind(node.iter))
            elif isinstance(node, ast.ClassDef):
                self.locals |= dict.fromkeys(bound_by(node.body, walrus=False).names, "object")
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias for alias in node.names if alias.name != "*"]
                self.imports |= {import_name(node, alias): imported(self._world, node, alias) for alias in names}
        called = {id(node.func) for node in found if isinstance(node, ast.Call)}
        called |= {id(each) for node in found for each in getattr(node, "decorator_list", ())}
        for node in found:
            method = _LOOKS.get(node.__class__)
            if method is not None:
                method(self, node)
            if isinstance(node, ast.Name | ast.Attribute) and id(node) not in called:
                self.hand_over(node)

    # Effects

    def hand_over(self, node: ast.Name | ast.Attribute) -> None:
        """A function or class that is used as a value may get attributes from whoever has it then."""
        target = self.target(node)
        if isinstance(target, Definition) and self._all.kind_of(target.key) == "code":
            self.effect.changes.add(target.key)

    def use(self, *nodes: ast.expr | None) -> None:
        """Operators, conversions, iteration and the like run code of an object."""
        if any(node is not None and self.kind(node) == "object" for node in nodes):
            self.effect.acts = self.effect.calls = True

    def called(self, node: ast.Call) -> None:
        self.effect.runs = True
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        kinds = {self.kind_given(argument) for argument in arguments}
        found = self.callee(node.func)
        if found == "inert" and not kinds & {"object"} and not (kinds & {"code"} and self.is_calling(node.func)):
            return
        if found == "outside":
            self.effect.outside = True
        elif found != "container" and "foreign" in kinds:
            self.effect.outside = True  # the code that is called may change what it is given
        self.effect.reaches |= found == "builtin" and not self.is_plain_setting(node)
        if found == "container" and isinstance(node.func, ast.Attribute):
            target = self.target(node.func.value)
            self.effect.changes.update([target.key] if isinstance(target, Definition) else ())
        self.effect.acts = True
        self.effect.calls |= found != "container"

    def is_plain_setting(self, node: ast.Call) -> bool:
        """Whether it sets an attribute of something that has a name, rather than, say, of the class of an object."""
        named = isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr", "next")
        return named and isinstance(next(iter(node.args), None), ast.Name)

    def kind_given(self, argument: ast.expr) -> Kind:
        """The kind of an argument. A generator that nobody else has is what it yields."""
        if isinstance(argument, ast.GeneratorExp):
            return self.all_of([argument.elt, *(each.iter for each in argument.generators)])
        return self.kind(argument)

    def callee(self, function: ast.expr) -> Literal["inert", "container", "project", "builtin", "outside"]:
        """What calling it does: nothing; changes a list, dict or set; runs code of the project, Python or others."""
        name = self.foreign(function)
        if name is not None:
            return "inert" if _lookup(name) else "outside"
        if isinstance(function, ast.Name) and function.id not in self.locals:
            target = self.lookup(function.id)
            if isinstance(target, Plain):
                if function.id in inert.BUILTINS or function.id == "super":
                    return "inert"
                return "outside" if function.id in inert.ANYTHING or target.limit else "builtin"
        if isinstance(function, ast.Attribute):
            inner = self.target(function.value)
            if isinstance(inner, Plain):
                return "inert" if f"{inner.name}.{function.attr}" in inert.BUILTINS else "builtin"
            kind = self.kind(function.value)
            if kind == "constant" and function.attr in inert.SETTING:
                return "outside" if function.attr in inert.LOGGER else "container"
            if kind == "constant" or (kind == "data" and function.attr in inert.READING):
                return "inert"
            if kind == "data":
                return "container" if function.attr in inert.CHANGING else "project"
            return "outside" if kind == "foreign" else "project"
        return "project"

    def is_calling(self, function: ast.expr) -> bool:
        name = self.foreign(function) or (function.id if isinstance(function, ast.Name) else "")
        return name in inert.CALLING

    def store(self, node: ast.Attribute | ast.Subscript) -> None:
        """An attribute or item is assigned or deleted."""
        self.effect.acts = True
        owner = node.value
        if self.kind(owner) == "foreign":
            self.effect.outside = True
        elif self.kind(owner) != "data":
            self.effect.calls = True
        names, base = _path(node)
        self.effect.reaches |= not isinstance(base, ast.Name) or not _BEHIND.isdisjoint(names)
        target = self.target(owner)
        if isinstance(target, ProjectModule):
            self.effect.changes.add((target.name, node.attr if isinstance(node, ast.Attribute) else WHOLE))
        elif isinstance(target, Definition):
            self.effect.changes.add(target.key)

    def load(self, node: ast.Attribute | ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            self.effect.reaches |= isinstance(node, ast.Attribute) and node.attr in _BEHIND
            self.use(node.value)
            if isinstance(node, ast.Subscript):
                self.use(node.slice)
                if self.kind(node.value) == "code":  # __class_getitem__
                    self.effect.acts = self.effect.calls = True
        else:
            self.store(node)

    def augment(self, node: ast.AugAssign) -> None:
        self.use(node.value)
        if isinstance(node.target, ast.Name):
            kind = self.kind(ast.Name(node.target.id, ast.Load()))
            self.effect.acts |= kind != "constant" or self.kind(node.value) == "object"

    def unpack(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Tuple | ast.List) for target in node.targets):
            self.use(node.value)

    def defined(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            found = self.base(base)
            self.effect.outside |= found == "outside"
            if found is not None:
                self.effect.acts = self.effect.calls = True
        making = any(isinstance(item, Function) and item.name in _MAKING for item in node.body)
        if making and any(self.is_foreign_base(base) for base in node.bases):
            self.effect.acts = self.effect.calls = True  # a base such as Enum calls them while the class is made
        for keyword in node.keywords:
            if not (keyword.arg == "metaclass" and self.foreign(keyword.value) == "abc.ABCMeta"):
                self.effect.acts = self.effect.calls = True
                self.effect.outside |= self.kind(keyword.value) == "foreign"
        self.decorated(node)

    def base(self, node: ast.expr) -> Literal["project", "outside"] | None:
        """Whose code runs when a class with this base is made; None where nobody's does."""
        node = node.value if isinstance(node, ast.Subscript) else node
        name = self.foreign(node)
        if name is not None:
            return None if name in inert.BASES else "outside"
        target = self.target(node)
        if isinstance(target, Plain):
            return None if target.name in inert.BUILTIN_BASES else "outside"
        if not isinstance(target, Definition):
            return "project"
        base = self._all.single(target.key)
        if not isinstance(base, ast.ClassDef) or base.keywords:
            return "project"
        if any(isinstance(item, Function) and item.name == "__init_subclass__" for item in base.body):
            return "project"
        inner = _Judge(self._all, target.module)
        return next((found for item in base.bases if (found := inner.base(item)) is not None), None)

    def is_foreign_base(self, node: ast.expr) -> bool:
        """Whether a base, or a base of it, is not a class of the project that is known."""
        node = node.value if isinstance(node, ast.Subscript) else node
        target = self.target(node)
        base = self._all.single(target.key) if isinstance(target, Definition) else None
        if not isinstance(target, Definition) or not isinstance(base, ast.ClassDef):
            if isinstance(target, Plain):
                return target.name not in inert.BUILTIN_BASES
            name = self.foreign(node) or "enum."
            return name.startswith("enum.") or name not in inert.BASES
        inner = _Judge(self._all, target.module)
        return any(inner.is_foreign_base(item) for item in base.bases)

    def decorated(self, node: Function | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            if self.is_feature(decorator) or isinstance(decorator, ast.Call):
                if isinstance(decorator, ast.Call) and _lookup(self.foreign(decorator.func) or "") is None:
                    self.effect.acts = self.effect.calls = True  # what the call returned is called in its turn
                continue
            found = self.callee(decorator)
            if found != "inert":
                self.effect.acts = self.effect.calls = self.effect.runs = True
                self.effect.outside |= found == "outside"

    def entered(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            if self.kind(item.context_expr) != "constant":
                self.effect.acts = self.effect.calls = True

    def deleted(self, node: ast.Delete) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Name) or target.id in self.locals:
                continue
            key = (self._world.module, target.id)
            self.effect.deletes.add(key)
            if self._all.kind_of(key) == "object":  # __del__
                self.effect.acts = self.effect.calls = True
                self.effect.changes.add(key)

    def raised(self, _node: ast.Raise) -> None:
        self.effect.outside = True  # whether an import fails may decide what any other module does

    # What is known of values

    def lookup(self, name: str) -> Global:
        """What a name stands for: by an import that is looked at, else at module level."""
        return self.imports.get(name) or self._world.lookup(name)

    def is_feature(self, decorator: ast.expr) -> bool:
        """Whether a decorator is ``@feature``."""
        return self.foreign(decorator.func if isinstance(decorator, ast.Call) else decorator) in DECORATORS

    def is_plain_class(self, node: ast.ClassDef) -> bool:
        """Whether a class itself never changes: constants and methods, none of which reaches the class."""
        if node.keywords or any(self.callee_of(item) != "inert" for item in node.decorator_list):
            return False
        for base in node.bases:
            target = self.target(base)
            if self.base(base) is not None or (isinstance(target, Definition) and self._all.has_state(target.key)):
                return False
        for item in node.body:
            if isinstance(item, ast.AnnAssign | ast.Assign):
                if item.value is not None and self.kind(item.value) != "constant":
                    return False
            elif not isinstance(item, Function | ast.Pass) and not (
                isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
            ):
                return False
        reaching = {node.name, "cls", "__class__", "type", "vars", "setattr"}
        return not any(
            (isinstance(item, ast.Name) and item.id in reaching)
            or (isinstance(item, ast.Attribute) and item.attr in ("__class__", "__dict__"))
            for item in ast.walk(node)
        )

    def callee_of(self, decorator: ast.expr) -> str:
        return self.callee(decorator.func if isinstance(decorator, ast.Call) else decorator)

    def kind_bound(self, node: ast.stmt, name: str) -> Kind:
        """What a statement binds a name to."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kept = all(self.is_feature(item) or self.callee_of(item) == "inert" for item in node.decorator_list)
            return "code" if kept else "object"
        if isinstance(node, ast.ClassDef):
            return "code" if node.name == name else "object"
        if isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            return self.kind(node.value)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    return self.kind(node.value)
                value = _unpacked(target, node.value, name)
                if value is not None:
                    return self.kind(value)
        if isinstance(node, ast.For) and not _binds_again(node, name):
            return self.kind(node.iter)
        return "object"

    def kind(self, node: ast.expr) -> Kind:
        """What is known of an expression's value."""
        if isinstance(node, ast.Name):
            return self.locals.get(node.id) or self.kind_of_target(self.lookup(node.id))
        if isinstance(node, ast.Attribute):
            return self.kind_of_attribute(node)
        if isinstance(node, ast.Call):
            return self.kind_of_call(node)
        if isinstance(node, ast.Subscript | ast.NamedExpr | ast.Starred):
            found = self.kind(node.value)
            return "object" if found == "code" else found
        if isinstance(node, ast.Lambda):
            return "code"
        parts = _PARTS.get(node.__class__)
        if parts is None:
            return "object"
        found = self.all_of(parts(node))
        if isinstance(node, _CONTAINERS):
            return "data" if found == "constant" else found
        return "constant" if isinstance(node, ast.Compare) and found == "data" else found

    def kind_of_attribute(self, node: ast.Attribute) -> Kind:
        if self.foreign(node) is not None:
            return "foreign"
        target = self.target(node)
        if isinstance(target, Definition | ProjectModule):
            return self.kind_of_target(target)
        found = self.kind(node.value)
        return "object" if found in ("code", "data") else found

    def all_of(self, nodes: list[ast.expr]) -> Kind:
        """The kind of what holds, or is made of, all these."""
        kinds = {self.kind(node) for node in nodes}
        for kind in ("object", "foreign", "code", "data"):
            if kind in kinds:
                return "object" if kind == "code" else kind
        return "constant"

    def kind_of_call(self, node: ast.Call) -> Kind:
        if self.callee(node.func) != "inert":
            return "object"
        name = self.foreign(node.func)
        if name is not None:
            found = _KINDS.get(_lookup(name) or "", "object")
        elif isinstance(node.func, ast.Name):
            found = _KINDS.get(inert.BUILTINS.get(node.func.id, ""), "object")
        else:
            assert isinstance(node.func, ast.Attribute), "nothing else that is called is inert"
            found = self.kind(node.func.value)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        return self.all_of([*arguments, ast.List([])]) if found == "data" else found

    def kind_of_target(self, target: Global) -> Kind:
        if isinstance(target, Definition):
            return self._all.kind_of(target.key)
        if isinstance(target, ProjectModule):
            return "code"
        if isinstance(target, Plain) and target.name in inert.BUILTINS:
            return "constant"
        return "foreign"

    def resolved(self, node: ast.expr) -> tuple[Global | None, list[str]]:
        """What a name, or a chain of attributes of modules, leads to, and the attributes left over, the last one first.

        None where it leads to no name.
        """
        names, base = chain(node)
        if not isinstance(base, ast.Name) or base.id in self.locals:
            return None, names
        target = self.lookup(base.id)
        while names and isinstance(target, ProjectModule):
            member = self._project.member(target.name, names[-1])
            if member is None:
                break
            target = member
            names.pop()
        return target, names

    def target(self, node: ast.expr) -> Global | None:
        """What a name stands for, or a chain of attributes of modules; a module also for a name that it lacks."""
        target, names = self.resolved(node)
        return target if not names or isinstance(target, ProjectModule) else None

    def foreign(self, node: ast.expr, depth: int = 0) -> str | None:
        """The dotted name of something of another package, also where a module gives it another name."""
        target, names = self.resolved(node)
        if isinstance(target, Dotted):
            return ".".join((target.name, *reversed(names)))
        if isinstance(target, Definition) and depth < _DEEPEST_ALIAS:
            bound = self._all.single(target.key)
            if isinstance(bound, ast.Assign) and isinstance(bound.value, ast.Name | ast.Attribute):
                inner = _Judge(self._all, target.module).foreign(bound.value, depth + 1)
                return None if inner is None else ".".join((inner, *reversed(names)))
        return None


def _calls_given(body: list[ast.stmt], *, nested: bool) -> bool:
    """Whether a decorator may call what it decorates while it decorates: it calls anything that it has no name for.

    With ``nested`` it is the function inside, which a call of the outer one returns.
    """
    inner = [node for node in body if isinstance(node, Function)]
    names = {node.name for node in inner}
    if nested and any(_calls_given(node.body, nested=False) for node in inner):
        return True
    pending: list[ast.AST] = [node for node in body if not isinstance(node, Function)]
    while pending:
        node = pending.pop()
        if isinstance(node, Function | ast.Lambda | ast.ClassDef):
            return True
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Name) and node.func.id in _SETTING_ATTRIBUTES and node.func.id not in names
        ):
            return True
        pending += children(node)
    return not all(map(_wraps, inner))


def _wraps(node: Function) -> bool:
    """Whether a function inside of a decorator is decorated by nothing but ``functools.wraps(…)``."""
    decorators = [item.func if isinstance(item, ast.Call) else item for item in node.decorator_list]
    return all(getattr(item, "attr", getattr(item, "id", "")) == "wraps" for item in decorators)


def _path(node: ast.expr) -> tuple[list[str], ast.expr]:
    """``a.b[c].d`` as its attributes, and the expression that they begin with."""
    names: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        names += [node.attr] if isinstance(node, ast.Attribute) else []
        node = node.value
    return names, node


def _unpacked(target: ast.expr, value: ast.expr, name: str) -> ast.expr | None:
    """The item of ``A, B = 1, 2`` that a name gets."""
    many = (ast.Tuple, ast.List)
    if not isinstance(target, many) or not isinstance(value, many) or len(target.elts) != len(value.elts):
        return None
    for one, other in zip(target.elts, value.elts, strict=True):
        if isinstance(one, ast.Name) and one.id == name and not isinstance(other, ast.Starred):
            return other
    return None


def _binds_again(node: ast.For, name: str) -> bool:
    return name in bound_by([*node.body, *node.orelse], walrus=True).everything()


def _lookup(name: str) -> str | None:
    """The kind of an inert call of another package: by its name, or as a method of an inert class or value."""
    kind = inert.PACKAGES.get(name)
    while kind is None and name:
        name = name.rpartition(".")[0]
        kind = "plain" if inert.PACKAGES.get(name) in ("plain", "class") else None
    return kind


_CONTAINERS = (ast.List, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp)
# What a value is made of. Nothing of a constant, which a text is whatever stands in it.
_PARTS: dict[type[ast.expr], Callable[[Any], list[ast.expr]]] = {
    ast.Constant: lambda _node: [],
    ast.JoinedStr: lambda _node: [],
    ast.Slice: lambda _node: [],
    ast.Tuple: lambda node: node.elts,
    ast.List: lambda node: node.elts,
    ast.Set: lambda node: node.elts,
    ast.Dict: lambda node: [*(key for key in node.keys if key is not None), *node.values],
    ast.ListComp: lambda node: [node.elt, *(each.iter for each in node.generators)],
    ast.SetComp: lambda node: [node.elt, *(each.iter for each in node.generators)],
    ast.DictComp: lambda node: [node.key, node.value, *(each.iter for each in node.generators)],
    ast.BinOp: lambda node: [node.left, node.right],
    ast.UnaryOp: lambda node: [node.operand],
    ast.BoolOp: lambda node: node.values,
    ast.IfExp: lambda node: [node.body, node.orelse],
    ast.Compare: lambda node: [node.left, *node.comparators],
}
_LOOKS: dict[type[ast.AST], Callable[[_Judge, Any], None]] = {
    ast.Call: _Judge.called,
    ast.Attribute: _Judge.load,
    ast.Subscript: _Judge.load,
    ast.BinOp: lambda judge, node: judge.use(node.left, node.right),
    ast.UnaryOp: lambda judge, node: judge.use(node.operand),
    ast.Compare: lambda judge, node: judge.use(node.left, *node.comparators),
    ast.BoolOp: lambda judge, node: judge.use(*node.values),
    ast.IfExp: lambda judge, node: judge.use(node.test),
    ast.If: lambda judge, node: judge.use(node.test),
    ast.While: lambda judge, node: judge.use(node.test),
    ast.Assert: lambda judge, node: judge.use(node.test),
    ast.FormattedValue: lambda judge, node: judge.use(node.value),
    ast.Starred: lambda judge, node: judge.use(node.value),
    ast.comprehension: lambda judge, node: judge.use(node.iter, *node.ifs),
    ast.For: lambda judge, node: judge.use(node.iter),
    ast.AsyncFor: lambda judge, node: judge.use(node.iter),
    ast.Match: lambda judge, node: judge.use(node.subject),
    ast.AugAssign: _Judge.augment,
    ast.Assign: _Judge.unpack,
    ast.ClassDef: _Judge.defined,
    ast.FunctionDef: _Judge.decorated,
    ast.AsyncFunctionDef: _Judge.decorated,
    ast.With: _Judge.entered,
    ast.AsyncWith: _Judge.entered,
    ast.Raise: _Judge.raised,
    ast.Delete: _Judge.deleted,
}
