"""The effects of statements that run, and of the bodies of functions that are called."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from featurestore.versioning.analysis import inert
from featurestore.versioning.analysis.effect import ARGUMENTS, OUTSIDE, SELF, Effect
from featurestore.versioning.analysis.evaluation import Evaluation, Scope
from featurestore.versioning.analysis.names import WHOLE, Definition, Dotted, Key, ProjectModule
from featurestore.versioning.analysis.reach import imported
from featurestore.versioning.analysis.scopes import (
    Function,
    annotations_of,
    argument_names,
    bound_by,
    has_call,
    import_name,
    is_guard,
    target_names,
)
from featurestore.versioning.analysis.values import CONTAINER, OBJECT, UNCHANGING, Value, kind_of_call


class Running(Evaluation):
    """Walks statements that run, in their order."""

    def body(self, node: Function | ast.Lambda, *, method: bool) -> None:
        """A function's body, called with anything. Run over three times, since a loop may carry values back."""
        arguments = list(argument_names(node.args))
        behind = {name: frozenset({ARGUMENTS}) for name in arguments}
        if method and arguments and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            behind[arguments[0]] = frozenset({SELF})
        defaults = {*node.args.defaults, *node.args.kw_defaults} - {None}
        if any(not isinstance(item, ast.Constant) for item in defaults) and self._own is not None:
            own = (self._own[0], self._own[1].partition(".")[0])
            behind = {name: keys | {own} for name, keys in behind.items()}
        scope = Scope("function")
        statements: list[ast.stmt] = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
        bound = bound_by(statements, walrus=True)
        scope.names = {name: (OBJECT, frozenset()) for name in bound.everything()}
        scope.names.update({name: (OBJECT, behind[name]) for name in arguments})
        scope.assigned = set(arguments)
        scope.globals = bound.global_names
        if any(isinstance(item, ast.Yield | ast.YieldFrom) for item in ast.walk(node)):
            self.effect.returned.add("object")
        self._scopes.append(scope)
        for _ in range(2):
            whole, self.effect = self.effect, Effect()
            self._all_of(statements)
            self.effect = whole
        self._all_of(statements)
        self._scopes.pop()

    def _all_of(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """Walks a statement that runs."""
        method = getattr(self, f"_do_{node.__class__.__name__.lower()}", None)
        if method is not None:
            method(node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)

    def _do_functiondef(self, node: Function) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.value(default)
        if self._evaluates_annotations():
            for annotation in annotations_of(node):
                self._annotation(annotation)
        own = self._decorate(node)
        scope = self._scopes[-1] if self._scopes else None
        if scope is None or node in self._inside:
            return
        if scope.kind == "function":
            # It may be called here, or later by whoever gets it.
            self._inside.add(node)
            inner = Scope("function")
            bound = bound_by(node.body, walrus=True)
            inner.names = {name: (OBJECT, frozenset()) for name in bound.everything()}
            inner.names.update({name: (OBJECT, frozenset({ARGUMENTS})) for name in argument_names(node.args)})
            inner.globals = bound.global_names
            for name in bound.nonlocal_names:
                inner.names.pop(name, None)
            self._scopes.append(inner)
            returned = set(self.effect.returned)
            self._all_of(node.body)
            self._all_of(node.body)
            self.effect.returned = returned
            self._scopes.pop()
            self._inside.discard(node)
        if node.name not in scope.globals:
            scope.names[node.name] = (OBJECT, frozenset(own | self._names_of_body(node)))

    _do_asyncfunctiondef = _do_functiondef

    def _names_of_body(self, node: ast.AST) -> set[Key]:
        return {
            key
            for item in ast.walk(node)
            if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)
            for key in self._keys_of(item.id)
            if key != OUTSIDE
        }

    def _decorate(self, node: Function | ast.ClassDef) -> set[Key]:
        """Its decorators, each a call with what it decorates."""
        own: set[Key] = {(self._module, node.name)} if not self._scopes else set()
        for decorator in node.decorator_list:
            value = self.value(decorator)
            if self.is_keeping(decorator, classes=True):
                continue
            kind = value.kind
            if kind == "package":
                if kind_of_call(value.name) is None:
                    self.effect.outside = True
            elif kind == "function" and value.key is not None:
                self.effect.calls.append((value.key, frozenset(), frozenset(own)))
            elif kind == "bound" and value.base is not None and value.node is not None and value.base.key is not None:
                found = self._all.method_of(value.base.key, value.name)
                if found is not None and self._all.is_simple(value.base.key):
                    objects = self.names_in(value.node)
                    self.effect.calls.append((found[0], frozenset(objects), frozenset(own)))
                else:
                    self._open(decorator, given=own)
            elif kind == "lambda" and isinstance(value.node, ast.Lambda):
                self._lambda(value.node, own)
            elif kind not in ("builtin", "plain"):
                self._open(decorator, given=own)
        return own

    def _do_classdef(self, node: ast.ClassDef) -> None:
        own = self._decorate(node)
        for base in node.bases:
            value = self.value(base)
            found = self.base(base)
            if found is None:
                self.effect.outside |= value.kind in ("package", "plain")
                self._open(base, given=own)
            elif found != OUTSIDE and (
                not self._all.is_simple(found) or self._all.method_of(found, "__init_subclass__") is not None
            ):
                self._open(given={*own, found})
        if not self._scopes and self._all.is_enum((self._module, node.name)):
            for name in ("__init__", "__new__", "_generate_next_value_"):
                method = self._all.method_of((self._module, node.name), name)
                if method is not None:
                    self.effect.calls.append((method[0], frozenset(), frozenset()))
        for keyword in node.keywords:
            value = self.value(keyword.value)
            if keyword.arg == "metaclass" and not (value.kind == "builtin" and value.name == "type"):
                self.effect.outside |= value.kind == "package" and value.name != "abc.ABCMeta"
                self._open(keyword.value, given=own)
        scope = Scope("class")
        self._scopes.append(scope)
        for statement in node.body:
            if isinstance(statement, ast.Global):
                scope.globals.update(statement.names)
            self.statement(statement)
        self._scopes.pop()
        if self._scopes and node.name not in self._scopes[-1].globals:
            self._scopes[-1].names[node.name] = (OBJECT, frozenset(own | self._names_of_body(node)))

    def _evaluates_annotations(self) -> bool:
        """Whether annotations run at this point: not in functions, nor where the module postpones them."""
        return all(scope.kind in ("class", "loop") for scope in self._scopes) and not self._all.postpones(self._module)

    def _annotation(self, node: ast.expr | None) -> None:
        """Only calls in it can have an effect that matters."""
        if node is not None and has_call(node):
            self.value(node)

    def _hold(self, value: Value, node: ast.expr) -> None:
        """A class gets an attribute, and tells the object so if it asks for that."""
        if not self._scopes or self._scopes[-1].kind != "class":
            return
        if value.kind == "instance" and value.key is not None:
            found = self._all.method_of(value.key, "__set_name__")
            if found is not None:
                self.effect.calls.append((found[0], frozenset(self.names_in(node)), frozenset()))
        elif value.kind == "object" and isinstance(node, ast.Name) and self._local(node.id) is None:
            self._open(node)
        elif value.kind == "object":
            self.effect.opened |= self.names_in(node)

    def _do_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        self._hold(value, node.value)
        for target in node.targets:
            self._assign(target, value, node.value)

    def _do_annassign(self, node: ast.AnnAssign) -> None:
        if self._evaluates_annotations():
            self._annotation(node.annotation)
        if node.value is not None:
            value = self.value(node.value)
            self._hold(value, node.value)
            self._assign(node.target, value, node.value)

    def _do_augassign(self, node: ast.AugAssign) -> None:
        value = self.value(node.value)
        target = node.target
        if isinstance(target, ast.Name):
            before = self._named(target.id)
            self.effect.used |= {key for key in self._keys_of(target.id) if key[0]}
            self._operand(value, node.value)
            if before.kind != "constant" and not (before.kind == "plain" and value.kind in UNCHANGING):
                self._change(self._keys_of(target.id), node)
            self._assign(target, OBJECT if before.kind == "object" else value, node.value)
        else:
            self._assign(target, value, node.value)

    def _assign(self, target: ast.expr, value: Value, node: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value, node)
        elif isinstance(target, ast.Tuple | ast.List):
            if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == len(target.elts):
                for one, other in zip(target.elts, node.elts, strict=True):
                    self._assign(one, self._quietly(other), other)
                return
            item = self._iterate(node) if value.kind not in ("constant", "data") else value
            for one in target.elts:
                self._assign(one, item, node)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, CONTAINER, node)
        elif isinstance(target, ast.Attribute | ast.Subscript):
            self._put(target, value, node)

    def _put(self, target: ast.Attribute | ast.Subscript, value: Value | None, node: ast.expr | None) -> None:
        """An attribute or item is assigned or deleted."""
        owner = self._owner(target.value)
        if isinstance(target, ast.Subscript):
            self._operand(self.value(target.slice), target.slice)
        if owner.kind == "module" and isinstance(target, ast.Attribute):
            keys: set[Key] = {(owner.name, target.attr)}
            self.effect.rebound |= keys
        elif owner.kind in ("package", "builtin"):
            keys = {OUTSIDE}
        else:
            keys = self.names_in(target.value)
        if owner.kind == "object":
            self.effect.opened |= keys
        if owner.kind == "instance" and owner.key is not None:
            hook = "__setattr__" if isinstance(target, ast.Attribute) else "__setitem__"
            name = target.attr if isinstance(target, ast.Attribute) else "__delitem__"
            if self._all.method_of(owner.key, hook) or self._all.method_of(owner.key, name):
                self.effect.opened |= keys
        self._change(keys, target)
        root = target.value
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name) and node is not None and value is not None:
            self._grow(root.id, value, node)

    def _grow(self, name: str, value: Value, node: ast.expr) -> None:
        """A variable's object now holds the value."""
        local = self._local(name)
        if local is None:
            return
        kept = local[0] if value.kind == "constant" or local[0].kind != "data" else CONTAINER
        for scope in reversed(self._scopes):
            if name in scope.names:
                scope.names[name] = (kept, local[1] | self.names_in(node))
                return

    def _bind(self, name: str, value: Value, node: ast.expr) -> None:
        for scope in reversed(self._scopes):
            if name in scope.globals:
                self.effect.rebound.add((self._module, name))
                self._change({(self._module, name)}, node)
                return
            if scope.kind == "comprehension" and name not in scope.names:
                continue
            if scope.kind == "loop" and name not in scope.names:
                continue
            behind = frozenset(self.names_in(node))
            if scope.kind == "function" and name in scope.names and name in scope.assigned:
                before, keys = scope.names[name]
                same = before.kind == value.kind and before.key == value.key and before.name == value.name
                scope.names[name] = (before if same else OBJECT, keys | behind)
            else:
                scope.assigned.add(name)
                scope.names[name] = (value, behind)
            return

    def _of_namedexpr(self, node: ast.NamedExpr) -> Value:
        value = self.value(node.value)
        self._assign(node.target, value, node.value)
        return value

    def _do_for(self, node: ast.For | ast.AsyncFor) -> None:
        item = self._iterate(node.iter)
        if not self._scopes or self._scopes[-1].kind == "loop":
            scope = Scope("loop", target_names(node.target))
            self._scopes.append(scope)
            self._assign_items(node.target, item, node.iter)
            self._all_of(node.body)
            self._scopes.pop()
        else:
            self._assign_items(node.target, item, node.iter)
            self._all_of(node.body)
        self._all_of(node.orelse)

    _do_asyncfor = _do_for

    def _assign_items(self, target: ast.expr, item: Value, node: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            if item.kind not in ("constant", "data", "plain"):
                self._open(node)
            for one in target.elts:
                self._assign_items(one, item, node)
        elif isinstance(target, ast.Starred):
            self._assign_items(target.value, CONTAINER, node)
        else:
            self._assign(target, item, node)

    def _do_while(self, node: ast.While) -> None:
        self._operand(self.value(node.test), node.test)
        self._all_of([*node.body, *node.orelse])

    def _do_if(self, node: ast.If) -> None:
        current: list[ast.stmt] = [node]
        while len(current) == 1 and isinstance(current[0], ast.If):
            branch = current[0]
            self._operand(self.value(branch.test), branch.test)
            if not is_guard(branch):
                self._all_of(branch.body)
            current = branch.orelse
        self._all_of(current)

    def _do_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.value(item.context_expr)
            if value.kind != "plain":
                self._open(item.context_expr)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, OBJECT, item.context_expr)
        self._all_of(node.body)

    _do_asyncwith = _do_with

    def _do_try(self, node: ast.Try) -> None:
        self._all_of(node.body)
        for handler in node.handlers:
            if handler.type is not None:
                self.value(handler.type)
            if handler.name and self._scopes:
                self._scopes[-1].names[handler.name] = (OBJECT, frozenset())
            self._all_of(handler.body)
        self._all_of([*node.orelse, *node.finalbody])

    _do_trystar = _do_try

    def _do_match(self, node: ast.Match) -> None:
        value = self.value(node.subject)
        self._operand(value, node.subject)
        behind = frozenset(self.names_in(node.subject))
        for case in node.cases:
            for item in ast.walk(case.pattern):
                if isinstance(item, ast.expr):
                    self.value(item)
                name = getattr(item, "name", None) or getattr(item, "rest", None)
                if isinstance(name, str) and self._scopes:
                    self._scopes[-1].names[name] = (OBJECT, behind)
            if case.guard is not None:
                self._operand(self.value(case.guard), case.guard)
            self._all_of(case.body)

    def _do_raise(self, node: ast.Raise) -> None:
        for item in (node.exc, node.cause):
            if item is not None:
                self.value(item)
        if not any(scope.kind == "function" for scope in self._scopes):
            self.effect.outside = True  # whether the import fails may decide what another module does

    def _do_delete(self, node: ast.Delete) -> None:
        pending = list(node.targets)
        while pending:
            target = pending.pop()
            if isinstance(target, ast.Tuple | ast.List):
                pending += target.elts
            elif isinstance(target, ast.Attribute | ast.Subscript):
                self._put(target, None, None)
            elif isinstance(target, ast.Name) and self._named(target.id).kind == "object":
                self._open(target)

    def _do_return(self, node: ast.Return) -> None:
        self.effect.returned.add("constant" if node.value is None else self.value(node.value).kind)

    def _do_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                continue
            name = import_name(node, alias)
            target = imported(self._world, node, alias)
            if not self._scopes:
                self.effect.used |= {target.key} if isinstance(target, Definition) else set()
                continue
            keys: frozenset[Key] = frozenset()
            if isinstance(target, Definition):
                keys = frozenset({target.key})
            elif isinstance(target, ProjectModule):
                keys = frozenset({(target.name, WHOLE)})
            elif isinstance(target, Dotted) and target.name not in inert.TYPES:
                keys = frozenset({OUTSIDE})
            scope = next((scope for scope in reversed(self._scopes) if scope.kind != "loop"), None)
            if scope is not None and name not in scope.globals:
                scope.names[name] = (self._global(target), keys)

    _do_importfrom = _do_import

    def _do_global(self, node: ast.Global) -> None:
        if self._scopes:
            self._scopes[-1].globals.update(node.names)

    def _do_typealias(self, node: ast.stmt) -> None:
        """Is not evaluated before it is used."""
