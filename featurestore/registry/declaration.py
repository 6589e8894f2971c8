"""One ``@feature(...)`` decorator, read from the syntax tree and checked against the project."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Mapping

from featurestore import times
from featurestore.config import Project
from featurestore.errors import DeclarationError, did_you_mean
from featurestore.model import DATA_TYPES, FEATURE_NAME, STATUSES, DataType, EntityType, Feature, Json, Source
from featurestore.versioning.analysis.tree import Module, SourceTree

ARGUMENTS = (
    "name", "entity_type", "data_type", "source", "description", "owner", "tags", "status", "max_age", "lookback",
    "tolerance", "params", "renamed_from",
)  # fmt: skip


def declared_names(module: Module) -> set[str]:
    """The spellings under which this module knows the decorator: ``feature``, ``fs.feature``."""
    names: set[str] = set()
    for node in module.tree.body:
        if (
            isinstance(node, ast.ImportFrom)
            and node.level == 0
            and node.module in ("featurestore", "featurestore.authoring")
        ):
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "feature"}
        elif isinstance(node, ast.Import):
            names |= {f"{alias.asname or alias.name}.feature" for alias in node.names if alias.name == "featurestore"}
    return names


def read_declaration(
    project: Project,
    tree: SourceTree,
    module: Module,
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
    decorator: ast.expr,
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
    reader = _Arguments(_evaluate(tree, module, decorator), where)
    entity_type = reader.entity_type(project)
    source = reader.source(project)
    params = reader.params()
    short = _is_short(function, params, where)
    template = reader.text("name") or function.name
    members = []
    for values in itertools.product(*params.values()) if params else [()]:
        member = dict(zip(params, values, strict=True))
        members.append(
            Feature(
                name=_member_name(template, member, where), function=function.name, module=module.name,
                path=module.path, line=function.lineno, entity_type=entity_type, data_type=reader.data_type(),
                source=source, short=short, description=reader.text("description"), owner=reader.text("owner"),
                tags=reader.tags(), status=reader.status(), max_age=reader.duration("max_age"),
                lookback=reader.duration("lookback"), tolerance=reader.tolerance(), params=member,
                renamed_from=reader.text("renamed_from") or None,
            )
        )  # fmt: skip
    return members


def _member_name(template: str, params: Mapping[str, Json], where: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in params:
            raise DeclarationError(f"name={template!r} uses {found[0]}, which is not in params", where=where)
        return str(params[found[1]])

    name = re.sub(r"\{(\w*)\}", value, template)
    missing = [param for param in params if f"{{{param}}}" not in template]
    if missing:
        hint = f'for example name="{template}_{{{missing[0]}}}"'
        raise DeclarationError(
            f"name={template!r} does not tell the family's {missing[0]} apart", where=where, hint=hint
        )
    if not FEATURE_NAME.fullmatch(name):
        message = f"{name!r} is not a feature name: a lower-case letter, then up to 47 of a-z, 0-9 and _"
        raise DeclarationError(message, where=where, hint='set name="…" in @feature')
    return name


def _is_short(function: ast.FunctionDef, params: Mapping[str, list[Json]], where: str) -> bool:
    """Whether the function takes no frame: the short form. Checks the rest of its signature."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    names = [item.arg for item in positional]
    frames = [name for name in names if name not in params]
    defaults = len(arguments.defaults)
    frames = [name for name in frames if name not in names[len(names) - defaults :]]
    unknown = [param for param in params if param not in names and param not in {a.arg for a in arguments.kwonlyargs}]
    if unknown:
        raise DeclarationError(f"{function.name}() has no argument {unknown[0]!r} for params", where=where)
    if len(frames) > 1 or (frames and names.index(frames[0]) != 0):
        hint = "take one frame, or none and return an expression; other arguments come from params"
        raise DeclarationError(
            f"{function.name}({', '.join(names)}) has arguments nobody gives", where=where, hint=hint
        )
    return not frames


class _Arguments:
    """The decorator's arguments as plain values, read one by one with errors that name them."""

    def __init__(self, values: Mapping[str, Json], where: str) -> None:
        self.values, self.where = values, where

    def error(self, message: str, hint: str | None = None) -> DeclarationError:
        return DeclarationError(message, where=self.where, hint=hint)

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(f"{name}= must be text, not {value!r}")
        return value

    def entity_type(self, project: Project) -> EntityType:
        name = self.text("entity_type")
        if not name:
            raise self.error("entity_type= is missing", did_you_mean("", project.entity_types))
        if name not in project.entity_types:
            hint = did_you_mean(name, project.entity_types) or f"add [entity_types.{name}] to featurestore.toml"
            raise self.error(f"there is no entity type {name!r}", hint)
        return project.entity_types[name]

    def data_type(self) -> DataType:
        text = self.text("data_type")
        try:
            return DataType.parse(text)
        except ValueError:
            what = f"{text!r} is not a data_type" if text else "data_type= is missing"
            raise self.error(what, did_you_mean(text, DATA_TYPES) or "one of " + ", ".join(DATA_TYPES)) from None

    def source(self, project: Project) -> Source:
        name = self.text("source")
        if name:
            if name not in project.sources:
                hint = did_you_mean(name, project.sources) or f"add [sources.{name}] to featurestore.toml"
                raise self.error(f"there is no source {name!r}", hint)
            return project.sources[name]
        if len(project.sources) == 1:
            return next(iter(project.sources.values()))
        if not project.sources:
            raise self.error("the project has no source", "add [sources.NAME] to featurestore.toml")
        raise self.error("the project has several sources", "name one: source= " + " or ".join(sorted(project.sources)))

    def tags(self) -> tuple[str, ...]:
        value = self.values.get("tags") or []
        if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
            raise self.error(f"tags= must be a list of texts, not {value!r}")
        return tuple(str(tag) for tag in value)

    def status(self) -> str:
        status = self.text("status") or "active"
        if status not in STATUSES:
            raise self.error(f"status={status!r} is not known", did_you_mean(status, STATUSES))
        return status

    def duration(self, name: str) -> int | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return times.parse_duration(text)
        except ValueError as exc:
            raise self.error(f"{name}= {exc}") from None

    def tolerance(self) -> float | None:
        value = self.values.get("tolerance")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise self.error(f"tolerance= must be a number of at least 0, not {value!r}")
        return float(value)

    def params(self) -> dict[str, list[Json]]:
        value = self.values.get("params") or {}
        if not isinstance(value, dict) or not all(isinstance(item, list) and item for item in value.values()):
            raise self.error(f"params= must be names with lists of values, not {value!r}", 'params={"days": [7, 30]}')
        params: dict[str, list[Json]] = {
            str(name): list(item) for name, item in value.items() if isinstance(item, list)
        }
        for name, items in params.items():
            for item in items:
                if not isinstance(item, str | int | float | bool):
                    raise self.error(f"params= {name} has {item!r}; texts and numbers only")
        return params


def _evaluate(tree: SourceTree, module: Module, call: ast.Call) -> dict[str, Json]:
    where = f"{module.path.as_posix()}:{call.lineno}"
    if call.args:
        raise DeclarationError("@feature takes named arguments only", where=where, hint='@feature(name="…", …)')
    values: dict[str, Json] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise DeclarationError("@feature(**…) can't be read without running it", where=where, hint="write them out")
        if keyword.arg not in ARGUMENTS:
            hint = did_you_mean(keyword.arg, ARGUMENTS)
            raise DeclarationError(f"@feature has no argument {keyword.arg!r}", where=where, hint=hint)
        values[keyword.arg] = _literal(tree, module, keyword.value, keyword.arg, 0)
    return values


def _literal(tree: SourceTree, module: Module, node: ast.expr, argument: str, depth: int) -> Json:
    """A literal, a module constant, or a list or mapping of them."""

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
            found = _constant(tree, module, name)
            if found is not None:
                return _literal(tree, found[0], found[1], argument, depth + 1)
    raise DeclarationError(
        f"{argument}={ast.unparse(node)} can't be read without running the module",
        where=f"{module.path.as_posix()}:{node.lineno}",
        hint="write a literal, or the name of a constant of this module",
    )


def _constant(tree: SourceTree, module: Module, name: str) -> tuple[Module, ast.expr] | None:
    """The one assignment of a name at the top level of its module, followed through project imports."""
    found: list[tuple[Module, ast.expr]] = []
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                found += [(module, value) for target in targets if isinstance(target, ast.Name) and target.id == name]
            case ast.AnnAssign(target=ast.Name(id=target_name), value=ast.expr() as value) if target_name == name:
                found.append((module, value))
            case ast.AugAssign(target=ast.Name(id=target_name)) if target_name == name:
                return None
            case ast.ImportFrom(module=str() as origin, names=aliases, level=0):
                for alias in aliases:
                    other = tree.module(origin) if (alias.asname or alias.name) == name else None
                    inner = None if other is None else _constant(tree, other, alias.name)
                    found += [] if inner is None else [inner]
    return found[0] if len(found) == 1 else None
