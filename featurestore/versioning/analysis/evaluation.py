"""The effects of expressions that run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from featurestore.versioning.analysis import inert
from featurestore.versioning.analysis.effect import CALLED, OUTSIDE, SELF, Effect
from featurestore.versioning.analysis.names import WHOLE, Definition, Dotted, Global, Key, Plain, ProjectModule
from featurestore.versioning.analysis.reach import DECORATORS
from featurestore.versioning.analysis.scopes import Comprehension, argument_names, target_names
from featurestore.versioning.analysis.values import (
    CONSTANT,
    CONTAINER,
    DATA,
    OBJECT,
    PLAIN,
    UNCHANGING,
    VALUES,
    Value,
    kind_of_call,
)

if TYPE_CHECKING:
    from featurestore.versioning.analysis.effects import Effects

_LINKS = (ast.Attribute, ast.Subscript, ast.Call)
_ITERATING = {"enumerate", "filter", "iter", "map", "reversed", "zip"}
# Decorators that return a function which, when it is called, does what the function does.
_KEEPING = {
    "functools.cache", "functools.lru_cache", "functools.wraps", "contextlib.contextmanager", "typing.overload",
    "typing.final", *DECORATORS,
}  # fmt: skip
_FRAME_CHANGING = {"drop_in_place", "insert_column", "replace_column", "scatter", "set_at_idx", "shrink_to_fit"}
_SETTING = re.compile(r"(add|del|remove|set)[A-Z]")  # of loggers
_BUILDING = ("__new__", "__init__", "__post_init__", "__setattr__")
_HARMLESS = {*_BUILDING[1:3], "__repr__", "__str__"}


class Scope:
    """The variables of a function, class, comprehension or loop, each with what is known and the names behind it."""

    def __init__(self, kind: str, names: Iterable[str] = ()) -> None:
        self.kind = kind
        self.names: dict[str, tuple[Value, frozenset[Key]]] = {name: (OBJECT, frozenset()) for name in names}
        self.assigned: set[str] = set()
        self.globals: set[str] = set()


class Evaluation:
    """Walks the expressions of code that runs, in its order, and notes their effects."""

    def __init__(
        self, effects: Effects, module: str, effect: Effect, own: Key | None = None, *, shallow: bool = False
    ) -> None:
        self._all = effects
        self._module = module
        self._world = effects.project.world(module)
        self._scopes: list[Scope] = []
        self._own = own
        self._shallow = shallow
        self._inside: set[ast.AST] = set()
        self.effect = effect

    # Effects

    def _touch(self, keys: Iterable[Key], node: ast.AST | None = None) -> None:
        for key in keys:
            self.effect.touched.add(key)
            if key == OUTSIDE:
                self.effect.outside = True
            if node is not None:
                self.effect.changed.setdefault(key, getattr(node, "lineno", 0))

    def _open(self, *nodes: ast.expr, given: Iterable[Key] = ()) -> None:
        keys = {*self.names_in(*nodes), *given}
        self._touch(keys)
        self.effect.opened |= keys

    # Names

    def names_in(self, *nodes: ast.AST) -> set[Key]:
        """The names at module level whose objects the values of expressions may be, or contain."""
        found: set[Key] = set()
        pending = list(nodes)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Name):
                found |= self._keys_of(node.id)
            elif isinstance(node, ast.Attribute):
                pending += self._names_in_path(node, found)
            elif isinstance(node, ast.Call):
                pending += self._names_in_call(node, found)
            elif isinstance(node, ast.Lambda):
                pending.append(node.body)
            else:
                pending += ast.iter_child_nodes(node)
        return found

    def _names_in_path(self, node: ast.Attribute, found: set[Key]) -> list[ast.expr]:
        """Adds what an attribute may be, and gives what is left to look at."""
        value = self._path(node)
        if value is None or value.kind == "bound":
            return [node.value]
        if value.key is not None:
            found.add(value.key)
        elif value.kind == "module":
            found.add((value.name, WHOLE))
        elif value.kind == "package" and value.name not in inert.TYPES:
            found.add(OUTSIDE)
        return []

    def _names_in_call(self, node: ast.Call, found: set[Key]) -> list[ast.expr]:
        """The same for what a call may return: something that the function knows, or was given."""
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        function = self._path(node.func)
        if function is not None and function.kind in ("function", "class") and function.key is not None:
            found.add((function.key[0], function.key[1] + CALLED))
        elif isinstance(node.func, ast.Name) and node.func.id == "super":
            found.add(SELF)
        elif function is None or function.kind not in ("package", "builtin"):
            return [node.func, *given]
        return given

    def _local(self, name: str) -> tuple[Value, frozenset[Key]] | None:
        innermost = True
        for scope in reversed(self._scopes):
            if scope.kind == "class" and not innermost:
                continue
            if name in scope.globals:
                return None
            if name in scope.names:
                return scope.names[name]
            innermost = innermost and scope.kind == "comprehension"
        return None

    def _keys_of(self, name: str) -> set[Key]:
        local = self._local(name)
        if local is not None:
            return set(local[1])
        target = self._world.lookup(name)
        if isinstance(target, Definition):
            return {target.key}
        if isinstance(target, ProjectModule):
            return {(target.name, WHOLE)}
        if isinstance(target, Dotted):
            return set() if target.name in inert.TYPES else {OUTSIDE}
        return {OUTSIDE} if target.limit else set()

    def _named(self, name: str) -> Value:
        local = self._local(name)
        return local[0] if local is not None else self._global(self._world.lookup(name))

    def _global(self, target: Global) -> Value:
        if isinstance(target, Definition):
            value = self._all.value_of(target.key)
            return Value(value.kind, name=value.name, key=target.key if value.key is None else value.key)
        if isinstance(target, ProjectModule):
            return Value("module", name=target.name)
        if isinstance(target, Dotted):
            return Value("package", name=target.name)
        if isinstance(target, Plain) and target.known and not target.limit:
            return Value("constant") if target.name.startswith("__") else Value("builtin", name=target.name)
        return OBJECT

    def _path(self, node: ast.expr) -> Value | None:
        """What ``a.b.c`` names, as far as that can be said without running anything."""
        attributes: list[ast.Attribute] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        value = self._named(node.id)
        local = self._local(node.id)
        if local is not None and not attributes and value.key is None:
            return value if value.kind in ("package", "module", "builtin") else None
        for attribute in reversed(attributes):
            known = self._member(value, attribute.attr)
            if known is None:
                return None
            value = known
        return value

    def _member(self, value: Value, name: str) -> Value | None:
        if value.kind == "package":
            return Value("package", name=f"{value.name}.{name}")
        if value.kind == "builtin":
            return Value("builtin", name=f"{value.name}.{name}")
        if value.kind == "module":
            target = self._world.member(value.name, name)
            return None if target is None else self._global(target)
        return None

    # Expressions

    def value(self, node: ast.expr) -> Value:
        """Walks an expression that runs, and says what is known of its value."""
        if isinstance(node, ast.Constant):
            return CONSTANT
        if isinstance(node, _LINKS):
            return self._chain(node)
        if isinstance(node, ast.Name):
            if self._local(node.id) is None:
                self.effect.used |= self._keys_of(node.id)
            else:
                self.effect.used |= {key for key in self._keys_of(node.id) if key[0]}
            return self._named(node.id)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        method = getattr(self, f"_of_{node.__class__.__name__.lower()}", None)
        if method is not None:
            found: Value = method(node)
            return found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._operand(self.value(child), child)
        return OBJECT

    def _owner(self, node: ast.expr) -> Value:
        """The value of which an attribute is used. That of a module is not a use of the whole module."""
        if isinstance(node, ast.Name) and self._named(node.id).kind == "module":
            return self._named(node.id)
        return self.value(node)

    def _chain(self, node: ast.expr) -> Value:
        """``a.b[c](d).e``: from the inside out, since a chain may be a thousand links long."""
        links: list[ast.expr] = []
        while isinstance(node, _LINKS):
            links.append(node)
            node = node.func if isinstance(node, ast.Call) else node.value
        value = self._owner(node)
        for link in reversed(links):
            if isinstance(link, ast.Attribute):
                value = self._attribute(value, link)
            elif isinstance(link, ast.Subscript):
                value = self._subscript(value, link)
            elif isinstance(link, ast.Call):
                value = self._call(value, link)
        return value

    def _attribute(self, value: Value, node: ast.Attribute) -> Value:
        known = self._member(value, node.attr)
        if known is not None:
            if known.key is not None:
                self.effect.used.add(known.key)
            return known
        kind = value.kind
        if kind == "module":
            if self._world.member(value.name, "__getattr__") is not None:
                self._open(given={(value.name, "__getattr__"), (value.name, WHOLE)})
            return OBJECT
        if kind in ("object", "bound"):
            # Looking up a method runs no code but that of properties, and calling it is judged as a whole.
            self._open(node.value)
            return Value("bound", name=node.attr, base=OBJECT, node=node.value)
        if kind == "instance" and value.key is not None:
            return self._of_instance(value, node)
        if kind == "class" and value.key is not None and not self._all.is_simple(value.key):
            self._open(node.value)
        return Value("bound", name=node.attr, base=value, node=node.value)

    def _of_instance(self, value: Value, node: ast.Attribute) -> Value:
        assert value.key is not None
        methods = self._all
        if methods.method_of(value.key, "__getattribute__") or methods.method_of(value.key, "__getattr__"):
            self._open(node.value)
            return OBJECT
        found = methods.method_of(value.key, node.attr)
        if found is not None and found[1].decorator_list:
            self.effect.calls.append((found[0], frozenset(self.names_in(node.value)), frozenset()))
            return OBJECT
        return Value("bound", name=node.attr, base=value, node=node.value)

    def _subscript(self, value: Value, node: ast.Subscript) -> Value:
        key = self.value(node.slice)
        if value.kind not in ("package", "builtin", "class"):
            self._operand(key, node.slice)
        kind = value.kind
        if kind in ("constant", "plain", "data", "package", "builtin"):
            return Value("package", name=f"{value.name}[]") if kind == "package" else Value(kind)
        if kind == "container":
            return OBJECT
        if kind == "class" and value.key is not None and self._all.is_simple(value.key):
            found = self._all.method_of(value.key, "__class_getitem__")
            if found is not None:
                self.effect.calls.append((found[0], frozenset({value.key}), frozenset(self.names_in(node.slice))))
            return Value("bound", base=value, node=node.value)
        self._open(node.value)
        return OBJECT

    def _call(self, function: Value, node: ast.Call) -> Value:
        self.effect.runs = True
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        values = [self._argument(item) for item in given]
        kind, name = function.kind, function.name
        if kind == "builtin":
            return self._call_builtin(name, node, given, values)
        if kind == "package":
            known = kind_of_call(name)
            if known is None:
                self.effect.outside = True
                self._open(*given)
                return OBJECT
            self._give(given, values)
            return VALUES.get(known, OBJECT)
        if kind == "function" and function.key is not None:
            self.effect.calls.append((function.key, frozenset(), frozenset(self.names_in(*given))))
            if self._all.remembers(function.key):
                self._touch({function.key})
            return OBJECT if self._shallow else self._all.returned(function.key)
        if kind == "lambda" and isinstance(function.node, ast.Lambda):
            self._lambda(function.node, self.names_in(*given))
            return OBJECT
        if kind == "class" and function.key is not None:
            return self._build(function.key, given)
        if kind == "bound" and function.base is not None and function.node is not None:
            return self._call_method(function.base, function.node, name, node, given, values)
        if kind == "plain":
            self._give(given, values)
            return PLAIN
        self._open(node.func, *given)
        return OBJECT

    def _argument(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Starred):
            return self._iterate(node.value)
        return self.value(node)

    def _call_builtin(self, name: str, node: ast.Call, given: list[ast.expr], values: list[Value]) -> Value:
        if name in inert.ANYTHING:
            self.effect.outside = True
            self._open(*given)
            return OBJECT
        if name in ("getattr", "hasattr") and given:
            self._operand(values[0], given[0])
            if values[0].kind in ("module", "package") and not isinstance(given[1], ast.Constant):
                self._open(given[0])
            return OBJECT
        if name in ("setattr", "delattr") and given:
            self._change(self._set_attribute(given, values), node)
            return OBJECT
        if name == "super" or (name == "type" and len(given) == 1):
            return OBJECT
        kind = inert.BUILTINS.get(name)
        if kind is None:
            if name in inert.BUILTIN_BASES:
                self._give(given, values)
                return OBJECT
            self._open(*given)
            return OBJECT
        self._give(given, values)
        if kind == "data" and not all(value.kind in UNCHANGING for value in values):
            return CONTAINER if name not in ("max", "min") else OBJECT
        return VALUES[kind]

    def _set_attribute(self, given: list[ast.expr], values: list[Value]) -> set[Key]:
        name = given[1] if len(given) > 1 else None
        if values[0].kind == "module" and isinstance(name, ast.Constant):
            self.effect.rebound.add((values[0].name, str(name.value)))
            return {(values[0].name, str(name.value))}
        return self.names_in(given[0])

    def _call_method(
        self,
        base: Value,
        expression: ast.expr,
        name: str,
        node: ast.Call,
        given: list[ast.expr],
        values: list[Value],
    ) -> Value:
        kind = base.kind
        if kind in ("constant", "plain"):
            in_place = any(keyword.arg == "in_place" for keyword in node.keywords)
            if kind == "plain" and (name in _FRAME_CHANGING or in_place):
                self._change(self.names_in(expression), node)
            elif kind == "plain" and name in inert.CHANGING:
                self._touch(self.names_in(expression))
            elif kind == "plain" and _SETTING.match(name):
                names = self.names_in(expression)
                self.effect.outside |= not names  # whoever asks for the logger of that name gets it
                self._touch(names)
            self._give(given, values)
            return PLAIN
        if kind in ("data", "container"):
            if name not in inert.READING:
                self._change(self.names_in(expression), node)
            self._give(given, values)
            return Value(kind) if name != "get" or kind == "data" else OBJECT
        if kind in ("instance", "class") and base.key is not None:
            found = self._all.method_of(base.key, name)
            if found is not None and (kind == "instance" or found[1].decorator_list) and self._all.is_simple(base.key):
                objects = {base.key} if kind == "class" else self.names_in(expression)
                self.effect.calls.append((found[0], frozenset(objects), frozenset(self.names_in(*given))))
                return OBJECT
        self._open(expression, *given)
        if name in inert.CHANGING:
            for key in self.names_in(expression):
                self.effect.changed.setdefault(key, node.lineno)
        return OBJECT

    def _build(self, key: Key, given: Sequence[ast.expr]) -> Value:
        """An instance of a class of the project."""
        self.effect.used.add(key)
        if not self._all.is_simple(key) or self._all.method_of(key, "__del__") is not None:
            self._open(*given, given={key})
            return OBJECT
        arguments = frozenset(self.names_in(*given))
        for name in _BUILDING:
            found = self._all.method_of(key, name)
            if found is not None:
                self.effect.calls.append((found[0], frozenset(), arguments))
        return Value("instance", key=key)

    def _give(self, given: Sequence[ast.expr], values: Sequence[Value]) -> None:
        """What an inert call may run: functions and methods that it is given, and code of objects."""
        for node, value in zip(given, values, strict=True):
            if value.kind == "function" and value.key is not None:
                self.effect.calls.append((value.key, frozenset(), frozenset(self.names_in(*given) - {value.key})))
            elif value.kind == "lambda" and isinstance(value.node, ast.Lambda):
                self._lambda(value.node, self.names_in(*(item for item in given if item is not node)))
            elif value.kind == "bound" and value.base is not None and value.node is not None:
                if value.base.kind in ("data", "container") and value.name not in inert.READING:
                    self._change(self.names_in(value.node), node)
                elif value.base.kind not in ("constant", "plain", "data", "container"):
                    self._open(node)
            elif value.kind not in UNCHANGING and not self._is_fresh(node):
                self._open(node)

    def _change(self, keys: set[Key], node: ast.AST) -> None:
        self._touch(keys, node)

    def _operand(self, value: Value, node: ast.expr) -> None:
        """An operator or conversion runs code of an object."""
        if value.kind == "instance" and value.key is not None and self._is_quiet(value.key):
            return
        if (
            value.kind == "bound"
            and value.base is not None
            and value.base.kind in UNCHANGING | {"container", "instance"}
        ):
            return
        if value.kind not in UNCHANGING and value.kind != "container":
            self._open(node)

    def _is_quiet(self, key: Key) -> bool:
        """Whether a class has no operators of its own."""
        node = self._all.class_of(key)
        return (
            node is not None
            and self._all.is_simple(key)
            and not node.bases
            and not any(
                isinstance(item, ast.FunctionDef) and item.name.startswith("__") and item.name not in _HARMLESS
                for item in node.body
            )
        )

    def _iterate(self, node: ast.expr) -> Value:
        """Goes through the items of an expression's value, and says what is known of them."""
        value = self.value(node)
        if isinstance(node, ast.Call) and self._is_iterating(node.func):
            values = [self._quietly(item) for item in node.args]
            return DATA if all(item.kind in ("constant", "data", "plain") for item in values) else OBJECT
        if value.kind in ("constant", "data", "plain"):
            return value
        if value.kind in ("package", "class", "container") or isinstance(node, ast.GeneratorExp):
            return OBJECT if value.kind != "package" else PLAIN
        self._open(node)
        return OBJECT

    def _is_fresh(self, node: ast.expr) -> bool:
        """Whether it is an iterator that nothing else has: what it does has been noted where it is made."""
        return isinstance(node, ast.GeneratorExp) or (isinstance(node, ast.Call) and self._is_iterating(node.func))

    def _is_iterating(self, node: ast.expr) -> bool:
        """Whether it is ``zip``, ``map`` or the like: going through it goes through its arguments."""
        return isinstance(node, ast.Name) and node.id in _ITERATING and self._named(node.id).kind == "builtin"

    def _quietly(self, node: ast.expr) -> Value:
        """What is known of an expression's value, without its effects."""
        effect, self.effect = self.effect, Effect()
        try:
            return self.value(node)
        finally:
            self.effect = effect

    def _binary(self, node: ast.expr) -> Value:
        operands: list[ast.expr] = []
        while isinstance(node, ast.BinOp):
            operands.append(node.right)
            node = node.left
        operands.append(node)
        kinds = set()
        for item in reversed(operands):
            value = self.value(item)
            self._operand(value, item)
            kinds.add(value.kind)
        if kinds <= {"constant"}:
            return CONSTANT
        if kinds & {"object", "instance", "bound"}:
            return OBJECT
        if "container" in kinds:
            return CONTAINER
        return DATA if "data" in kinds else PLAIN

    def _of_boolop(self, node: ast.BoolOp) -> Value:
        return self._one_of(node.values)

    def _of_ifexp(self, node: ast.IfExp) -> Value:
        self._operand(self.value(node.test), node.test)
        return self._one_of([node.body, node.orelse])

    def _one_of(self, nodes: Sequence[ast.expr]) -> Value:
        values = [self.value(item) for item in nodes]
        for value, item in zip(values, nodes, strict=True):
            self._operand(value, item)
        kinds = {value.kind for value in values}
        return Value(kinds.pop()) if len(kinds) == 1 and kinds <= {"constant", "plain", "data"} else OBJECT

    def _of_compare(self, node: ast.Compare) -> Value:
        same = all(isinstance(item, ast.Is | ast.IsNot) for item in node.ops)
        for item in (node.left, *node.comparators):
            value = self.value(item)
            if not same:
                self._operand(value, item)
                if value.kind == "container":
                    self._open(item)
        return PLAIN

    def _of_unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        self._operand(value, node.operand)
        return value if value.kind in ("constant", "plain") else PLAIN if value.kind in UNCHANGING else OBJECT

    def _of_joinedstr(self, node: ast.JoinedStr) -> Value:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                value = self.value(part.value)
                self._operand(value, part.value)
                if value.kind == "container":
                    self._open(part.value)
                if part.format_spec is not None:
                    self.value(part.format_spec)
        return CONSTANT

    def _display(self, items: Iterable[ast.expr], *, fixed: bool) -> Value:
        values = [self._argument(item) for item in items]
        kinds = {value.kind for value in values}
        if fixed and kinds <= {"constant"}:
            return CONSTANT
        return DATA if kinds <= UNCHANGING - {"module", "lambda"} else CONTAINER

    def _of_tuple(self, node: ast.Tuple) -> Value:
        return self._display(node.elts, fixed=True)

    def _of_list(self, node: ast.List) -> Value:
        return self._display(node.elts, fixed=False)

    def _of_set(self, node: ast.Set) -> Value:
        for item in node.elts:
            self._operand(self._quietly(item) if not isinstance(item, ast.Starred) else DATA, item)
        return self._display(node.elts, fixed=False)

    def _of_dict(self, node: ast.Dict) -> Value:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self._iterate(value)
            else:
                self._operand(self.value(key), key)
        return self._display(node.values, fixed=False)

    def _of_lambda(self, node: ast.Lambda) -> Value:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.value(default)
        return Value("lambda", node=node)

    def _lambda(self, node: ast.Lambda, given: Iterable[Key]) -> None:
        """A lambda that is called here."""
        if node in self._inside:
            return
        self._inside.add(node)
        scope = Scope("function")
        behind = frozenset(given)
        scope.names = dict.fromkeys(argument_names(node.args), (OBJECT, behind))
        self._scopes.append(scope)
        self.value(node.body)
        self._scopes.pop()
        self._inside.discard(node)

    def _of_starred(self, node: ast.Starred) -> Value:
        return self._iterate(node.value)

    def _comprehension(self, node: Comprehension) -> Value:
        scope = Scope("comprehension")
        pushed = False
        for generator in node.generators:
            item = self._iterate(generator.iter)
            if not pushed:
                self._scopes.append(scope)
                pushed = True
            behind = frozenset(self.names_in(generator.iter))
            for name in target_names(generator.target):
                scope.names[name] = (item, behind)
            for test in generator.ifs:
                self._operand(self.value(test), test)
        results = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        values = [self.value(result) for result in results]
        if not isinstance(node, ast.ListComp | ast.GeneratorExp):
            self._operand(values[0], results[0])
        self._scopes.pop()
        return DATA if all(value.kind in UNCHANGING - {"lambda"} for value in values) else CONTAINER

    _of_listcomp = _of_setcomp = _of_dictcomp = _comprehension

    def _of_generatorexp(self, node: ast.GeneratorExp) -> Value:
        self._comprehension(node)
        return OBJECT

    # Classes

    def is_keeping(self, decorator: ast.expr, *, classes: bool = False) -> bool:
        """Whether a decorator leaves a function what it is; for ``classes``, any decorator of the table."""
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        value = self._path(function)
        if value is None or value.kind not in ("package", "builtin"):
            return False
        return value.name in _KEEPING or (
            classes
            and (kind_of_call(value.name) is not None if value.kind == "package" else value.name in inert.BUILTINS)
        )

    def is_caching(self, decorator: ast.expr) -> bool:
        """Whether a decorator keeps what the function gave."""
        value = self._path(decorator.func if isinstance(decorator, ast.Call) else decorator)
        return value is not None and value.name in ("functools.cache", "functools.lru_cache")

    def is_enum(self, base: ast.expr) -> bool:
        """Whether a base class is one of ``enum``."""
        value = self._path(base)
        return value is not None and value.kind == "package" and value.name.startswith("enum.")

    def base(self, node: ast.expr) -> Key | None:
        """A base class: a class of the project, OUTSIDE for one of the table, None for any other."""
        if isinstance(node, ast.Subscript):
            node = node.value
        value = self._path(node)
        if value is None:
            return None
        if value.kind == "class":
            return value.key
        known = inert.BASES if value.kind == "package" else inert.BUILTIN_BASES
        return OUTSIDE if value.kind in ("package", "builtin") and value.name in known else None
