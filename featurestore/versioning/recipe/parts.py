"""The parts of a closure by readable names, each with a digest of its own code. They explain why versions differ.

A digest leaves out the part's own name, and writes what the part mentions by name, so that a helper that was only
renamed or moved is distinguished from one that changed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from hashlib import sha256

from featurestore.versioning.analysis.names import WHOLE, Definition, Dotted, Global, ProjectModule
from featurestore.versioning.analysis.project import ProjectNames
from featurestore.versioning.recipe.definitions import EncodedDefinition, EncodedStatement
from featurestore.versioning.recipe.grammar import Mention, OwnName, Piece

DIGEST = 16
LONGEST_VALUE = 60


def parts_of(
    project: ProjectNames, definitions: Sequence[EncodedDefinition], running: Sequence[EncodedStatement]
) -> dict[str, str]:
    """``{"function": digest, "constant features.cardiac.LIMIT": "digest 240", …}``.

    Statements that count because they run at import are numbered within their module.
    """
    parts: dict[str, str] = {}
    for definition in definitions:
        root = definition is definitions[0]
        module, name = definition.key
        kind = "function" if root else f"{_kind(project, definition)} {module if name == WHOLE else f'{module}.{name}'}"
        parts[kind] = _with_value(
            _digest(project, _body(definition), name), None if root else _constant_text(project, definition)
        )
        prefix = "" if root else f"{module}.{name}."
        for encoded in definition.statements:
            for argument, start, end in encoded.defaults:
                key = f"default {prefix}{argument}"
                parts[key] = _with_value(
                    _digest(project, encoded.out[start:end], name), _default_text(project, encoded, argument)
                )
    numbers: dict[str, int] = {}
    for encoded in running:
        number = numbers[encoded.module] = numbers.get(encoded.module, 0) + 1
        table = project.table(encoded.module)
        text = ast.get_source_segment(table.module.text, table.body[encoded.position]) if table is not None else None
        key = f"running {encoded.module} {number}"
        parts[key] = _with_value(_digest(project, encoded.out, ""), _first_line(text))
    return parts


def split_part(value: str) -> tuple[str, str | None]:
    """A part's digest, and its text if that is short enough to show."""
    digest, _, text = value.partition(" ")
    return digest, text or None


def _kind(project: ProjectNames, definition: EncodedDefinition) -> str:
    module, name = definition.key
    if name == WHOLE:
        return "module"
    table = project.table(module)
    positions = table.bindings.get(name, []) if table is not None else []
    statements = [table.body[position] for position in positions] if table is not None else []
    if any(isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) for statement in statements):
        return "helper"
    if any(isinstance(statement, ast.ClassDef) for statement in statements):
        return "class"
    return "constant"


def _body(definition: EncodedDefinition) -> list[Piece]:
    """The definition's pieces without the defaults of its functions, which are parts of their own."""
    pieces: list[Piece] = []
    for encoded in definition.statements:
        last = 0
        for _, start, end in encoded.defaults:
            pieces += [*encoded.out[last:start], "default "]
            last = end
        pieces += encoded.out[last:]
    return pieces


def _digest(project: ProjectNames, pieces: Iterable[Piece], own: str) -> str:
    texts = []
    for piece in pieces:
        if isinstance(piece, Mention):
            texts.append(f"#{piece.key[1]} ")
        elif isinstance(piece, OwnName):
            texts.append("= " if piece.name == own else f"={piece.name} ")
        elif piece.startswith("T:") and project.tree.holds(piece[2:-1]):
            # A version file of recipe 1 may lack a module that its code mentions, which is no change of that code.
            texts.append(f"#{piece[2:-1].rpartition('.')[2]} ")
        else:
            texts.append("G: " if piece == f"G:{own} " else piece)
    return sha256("".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def _with_value(digest: str, text: str | None) -> str:
    return f"{digest} {text}" if text else digest


def _constant_text(project: ProjectNames, definition: EncodedDefinition) -> str | None:
    """The value of a constant that is assigned once, as source text."""
    table = project.table(definition.key[0])
    if table is None or len(definition.statements) != 1:
        return None
    statement = table.body[definition.statements[0].position]
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return None
    return _short(ast.get_source_segment(table.module.text, statement.value))


def _default_text(project: ProjectNames, encoded: EncodedStatement, argument: str) -> str | None:
    table = project.table(encoded.module)
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


def _first_line(text: str | None) -> str | None:
    """The statement's text, shortened to one line."""
    line = " ".join((text or "").split("\n", 1)[0].split())
    return line if len(line) <= LONGEST_VALUE else f"{line[: LONGEST_VALUE - 1]}…"


def wants_lazy(project: ProjectNames, definition: EncodedDefinition, function: str) -> bool:
    """Whether a function's first argument is annotated as ``polars.LazyFrame``, under whatever name."""
    table = project.table(definition.key[0])
    if table is None:
        return False
    for encoded in definition.statements:
        statement = table.body[encoded.position]
        if isinstance(statement, ast.FunctionDef) and statement.name == function:
            first = [*statement.args.posonlyargs, *statement.args.args][:1]
            annotation = first[0].annotation if first else None
            if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
                annotation = ast.parse(annotation.value, mode="eval").body
            return annotation is not None and _dotted_name(project, table.module.name, annotation) == "polars.LazyFrame"
    return False


def _dotted_name(project: ProjectNames, module: str, node: ast.expr) -> str | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    target: Global | None = project.world(module).lookup(node.id)
    while names and isinstance(target, ProjectModule):
        target = project.member(target.name, names.pop())
    if isinstance(target, Definition) and not names:
        table = project.table(target.module)
        positions = table.statements_of(target.name) if table is not None else []
        statement = table.body[positions[0]] if table is not None and len(positions) == 1 else None
        if isinstance(statement, ast.Assign) and not isinstance(statement.value, ast.Name):
            return _dotted_name(project, target.module, statement.value)
    return ".".join((target.name, *reversed(names))) if isinstance(target, Dotted) else None
