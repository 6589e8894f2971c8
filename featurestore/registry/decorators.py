"""Where ``@feature`` is used, under whatever name, and where it is used in a way that can't be read without running.

A function that is decorated by the decorator itself is a declaration. A wrapper around it, a module that hands it on, a
call of it that is no decorator: features made in such a way would not be found, so that each place is an error.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from featurestore.frozen import frozen
from featurestore.versioning.analysis.scopes import (
    argument_names,
    bound_by,
    target_names,
    walruses,
)
from featurestore.versioning.analysis.tree import Module

Decorated = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_MODULES = ("featurestore", "featurestore.authoring")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@frozen
class LooseUse:
    """A use that is no declaration: the name of what it is in or makes, its line, and the decorator's name there."""

    owner: str
    line: int
    text: str


def declared_names(module: Module) -> set[str]:
    """The names that the decorator has in this module: ``feature``, ``fs.feature``."""
    names: set[str] = set()
    for node in _imports(module.tree):
        if isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module in _MODULES:
                names |= {alias.asname or "feature" for alias in node.names if alias.name == "feature"}
                names |= {"feature" for alias in node.names if alias.name == "*"}
                names |= {f"{alias.asname or alias.name}.feature" for alias in node.names if alias.name == "authoring"}
        else:
            for alias in node.names:
                if alias.name in _MODULES and alias.asname:
                    names.add(f"{alias.asname}.feature")
                elif alias.name.partition(".")[0] == "featurestore" and not alias.asname:
                    names |= {"featurestore.feature", "featurestore.authoring.feature"}
    return names


def carried_names(module: Module, carriers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The names in this module of what other modules of the project made of the decorator, with where they are from."""
    by_module: dict[str, set[str]] = {}
    for origin, name in carriers:
        by_module.setdefault(origin, set()).add(name)
    found: dict[str, str] = {}
    for node in _imports(module.tree):
        if isinstance(node, ast.ImportFrom):
            origin = _absolute(module, node)
            for alias in node.names:
                if alias.name == "*":
                    found.update({name: f"{origin}.{name}" for name in by_module.get(origin, ())})
                elif alias.name in by_module.get(origin, ()):
                    found[alias.asname or alias.name] = f"{origin}.{alias.name}"
                inner = f"{origin}.{alias.name}"
                found.update(
                    {f"{alias.asname or alias.name}.{name}": f"{inner}.{name}" for name in by_module.get(inner, ())}
                )
        else:
            for alias in node.names:
                for name in by_module.get(alias.name, ()):
                    found[f"{alias.asname or alias.name}.{name}"] = f"{alias.name}.{name}"
    return found


def decorated(module: Module, names: set[str]) -> Iterator[tuple[Decorated, ast.expr]]:
    """Decorated functions and classes, including those below the top level of the module, which are an error.

    Walking the whole tree is slow, so that it is only walked where the text has more decorators than the top level.
    """
    top_level = [*_decorated_among(module.tree.body, names)] if names else []
    written = sum(module.text.count(f"@{name}") for name in names)
    return iter(top_level if written <= len(top_level) else [*_decorated_among(ast.walk(module.tree), names)])


def loose_uses(module: Module, names: Iterable[str]) -> list[LooseUse]:
    """The uses of the decorator in a module that are neither imports nor decorators."""
    wanted = set(names)
    if wanted and module.text.isascii():  # elsewhere a name may be written in several ways
        # Most modules mention it where they import it and above functions, and need not be walked.
        imported = Counter(word for node in _imports(module.tree) for word in _words(node))
        wanted = {name for name in wanted if _mentions(name, module.text) > imported[name]}
    rebound = bound_by(module.tree.body, walrus=False).names
    wanted = {name for name in wanted if name.partition(".")[0] not in rebound}
    uses = []
    for statement in module.tree.body if wanted else ():
        for node, text in _loads(statement, wanted):
            owner = next(
                iter(bound_by([statement], walrus=False).everything()), f"{module.path.as_posix()}:{node.lineno}"
            )
            uses.append(LooseUse(owner, node.lineno, text))
    return uses


def _words(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The names in an import that nothing stands before but a blank: each is a mention in the text."""
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]
    for alias in node.names:
        yield alias.name.partition(".")[0]
        if alias.asname:
            yield alias.asname


def _mentions(name: str, text: str) -> int:
    """How often a text has a name other than right behind an ``@``."""
    return len(re.findall(rf"(?<![\w.@]){re.escape(name)}\b", text))


def bound_names(module: Module, uses: Iterable[LooseUse]) -> set[str]:
    """The module's names that hold what was made of the decorator: those of the statements with loose uses."""
    owners = {use.owner for use in uses}
    return owners & bound_by(module.tree.body, walrus=False).everything()


def _loads(statement: ast.stmt, names: set[str]) -> Iterator[tuple[ast.expr, str]]:
    """Where one of the names is used, but for decorators of functions and where it is a local variable."""
    pending: list[tuple[ast.AST, frozenset[str]]] = [(statement, frozenset(names))]
    while pending:
        node, visible = pending.pop()
        if isinstance(node, ast.Name | ast.Attribute) and (text := dotted(node)) in visible:
            yield node, text
            continue
        inner = visible
        if isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS)):
            hidden = _local_names(node)
            inner = frozenset(name for name in visible if name.partition(".")[0] not in hidden)
        left_out: list[ast.AST] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                target = decorator.func if isinstance(decorator, ast.Call) else decorator
                if dotted(target) in visible:
                    left_out.append(decorator)
        if inner:
            pending += [(child, inner) for child in ast.iter_child_nodes(node) if child not in left_out]


def _local_names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {*argument_names(node.args), *bound_by(node.body, walrus=True).everything()}
    if isinstance(node, ast.Lambda):
        return {*argument_names(node.args), *walruses([node.body])}
    return {name for generator in getattr(node, "generators", ()) for name in target_names(generator.target)}


def _decorated_among(nodes: Iterable[ast.AST], names: set[str]) -> Iterator[tuple[Decorated, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                target = decorator.func if isinstance(decorator, ast.Call) else decorator
                if dotted(target) in names:
                    yield node, decorator
                    break


def from_nowhere(module: Module, names: set[str]) -> Iterator[Decorated]:
    """Functions under a decorator called ``feature`` that nothing in the module binds: an import was forgotten."""
    if any(alias.name == "*" for node in _imports(module.tree) for alias in node.names):
        return
    found = [
        (node, dotted(item.func if isinstance(item, ast.Call) else item))
        for node in module.tree.body
        if isinstance(node, Decorated)
        for item in node.decorator_list
    ]
    called = [(node, name) for node, name in found if name.rpartition(".")[2] == "feature" and name not in names]
    bound = bound_by(module.tree.body, walrus=False).everything() if called else set[str]()
    for node, name in called:
        if name.partition(".")[0] not in bound:
            yield node


def dotted(node: ast.expr) -> str:
    """``fs.feature`` for the nodes that spell it; empty for anything but names and attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def _imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module's top level, those in ``try`` and ``if`` included."""
    pending: list[ast.stmt] = [*tree.body]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            pending += [item for item in ast.iter_child_nodes(node) if isinstance(item, ast.stmt)]
            pending += [item for handler in getattr(node, "handlers", ()) for item in handler.body]


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    base = parts[: len(parts) - (node.level - 1 if module.package else node.level)]
    return ".".join([*base, *([node.module] if node.module else [])])
