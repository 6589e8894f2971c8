"""One ``@feature(...)`` decorator, read from the syntax tree and checked against the project."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from featurestore.arguments import ARGUMENTS, OTHER_ROWS, WITHOUT_OTHER_ROWS, Declaration, parse_arguments
from featurestore.config import Project
from featurestore.declared_files import DeclaredFiles
from featurestore.errors import DeclarationError, did_you_mean
from featurestore.model import FEATURE_NAME, Feature, Json, Source
from featurestore.registry.request_code import looks_at_other_rows
from featurestore.versioning.analysis.tree import Module, SourceTree

_AGGREGATES = 'the function aggregates: pl.col("amount").sum(), with window="30d"'
# What other tools call an argument of ours, or what ours needs none for.
_ELSEWHERE = {
    "ttl": 'how long a value is served is max_age="30d"',
    "version": "the code's hash is the version, and versions are numbered by themselves",
    **dict.fromkeys(("event_time", "timestamp"), "event_time is set for the source, in featurestore.toml"),
    **dict.fromkeys(("aggregate", "aggregation", "agg", "aggregation_function"), _AGGREGATES),
    **dict.fromkeys(("entity", "entities"), 'whom it is about is entity_type="…"'),
    **dict.fromkeys(("dtype", "value_type"), 'what its values are is data_type="float"'),
}  # fmt: skip


def read_declaration(
    project: Project,
    tree: SourceTree,
    module: Module,
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
    decorator: ast.expr,
    files: DeclaredFiles,
) -> list[Feature]:
    """The features that one decorated function declares: one, or a family. Raises DeclarationError."""
    where = f"{module.path.as_posix()}:{function.lineno}"
    if not isinstance(function, ast.FunctionDef):
        kind = "a class" if isinstance(function, ast.ClassDef) else "async"
        raise DeclarationError(
            f"{function.name!r} is {kind}; a feature is a plain function", where=where, hint="use def"
        )
    if function not in module.tree.body:
        raise DeclarationError(
            f"{function.name!r} is not at the top level of its module", where=where, hint="move it there"
        )
    if not isinstance(decorator, ast.Call):
        hint = '@feature(entity_type="…", data_type="float")'
        raise DeclarationError(f"@feature on {function.name!r} has no arguments", where=where, hint=hint)
    written = _evaluate(tree, module, decorator)
    params = ARGUMENTS["params"].parse(Declaration(written, project, where, files), "params")
    frames = _frames(function, params, where)
    members = []
    for combination in itertools.product(*params.values()):
        member = dict(zip(params, combination, strict=True))
        values = parse_arguments(Declaration(_for_member(written, member, where), project, where, files))
        if values["sources"]:
            _require_frames(function, frames, values["sources"], where)
        elif len(frames) > 1:
            raise _one_frame(function, frames, where)
        if frames:
            _require_short(function, values, where)
        elif values["inputs"]:
            _require_own_row(module, function)
        template = values.pop("name") or function.name
        members.append(
            Feature(
                name=_member_name(template, member, where), function=function.name, module=module.name,
                path=module.path, line=function.lineno, short=not frames, **(values | {"params": member}),
            )
        )  # fmt: skip
    return members


def declared_files(tree: SourceTree) -> DeclaredFiles:
    """The reader of a tree's declared files: features that share a file share its reading."""
    return DeclaredFiles(tree.root)


def _require_short(function: ast.FunctionDef, values: Mapping[str, Any], where: str) -> None:
    """Raises DeclarationError where a function of a frame is declared as what only an expression can be."""
    if values["inputs"]:
        message = f"{function.name}() takes a frame; a request-time feature is an expression over its inputs"
        raise DeclarationError(message, where=where, hint='take no argument and return a pl.Expr, pl.col("NAME") …')
    if values["window"] is not None:
        message = f"window= is for expressions, and {function.name}() takes a frame"
        raise DeclarationError(
            message, where=where, hint='take no frame and return pl.col("amount").sum(), for example'
        )


def _require_own_row(module: Module, function: ast.FunctionDef) -> None:
    """Raises DeclarationError where a request-time feature's code says that it looks at several rows."""
    found = looks_at_other_rows(module, function)
    if found is not None:
        operation, line = found
        message = OTHER_ROWS.format(name=function.name, operation=operation)
        raise DeclarationError(message, where=f"{module.path.as_posix()}:{line}", hint=WITHOUT_OTHER_ROWS)


_OF_MEMBERS = ("window", "every", "delay")  # each member of a family may have its own


def _for_member(values: Mapping[str, Json], params: Mapping[str, Json], where: str) -> dict[str, Json]:
    """The arguments of one member of a family: durations that name a param have its value."""
    texts = {name: value for name in _OF_MEMBERS if isinstance(value := values.get(name), str)}
    return {**values, **{name: _filled(name, text, params, where) for name, text in texts.items()}}


def _filled(argument: str, template: str, params: Mapping[str, Json], where: str) -> str:
    def value(placeholder: re.Match[str]) -> str:
        if placeholder[1] not in params:
            raise DeclarationError(
                f"{argument}={template!r} uses {placeholder[0]}, which is not in params", where=where
            )
        return str(params[placeholder[1]])

    return re.sub(r"\{(\w*)\}", value, template)


def _member_name(template: str, params: Mapping[str, Json], where: str) -> str:
    name = _filled("name", template, params, where)
    missing = [param for param in params if f"{{{param}}}" not in template]
    if missing:
        hint = f'for example name="{template}_{{{missing[0]}}}"'
        raise DeclarationError(
            f"name={template!r} must contain {{{missing[0]}}}, one of params", where=where, hint=hint
        )
    if not FEATURE_NAME.fullmatch(name):
        message = f"{name!r} is not a feature name: a lower-case letter, then up to 47 of a-z, 0-9 and _"
        raise DeclarationError(message, where=where, hint='set name="…" in @feature')
    return name


def _frames(function: ast.FunctionDef, params: Mapping[str, list[Json]], where: str) -> list[str]:
    """The arguments that are frames; the short form has none. Checks the rest of the signature."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    names = [item.arg for item in positional]
    frames = [name for name in names if name not in params]
    defaults = len(arguments.defaults)
    frames = [name for name in frames if name not in names[len(names) - defaults :]]
    unknown = [param for param in params if param not in names and param not in {a.arg for a in arguments.kwonlyargs}]
    if unknown:
        raise DeclarationError(f"{function.name}() has no argument {unknown[0]!r} for params", where=where)
    if frames != names[: len(frames)]:
        raise _one_frame(function, frames, where)
    return frames


def _one_frame(function: ast.FunctionDef, frames: Sequence[str], where: str) -> DeclarationError:
    hint = "take one frame, or none and return an expression; other arguments come from params"
    message = f"{function.name}() has an argument {frames[-1]!r} that is neither the frame nor in params"
    return DeclarationError(message, where=where, hint=hint)


def _require_frames(function: ast.FunctionDef, frames: Sequence[str], sources: Sequence[Source], where: str) -> None:
    """Raises DeclarationError where a feature of several sources does not take a frame of one kind for each."""
    names = ", ".join(source.name for source in sources)
    if len(frames) != len(sources):
        taken = "no frame" if not frames else f"{len(frames)} frame{'' if len(frames) == 1 else 's'}"
        raise DeclarationError(
            f"sources= names {len(sources)} sources, and {function.name}() takes {taken}",
            where=where, hint=f"take a frame for each, in their order: def {function.name}({names})",
        )  # fmt: skip
    arguments = [*function.args.posonlyargs, *function.args.args][: len(frames)]
    lazy = {each.annotation is not None and ast.unparse(each.annotation).endswith("LazyFrame") for each in arguments}
    if len(lazy) > 1:
        raise DeclarationError(
            f"{function.name}() takes some frames as LazyFrame, and others not",
            where=where, hint="annotate all of them alike",
        )  # fmt: skip


def _evaluate(tree: SourceTree, module: Module, call: ast.Call) -> dict[str, Json]:
    where = f"{module.path.as_posix()}:{call.lineno}"
    if call.args:
        raise DeclarationError("@feature takes named arguments only", where=where, hint='@feature(name="…", …)')
    values: dict[str, Json] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise DeclarationError(
                "@feature(**…) can't be read without running it", where=where, hint="write the arguments out"
            )
        if keyword.arg not in ARGUMENTS:
            hint = _ELSEWHERE.get(keyword.arg) or did_you_mean(keyword.arg, ARGUMENTS)
            hint = hint or "there is: " + ", ".join(sorted(ARGUMENTS))
            raise DeclarationError(f"@feature has no argument {keyword.arg!r}", where=where, hint=hint)
        values[keyword.arg] = _literal(tree, module, keyword.value, keyword.arg, 0)
    return values


def _literal(tree: SourceTree, module: Module, node: ast.expr, argument: str, depth: int) -> Json:
    """The value of a literal or a module constant, or of a list or mapping of them."""

    def inner(item: ast.expr) -> Json:
        return _literal(tree, module, item, argument, depth)

    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [inner(item) for item in items]
        case ast.Dict(keys=keys, values=items) if all(isinstance(key, ast.Constant) for key in keys):
            names = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
            return dict(zip(names, map(inner, items), strict=True))
        case ast.Name(id=name) if depth < 10:
            constant = _constant(tree, module, name)
            if constant is not None:
                return _literal(tree, *constant, argument, depth + 1)
    raise DeclarationError(
        f"{argument}={ast.unparse(node)} can't be read without running the module",
        where=f"{module.path.as_posix()}:{node.lineno}",
        hint="write a literal, or the name of a constant of this module",
    )


def _constant(tree: SourceTree, module: Module, name: str) -> tuple[Module, ast.expr] | None:
    """The value that a name is assigned at the top level of its module, followed through project imports.

    None where there is no such assignment, or more than one.
    """
    values: list[tuple[Module, ast.expr]] = []
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                values += [(module, value) for target in targets if isinstance(target, ast.Name) and target.id == name]
            case ast.AnnAssign(target=ast.Name(id=target_name), value=ast.expr() as value) if target_name == name:
                values.append((module, value))
            case ast.AugAssign(target=ast.Name(id=target_name)) if target_name == name:
                return None
            case ast.ImportFrom(module=str() as origin, names=aliases, level=0):
                for alias in aliases:
                    other = tree.module(origin) if (alias.asname or alias.name) == name else None
                    inner = None if other is None else _constant(tree, other, alias.name)
                    values += [] if inner is None else [inner]
    return values[0] if len(values) == 1 else None
