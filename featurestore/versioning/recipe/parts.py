"""The parts of a closure by readable names, each with a digest of its own code: why two versions differ.

A part's digest leaves out its own name and writes what it mentions by name, so that a helper that was
only renamed or moved can be told from one that was changed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from hashlib import sha256

from featurestore.versioning.analysis.names import WHOLE, Definition, Dotted, Global, ProjectModule
from featurestore.versioning.analysis.project import Analysis, Encoded, Node
from featurestore.versioning.recipe.grammar import Own, Piece, Ref

DIGEST = 16
LONGEST_VALUE = 60


def parts_of(analysis: Analysis, nodes: Sequence[Node]) -> dict[str, str]:
    """``{"function": digest, "constant features.cardiac.LIMIT": "digest 240", …}``."""
    parts: dict[str, str] = {}
    for node in nodes:
        root = node is nodes[0]
        module, name = node.key
        kind = "function" if root else f"{_kind(analysis, node)} {module if name == WHOLE else f'{module}.{name}'}"
        parts[kind] = _with_value(_digest(_body(node), name), None if root else _constant_text(analysis, node))
        prefix = "" if root else f"{module}.{name}."
        for encoded in node.statements:
            for argument, start, end in encoded.defaults:
                key = f"default {prefix}{argument}"
                parts[key] = _with_value(
                    _digest(encoded.out[start:end], name), _default_text(analysis, encoded, argument)
                )
    return parts


def split_part(value: str) -> tuple[str, str | None]:
    """A part's digest, and its text where it is short enough to be shown."""
    digest, _, text = value.partition(" ")
    return digest, text or None


def _kind(analysis: Analysis, node: Node) -> str:
    module, name = node.key
    if name == WHOLE:
        return "module"
    table = analysis.table(module)
    positions = table.bindings.get(name, []) if table is not None else []
    statements = [table.body[position] for position in positions] if table is not None else []
    if any(isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) for statement in statements):
        return "helper"
    if any(isinstance(statement, ast.ClassDef) for statement in statements):
        return "class"
    return "constant"


def _body(node: Node) -> list[Piece]:
    """The node's pieces without its functions' defaults, which are parts of their own."""
    pieces: list[Piece] = []
    for encoded in node.statements:
        last = 0
        for _, start, end in encoded.defaults:
            pieces += [*encoded.out[last:start], "default "]
            last = end
        pieces += encoded.out[last:]
    return pieces


def _digest(pieces: Iterable[Piece], own: str) -> str:
    texts = []
    for piece in pieces:
        if isinstance(piece, Ref):
            texts.append(f"#{piece.key[1]} ")
        elif isinstance(piece, Own):
            texts.append("= " if piece.name == own else f"={piece.name} ")
        else:
            texts.append("G: " if piece == f"G:{own} " else piece)
    return sha256("".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def _with_value(digest: str, text: str | None) -> str:
    return f"{digest} {text}" if text else digest


def _constant_text(analysis: Analysis, node: Node) -> str | None:
    """The value of a constant that is assigned once, as the source has it."""
    table = analysis.table(node.key[0])
    if table is None or len(node.statements) != 1:
        return None
    statement = table.body[node.statements[0].position]
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return None
    return _short(ast.get_source_segment(table.module.text, statement.value))


def _default_text(analysis: Analysis, encoded: Encoded, argument: str) -> str | None:
    table = analysis.table(encoded.module)
    statement = table.body[encoded.position] if table is not None else None
    if table is None or not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    arguments = statement.args
    positional = [*arguments.posonlyargs, *arguments.args]
    names = [item.arg for item in positional[len(positional) - len(arguments.defaults) :]]
    values = dict(zip(names, arguments.defaults, strict=True))
    values.update(
        {item.arg: value for item, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value}
    )
    value = values.get(argument)
    return _short(ast.get_source_segment(table.module.text, value)) if value is not None else None


def _short(text: str | None) -> str | None:
    if text is None:
        return None
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else None


def wants_lazy(analysis: Analysis, node: Node, function: str) -> bool:
    """Whether a function's first argument is annotated as ``polars.LazyFrame``, under whatever name."""
    table = analysis.table(node.key[0])
    if table is None:
        return False
    for encoded in node.statements:
        statement = table.body[encoded.position]
        if isinstance(statement, ast.FunctionDef) and statement.name == function:
            first = [*statement.args.posonlyargs, *statement.args.args][:1]
            annotation = first[0].annotation if first else None
            if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
                annotation = ast.parse(annotation.value, mode="eval").body
            return (
                annotation is not None and _dotted_name(analysis, table.module.name, annotation) == "polars.LazyFrame"
            )
    return False


def _dotted_name(analysis: Analysis, module: str, node: ast.expr) -> str | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    target: Global | None = analysis.world(module).lookup(node.id)
    while names and isinstance(target, ProjectModule):
        target = analysis.member(target.name, names.pop())
    if isinstance(target, Definition) and not names:
        table = analysis.table(target.module)
        positions = table.statements_of(target.name) if table is not None else []
        statement = table.body[positions[0]] if table is not None and len(positions) == 1 else None
        if isinstance(statement, ast.Assign) and not isinstance(statement.value, ast.Name):
            return _dotted_name(analysis, target.module, statement.value)
    return ".".join((target.name, *reversed(names))) if isinstance(target, Dotted) else None
