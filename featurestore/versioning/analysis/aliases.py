"""Which names may be the same object, or contain it: ``b = a``, ``b = [a]``, ``b.append(a)``, ``b = f(a)``.

A change made through one name is a change of all of them. Depth says how far inside: after ``b = [a]``, changing
``b`` itself does not change ``a``, changing ``b[0]`` does.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from featurestore.versioning.analysis.scopes import Function, blocks, running, target_names

Change = tuple[str, int]
"""A changed name, and how deep inside it: ``a[0] = 1`` is 1 deep, ``a[0].b = 1`` is 2 deep."""

EVERYTHING = 9
"""A depth greater than any that occurs."""

# Calls that return a new object with the same contents.
COPYING = {"copy", "dict", "frozenset", "list", "set", "sorted", "tuple"}


def of_statement(statement: ast.stmt) -> Iterator[tuple[str, str, int]]:
    """``b = a`` as (b, a, 0): changing b changes a. ``b = [a]`` as (b, a, 1): only a change inside b changes a."""
    for target, value in _assigned(statement):
        depth = 0 if isinstance(target, ast.Name | ast.Tuple | ast.List | ast.Starred) else 1
        for name in [*target_names(target), *(name for name, _ in root_of(target) if depth)]:
            yield from ((name, origin, below) for origin, below in _objects_in(value, depth))
    for node in running(statement):
        if isinstance(node, ast.NamedExpr) and isinstance(node.target, ast.Name):
            yield from ((node.target.id, origin, below) for origin, below in _objects_in(node.value, 0))
        elif isinstance(node, ast.Expr):
            yield from _put_in(node.value)


def of_function(function: Function) -> Iterator[tuple[str, str]]:
    """Inside a function: locals, and arguments with defaults, that may be an outer object."""
    positional = [*function.args.posonlyargs, *function.args.args]
    given = [
        *zip(positional[len(positional) - len(function.args.defaults) :], function.args.defaults, strict=True),
        *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True),
    ]
    for argument, default in given:
        if default is not None:
            yield from ((argument.arg, origin) for origin, _ in _objects_in(default, 0))
    pending = list(function.body)
    while pending:
        statement = pending.pop()
        yield from ((name, origin) for name, origin, _ in of_statement(statement))
        if isinstance(statement, ast.For | ast.AsyncFor):
            for name in target_names(statement.target):
                yield from ((name, origin) for origin, _ in _objects_in(statement.iter, 0))
        pending += (inner for block in blocks(statement) for inner in block)


def mentioned_anywhere(node: ast.AST) -> set[str]:
    """All names read in a function or class, when it is defined or called: it may return any of them."""
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)}


def _assigned(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Targets with their values; tuples item by item."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    if isinstance(statement, ast.Assign):
        pairs = [(target, statement.value) for target in statement.targets]
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign) and statement.value is not None:
        pairs = [(statement.target, statement.value)]
    for target, value in pairs:
        many = (ast.Tuple, ast.List)
        if isinstance(target, many) and isinstance(value, many) and len(target.elts) == len(value.elts):
            yield from zip(target.elts, value.elts, strict=True)
        else:
            yield target, value


def _put_in(node: ast.expr) -> Iterator[tuple[str, str, int]]:
    """``a.append(b)`` puts b inside a."""
    for call in effects_of(node):
        for name, _ in root_of(call.func):
            for given in (*call.args, *(keyword.value for keyword in call.keywords)):
                yield from ((name, origin, 1) for origin, _ in _objects_in(given, 0))


def _objects_in(node: ast.expr, depth: int) -> Iterator[Change]:
    """The names whose objects may be an expression's value, or be that deep inside it."""
    if isinstance(node, ast.Name):
        yield node.id, depth
        return
    parts = _PARTS.get(node.__class__)
    if parts is None:
        return
    below = depth + (_copies(node) if isinstance(node, ast.Call) else node.__class__ in _CONTAINERS)
    for item in parts(node):
        if item is not None:
            yield from _objects_in(item, below)


def _copies(call: ast.Call) -> bool:
    function = call.func
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    return name in COPYING


# The parts of an expression that may be its value, or, for containers, be inside it.
_PARTS: dict[type[ast.expr], Callable[[Any], list[ast.expr | None]]] = {
    ast.Call: lambda node: [node.func, *node.args, *(keyword.value for keyword in node.keywords)],
    ast.List: lambda node: node.elts,
    ast.Tuple: lambda node: node.elts,
    ast.Set: lambda node: node.elts,
    ast.Dict: lambda node: node.values,
    ast.ListComp: lambda node: [node.elt, *(generator.iter for generator in node.generators)],
    ast.SetComp: lambda node: [node.elt, *(generator.iter for generator in node.generators)],
    ast.GeneratorExp: lambda node: [node.elt, *(generator.iter for generator in node.generators)],
    ast.DictComp: lambda node: [node.value, *(generator.iter for generator in node.generators)],
    ast.BinOp: lambda node: [node.left, node.right],
    ast.Lambda: lambda node: [node.body],
    ast.IfExp: lambda node: [node.body, node.orelse],
    ast.BoolOp: lambda node: node.values,
    ast.Attribute: lambda node: [node.value],
    ast.Subscript: lambda node: [node.value],
    ast.Starred: lambda node: [node.value],
    ast.NamedExpr: lambda node: [node.value],
    ast.Await: lambda node: [node.value],
}
_CONTAINERS = {
    ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp, ast.BinOp,
}  # fmt: skip


def root_of(node: ast.expr) -> Iterator[Change]:
    """The name at the start of a chain, and how deep inside its object the end of the chain is."""
    depth = 0
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node, depth = (node.func if isinstance(node, ast.Call) else node.value), depth + 1
    if isinstance(node, ast.Name):
        yield node.id, depth


def effects_of(node: ast.expr) -> Iterator[ast.Call]:
    """The calls that an expression statement makes for their effect: itself, or what a comprehension repeats."""
    if isinstance(node, ast.Call):
        yield node
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        yield from effects_of(node.elt)
    elif isinstance(node, ast.BoolOp):
        for item in node.values:
            yield from effects_of(item)
    elif isinstance(node, ast.IfExp):
        yield from effects_of(node.body)
        yield from effects_of(node.orelse)
    elif isinstance(node, ast.Await):
        yield from effects_of(node.value)
