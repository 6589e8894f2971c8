"""What changes an object after its name was bound: item and attribute assignments, and calls made for their effect.

Python code can change objects in more ways than can be listed, so this recognises the usual ones and errs on the
side of caution: a false positive makes a new version too often, a false negative would let two versions share a hash.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from featurestore.versioning.analysis import aliases
from featurestore.versioning.analysis.aliases import EVERYTHING, Change, effects_of, root_of
from featurestore.versioning.analysis.scopes import Function, argument_names, blocks, bound_by, is_compound, running

# Methods that change their object; the first ones also return something.
RETURNING = {"pop", "popitem", "popleft", "register", "setdefault", "__next__", "send"}
MUTATORS = RETURNING | {
    "add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "extendleft", "insert",
    "intersection_update", "move_to_end", "remove", "reverse", "sort", "subtract", "symmetric_difference_update",
    "update", "__delattr__", "__delitem__", "__setattr__", "__setitem__",
}  # fmt: skip
CHANGING_FUNCTIONS = {"setattr", "delattr", "next"}
HARMLESS = {"print", "len", "repr", "str"}

_MAY_CHANGE = re.compile(
    rf"\.\s*(?:{'|'.join(sorted(MUTATORS))})\s*\(|\b(?:{'|'.join(sorted(CHANGING_FUNCTIONS))})\s*\("
)


def of_node(node: ast.AST) -> Iterator[Change]:
    """The changes that one node makes, whether or not its value is used."""
    if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
        yield from root_of(node)
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in RETURNING:
            yield from root_of(node.func)
        elif isinstance(node.func, ast.Name) and node.func.id in CHANGING_FUNCTIONS and node.args:
            yield from ((name, max(depth, 1)) for name, depth in root_of(node.args[0]))
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, 1
    elif isinstance(node, ast.Expr):
        for call in effects_of(node.value):
            if isinstance(call.func, ast.Attribute) and call.func.attr in MUTATORS:
                yield from root_of(call.func)


def of_effects(node: ast.AST) -> Iterator[Change]:
    """What a call whose value is not used may change: the method's object, and every argument."""
    if isinstance(node, ast.Expr):
        for call in effects_of(node.value):
            if isinstance(call.func, ast.Attribute):
                yield from root_of(call.func)
            elif isinstance(call.func, ast.Name) and call.func.id in HARMLESS:
                continue
            given = (*call.args, *(keyword.value for keyword in call.keywords))
            yield from ((item.id, EVERYTHING) for item in given if isinstance(item, ast.Name))


def of_function(function: Function, text: str, *, walrus: bool) -> tuple[dict[str, int], bool]:
    """The outer names that a function changes when called, with the line, and whether it changes its arguments."""
    nodes: Iterable[ast.AST] = ast.walk(function) if _MAY_CHANGE.search(text) else _assigning(function.body)
    found: dict[str, int] = {}
    for node in nodes:
        for name, _ in of_node(node):
            found.setdefault(name, getattr(node, "lineno", function.lineno))
    if "global" in text:
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                found.update(dict.fromkeys(node.names, node.lineno))
    if not found:
        return {}, False
    arguments = set(argument_names(function.args))
    changes_arguments = bool(found.keys() & arguments)
    for name, origin in aliases.of_function(function):
        if name in found:
            found.setdefault(origin, found[name])
    local = bound_by(function.body, walrus=walrus).everything() | arguments
    return {name: line for name, line in found.items() if name not in local}, changes_arguments


def own_names(statement: ast.stmt) -> set[str]:
    """Names that a compound statement binds, such as a loop variable: they may be anything that it mentions."""
    return bound_by([statement], walrus=True, annotated=False).everything() if is_compound(statement) else set()


def mentioned(statement: ast.stmt) -> set[str]:
    """All names that a statement reads while it runs."""
    return {node.id for node in running(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _assigning(statements: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """The targets that the statements, and those inside them, assign to or delete, and augmented assignments."""
    for statement in statements:
        if isinstance(statement, ast.AugAssign):
            yield statement
        if isinstance(statement, ast.Assign | ast.Delete):
            for target in statement.targets:
                yield from _flat(target)
        elif isinstance(statement, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor):
            yield from _flat(statement.target)
        elif isinstance(statement, ast.With | ast.AsyncWith):
            for item in statement.items:
                if item.optional_vars is not None:
                    yield from _flat(item.optional_vars)
        for block in blocks(statement):
            yield from _assigning(block)


def _flat(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple | ast.List):
        for item in target.elts:
            yield from _flat(item)
    elif isinstance(target, ast.Starred):
        yield from _flat(target.value)
    else:
        yield target
