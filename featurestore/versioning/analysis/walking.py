"""Walks over syntax trees, in a third of the time of those in `ast`, which look at every field of every node."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_LEAVES = frozenset((ast.Name, ast.Constant, ast.Global, ast.Nonlocal, ast.Pass, ast.Break, ast.Continue))
"""What has no nodes below it but whether a name is read or bound."""


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, in order, but for contexts (``ast.Load`` and the like)."""
    found: list[ast.AST] = []
    kind = node.__class__
    if kind in _LEAVES:
        return found
    for name in kind._fields:
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST) and name != "ctx":
            found.append(value)
    return found


def nodes_of(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, but for contexts; no order is promised."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending += children(node)


def statements_of(statement: ast.stmt) -> Iterator[ast.stmt]:
    """A statement and all inside it, whether or not they run; no order is promised."""
    pending = [statement]
    while pending:
        statement = pending.pop()
        yield statement
        for field in ("body", "orelse", "finalbody"):
            pending += getattr(statement, field, ())
        for field in ("handlers", "cases"):
            for part in getattr(statement, field, ()):
                pending += part.body
