"""Which names a piece of Python binds: the part of the language's scoping rules that hashing needs.

Looks at syntax only; following names to their definitions is the job of `project`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from featurestore.versioning.analysis.walking import children

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_CODE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class BoundNames:
    """The names bound in one scope, by imports and otherwise, and those declared global or nonlocal."""

    __slots__ = ("global_names", "imports", "names", "nonlocal_names")

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.imports: dict[str, list[tuple[ast.Import | ast.ImportFrom, ast.alias]]] = {}
        self.global_names: set[str] = set()
        self.nonlocal_names: set[str] = set()

    def add_import(self, statement: ast.Import | ast.ImportFrom) -> None:
        """Adds the names that an import binds."""
        for alias in statement.names:
            if alias.name != "*":
                self.imports.setdefault(import_name(statement, alias), []).append((statement, alias))

    def everything(self) -> set[str]:
        """All names local to the scope."""
        return (self.names | self.imports.keys()) - self.global_names - self.nonlocal_names


def bound_by(statements: Iterable[ast.stmt], *, walrus: bool, annotated: bool = True) -> BoundNames:
    """What the statements bind in their own scope, without nested functions and classes.

    With ``walrus`` expressions are searched for ``:=``; pass false where the text has none, which saves the walk.
    ``annotated`` counts ``name: type`` without a value, which makes a name local in a function but binds nothing.
    """
    bound = BoundNames()
    _collect(statements, bound, walrus, annotated)
    return bound


def _collect(statements: Iterable[ast.stmt], bound: BoundNames, walrus: bool, annotated: bool) -> None:
    for statement in statements:
        kind = statement.__class__
        if walrus:
            bound.names.update(walruses(_own_expressions(statement)))
        names = _BINDS.get(kind)
        if names is not None:
            bound.names.update(names(statement))
        elif isinstance(statement, ast.AnnAssign):
            if annotated or statement.value is not None:
                bound.names.update(target_names(statement.target))
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            bound.add_import(statement)
        elif isinstance(statement, ast.Global):
            bound.global_names.update(statement.names)
        elif isinstance(statement, ast.Nonlocal):
            bound.nonlocal_names.update(statement.names)
        if kind not in _DEFINITIONS:
            for block in blocks(statement):
                _collect(block, bound, walrus, annotated)


def _of_targets(statement: ast.Assign | ast.Delete) -> Iterator[str]:
    for target in statement.targets:
        yield from target_names(target)


def _of_target(statement: ast.AugAssign | ast.For | ast.AsyncFor) -> Iterator[str]:
    return target_names(statement.target)


def _of_definition(statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[str]:
    yield statement.name


def _of_with(statement: ast.With | ast.AsyncWith) -> Iterator[str]:
    for item in statement.items:
        if item.optional_vars is not None:
            yield from target_names(item.optional_vars)


def _of_try(statement: ast.Try | ast.TryStar) -> Iterator[str]:
    return (handler.name for handler in statement.handlers if handler.name)


def _of_match(statement: ast.Match) -> Iterator[str]:
    for case in statement.cases:
        for node in ast.walk(case.pattern):
            if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
            elif isinstance(node, ast.MatchMapping) and node.rest:
                yield node.rest


def _of_type_alias(statement: Any) -> Iterator[str]:  # ast.TypeAlias, since Python 3.12
    return target_names(statement.name)


_BINDS: dict[type[ast.stmt], Callable[[Any], Iterator[str]]] = {
    ast.Assign: _of_targets, ast.Delete: _of_targets, ast.AugAssign: _of_target, ast.For: _of_target,
    ast.AsyncFor: _of_target, ast.FunctionDef: _of_definition, ast.AsyncFunctionDef: _of_definition,
    ast.ClassDef: _of_definition, ast.With: _of_with, ast.AsyncWith: _of_with, ast.Try: _of_try, ast.TryStar: _of_try,
    ast.Match: _of_match,
}  # fmt: skip
if hasattr(ast, "TypeAlias"):
    _BINDS[ast.TypeAlias] = _of_type_alias


def import_name(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    """The name that an import binds: ``import a.b`` binds ``a``."""
    if alias.asname:
        return alias.asname
    return alias.name.partition(".")[0] if isinstance(statement, ast.Import) else alias.name


def is_guard(statement: ast.AST) -> bool:
    """Whether it is ``if __name__ == "__main__"`` or ``if TYPE_CHECKING``, whose body does not run at import."""
    if not isinstance(statement, ast.If):
        return False
    match statement.test:
        case ast.Name("TYPE_CHECKING") | ast.Attribute(ast.Name(), "TYPE_CHECKING"):
            return True
        case ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]) | ast.Compare(
            ast.Constant("__main__"), [ast.Eq()], [ast.Name("__name__")]
        ):
            return True
    return False


def runs_code(annotation: ast.expr) -> bool:
    """Whether an annotation calls anything when it is evaluated."""
    return any(isinstance(node, ast.Call | ast.NamedExpr) for node in ast.walk(annotation))


def blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The lists of statements inside a compound statement that may run; of a definition, its body."""
    fields = ("orelse",) if is_guard(statement) else ("body", "orelse", "finalbody")
    for field in fields:
        block = getattr(statement, field, None)
        if block:
            yield block
    for field in ("handlers", "cases"):
        for item in getattr(statement, field, ()):
            yield item.body


def is_compound(statement: ast.stmt) -> bool:
    """Whether the statement contains others that may run any number of times. Definitions are not compound."""
    return not isinstance(statement, _DEFINITIONS) and any(True for _ in blocks(statement))


def annotations_of(node: Function) -> list[ast.expr]:
    """The annotations of a function's arguments and of what it returns."""
    given = node.args
    arguments = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
    found = [item.annotation for item in arguments if item is not None]
    return [item for item in (*found, node.returns) if item is not None]


def has_call(node: ast.AST) -> bool:
    """Whether an annotation calls anything."""
    return not isinstance(node, ast.Name | ast.Constant) and any(isinstance(item, ast.Call) for item in ast.walk(node))


def target_names(target: ast.expr) -> Iterator[str]:
    """The plain names among the targets of an assignment; attributes and items bind no name."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from target_names(item)
    elif isinstance(target, ast.Starred):
        yield from target_names(target.value)


def walruses(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names bound by ``:=`` in these expressions, including their comprehensions but not their lambdas."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.NamedExpr):
            yield from target_names(node.target)
        if isinstance(node, ast.Lambda):
            pending += [*node.args.defaults, *(item for item in node.args.kw_defaults if item)]
        else:
            pending += children(node)


def argument_names(arguments: ast.arguments) -> Iterator[str]:
    """All parameters of a function."""
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield argument.arg
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            yield rest.arg


def type_parameter_names(node: ast.AST) -> list[str]:
    """The names in ``def f[T]`` and ``class C[T]`` (Python 3.12)."""
    return [parameter.name for parameter in getattr(node, "type_params", ())]


def _own_expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions that run in the statement's own scope, without those of the statements inside it."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from statement.decorator_list
        yield from statement.args.defaults
        yield from (default for default in statement.args.kw_defaults if default is not None)
        return
    if isinstance(statement, ast.ClassDef):
        yield from (*statement.decorator_list, *statement.bases, *statement.keywords)
        return
    for child in children(statement):
        if isinstance(child, ast.ExceptHandler):
            if child.type is not None:
                yield child.type
        elif isinstance(child, ast.match_case):
            yield child.pattern
            if child.guard is not None:
                yield child.guard
        elif not isinstance(child, ast.stmt):
            yield child


def running(statement: ast.stmt) -> Iterator[ast.AST]:
    """All nodes that run when the statement does: everything but the bodies of functions."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        yield node
        if is_guard(node):
            pending += node.orelse  # type: ignore[attr-defined]  # it is an `if`
        elif not isinstance(node, _CODE):
            pending += children(node)
